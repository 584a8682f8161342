"""How far words are from where they were said: against posteriors by hand."""

import json

import pytest
import torch
from common import batch_of, noise, tiny_modules

from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.evaluation.evaluate import DepthEvaluation
from dld_brain.evaluation.report import drop_none
from dld_brain.evaluation.scores import depth_score
from dld_brain.evaluation.tables import word_table
from dld_brain.evaluation.word_starts import word_starts
from dld_brain.gates.gates import Gates
from dld_brain.tasks import TranscriptionTask
from dld_brain.tasks.characters import character_vocabulary

FULL, TWO = Gates.full(4), Gates((0, 3), 4)
TASK = TranscriptionTask(
    character_vocabulary(["<pad>", "\u2581", *"ABCDEFGHIJ"])
)


def posterior(*paths):
    """A posterior whose likeliest token of frame t is path[t]."""
    path = torch.tensor(paths)
    log_probs = torch.full((*path.shape, 12), 0.01)
    log_probs.scatter_(2, path[..., None], 0.89)
    lengths = torch.full((len(paths),), path.shape[1])
    return EncoderOutput(log_probs.log(), lengths)


def test_starts_are_compared_of_right_words_alone():
    # What is said: A at 1, C at 4, B at 8; C is D at both depths.
    outs = {
        TWO: posterior([0, 0, 0, 2, 1, 5, 0, 1, 3, 0, 0, 0]),
        FULL: posterior([0, 2, 0, 1, 5, 0, 1, 0, 3, 0, 0, 0]),
    }
    answers = {gates: TASK.decode(out) for gates, out in outs.items()}
    assert answers[TWO] == ["A D B"]
    found = word_starts(TASK, outs, answers, ["A C B"])
    assert found == {TWO: [2, 0], FULL: [0, 0]}
    # Where full depth is not run, there is nothing to compare with.
    assert word_starts(TASK, {TWO: outs[TWO]}, answers, ["A C B"]) == {}


def test_a_text_that_is_too_long_or_empty_is_left_out():
    outs = {FULL: posterior([2, 0, 3], [2, 1, 3])}
    answers = {FULL: TASK.decode(outs[FULL])}
    references = ["A B A B A B", ""]
    assert word_starts(TASK, outs, answers, references) == {FULL: []}


def test_an_evaluation_reports_them_by_depth():
    modules = tiny_modules()
    evaluation = DepthEvaluation(
        modules, TASK, 16000, {"even": {2: TWO, 4: FULL}}
    )
    batch = batch_of(noise(3))
    assert not evaluation.answer([batch], "noise").word_starts
    said = evaluation.answer([batch], "noise").answers[FULL]
    for reference, answer in zip(batch.reference, said):
        assert answer and reference != answer
    batch.reference = said
    result = evaluation.answer([batch], "noise", word_times=True)
    n_words = sum(len(answer.split()) for answer in said)
    assert result.word_starts[FULL] == [0.0] * n_words
    macs = {"stem": 1.0, "layers": 1.0, "head": 1.0}
    model, rows = modules["model"], []
    for gates in (TWO, FULL):
        result.word_starts[TWO] = [0.04, 0.08, 0.04]
        rows.append(depth_score(TASK, model, macs, result, gates, "even"))
    assert [row.word_start_ms for row in rows] == [pytest.approx(40.0), 0.0]
    assert word_table(rows).splitlines()[-2:] == [
        "| 2 | even | 40 | 72 |",
        "| 4 | even | 0 | 0 |",
    ]
    assert json.dumps(drop_none(vars(rows[0]))).count("word_start_") == 2
