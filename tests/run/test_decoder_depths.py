"""The decoder's depth in a run: trained under gates, scored as a grid."""

import json
from pathlib import Path

import pytest
import torch
from common import batch_of, start
from conftest import small_whisper

from dld_brain.depth_table import DepthTable
from dld_brain.encoder.costs import executed_params, macs_by_part
from dld_brain.gates.by_depth import EveryDepthGates
from dld_brain.gates.gates import Gates
from dld_brain.model_folder import load_pretrained
from dld_brain.run.config import compose, load_hparams
from dld_brain.run.decoder_depths import with_decoder_gates
from dld_brain.run.fitting import make_brain
from dld_brain.run.hub_model import convert, settings_of_model
from dld_brain.run.main import train as main
from speechbrain import Stage

TRAIN = Stage.TRAIN
SOURCE, RECIPE = "tests/samples/whisper", "hparams/whisper_any_depth.yaml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("whole") / "pretrained")
    convert(SOURCE, path, "whole_whisper")
    return path


@pytest.fixture
def brain_of(folder, tmp_path):
    """Makes the Brain of a run, gates of both halves as it says."""

    def make(**options):
        told = {
            "data_folder": "none",
            "output_folder": str(tmp_path),
            "teacher": folder,
            "init_from": folder,
            "model": SOURCE,
            "wav_augment": None,
            "fea_augment": None,
            **options,
        }
        told |= settings_of_model(compose(RECIPE, told), told)
        composed = compose(RECIPE, told)
        settings, hparams = composed.settings(), load_hparams(composed)
        teacher = load_pretrained(folder)
        model = hparams["modules"]["model"]
        model.load_state_dict(teacher.modules["model"].state_dict())
        sampler = settings.losses.gates.make(n_total=3, seed=1)
        return make_brain(
            settings,
            hparams,
            {"device": "cpu"},
            checkpointer=None,
            train_loggers=[],
            task=teacher.task,
            teacher=teacher.modules,
            gate_sampler=with_decoder_gates(sampler, settings, model),
        )

    return make


def speech():
    generator = torch.Generator().manual_seed(0)
    return batch_of(
        [
            {
                "id": f"utt{i}",
                "sig": torch.randn(16_000 - 4_000 * i, generator=generator),
                "reference": "A B",
                "targets": torch.randint(1, 200, (4,), generator=generator),
            }
            for i in range(2)
        ]
    )


def test_without_being_asked_gates_and_loss_are_what_they_were(brain_of):
    brain = start(brain_of())
    assert type(brain.gate_sampler) is EveryDepthGates
    brain.modules.eval()
    batch = speech()
    outs = brain.compute_forward(batch, TRAIN)
    loss = brain.compute_objectives(outs, batch, TRAIN)
    assert all(run.gates.decoder is None for run, _ in outs.students)
    full = Gates.full(2)
    runs = brain.gate_sampler(0)
    both = [r._replace(gates=r.gates.with_decoder(full)) for r in runs]
    brain.runs = lambda stage: both
    again = brain.compute_forward(batch, TRAIN)
    found = brain.compute_objectives(again, batch, TRAIN)
    assert torch.equal(loss, found)


def test_a_closed_layer_of_the_decoder_has_no_gradient(brain_of, monkeypatch):
    place = "dld_brain.training.brain.DLDBrain.optimizers_step"
    monkeypatch.setattr(place, lambda self: None)
    brain = brain_of(
        **{
            "gates": {"sampler": "bernoulli"},
            "decoder_gates": {"sampler": "uniform", "with_full": False},
            "head_lr_factor": 1.0,
        }
    )
    start(brain)
    steps = range(50)
    draws = {s: brain.gate_sampler(s)[0].gates.decoder.layers for s in steps}
    assert set(draws.values()) == {(0,), (0, 1)}
    for wanted in ((0,), (0, 1)):
        step = next(s for s in steps if draws[s] == wanted)
        brain.optimizer_step = step
        brain.modules.model.zero_grad()
        brain.fit_batch(speech())
        layers = brain.modules.model.head.layers
        for i, layer in enumerate(layers):
            grads = [p.grad for p in layer.parameters()]
            is_open = i in wanted
            assert all((g is not None) == is_open for g in grads)


