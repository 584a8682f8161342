"""What a router of inputs gives on a test set, by its threshold."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from dld_brain.audio.features import extract
from dld_brain.evaluation.evaluate import DepthEvaluation
from dld_brain.evaluation.ranks import gathered, own_batches
from dld_brain.gates.gates import Routed

#: Thresholds on the probability that a layer runs.
THRESHOLDS = (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98)


@dataclass
class RoutingPoint:
    """What a threshold gives on a test set.

    Arguments
    ---------
    rate : float
        The task's metric, %.
    """

    threshold: float
    mean_depth: float
    rate: float

    @property
    def mean_computed(self) -> float:
        """Layers that were computed: those that ran."""
        return self.mean_depth


@torch.no_grad()
def routing_curve(
    evaluation: DepthEvaluation, loader: Iterable[Any], name: str
) -> list[RoutingPoint]:
    """Answers a test set with every threshold; each rank its share.

    Arguments
    ---------
    name : str
        Name of the set, for the progress bar.
    """
    model, task = evaluation.model, evaluation.task
    found = []
    for number, _, batch in own_batches(loader, f"{name}, every threshold"):
        batch = batch.to(evaluation.device)
        feats, lengths = extract(evaluation.modules, *batch.sig)
        x, lengths = model.stem(feats, lengths)
        answers: dict[float, list[str]] = {}
        depths: dict[float, list[float]] = {}
        for threshold in THRESHOLDS:
            routed = Routed(threshold=threshold)
            out = model.run_routed(x, lengths, routed)
            answers[threshold] = task.decode(out)
            depths[threshold] = out.routing.gate.sum(0).tolist()
        found.append((number, (batch.reference, answers, depths)))
    parts = gathered(found)
    references = [text for texts, _, _ in parts for text in texts]
    return [
        RoutingPoint(
            threshold,
            sum(n for _, _, depths in parts for n in depths[threshold])
            / len(references),
            task.rates(
                references,
                [text for _, texts, _ in parts for text in texts[threshold]],
            )[task.metric],
        )
        for threshold in THRESHOLDS
    ]
