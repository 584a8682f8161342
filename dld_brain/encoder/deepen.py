"""Runs one depth after another on one input."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Optional

import torch

from dld_brain.encoder.encoder import DynamicEncoder, EncoderOutput
from dld_brain.gates.gates import Gates


class Step(NamedTuple):
    """The answer of one depth.

    Arguments
    ---------
    n_computed : int
        Layers that were computed for it; the others were taken over.
    """

    gates: Gates
    out: EncoderOutput
    n_computed: int


def deepen(
    model: DynamicEncoder,
    x: torch.Tensor,
    lengths: torch.Tensor,
    sets: Iterable[Gates],
) -> Iterator[Step]:
    """Runs one depth after another on one input, as long as it is asked.

    Arguments
    ---------
    x : torch.Tensor
        Output of the stem, [B, T', D].
    lengths : torch.Tensor
        Valid frames, [B].
    """
    stack, context = model.layers, model.context(x, lengths)
    inputs = [x]  # of each layer, and behind the last its output
    previous: Optional[Gates] = None
    for gates in sets:
        first = first_difference(previous, gates)
        del inputs[first + 1 :]
        for i in range(first, model.n_total):
            inputs.append(stack.step(i, inputs[-1], gates.is_open(i), context))
        y = stack.norm(inputs[-1])
        out = model.run_head(y, lengths, gates)
        yield Step(gates, out, sum(i >= first for i in gates.layers))
        previous = gates


def first_difference(previous: Optional[Gates], gates: Gates) -> int:
    """The first layer that one depth runs and the other does not.

    Arguments
    ---------
    previous : Gates, optional
        Of the one; none if there was none.

    Returns
    -------
    int
        L if they are the same.

    Example
    -------
    >>> first_difference(Gates((0, 3, 5), 6), Gates((0, 2, 3, 5), 6))
    2
    """
    if previous is None:
        return 0
    differing = set(previous.layers) ^ set(gates.layers)
    return min(differing, default=gates.n_total)


def default_ladder(start: int, depths: Sequence[int]) -> list[int]:
    """Depths that are tried: the first, one half way, the deepest.

    Example
    -------
    >>> default_ladder(4, range(1, 13))
    [4, 8, 12]
    """
    half = (start + depths[-1]) // 2
    between = [n for n in depths if n <= half][-1]
    return sorted({start, max(start, between), depths[-1]})