def test_the_whole_teaches_in_place_and_is_not_taught(brain_of):
    brain = brain_of(
        **{
            "gates": {"sampler": "bernoulli", "p_open": 1.0},
            "decoder_gates": "every_depth",
            "head_lr_factor": 1.0,
            "distillation.in_place_weight": 1.0,
            "distillation.weight": 0.0,
            "distillation.states_weight": 0.0,
        }
    )
    start(brain).modules.eval()
    batch = speech()
    predictions = brain.compute_forward(batch, TRAIN)
    shallow, whole = predictions.students
    assert shallow[0].gates.decoder.depth == 1 and whole[0].is_whole
    taught = brain.distilled(*shallow, predictions)
    out = shallow[1]
    expected = brain.distill(whole[1].log_probs, out.log_probs, out.lengths)
    torch.testing.assert_close(taught, expected)
    assert float(taught.detach().min()) > 0
    assert brain.stats.counts["in_place"] == len(batch.id)
    brain.distilled(*whole, predictions)
    assert brain.stats.counts["in_place"] == len(batch.id)


def test_depths_that_the_decoder_has_not_are_refused(brain_of):
    with pytest.raises(ValueError, match="`test_decoder_depths` .* 1 and 2"):
        brain_of(test_decoder_depths=[1, 3])
    with pytest.raises(ValueError, match="`decoder_gates.min_layers` must"):
        brain_of(decoder_gates={"sampler": "uniform", "min_layers": 3})
    with pytest.raises(ValueError, match="`head_lr_factor` must be above 0"):
        brain_of(decoder_gates="uniform")
    with pytest.raises(ValueError, match="decoder_gates"):
        compose("hparams/conformer_dld.yaml", {"decoder_gates": "uniform"})


def test_closed_layers_of_the_decoder_cost_nothing(folder):
    modules = load_pretrained(folder).modules
    model = modules["model"]
    full, one = Gates.full(3), Gates((0,), 2)
    closed = sum(p.numel() for p in model.head.layers[1].parameters())
    params = executed_params(model, full)
    assert params == sum(p.numel() for p in model.parameters())
    assert executed_params(model, full.with_decoder(one)) == params - closed
    macs = macs_by_part(modules, 16_000)
    fewer = macs_by_part(modules, 16_000, one)
    assert macs["layers"] == fewer["layers"] and macs["stem"] == fewer["stem"]
    # By hand: a layer's products of weights, for 34 tokens and the prompt,
    # of 500 frames the keys and values, and the attention to both.
    d, ffn, tokens, frames, seconds = 16, 16, 36, 500, 10
    own = tokens * (6 * d * d + 2 * d * ffn) + 2 * frames * d * d
    attention = 2 * tokens * (tokens + frames) * d
    found = macs["head"] - fewer["head"]
    assert found == pytest.approx((own + attention) / seconds, rel=1e-6)


@pytest.mark.slow
def test_a_run_scores_both_depths(tmp_path):
    options = {
        "model": SOURCE,
        "output_folder": f"{tmp_path}/1",
        "vocab_size": 259,
        "transcripts": "corpus",  # random, it writes nothing right
        "batch_size": 2,
        "max_batch_seconds": 0,
        "decoder_gates": "uniform",
        "head_lr_factor": 1.0,
        "test_decoder_depths": "1,2",
        "test_depths": "2,3",
        "layer_importance": False,
    }
    assert main([RECIPE, *small_whisper(**options)]) in (None, 0)
    output = Path(tmp_path, "1")
    report = json.loads((output / "depth_report.json").read_text())
    whole = report["sets"]["test"]
    cells = report["decoder"]["test"]
    assert [(c["n_layers"], c["n_decoder_layers"]) for c in cells] == [
        (2, 1),
        (3, 1),
        (2, 2),
        (3, 2),
    ]
    for row, cell in zip(whole, cells[2:]):  # not decoded twice
        assert "n_decoder_layers" not in row
        assert row["rates"] == cell["rates"] and row["rtf"] == cell["rtf"]
    assert cells[0]["params"] < whole[0]["params"]
    assert cells[0]["macs_per_second"] < whole[0]["macs_per_second"]
    text = (output / "depth_report.md").read_text()
    assert "| n | WER %, decoder 1 | WER %, decoder 2 |" in text
    table = DepthTable()
    table.read(output / "pretrained/depth_table.json")
    assert table.depths == (2, 3)
