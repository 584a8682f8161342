"""Goes deeper where a shallow answer is unsure.

What two depths compute alike is computed once: all in front of the first
layer that one of them runs and the other does not. That is exact; behind
that layer nothing can be taken over, whatever the layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dld_brain.encoder.deepen import first_difference
from dld_brain.evaluation.scores import Answers
from dld_brain.gates.gates import Gates
from dld_brain.tasks import Task


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
    rungs: Sequence[Gates],
    task: Task,
    n_points: int = 9,
) -> list[EscalationPoint]:
    """What going deeper where unsure gives, for several thresholds.

    Arguments
    ---------
    result : Answers
        Of a test set with all of the gates.
    rungs : sequence of Gates
        What is tried in turn.
    n_points : int
        Thresholds: quantiles of the entropies at the first depth, from
        none that is sure enough to all.
    """
    first = result.entropies[rungs[0]]
    thresholds = [*np.quantile(first, np.linspace(0, 1, n_points - 1)), -1.0]
    starts = [first_difference(*pair) for pair in zip([None, *rungs], rungs)]
    computed = np.cumsum(
        [sum(i >= start for i in g.layers) for start, g in zip(starts, rungs)]
    )
    points = []
    for threshold in sorted(map(float, thresholds)):
        ends = [
            climb([result.entropies[g][u] for g in rungs], threshold)
            for u in range(len(first))
        ]
        answers = [result.answers[rungs[e]][u] for u, e in enumerate(ends)]
        rates = task.rates(result.references, answers)
        points.append(
            EscalationPoint(
                max_entropy=threshold,
                mean_depth=float(np.mean([rungs[e].depth for e in ends])),
                mean_computed=float(np.mean(computed[ends])),
                rate=rates[task.metric],
            )
        )
    return points
