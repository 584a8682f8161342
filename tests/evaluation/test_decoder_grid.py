"""Both depths of an encoder-decoder: each cell is what the model says there."""

import json
from dataclasses import asdict

import pytest
import torch
from common import batch_of

from dld_brain.audio.features import FeatureNorm, extract
from dld_brain.audio.whisper_mel import WhisperMel
from dld_brain.evaluation.decoder_grid import (
    grid,
    grid_costs_table,
    grid_selections,
    grid_table,
)
from dld_brain.evaluation.evaluate import DepthEvaluation
from dld_brain.gates.gates import Gates
from dld_brain.run.whole_whisper import read_whole

CHOSEN = {1: Gates((0,), 3), 3: Gates.full(3)}


@pytest.fixture(scope="module")
def evaluations():
    """Of the whole decoder and of its first layer; the set, too."""
    model, task, _ = read_whole("tests/samples/whisper")
    torch.manual_seed(0)
    for name, weight in model.named_parameters():  # sharper than at first
        torch.nn.init.normal_(weight, float("norm" in name), 0.3)
    modules = {
        "compute_features": WhisperMel(n_mels=16),
        "normalize": FeatureNorm("sentence", enabled=False),
        "model": model.eval(),
    }
    chosen = {"even": CHOSEN}, grid_selections(CHOSEN, [1, 2], 2)
    utterances = [
        {
            "id": f"utt{i}",
            "sig": torch.randn(16_000 - 4_000 * i),
            "reference": "A B",
            "targets": torch.tensor([5]),
        }
        for i in range(2)
    ]
    found = [DepthEvaluation(modules, task, 16_000, c) for c in chosen]
    return found, batch_of(utterances)


@torch.no_grad()
def test_a_cell_is_what_the_model_says_with_those_gates(evaluations):
    (_, evaluation), batch = evaluations
    answers = evaluation.answer([batch], "noise").answers
    assert len(answers) == 2  # the whole decoder is scored already
    modules = evaluation.modules
    for gates, found in answers.items():
        assert gates.decoder == Gates((0,), 2)
        feats = extract(modules, *batch.sig)
        (out,) = modules["model"](*feats, [gates])
        assert found == evaluation.task.decode(out)
        (other,) = modules["model"](*feats, [gates.with_decoder(None)])
        assert found != evaluation.task.decode(other)


def test_the_grid_has_every_cell_once(evaluations):
    (whole, others), batch = evaluations
    rows = [e.scores(e.answer([batch], "noise")) for e in (whole, others)]
    found = grid(*rows, "even", 2)
    cells = [(r.n_layers, r.n_decoder_layers) for r in found]
    assert cells == [(1, 1), (3, 1), (1, 2), (3, 2)]
    assert [r.decoder_layers for r in found] == [[0], [0], [0, 1], [0, 1]]
    assert all(r.selection == "even" for r in found)
    shallow, deep = found[1], found[3]
    assert shallow.params < deep.params
    assert shallow.macs_parts["head"] < deep.macs_parts["head"]
    assert shallow.macs_parts["layers"] == deep.macs_parts["layers"]
    assert rows[0][1].n_decoder_layers is None  # rows of the report stay
    json.dumps([asdict(r) for r in found])
    found[2].rates = {"WER": 12.5}
    assert "| 1 | " in grid_table(found) and "12.50" in grid_table(found)
    assert grid_costs_table(found).count("\n") == 5


def test_a_grid_of_the_whole_decoder_alone_decodes_nothing():
    assert grid_selections(CHOSEN, [2], 2) == {}
