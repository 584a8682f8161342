"""What passes closed layers by: scale and shift, and where they end up."""

import pytest
import torch
from torch import nn

from common import (
    batch_of,
    change_text,
    change_weights,
    noise,
    output,
    start,
    tiny_brain,
    tiny_modules,
)
from dld_brain.encoder.costs import executed_params
from dld_brain.encoder.deepen import deepen
from dld_brain.encoder.part import part_of, part_state
from dld_brain.encoder.stack import GatedLayers
from dld_brain.export.__main__ import main
from dld_brain.gates.by_depth import EveryDepthGates
from dld_brain.gates.gates import Gates
from dld_brain.model_folder import copy_weights
from pretrained_interfaces import DynamicEncoderASR

INPUT = torch.randn(2, 60, 20), torch.tensor([60, 40])
SETS = [(0, 3), (0, 1, 3), (0, 2), (0,)]


def trained(closed="affine"):
    """A tiny model whose layers, norms and bypasses are far from new ones."""
    model = tiny_modules(closed=closed)["model"]
    for parameter in model.layers.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model


def test_a_student_starts_as_its_teacher():
    teacher, student = tiny_modules(seed=1), tiny_modules(closed="affine")
    copy_weights(teacher, student, "there")
    for layers in ((1,), *SETS):
        gates = Gates.of(layers, 4)
        ours, theirs = (
            output(m["model"], *INPUT, gates) for m in (student, teacher)
        )
        torch.testing.assert_close(ours, theirs)


@torch.no_grad()
def test_a_closed_layer_scales_and_shifts():
    stack, x = trained().layers, torch.randn(2, 9, 16)
    y = stack.layers[0](x, padding=None)
    y = (1 + stack.closed[1].scale) * y + stack.closed[1].shift
    y = stack.layers[2](y, padding=None)
    y = (1 + stack.closed[3].scale) * y + stack.closed[3].shift
    found = stack(x, Gates((0, 2), 4), padding=None)
    torch.testing.assert_close(found, y)


def test_those_of_closed_layers_learn_alone():
    sampler = EveryDepthGates(4, 1, min_layers=3, family="ends", n_last=2)
    brain = start(
        tiny_brain(
            modules=tiny_modules(closed="affine"),
            gate_sampler=sampler,
            closed="affine",
        )
    )
    brain.optimizers_step = lambda: None
    brain.step = 1
    brain.fit_batch(batch_of(noise(2)))
    for i, own in enumerate(brain.modules.model.layers.closed):
        for parameter in own.parameters():
            if i == 2:  # 3 of 4 layers: 0, 1, 3
                assert parameter.grad.abs().sum() > 0
            else:
                assert parameter.grad is None


@torch.no_grad()
def test_runs_that_share_a_beginning_give_what_each_gives_alone():
    model = trained()
    x, lengths = torch.randn(2, 30, 16), torch.tensor([30, 20])
    many = [Gates.of(layers, 4) for layers in SETS]
    shared = dict(model.layers.run_many(x, many, padding=None))
    for run, gates in enumerate(many):
        alone = model.layers(x, gates, padding=None)
        torch.testing.assert_close(shared[run], alone)
    for step in deepen(model, x, lengths, many[1::-1]):
        y = model.run_layers(x, lengths, step.gates)
        alone = model.run_head(y, lengths, step.gates)
        torch.testing.assert_close(step.out[:2], alone[:2])


@pytest.mark.parametrize("layers", SETS)
@torch.no_grad()
def test_a_part_has_them_in_its_norms(layers):
    model = trained()
    names = {k: v.clone() for k, v in model.state_dict().items()}
    expected = output(model, *INPUT, Gates.of(layers, 4))
    small = part_of(model, Gates.of(layers, 4))
    assert not any(small.layers.closed.parameters())
    torch.testing.assert_close(
        output(small, *INPUT), expected, atol=1e-5, rtol=1e-4
    )
    part = tiny_modules(n_total=len(layers), closed="affine")["model"]
    part.load_state_dict(
        part_state(model.state_dict(), Gates.of(layers, 4), part.layers)
    )
    torch.testing.assert_close(
        output(part, *INPUT), expected, atol=1e-5, rtol=1e-4
    )
    # Neither has the model changed, nor what a part can do at less depth.
    torch.testing.assert_close(dict(model.state_dict()), names)
    for kept in range(1, len(layers)):
        own = Gates.of(range(kept), len(layers))
        whole = Gates.of(layers[:kept], 4)
        torch.testing.assert_close(
            output(part, *INPUT, own),
            output(model, *INPUT, whole),
            atol=1e-5,
            rtol=1e-4,
        )


def test_what_a_part_cannot_have_is_refused():
    with pytest.raises(ValueError, match="must have layer 0, .* has .1, 3."):
        part_of(trained(), Gates((1, 3), 4))
    with pytest.raises(ValueError, match="must stay whole, but 2 of 4 layers"):
        part_of(trained("norm"), Gates((0, 3), 4))
    assert part_of(trained("norm"), Gates.full(4)).n_total == 4
    with pytest.raises(ValueError, match="`d_model` must be given"):
        GatedLayers([nn.Identity()], closed="affine")


def test_a_closed_layer_counts_its_scale_and_shift():
    plain, own = tiny_modules()["model"], trained()
    for layers in SETS:
        gates = Gates.of(layers, 4)
        extra = executed_params(own, gates) - executed_params(plain, gates)
        assert extra == (4 - len(layers)) * 2 * 16


@pytest.fixture(scope="module")
def folder(pretrained, tmp_path_factory):
    """The model of a run, with bypasses as training may have made them."""
    path = tmp_path_factory.mktemp("bypass")
    for file in pretrained.iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    change_text(path, 'closed: "identity"', 'closed: "affine"')

    def add_bypasses(state):
        width = len(state["layers.layers.0.norm2.norm.weight"])
        for i in range(3):
            for name in ("scale", "shift"):
                value = 0.3 * torch.randn(width)
                state[f"layers.closed.{i}.{name}"] = value

    change_weights(path, add_bypasses)
    return path


def test_one_depth_alone_is_loaded_and_exported(folder, tmp_path):
    whole = DynamicEncoderASR.from_hparams(source=folder)
    part = DynamicEncoderASR.from_hparams(source=folder, n_layers=2)
    wavs, lens = 0.1 * torch.randn(2, 16000), torch.tensor([1.0, 0.5])
    expected = whole.encode_batch(wavs, lens, 2)
    torch.testing.assert_close(
        part.encode_batch(wavs, lens), expected, atol=1e-4, rtol=1e-4
    )
    flags = ["--source", str(folder), "--n_layers", "2"]
    for kind in ("submodel", "onnx"):
        output = tmp_path / kind
        assert main([kind, *flags, "--output", str(output)]) == 0
        assert (output / "parity.json").is_file()


def test_norms_that_closed_layers_keep_are_not_left_out(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    change_text(tmp_path, 'closed: "affine"', 'closed: "norm"')
    with pytest.raises(ValueError, match="must stay whole, but 2 of 3 layers"):
        DynamicEncoderASR.from_hparams(source=tmp_path, n_layers=2)
