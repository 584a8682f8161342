"""Families of gates: for each depth the layers that run."""

from collections.abc import Sequence
from typing import Any

from dld_brain.gates.gates import Gates, whole_number


def evenly_spread(n_layers: int, n_total: int) -> Gates:
    """Returns `n_layers` layers of `n_total`, first and last included.

    The rule of LayerDrop's inference (https://arxiv.org/abs/1909.11556):
    layers that are kept lie at equal distances. One layer alone is layer 0.

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
    >>> evenly_spread(4, 12)
    Gates(layers=(0, 4, 7, 11), n_total=12)
    """
    check_n_layers(n_layers, n_total)
    if n_layers == 1:
        return Gates((0,), n_total)
    # Integer rounding of i * (L - 1) / (n - 1), halves up: the same layers
    # on every machine, whatever its floating point.
    step = n_layers - 1
    return Gates(
        tuple(
            (2 * i * (n_total - 1) + step) // (2 * step)
            for i in range(n_layers)
        ),
        n_total,
    )


def prefix(n_layers: int, n_total: int) -> Gates:
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
    >>> prefix(4, 12).layers
    (0, 1, 2, 3)
    """
    check_n_layers(n_layers, n_total)
    return Gates(tuple(range(n_layers)), n_total)


def ends(n_layers: int, n_total: int, n_last: int = 2) -> Gates:
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
    >>> [ends(n, 12).layers for n in (1, 2, 3, 6)]
    [(0,), (0, 11), (0, 1, 11), (0, 1, 2, 3, 10, 11)]
    >>> ends(6, 12, n_last=1).layers
    (0, 1, 2, 3, 4, 11)
    """
    check_n_layers(n_layers, n_total)
    n_last = min(n_last, n_layers // 2)
    first = range(n_layers - n_last)
    return Gates((*first, *range(n_total - n_last, n_total)), n_total)


def decoder_gates(n_layers: int, n_total: int) -> Gates:
    """Returns the layers of a decoder at a depth: in training and after it.

    The first ones and the last, which alone is in front of the norm.

    Raises
    ------
    ValueError
        If `n_layers` is not between 1 and `n_total`.

    Example
    -------
    >>> [decoder_gates(n, 4).layers for n in (1, 2, 3)]
    [(0,), (0, 3), (0, 1, 3)]
    >>> decoder_gates(5, 4)
    Traceback (most recent call last):
    ...
    ValueError: `n_decoder_layers` must be between 1 and 4, but is 5
    """
    check_n_layers(n_layers, n_total, "n_decoder_layers")
    return ends(n_layers, n_total, n_last=1)


def nested(n_layers: int, n_total: int) -> Gates:
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
    >>> [nested(n, 6).layers for n in (1, 2, 3, 4)]
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
    return Gates.of(chosen, n_total)


def check_n_layers(n_layers: Any, n_total: int, name: str = "n_layers") -> int:
    """Gives `n_layers` if it is a depth of a stack of `n_total` layers.

    Arguments
    ---------
    name : str
        What the caller calls it.

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
    depth = whole_number(n_layers)
    if depth is None:
        raise ValueError(
            f"`{name}` must be a whole number between 1 and {n_total}, "
            f"but is {n_layers!r}"
        )
    if not 1 <= depth <= n_total:
        raise ValueError(
            f"`{name}` must be between 1 and {n_total}, but is {n_layers}"
        )
    return depth


def depths_in_words(depths: Sequence[int]) -> str:
    """Which depths there are, rising, for a message.

    Example
    -------
    >>> (
    ...     depths_in_words((2, 3, 4)),
    ...     depths_in_words((2, 4)),
    ...     depths_in_words((2,)),
    ... )
    ('between 2 and 4', 'one of 2, 4', '2')
    """
    if len(depths) == 1:
        return str(depths[0])
    if depths and depths[-1] - depths[0] == len(depths) - 1:
        return f"between {depths[0]} and {depths[-1]}"
    return f"one of {', '.join(map(str, depths))}"
