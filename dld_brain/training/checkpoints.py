"""Checkpoints that are whole or are not there."""

import shutil
from pathlib import Path
from typing import Optional

import torch

from speechbrain.utils.checkpoints import (
    Checkpoint,
    Checkpointer,
    average_checkpoints,
)
from speechbrain.utils.distributed import if_main_process


class AtomicCheckpointer(Checkpointer):
    """SpeechBrain's Checkpointer, safe against a death while it writes.

    SpeechBrain writes the meta file first, so that a folder half written
    (a killed job, a full disk) is its newest checkpoint, and recovery dies
    of it. Here a checkpoint is written under another name and renamed, in
    one atomic step, once it is whole.

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
    epoch : int
        The epoch, from 1.

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
    epoch : int
        The epoch, from 1.
    """
    if not if_main_process():
        return
    path = epoch_file(save_folder, epoch)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    torch.save(model.state_dict(), unfinished)
    unfinished.rename(path)


def average_weights(
    checkpointer: Checkpointer, name: str, n: int, **order: str
) -> dict[str, torch.Tensor]:
    """Averages the weights of some checkpoints.

    Arguments
    ---------
    **order : str
        min_key or max_key: the meta key that ranks them.
    """
    checkpoints = checkpointer.find_checkpoints(max_num_checkpoints=n, **order)
    if not checkpoints:
        (key,) = order.values()
        raise ValueError(
            f"{checkpointer.checkpoints_dir} must hold a checkpoint with "
            f"{key}, but has none: train first, without --test_only"
        )
    return average_checkpoints(checkpoints, name)
