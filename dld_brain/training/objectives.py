"""What DLD's loss is made of, beside the task's own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

import torch

from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.gates.sampler import GatedRun
from dld_brain.losses import Divergence, states_distance


@dataclass(frozen=True)
class Weights:
    """What the terms of the loss weigh.

    Arguments
    ---------
    teacher : float
        Of the divergence from the teacher.
    states : float
        Of the distance from the teacher's encoder's outputs, where a decoder
        stands behind them.
    in_place : float
        Of a shallower run's divergence from the own full depth.
    intermediate : float
        Of the task's loss half way through a run.
    """

    task: float = 1.0
    teacher: float = 1.0
    states: float = 0.0
    in_place: float = 0.0
    intermediate: float = 0.0


class Predictions(NamedTuple):
    """What a batch gives.

    Arguments
    ---------
    students : list of tuple of GatedRun and EncoderOutput
        The student's runs, and what each gave.
    teacher : EncoderOutput, optional
        The teacher's, in training.
    """

    students: list[tuple[GatedRun, EncoderOutput]]
    teacher: Optional[EncoderOutput] = None


class Term(NamedTuple):
    """A term of the loss.

    Arguments
    ---------
    name : str
        As it is logged.
    loss : torch.Tensor
        Nats, [B].
    """

    name: str
    weight: float
    loss: torch.Tensor


def has_words(batch: Any) -> torch.Tensor:
    """Which utterances of a batch have a target at all, [B]."""
    return batch.targets.lengths > 0


def taught_terms(
    run: GatedRun,
    out: EncoderOutput,
    predictions: Predictions,
    weights: Weights,
    divergence: Divergence,
) -> Iterator[Term]:
    """What a run learns from its teachers; none where there is no teacher.

    Arguments
    ---------
    out : EncoderOutput
        What the run gave.
    predictions : Predictions
        Has the teacher's output, and that of the full depth, which teaches
        the other runs in place.
    """
    if predictions.teacher is not None:
        teacher = predictions.teacher.log_probs
        kl = divergence(teacher, out.log_probs, out.lengths)
        yield Term("kl", weights.teacher, kl)
        if weights.states:
            distance = states_distance(
                predictions.teacher.states, out.states, out.frames
            )
            yield Term("states", weights.states, distance)
    if weights.in_place and not run.is_whole:
        full = next(o for other, o in predictions.students if other.is_whole)
        teacher = full.log_probs.detach()
        kl = divergence(teacher, out.log_probs, out.lengths)
        yield Term("in_place", weights.in_place, kl)
