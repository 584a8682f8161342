"""Confidence foretells how much of an answer is right."""

import json

import numpy as np
import pytest
from common import transcription

from dld_brain.depth_table import DepthRow, DepthTable
from dld_brain.evaluation.confidence import (
    add_errors,
    calibration_error,
    fit_scale,
    with_scales,
)
from dld_brain.evaluation.scores import Answers, DepthScore
from dld_brain.gates.gates import Gates
from dld_brain.tasks import ClassificationTask
from pretrained_interfaces import DynamicEncoderASR
from speechbrain.dataio.encoder import CategoricalEncoder

#: A depth whose mean probability is far too high, and one that is right.
DEPTHS = {2: 4.0, 4: 0.0}


def spoken(seed, n=2000):
    """Answers of one word, right as often as a scale of the depth says."""
    rng = np.random.default_rng(seed)
    result = Answers(references=["yes"] * n)
    for depth, offset in DEPTHS.items():
        p = rng.uniform(0.6, 0.999, n)
        truth = 1 / (1 + np.exp(offset - np.log(p / (1 - p))))
        gates = Gates(tuple(range(depth)), 4)
        result.probabilities[gates] = p.tolist()
        is_right = rng.random(n) < truth
        result.answers[gates] = ["yes" if x else "no" for x in is_right]
    return result


def test_the_calibration_error_is_small_on_other_speech():
    task = transcription()
    rows = [DepthRow(n, list(range(n)), 9, 1e8, 36) for n in DEPTHS]
    table = with_scales(DepthTable("0" * 64, "mine", rows), spoken(1), task)
    scores = [
        DepthScore(n, list(range(n)), "mine", 9, 1e8, {"WER": 1.0})
        for n in DEPTHS
    ]
    random = DepthScore(2, None, "random", 9, 1e8, {"WER": 1.0})
    add_errors([*scores, random], table, spoken(2), task, n_total=4)
    assert scores[0].ece_raw > 50 and scores[1].ece_raw < 4
    assert scores[0].ece < 4 and scores[1].ece < 4
    assert random.ece is None
    for row in table.rows:
        row.check()
        order = [row.confidence(p) for p in np.linspace(0, 1, 50)]
        assert order == sorted(order) and 0 < order[0] < order[-1] < 1


@pytest.mark.parametrize(
    "probabilities, correctness",
    [
        ([1.0, 1.0, 0.9], [1.0, 1.0, 1.0]),  # without an error
        ([0.0, 1.0], [0.0, 0.0]),
        ([0.9], [1.0]),
        ([0.9, 0.6, 0.9, 0.6], [0.0, 1.0, 0.1, 1.0]),  # the surer, the worse
    ],
)
def test_confidence_is_finite_and_never_falls(probabilities, correctness):
    slope, offset = fit_scale(probabilities, correctness)
    row = DepthRow(1, [0], 9, 1e8, 36)
    row.confidence_slope, row.confidence_offset = slope, offset
    row.check()
    found = [row.confidence(p) for p in (0.0, 0.3, 1.0)]
    assert 0 < found[0] <= found[1] <= found[2] < 1


def test_the_calibration_error_is_that_of_its_definition():
    rng = np.random.default_rng(5)
    sure, right = rng.random(300), rng.random(300)
    sure[0] = 1.0
    expected = 0.0
    for i in range(10):
        is_in = (sure >= i / 10) & ((sure < (i + 1) / 10) | (i == 9))
        gap = sure[is_in].mean() - right[is_in].mean()
        expected += is_in.mean() * abs(gap)
    assert calibration_error(sure, right) == pytest.approx(100 * expected)


def test_correctness_is_the_share_of_right_words():
    references = ["a b c d", "a", "a b", "", ""]
    answers = ["a b x d", "x y z", "a b", "", "a"]
    found = transcription().correctness(references, answers)
    assert found == pytest.approx([0.75, 0.0, 1.0, 1.0, 0.0])
    labels = CategoricalEncoder()
    labels.update_from_iterable(["off", "on"])
    task = ClassificationTask(labels)
    assert task.correctness(["on", "on"], ["on", "off"]) == [1.0, 0.0]


def test_a_run_fits_it_writes_it_and_interfaces_apply_it(finished_run):
    folder = finished_run / "pretrained"
    table = json.loads((folder / "depth_table.json").read_text())
    slopes = [row["confidence_slope"] for row in table["rows"]]
    assert len(slopes) == 3 and all(slope is not None for slope in slopes)
    report = json.loads((folder / "depth_report.json").read_text())
    for row in report["sets"]["test"]:
        is_fitted = row["selection"] == table["strategy"]
        assert ("ece" in row and "ece_raw" in row) == is_fitted
    text = (folder / "depth_report.md").read_text()
    assert "expected calibration error" in text
    asr = DynamicEncoderASR.from_hparams(source=folder)
    speech = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"
    sure = {n: asr.transcribe(speech, n).confidence for n in (1, 3)}
    for row in asr.table.rows:
        row.confidence_slope = None  # what it is made of
    for row in table["rows"]:
        if row["n_layers"] in sure:
            p = asr.transcribe(speech, row["n_layers"]).confidence
            expected = DepthRow(**row).confidence(p)
            assert sure[row["n_layers"]] == pytest.approx(expected)
