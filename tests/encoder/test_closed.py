"""What closed layers do: pass on, keep a norm, or scale and shift."""

import pytest
import torch
from common import (
    batch_of,
    far_from_new,
    noise,
    output,
    start,
    tiny_brain,
    tiny_modules,
)
from torch import nn

from dld_brain.encoder.costs import executed_params
from dld_brain.encoder.deepen import deepen
from dld_brain.encoder.stack import GatedLayers
from dld_brain.gates.by_depth import EveryDepthGates
from dld_brain.gates.gates import Gates
from dld_brain.model_folder import copy_weights

INPUT = torch.randn(2, 60, 20), torch.tensor([60, 40])
SETS = [(0, 3), (0, 1, 3), (0, 2), (0,)]


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
    stack, x = far_from_new().layers, torch.randn(2, 9, 16)
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
    model = far_from_new()
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


def test_a_closed_layer_counts_its_scale_and_shift():
    plain, own = tiny_modules()["model"], far_from_new()
    for layers in SETS:
        gates = Gates.of(layers, 4)
        extra = executed_params(own, gates) - executed_params(plain, gates)
        assert extra == (4 - len(layers)) * 2 * 16


def test_a_scale_and_shift_needs_the_width():
    with pytest.raises(ValueError, match="`d_model` must be given"):
        GatedLayers([nn.Identity()], closed="affine")


def test_a_closed_layer_counts_the_norm_that_it_keeps():
    gates = Gates((0, 3), 4)
    without = executed_params(tiny_modules()["model"], gates)
    model = tiny_modules(closed="norm")["model"]
    # Weight and bias of a LayerNorm of width 16, for two layers.
    assert executed_params(model, gates) == without + 2 * 2 * 16
