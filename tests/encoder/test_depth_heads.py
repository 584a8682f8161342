"""Parameters of each depth's own, and models that start from others."""

import pytest
import torch
from common import batch_of, noise, output, start, tiny_brain, tiny_modules
from torch import nn

import speechbrain as sb
from dld_brain.encoder.costs import executed_params
from dld_brain.gates.by_depth import EveryDepthGates
from dld_brain.gates.gates import Gates
from dld_brain.model_folder import copy_weights
from dld_brain.run.finish import trained_layers
from dld_brain.run.start import layers_to_start_from

#: Parameters of a depth of the tiny model: D = 16, V = 12.
SIZES = {"bias": 12, "norm": 2 * 16, "head": 16 * 12 + 12}
INPUT = torch.randn(2, 60, 20), torch.tensor([60, 40])


def trained(kind):
    """A tiny model whose depths differ in what is their own."""
    modules = tiny_modules(per_depth=kind)
    for parameter in modules["model"].per_depth.parameters():
        nn.init.normal_(parameter, std=0.5)
    return modules


@pytest.mark.parametrize("kind", SIZES)
def test_a_student_starts_as_its_teacher(kind):
    teacher, student = tiny_modules(seed=1), tiny_modules(per_depth=kind)
    copy_weights(teacher, student, "there")
    for layers in ((0,), (0, 3), (0, 1, 2, 3)):
        gates = Gates.of(layers, 4)
        ours, theirs = (
            output(m["model"], *INPUT, gates) for m in (student, teacher)
        )
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("kind", SIZES)
def test_each_depth_learns_its_own_alone(kind):
    sampler = EveryDepthGates(4, 1, min_layers=2, depth_step=2)
    brain = start(
        tiny_brain(
            modules=tiny_modules(per_depth=kind),
            gate_sampler=sampler,
            per_depth=kind,
        )
    )
    brain.optimizers_step = lambda: None
    brain.step = 1
    brain.fit_batch(batch_of(noise(2)))
    own = brain.modules.model.per_depth
    for n_layers in range(1, 5):
        for parameter in own[n_layers - 1].parameters():
            if n_layers in (2, 4):
                assert parameter.grad.abs().sum() > 0
            else:
                assert parameter.grad is None


@pytest.mark.parametrize("kind", SIZES)
def test_it_costs_what_one_depth_has(kind):
    plain, own = tiny_modules()["model"], trained(kind)["model"]
    for n_layers in (1, 3, 4):
        gates = Gates.of(range(n_layers), 4)
        extra = executed_params(own, gates) - executed_params(plain, gates)
        assert extra == SIZES[kind]


@pytest.mark.parametrize(
    "layers, message",
    [
        (
            "odd",
            "`init_layers` must be one of even, prefix, ends, nested, or a list",
        ),
        ([0, 1, 2], "`init_layers` must name 2 layers"),
        ([0, 9], "between 0 and 3, but is"),
    ],
)
def test_layers_that_are_none_are_refused(layers, message):
    with pytest.raises(ValueError, match=message):
        layers_to_start_from(layers, 2, 4)
    assert layers_to_start_from([3, 0], 2, 4) == Gates((0, 3), 4)


def test_depths_that_were_not_trained_are_not_offered():
    sampler = EveryDepthGates(4, 1, min_layers=2, depth_step=2, family="prefix")
    brain = tiny_brain(gate_sampler=sampler)
    assert trained_layers(brain) == {2: Gates((0, 1), 4), 4: Gates.full(4)}
    brain = tiny_brain()
    assert set(trained_layers(brain)) == {1, 2, 3, 4}
    brain = tiny_brain(modules=tiny_modules(router="mask"), router="mask")
    brain.modules.model.router.scores.data = torch.tensor([0.0, 2.0, 1.0, 3.0])
    assert trained_layers(brain)[2] == Gates((1, 3), 4)


def test_half_way_learns_the_task_alone():
    brain = start(
        tiny_brain(teacher=tiny_modules(seed=1), intermediate_weight=0.5)
    )
    brain.modules.eval()
    batch = batch_of(noise(2))
    predictions = brain.compute_forward(batch, sb.Stage.TRAIN)
    (run, out), (half, half_out) = predictions.students
    assert half.weight == 0.5 and half.depth == run.depth // 2
    whole = brain.compute_objectives(predictions, batch, sb.Stage.TRAIN)
    alone = predictions._replace(students=[(run, out)])
    added = whole - brain.compute_objectives(alone, batch, sb.Stage.TRAIN)
    targets, lengths = batch.targets.data, torch.full((2,), 3)
    ctc = brain.task.loss(half_out, targets, lengths).mean()
    assert added.item() == pytest.approx(0.5 * ctc.item(), rel=1e-4)


def test_what_a_depth_may_have_is_named():
    with pytest.raises(
        ValueError, match="`per_depth` must be none, bias, norm"
    ):
        tiny_modules(per_depth="odd")
