"""Checkpoints that are whole or are not there.

Authors
 * The dld_brain authors 2026
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import torch
from speechbrain.utils.checkpoints import (
    Checkpoint,
    Checkpointer,
    average_checkpoints,
)
from speechbrain.utils.distributed import if_main_process

from dld_brain.depth import DepthTable, Layers, checkpoint_hash
from dld_brain.encoders.bypass import (
    BYPASSES,
    LAYERS,
    count_layers,
    fold_bypass,
)
from dld_brain.encoders.gated import GatedLayers


class AtomicCheckpointer(Checkpointer):
    """SpeechBrain's Checkpointer, safe against a death while it writes.

    SpeechBrain writes the meta file first, so that a folder half written
    (a killed job, a full disk) is its newest checkpoint, and recovery dies
    of it. Here a checkpoint is written under another name and renamed, in
    one atomic step, once it is whole.

    Arguments
    ---------
    *args : tuple
    **kwargs : dict
        Forwarded to `Checkpointer`.

    Example
    -------
    >>> tmpdir = getfixture("tmpdir")
    >>> model = torch.nn.Linear(1, 1)
    >>> checkpointer = AtomicCheckpointer(tmpdir, {"model": model})
    >>> checkpoint = checkpointer.save_checkpoint()
    >>> checkpointer.find_checkpoint().path == checkpoint.path
    True
    """

    #: Folders of this prefix are no checkpoints to `Checkpointer`.
    PREFIX = "unfinished+"

    def save_checkpoint(self, *args, **kwargs) -> Optional[Checkpoint]:
        """Saves a checkpoint; see `Checkpointer.save_checkpoint`.

        Arguments
        ---------
        *args : tuple
        **kwargs : dict
            Forwarded.

        Returns
        -------
        Checkpoint
            Or None on any process but the main one.

        Raises
        ------
        OSError
            If it cannot be written; what was written of it is deleted.
        """
        self._sweep()
        try:
            checkpoint = super().save_checkpoint(*args, **kwargs)
        except BaseException:
            self._sweep()
            raise
        if checkpoint is None:
            return None
        path = checkpoint.path.with_name(
            checkpoint.path.name.removeprefix(self.PREFIX)
        )
        checkpoint.path.rename(path)
        files = {k: path / f.name for k, f in checkpoint.paramfiles.items()}
        return Checkpoint(path, checkpoint.meta, files)

    def _sweep(self) -> None:
        """Deletes what an interrupted save has left behind."""
        if if_main_process():
            for path in self.checkpoints_dir.glob(f"{self.PREFIX}*"):
                shutil.rmtree(path, ignore_errors=True)

    def _new_checkpoint_dirpath(self) -> Path:
        path = super()._new_checkpoint_dirpath()
        return path.with_name(self.PREFIX + path.name)

    def _custom_checkpoint_dirpath(self, name: str) -> Path:
        path = super()._custom_checkpoint_dirpath(name)
        return path.with_name(self.PREFIX + path.name)


def epoch_file(save_folder: str, epoch: int) -> Path:
    """Where the weights of an epoch are kept.

    Arguments
    ---------
    save_folder : str
        Folder of the checkpoints.
    epoch : int
        The epoch, from 1.

    Returns
    -------
    Path

    Example
    -------
    >>> epoch_file("save", 25).as_posix()
    'save/epochs/25.ckpt'
    """
    return Path(save_folder, "epochs", f"{epoch}.ckpt")


def keep_epoch(save_folder: str, epoch: int, model: torch.nn.Module) -> None:
    """Keeps the weights of an epoch, whatever becomes of its checkpoint.

    Arguments
    ---------
    save_folder : str
        Folder of the checkpoints.
    epoch : int
        The epoch, from 1.
    model : torch.nn.Module
        The model.
    """
    if not if_main_process():
        return
    path = epoch_file(save_folder, epoch)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    torch.save(model.state_dict(), unfinished)
    unfinished.rename(path)


def load_state_strictly(
    module: torch.nn.Module,
    path: Any,
    table: Optional[DepthTable] = None,
    n_layers: Optional[int] = None,
) -> None:
    """Loads a module's weights, all of them and no others.

    SpeechBrain's default hook keeps random weights where the file has
    none. Usable as a hook of SpeechBrain's `Pretrainer`.

    Arguments
    ---------
    module : torch.nn.Module
        What to load into.
    path : str or Path
        File of a state_dict.
    table : DepthTable, optional
        The depth table beside it.
    n_layers : int, optional
        The module has the layers of this depth alone: the others are left
        out, and not read.

    Raises
    ------
    ValueError
        If the file cannot be read, a weight is missing, surplus or of
        another shape, the table is of other weights, or the layers of one
        depth alone are not that depth.

    Example
    -------
    >>> path = getfixture("tmpdir") / "model.ckpt"
    >>> torch.save({}, path)
    >>> load_state_strictly(torch.nn.Linear(1, 1, bias=False), path)
    Traceback (most recent call last):
    ...
    ValueError: ...model.ckpt does not fit the model: missing: weight
    """
    try:
        state = torch.load(
            path, map_location="cpu", weights_only=True, mmap=True
        )
    except Exception as error:  # torch and pickle raise many kinds
        raise ValueError(
            f"{path} cannot be read as weights (is it whole?): {error}"
        ) from error
    if table is not None and n_layers is not None:
        layers = table.layers(n_layers)
        module.layers.check_part(layers, count_layers(state))
        state = layers_of(state, layers, module.layers)
    own = module.state_dict()
    shared = own.keys() & state.keys()
    wrong = {
        "missing": sorted(own.keys() - state.keys()),
        "surplus": sorted(state.keys() - own.keys()),
        "other shape": sorted(
            f"{name} is {list(state[name].shape)}, "
            f"must be {list(own[name].shape)}"
            for name in shared
            if state[name].shape != own[name].shape
        ),
    }
    found = [
        f"{kind}: {', '.join(names[:3])}"
        + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        for kind, names in wrong.items()
        if names
    ]
    if found:
        raise ValueError(f"{path} does not fit the model: {'; '.join(found)}")
    if table is not None:
        table.check_model(checkpoint_hash(path))
    module.load_state_dict(state, strict=True)


def layers_of(
    state: Mapping[str, torch.Tensor],
    layers: Layers,
    stack: GatedLayers,
) -> dict[str, torch.Tensor]:
    """Takes some layers out of a state dict and numbers them anew.

    The others' bypasses, if they have some, go into those that are kept.

    Arguments
    ---------
    state : mapping of str to torch.Tensor
        Of a DynamicEncoder.
    layers : tuple of int
        Layers that are kept.
    stack : GatedLayers
        A stack of such layers.

    Returns
    -------
    dict of str to torch.Tensor

    Raises
    ------
    ValueError
        If a bypass stands in front of the first layer that is kept.

    Example
    -------
    >>> stack = GatedLayers([torch.nn.Identity()])
    >>> layers_of({"layers.layers.4.w": 1, "head.w": 2}, (0, 4), stack)
    {'layers.layers.1.w': 1, 'head.w': 2}
    >>> heads = {"per_depth.1.bias": 1, "per_depth.3.bias": 2}
    >>> layers_of(heads, (0, 4), stack)
    {'per_depth.1.bias': 1}
    """
    numbered = {str(old): new for new, old in enumerate(layers)}
    numbers = {
        # Layers are numbered anew; depths, of which the deeper go, stay.
        LAYERS: numbered,
        BYPASSES: numbered,
        "per_depth.": {str(i): i for i in range(len(layers))},
    }
    found = {}
    for name, value in state.items():
        if name.startswith("router."):  # it decides on all layers
            continue
        for prefix, kept in numbers.items():
            if name.startswith(prefix):
                number, _, rest = name.removeprefix(prefix).partition(".")
                if number in kept:
                    found[f"{prefix}{kept[number]}.{rest}"] = value
                break
        else:
            found[name] = value
    return found | fold_bypass(state, layers, stack.layers[0])


def average_weights(
    checkpointer: Checkpointer, name: str, n: int, **order: str
) -> dict[str, torch.Tensor]:
    """Averages the weights of some checkpoints.

    Arguments
    ---------
    checkpointer : Checkpointer
        Where they are.
    name : str
        Recoverable to average.
    n : int
        How many, at most.
    **order : str
        min_key or max_key: the meta key that ranks them.

    Returns
    -------
    dict
        A state_dict on the CPU.

    Raises
    ------
    ValueError
        If there is none.
    """
    checkpoints = checkpointer.find_checkpoints(max_num_checkpoints=n, **order)
    if not checkpoints:
        (key,) = order.values()
        raise ValueError(
            f"{checkpointer.checkpoints_dir} must hold a checkpoint with "
            f"{key}, but has none: train first, without --test_only"
        )
    return average_checkpoints(checkpoints, name)
