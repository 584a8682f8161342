"""What a report says, as Markdown: headings, tables and sentences."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dld_brain.evaluation.decoder_grid import grid_costs_table, grid_table
from dld_brain.evaluation.scores import DepthScore
from dld_brain.evaluation.tables import (
    confidence_table,
    escalation_table,
    importance_table,
    lm_table,
    parts_table,
    routing_table,
    table,
    training_table,
    word_table,
)

if TYPE_CHECKING:
    from dld_brain.evaluation.report import Report


def summary(report: "Report") -> Iterator[str]:
    """The scores alone: what a run ends with, by paragraph."""
    yield f"# {report.title}"
    for name, scores in report.sets.items():
        yield f"## {name}"
        yield from _references(report, name)
        yield table(scores)
        if report.lm is not None:
            yield _lm_sentence(report.lm)
            yield lm_table(scores)
        if report.decoder is not None:
            yield "Of the decoder, too:"
            yield grid_table(report.decoder[name])
    yield from _teacher(report)


def paragraphs(report: "Report") -> Iterator[str]:
    """All that there is, by paragraph."""
    yield f"# {report.title}"
    yield from _teacher(report)
    for name, scores in report.sets.items():
        yield f"## {name}"
        yield from _references(report, name)
        yield from _of_a_set(report, scores)
    for name, scores in (report.decoder or {}).items():
        yield f"## Depth of the encoder and of the decoder: {name}"
        yield grid_table(scores)
        yield grid_costs_table(scores)
    for epoch, sets in (report.epochs or {}).items():
        for name, scores in sets.items():
            yield f"## Epoch {epoch}: {name}"
            yield table(scores)
    if report.training is not None:
        yield "## Training"
        yield training_table(report.training)
    if report.layer_importance is not None:
        yield from _of_layers(report.layer_importance, report.metric)
    for name, points in (report.escalation or {}).items():
        yield f"## Deeper where unsure: {name}"
        yield escalation_table(points, report.metric)
    for name, points in (report.routing or {}).items():
        yield f"## Layers that the input decides: {name}"
        yield routing_table(points, report.metric)
    for name, labels in (report.unknown_labels or {}).items():
        yield _unknown_sentence(name, labels)


def _teacher(report: "Report") -> Iterator[str]:
    """What the teacher has, by test set."""
    for name, rate in (report.teacher or {}).items():
        yield f"Teacher, {name}: {report.metric} {rate:.2f} %."


def _references(report: "Report", name: str) -> Iterator[str]:
    """What a test set is scored against, where it is not what was said."""
    if name in (report.judged_by_teacher or ()):
        yield (
            f"{report.metric} against the teacher's transcripts: nobody "
            f"transcribed this speech. It says how far a depth is from "
            f"the teacher, not how often it is right."
        )


def _of_a_set(report: "Report", scores: list[DepthScore]) -> Iterator[str]:
    """The tables of a test set; each where some score has what it shows."""
    yield table(scores)
    yield "Where the work is (features count as stem, decoding as head):"
    yield parts_table(scores)
    if any(score.ece is not None for score in scores):
        yield (
            "Confidence is the share of the answer that is to be "
            "expected to be right, fitted on development speech. How "
            "far it is off (expected calibration error, 10 bins):"
        )
        yield confidence_table(scores)
    if any(score.word_start_ms is not None for score in scores):
        yield (
            "Times of words: how far the starts of right words are "
            "from those that forced alignment of the true text finds "
            "at full depth:"
        )
        yield word_table(scores)
    if any(score.lm_rates is not None for score in scores):
        yield _lm_sentence(report.lm)
        yield lm_table(scores)


def _lm_sentence(lm: Mapping[str, Any]) -> str:
    """Which language model, with which weights."""
    return (
        f"With the language model {lm['file']} in a beam search "
        f"(alpha {lm['alpha']:g}, beta {lm['beta']:g}):"
    )


def _of_layers(importance: Sequence[float], metric: str) -> Iterator[str]:
    """What each layer is worth."""
    *closed, whole = importance
    yield "## One layer closed"
    yield f"{metric} in % on development speech; with all layers {whole:.2f}."
    yield importance_table(closed, metric)


def _unknown_sentence(name: str, labels: Mapping[str, int]) -> str:
    """What no answer to a test set is right for."""
    counts = [f"{label} ({n})" for label, n in sorted(labels.items())]
    return (
        f"{name}: {sum(labels.values())} utterances count as wrong "
        f"whatever the answer: training data has no such label: "
        f"{', '.join(counts)}"
    )
