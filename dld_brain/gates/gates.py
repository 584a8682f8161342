"""Gates: which layers of a stack run, one value."""

import operator
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Optional

import torch


@dataclass(frozen=True, order=True)
class Gates:
    """The open gates of a stack; never all closed.

    Arguments
    ---------
    layers : tuple of int
        Layers that run, rising, counted from 0.
    n_total : int
        Layers in the stack, L.
    decoder : Gates, optional
        Of the layers of a decoder behind the stack, where there is one; all
        open if not given.

    Raises
    ------
    ValueError
        If no layer is named, one lies outside the stack, or they do not
        rise.

    Example
    -------
    >>> gates = Gates.of([2, 0], 3)
    >>> gates, gates.depth, gates.is_open(1)
    (Gates(layers=(0, 2), n_total=3), 2, False)
    """

    layers: tuple[int, ...]
    n_total: int
    decoder: Optional["Gates"] = field(default=None, repr=False)

    def __post_init__(self) -> None:
        layers = tuple(map(whole_number, self.layers))
        n_total = whole_number(self.n_total)
        if n_total is None:
            raise ValueError(
                f"`n_total` must be a whole number, but is {self.n_total!r}"
            )
        object.__setattr__(self, "n_total", n_total)
        is_inside = all(i is not None and 0 <= i < n_total for i in layers)
        if not layers or not is_inside:
            raise ValueError(
                f"`layers` must name at least one layer between 0 and "
                f"{self.n_total - 1}, but is {list(self.layers)}"
            )
        if layers != tuple(sorted(set(layers))):
            raise ValueError(
                f"`layers` must rise, but is {list(self.layers)}: use Gates.of"
            )
        object.__setattr__(self, "layers", layers)

    @classmethod
    def of(cls, layers: Iterable[int], n_total: int) -> "Gates":
        """Gates of layers in any order."""
        return cls(tuple(sorted(set(layers))), n_total)

    @classmethod
    def full(cls, n_total: int) -> "Gates":
        """All open."""
        return cls(tuple(range(n_total)), n_total)

    @property
    def depth(self) -> int:
        """Open gates, n."""
        return len(self.layers)

    @property
    def is_full(self) -> bool:
        """Whether all are open."""
        return self.depth == self.n_total

    @property
    def is_whole(self) -> bool:
        """Whether all are open, those of a decoder, too."""
        return self.is_full and (self.decoder is None or self.decoder.is_full)

    def is_open(self, layer: int) -> bool:
        """Whether a layer runs."""
        return layer in self.layers

    def without(self, layer: int) -> "Gates":
        """The same gates, but for one layer that is closed."""
        layers = tuple(i for i in self.layers if i != layer)
        return replace(self, layers=layers)

    def with_decoder(self, decoder: Optional["Gates"]) -> "Gates":
        """The same gates, and those of a decoder."""
        return replace(self, decoder=decoder)


class Routed(NamedTuple):
    """Takes the place of gates: the model's router decides.

    Arguments
    ---------
    step : int
        The optimizer step: keys the draws, anneals.
    threshold : float
        Outside of training, an utterance runs the layers whose probability
        is higher.
    """

    step: int = 0
    seed: int = 0
    threshold: float = 0.5


class ChunkedGates(NamedTuple):
    """Takes the place of gates: each chunk of an utterance has its own.

    Arguments
    ---------
    of_chunks : tuple of Gates
        Of the first chunk, the second and so on; behind the last of them
        the first again.
    """

    of_chunks: tuple[Gates, ...]


def whole_number(value: Any) -> Optional[int]:
    """The value as an int; None where it is none, as a bool is.

    Example
    -------
    >>> import numpy as np
    >>> whole_number(np.int64(3)), whole_number(3.0), whole_number(True)
    (3, None, None)
    """
    is_tensor = isinstance(value, torch.Tensor)
    if isinstance(value, bool) or (is_tensor and value.dtype == torch.bool):
        return None  # operator.index takes either for 0 or 1
    try:
        return operator.index(value)
    except TypeError:
        return None


def layers_computed(many: Iterable[Gates]) -> int:
    """How many layers several runs of one input take.

    Runs that begin alike share their beginning; see `GatedLayers.run_many`.

    Example
    -------
    >>> layers_computed([Gates.full(3), Gates((0, 2), 3)])
    4
    """
    return len({g.layers[: i + 1] for g in many for i in range(g.depth)})
