"""Gates: which layers of a stack run."""

from collections.abc import Sequence
from typing import NamedTuple

Gates = tuple[bool, ...]


def evenly_spread(n_layers: int, n_total: int) -> tuple[int, ...]:
    """Returns `n_layers` layers of `n_total`, first and last included.

    The rule of LayerDrop's inference (https://arxiv.org/abs/1909.11556):
    layers that are kept lie at equal distances. One layer alone is layer 0.

    Arguments
    ---------
    n_layers : int
        How many layers run, 1 to `n_total`.

    Returns
    -------
    tuple of int
        Layer indices in rising order, counted from 0.

    Raises
    ------
    ValueError
        If `n_layers` is not between 1 and `n_total`.

    Example
    -------
    >>> evenly_spread(4, 12)
    (0, 4, 7, 11)
    """
    check_n_layers(n_layers, n_total)
    if n_layers == 1:
        return (0,)
    # Integer rounding of i * (L - 1) / (n - 1), halves up: the same layers
    # on every machine, whatever its floating point.
    step = n_layers - 1
    return tuple(
        (2 * i * (n_total - 1) + step) // (2 * step) for i in range(n_layers)
    )


def prefix(n_layers: int, n_total: int) -> tuple[int, ...]:
    """Returns the first `n_layers` layers of `n_total`.

    Arguments
    ---------
    n_layers : int
        How many layers run, 1 to `n_total`.

    Raises
    ------
    ValueError
        If `n_layers` is not between 1 and `n_total`.

    Example
    -------
    >>> prefix(4, 12)
    (0, 1, 2, 3)
    """
    check_n_layers(n_layers, n_total)
    return tuple(range(n_layers))


def ends(n_layers: int, n_total: int, n_last: int = 2) -> tuple[int, ...]:
    """Returns `n_layers` layers of `n_total` from both ends of the stack.

    The last `n_last` layers, but no more than half of the depth, and for the
    rest the first ones. Those have the input that they have at full depth,
    as in an early-exit model; the last ones turn what any of them gives into
    what the head reads. One layer alone is layer 0.

    Arguments
    ---------
    n_layers : int
        How many layers run, 1 to `n_total`.
    n_last : int
        How many of the last ones, at most.

    Raises
    ------
    ValueError
        If `n_layers` is not between 1 and `n_total`.

    Example
    -------
    >>> [ends(n, 12) for n in (1, 2, 3, 6)]
    [(0,), (0, 11), (0, 1, 11), (0, 1, 2, 3, 10, 11)]
    >>> ends(6, 12, n_last=1)
    (0, 1, 2, 3, 4, 11)
    """
    check_n_layers(n_layers, n_total)
    n_last = min(n_last, n_layers // 2)
    first = range(n_layers - n_last)
    return (*first, *range(n_total - n_last, n_total))


def nested(n_layers: int, n_total: int) -> tuple[int, ...]:
    """Returns `n_layers` layers of `n_total`, those of smaller depths included.

    The first layer, the last, and then always the one that lies farthest
    from those there are, equals by their distance from the one before: about
    as evenly spread as sets can be that contain each other.

    Arguments
    ---------
    n_layers : int
        How many layers run, 1 to `n_total`.

    Raises
    ------
    ValueError
        If `n_layers` is not between 1 and `n_total`.

    Example
    -------
    >>> [nested(n, 6) for n in (1, 2, 3, 4)]
    [(0,), (0, 5), (0, 2, 5), (0, 2, 4, 5)]
    """
    check_n_layers(n_layers, n_total)
    chosen = [0]
    while len(chosen) < n_layers:
        distances = {
            i: (min(abs(i - j) for j in chosen), abs(i - chosen[-1]))
            for i in range(n_total)
        }
        chosen.append(max(distances, key=distances.get))
    return tuple(sorted(chosen))


def layers_computed(many: Sequence[Gates]) -> int:
    """How many layers several runs of one input take.

    Runs that begin alike share their beginning; see `GatedLayers.run_many`.

    Example
    -------
    >>> layers_computed([(True, True, True), (True, False, True)])
    4
    """
    beginnings = {g[: i + 1] for g in many for i in range(len(g)) if g[i]}
    return len(beginnings)


def gates_from_layers(layers: Sequence[int], n_total: int) -> Gates:
    """Turns the layers that run into gates.

    Arguments
    ---------
    layers : sequence of int
        Layers that run, counted from 0.

    Raises
    ------
    ValueError
        If no layer is named, or one lies outside the stack.

    Example
    -------
    >>> gates_from_layers([0, 2], 3)
    (True, False, True)
    """
    if not layers or not all(0 <= layer < n_total for layer in layers):
        raise ValueError(
            f"`layers` must name at least one layer between 0 and "
            f"{n_total - 1}, but is {list(layers)}"
        )
    return tuple(i in set(layers) for i in range(n_total))


def check_n_layers(n_layers: int, n_total: int) -> None:
    """Raises unless `n_layers` is a depth of a stack of `n_total` layers.

    Raises
    ------
    ValueError
        If `n_layers` is no whole number between 1 and `n_total`.

    Example
    -------
    >>> check_n_layers(13, 12)
    Traceback (most recent call last):
    ...
    ValueError: `n_layers` must be between 1 and 12, but is 13
    """
    is_whole = isinstance(n_layers, int) and not isinstance(n_layers, bool)
    if not is_whole:
        raise ValueError(
            f"`n_layers` must be a whole number between 1 and {n_total}, "
            f"but is {n_layers!r}"
        )
    if not 1 <= n_layers <= n_total:
        raise ValueError(
            f"`n_layers` must be between 1 and {n_total}, but is {n_layers}"
        )


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


#: A layer set: the layers that run, rising.
Layers = tuple[int, ...]
