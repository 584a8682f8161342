"""What is saved is finite: NaN in a file would be every later run's."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from speechbrain.processing.features import InputNormalization


def state_of(thing: Any) -> dict[str, Any]:
    """The tensors of a module, a normaliser or an optimizer; else none."""
    if isinstance(thing, InputNormalization):
        return thing._statistics_dict()
    if isinstance(thing, (torch.nn.Module, torch.optim.Optimizer)):
        return thing.state_dict()
    return {}


def check_finite(state: Any, name: Any) -> None:
    """Raises if a tensor of a state, however deep in it, is not finite.

    Example
    -------
    >>> check_finite({"a": [torch.tensor([0.0, torch.inf])]}, "model")
    Traceback (most recent call last):
    ...
    ValueError: model must be finite, but 1 of 1 tensors is not (a.0): ...
    """
    found = {
        path: bool(tensor.isfinite().all())
        for path, tensor in _tensors(state)
        if tensor.is_floating_point()
    }
    bad = [path for path, is_finite in found.items() if not is_finite]
    if bad:
        raise ValueError(
            f"{name} must be finite, but {len(bad)} of {len(found)} tensors "
            f"{'is' if len(bad) == 1 else 'are'} not ({bad[0]}): go back to "
            f"an earlier checkpoint, with a lower `lr`"
        )


def check_finite_file(path: Path) -> None:
    """Raises unless what torch.save wrote can be read and is finite."""
    try:
        state = torch.load(
            path, map_location="cpu", weights_only=True, mmap=True
        )
    except Exception as error:  # torch and pickle raise many kinds
        raise ValueError(f"{path} cannot be read: {error}") from error
    check_finite(state, path)


def _tensors(
    value: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of nested maps and lists, with their paths."""
    if isinstance(value, torch.Tensor):
        yield ".".join(path), value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _tensors(part, (*path, str(key)))
    elif isinstance(value, (list, tuple)):
        for i, part in enumerate(value):
            yield from _tensors(part, (*path, str(i)))
