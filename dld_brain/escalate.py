"""Goes deeper where a shallow answer is unsure.

What two depths compute alike is computed once: all in front of the first
layer that one of them runs and the other does not. That is exact; behind
that layer nothing can be taken over, whatever the layers.

Authors
 * The dld_brain authors 2026
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Optional

import numpy as np
import torch

from dld_brain.depth import Layers
from dld_brain.encoders.dynamic import DynamicEncoder, EncoderOutput
from dld_brain.scores import Answers
from dld_brain.tasks import Task


class Step(NamedTuple):
    """The answer of one depth.

    Arguments
    ---------
    layers : tuple of int
        Layers of the depth.
    out : EncoderOutput
        What they give.
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
    model : DynamicEncoder
        The model.
    x : torch.Tensor
        Output of the stem, [B, T', D].
    lengths : torch.Tensor
        Valid frames, [B].
    sets : iterable of tuple of int
        Layers of each depth.

    Yields
    ------
    Step
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
    layers : tuple of int
        Layers of the other.
    n_total : int
        Layers in the stack, L.

    Returns
    -------
    int
        L if there is none.

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

    Arguments
    ---------
    start : int
        The first.
    depths : sequence of int
        Depths that there are, rising.

    Returns
    -------
    list of int

    Example
    -------
    >>> default_ladder(4, range(1, 13))
    [4, 8, 12]
    """
    half = (start + depths[-1]) // 2
    between = [n for n in depths if n <= half][-1]
    return sorted({start, max(start, between), depths[-1]})


def climb(entropies: Sequence[float], max_entropy: float) -> int:
    """Where a climb ends: at the first answer that is sure enough.

    Arguments
    ---------
    entropies : sequence of float
        Of the answers, the shallowest first, nats per frame.
    max_entropy : float
        An answer of no more is sure enough.

    Returns
    -------
    int
        Index of the answer; the last if none is sure enough.

    Example
    -------
    >>> climb([0.4, 0.1, 0.2], 0.3), climb([0.4, 0.5], 0.3)
    (1, 1)
    """
    for i, entropy in enumerate(entropies):
        if entropy <= max_entropy:
            return i
    return len(entropies) - 1


@dataclass
class EscalationPoint:
    """What a threshold gives on a test set.

    Arguments
    ---------
    max_entropy : float
        The threshold, nats per frame.
    mean_depth : float
        Mean number of layers of the answers that were taken.
    mean_computed : float
        Mean number of layers that were computed for them.
    rate : float
        The task's metric, %.
    """

    max_entropy: float
    mean_depth: float
    mean_computed: float
    rate: float


def escalation_curve(
    result: Answers,
    sets: Sequence[Layers],
    n_total: int,
    task: Task,
    n_points: int = 9,
) -> list[EscalationPoint]:
    """What going deeper where unsure gives, for several thresholds.

    Arguments
    ---------
    result : Answers
        Of a test set with each layer set.
    sets : sequence of tuple of int
        Layer sets of the depths that are tried in turn.
    n_total : int
        Layers in the stack, L.
    task : Task
        Scores answers.
    n_points : int
        Thresholds: quantiles of the entropies at the first depth, from
        none that is sure enough to all.

    Returns
    -------
    list of EscalationPoint
    """
    first = result.entropies[sets[0]]
    thresholds = [*np.quantile(first, np.linspace(0, 1, n_points - 1)), -1.0]
    pairs = zip([None, *sets], sets)
    starts = [first_difference(a, b, n_total) for a, b in pairs]
    computed = np.cumsum(
        [sum(i >= start for i in s) for start, s in zip(starts, sets)]
    )
    points = []
    for threshold in sorted(map(float, thresholds)):
        ends = [
            climb([result.entropies[s][u] for s in sets], threshold)
            for u in range(len(first))
        ]
        answers = [result.answers[sets[e]][u] for u, e in enumerate(ends)]
        rates = task.rates(result.references, answers)
        points.append(
            EscalationPoint(
                max_entropy=threshold,
                mean_depth=float(np.mean([len(sets[e]) for e in ends])),
                mean_computed=float(np.mean(computed[ends])),
                rate=rates[task.metric],
            )
        )
    return points
