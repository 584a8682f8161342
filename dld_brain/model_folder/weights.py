"""Weights of models: in safetensors, strictly, from one model to another."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import safetensors
import safetensors.torch
import torch

from dld_brain.encoder.part import ADDED, DEPTH_HEADS, HEAD, ROUTER, part_state
from dld_brain.files.console import escaped
from dld_brain.gates.gates import Gates
from dld_brain.model_folder.compact import SCALE, expanded

MODEL, NORMALIZE = "model.safetensors", "normalize.safetensors"


class Weights(Mapping[str, torch.Tensor]):
    """The tensors of a safetensors file; each is read when asked for.

    What was stored in fewer bytes is float32 again; see `compact`.

    Raises
    ------
    ValueError
        If it is no such file.
    """

    def __init__(self, path: Any) -> None:
        try:
            self._file = safetensors.safe_open(str(path), framework="pt")
        except (safetensors.SafetensorError, OSError) as error:
            raise ValueError(
                f"{path} cannot be read as weights (is it whole?): {error}"
            ) from None
        names = set(self._file.keys())
        self._scales = {
            n
            for n in names
            if n.endswith(SCALE) and n.removesuffix(SCALE) in names
        }
        self._names = dict.fromkeys(
            n for n in self._file.keys() if n not in self._scales
        )
        self._path = path

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._names:
            raise KeyError(name)
        value, scale = self._file.get_tensor(name), None
        if f"{name}{SCALE}" in self._scales:
            scale = self._file.get_tensor(f"{name}{SCALE}")
        return expanded(f"{self._path}: {escaped(name, 80)}", value, scale)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def contiguous_state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The state of a module as safetensors takes it: contiguous."""
    state = module.state_dict()
    return {k: v.detach().cpu().contiguous() for k, v in state.items()}


def weights_hash(module: torch.nn.Module) -> str:
    """SHA-256 of the model.safetensors that a module would be written to.

    Example
    -------
    >>> a, b = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    >>> weights_hash(a) == weights_hash(a), weights_hash(a) == weights_hash(b)
    (True, False)
    """
    content = safetensors.torch.save(contiguous_state(module))
    return hashlib.sha256(content).hexdigest()


def save_state(folder: Path, modules: Mapping[str, torch.nn.Module]) -> None:
    """Writes model.safetensors and normalize.safetensors."""
    state = contiguous_state(modules["model"])
    (folder / MODEL).write_bytes(safetensors.torch.save(state))
    statistics = {
        name: torch.as_tensor(value).detach().cpu().contiguous()
        for name, value in modules["normalize"]._statistics_dict().items()
    }
    (folder / NORMALIZE).write_bytes(safetensors.torch.save(statistics))


def copy_weights(
    source: Mapping[str, torch.nn.Module],
    target: Mapping[str, torch.nn.Module],
    name: str,
    gates: Optional[Gates] = None,
    new_head: bool = False,
) -> None:
    """Starts a model from another: weights and feature statistics.

    The statistics stay as they are: student and teacher see one set of
    features. What depths have of their own, and a router, the model may have
    beside the other's weights; they stay as they are made.

    Arguments
    ---------
    source : mapping of str to torch.nn.Module
        `normalize` and `model` of the trained model.
    target : mapping of str to torch.nn.Module
        The same of the model that starts.
    name : str
        Where the source is from, for the message.
    gates : Gates, optional
        Open where the model has the source's layer; all if not given.
    new_head : bool
        Whether the head, and those of depths, stay as they are made.

    Raises
    ------
    ValueError
        If the weights do not fit the model; see `load_part`.
    """
    state = source["model"].state_dict()
    if gates is not None:
        state = part_state(state, gates, source["model"].layers)
    own = target["model"].state_dict()
    if target["model"].router is None:  # its decisions are in a depth table
        state = {k: v for k, v in state.items() if not k.startswith(ROUTER)}
    kept = ADDED
    if new_head:
        kept = (*ADDED, HEAD)
        state = {
            k: v
            for k, v in state.items()
            if not k.startswith((HEAD, DEPTH_HEADS))
        }
    state = {
        **{k: v for k, v in own.items() if k.startswith(kept)},
        **state,
    }
    load_part(target["model"], state, f"{name}, from which it starts,")
    target["normalize"]._load_statistics_dict(
        source["normalize"]._statistics_dict()
    )
    target["normalize"].update_until_epoch = 0


def load_part(
    module: torch.nn.Module,
    state: Mapping[str, torch.Tensor],
    name: Any,
    gates: Optional[Gates] = None,
) -> None:
    """Loads a model's weights, all of them and no others.

    Arguments
    ---------
    name : str or Path
        Where they are from, for messages.
    gates : Gates, optional
        The module has these layers alone: the others are not read.

    Raises
    ------
    ValueError
        If a weight is missing, surplus, of another shape or not finite, or
        the layers by themselves are not what gates make of all.
    """
    if gates is not None:
        state = part_state(state, gates, module.layers)
    own = module.state_dict()
    wrong = {
        "missing": sorted(own.keys() - state.keys()),
        "surplus": sorted(state.keys() - own.keys()),
    }
    # One after another, each read once: a file is not in memory as well.
    for key in sorted(own.keys() & state.keys()):
        value = state[key]
        if misfit := _misfit(key, value, own[key]):
            wrong.setdefault(misfit[0], []).append(misfit[1])
            continue
        value = value.to(own[key].dtype)  # a double may be beyond a float
        if not value.isfinite().all():
            raise ValueError(
                f"{name} must have finite weights, but {key} has NaN or "
                f"infinity: take an earlier model"
            )
        own[key].copy_(value)
    found = [_some(kind, names) for kind, names in wrong.items() if names]
    if found:
        raise ValueError(f"{name} does not fit the model: {'; '.join(found)}")


def _misfit(
    key: str, given: torch.Tensor, own: torch.Tensor
) -> Optional[tuple[str, str]]:
    """What kind of misfit a weight is, and how; None where it fits."""
    if given.shape != own.shape:
        how = f"{key} is {list(given.shape)}, must be {list(own.shape)}"
        return "other shape", how
    if given.is_floating_point() != own.is_floating_point():
        return "other type", f"{key} is {given.dtype}, must be {own.dtype}"
    return None


def _some(kind: str, names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{kind}: {', '.join(escaped(n, 80) for n in names[:3])}{more}"


def load_state_strictly(module: torch.nn.Module, path: Any) -> None:
    """Loads a checkpoint of torch.save, all of it and nothing else.

    Raises
    ------
    ValueError
        If the file cannot be read, or a weight is missing, surplus or of
        another shape.

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
    load_part(module, state, path)
