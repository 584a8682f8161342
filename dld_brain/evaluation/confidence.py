"""Confidence that means something: fitted on development speech, by depth.

The mean probability of an answer's frames is high, most being blank, and
what it is worth changes with depth. A scale of two numbers a depth turns it
into the share of the answer that is right, in the mean.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from dld_brain.depth_table import DepthTable, logit_of
from dld_brain.evaluation.scores import Answers, DepthScore
from dld_brain.gates.gates import Gates
from dld_brain.tasks import Task

#: Bins of the calibration error: Guo et al. 2017 take 15 for 10,000 images;
#: test sets of speech have fewer utterances.
N_BINS = 10


def fit_scale(
    probabilities: Sequence[float], correctness: Sequence[float]
) -> tuple[float, float]:
    """Fits Platt's scale: correctness = sigmoid(slope * logit(p) + offset).

    By cross-entropy, with the targets drawn in by one right and one wrong
    answer more, so that speech without an error does not make it infinite
    (Platt 1999, section 2.2). The slope is no less than 0: what a model is
    less sure of is never given more confidence.

    Arguments
    ---------
    probabilities : sequence of float
        Mean probability of each answer, in [0, 1].
    correctness : sequence of float
        In [0, 1]; see `Task.correctness`.

    Returns
    -------
    tuple of float
        Slope and offset.

    Example
    -------
    >>> p = np.linspace(0.5, 0.99, 5000)
    >>> z = 2 * np.log(p / (1 - p)) - 1
    >>> [round(x, 1) for x in fit_scale(p, 1 / (1 + np.exp(-z)))]
    [2.0, -1.0]
    """
    n = len(correctness)
    x = np.array([logit_of(p) for p in probabilities])
    y = (n * np.asarray(correctness) + 1) / (n + 2)

    def loss(scale: np.ndarray) -> tuple[float, np.ndarray]:
        """Mean cross-entropy, and its gradient."""
        z = scale[0] * x + scale[1]
        wrong = 0.5 * (1 + np.tanh(z / 2)) - y  # sigmoid(z) - y
        value = np.mean(np.logaddexp(0, z) - y * z)
        return value, np.array([np.mean(wrong * x), np.mean(wrong)])

    found = minimize(
        loss, (1.0, 0.0), jac=True, bounds=((0, None), (None, None))
    )
    return float(found.x[0]), float(found.x[1])


def calibration_error(
    confidences: Sequence[float], correctness: Sequence[float]
) -> float:
    """Expected calibration error, over bins of equal width.

    sum_b |b| / n * |mean confidence - mean correctness| (Guo et al. 2017,
    https://arxiv.org/abs/1706.04599, equation 3).

    Returns
    -------
    float
        %.

    Example
    -------
    >>> calibration_error([0.9, 0.9, 0.1, 0.1], [1.0, 0.0, 0.0, 0.0])
    25.0
    """
    sure, right = np.asarray(confidences), np.asarray(correctness)
    bins = np.minimum((sure * N_BINS).astype(int), N_BINS - 1)
    gaps = np.bincount(bins, weights=sure - right)
    return float(100 * np.abs(gaps).sum() / len(sure))


def with_scales(table: DepthTable, result: Answers, task: Task) -> DepthTable:
    """The table with a scale for each depth that was answered.

    Arguments
    ---------
    result : Answers
        Of development speech.
    """
    rows = []
    for row in table.rows:
        for gates, answers in result.answers.items():
            if list(gates.layers) == row.layers:
                right = task.correctness(result.references, answers)
                scale = fit_scale(result.probabilities[gates], right)
                row = replace(
                    row, confidence_slope=scale[0], confidence_offset=scale[1]
                )
        rows.append(row)
    return replace(table, rows=rows)


def add_errors(
    scores: Sequence[DepthScore],
    table: DepthTable,
    result: Answers,
    task: Task,
    n_total: int,
) -> None:
    """Adds to scores how far confidence is off, of the table's layers."""
    scaled = [r.layers for r in table.rows if r.confidence_slope is not None]
    for score in scores:
        if score.layers in scaled:
            gates = Gates.of(score.layers, n_total)
            raw = result.probabilities[gates]
            right = task.correctness(result.references, result.answers[gates])
            sure = [table.confidence(score.layers, p) for p in raw]
            score.ece = calibration_error(sure, right)
            score.ece_raw = calibration_error(raw, right)
