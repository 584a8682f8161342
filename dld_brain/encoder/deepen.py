"""Runs one depth after another on one input."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Optional

import torch

from dld_brain.encoder.encoder import DynamicEncoder, EncoderOutput
from dld_brain.gates.layer_sets import Layers


class Step(NamedTuple):
    """The answer of one depth.

    Arguments
    ---------
    n_computed : int
        Layers that were computed for it; the others were taken over.
    """

    layers: Layers
    out: EncoderOutput
    n_computed: int


def deepen(
    model: DynamicEncoder,
    x: torch.Tensor,
    lengths: torch.Tensor,
    sets: Iterable[Layers],
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
    previous: Optional[Layers] = None
    for layers in sets:
        first = first_difference(previous, layers, model.n_total)
        del inputs[first + 1 :]
        for i in range(first, model.n_total):
            inputs.append(stack.step(i, inputs[-1], i in layers, context))
        y = stack.norm(inputs[-1])
        out = model.run_head(y, lengths, len(layers))
        yield Step(layers, out, sum(i >= first for i in layers))
        previous = layers


def first_difference(
    previous: Optional[Layers], layers: Layers, n_total: int
) -> int:
    """The first layer that one depth runs and the other does not.

    Arguments
    ---------
    previous : tuple of int, optional
        Layers of the one; none if there was none.

    Example
    -------
    >>> first_difference((0, 3, 5), (0, 2, 3, 5), 6)
    2
    """
    if previous is None:
        return 0
    return min(set(previous) ^ set(layers), default=n_total)


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
