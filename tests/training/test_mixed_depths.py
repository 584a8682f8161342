"""A depth drawn for each chunk of a training step."""

import pytest
import torch
from common import batch_of, noise, start, tiny_brain, tiny_composed

import speechbrain as sb
from dld_brain.gates.by_depth import EveryDepthGates
from dld_brain.gates.gates import ChunkedGates
from dld_brain.gates.make import full_depth
from dld_brain.training.chunks import ChunkSampler
from dld_brain.training.clock import layer_passes

MIXED = {
    "streaming.kind": "chunks",
    "streaming.sizes": [2, 3],
    "streaming.left_context": [0, 1],
    "streaming.whole_share": 0.0,
    "streaming.mixed_weight": 0.5,
}


def every_depth():
    """Of four layers, 2 to 4."""
    return EveryDepthGates(4, seed=3, min_layers=2, family="ends")


def test_draws_are_of_the_seed_the_step_and_the_depths_that_are_trained():
    sample, gates = ChunkSampler(1, mixed_weight=0.5), every_depth()
    drawn = [sample.mixed(step, gates) for step in range(200)]
    torch.manual_seed(3)  # the global generators say nothing
    assert drawn == [sample.mixed(step, gates) for step in range(200)]
    assert [bool(runs) for runs in drawn] == [
        sample(step) is not None for step in range(200)
    ]
    (run,) = next(runs for runs in drawn if runs)
    assert run.weight == 0.5 and run.depth == 0 and not run.is_whole
    assert set(run.gates.of_chunks) == {gates.gates_for(n) for n in (2, 3, 4)}
    others = {runs[0].gates.of_chunks for runs in drawn if runs}
    assert len(others) > 100


def test_it_is_off_unless_it_is_asked_for():
    sample = ChunkSampler(1, whole_share=0.0)
    assert sample.mixed(0, every_depth()) == []


def test_the_run_is_scored_as_the_others_are_and_learns():
    brain = tiny_brain(**MIXED, gate_sampler=every_depth(), lr=0.003)
    brain = start(brain, n_batches=40)
    batch = batch_of(noise(2, seconds=1.5))
    out = brain.compute_forward(batch, sb.Stage.TRAIN)
    runs = [run for run, _ in out.students]
    assert isinstance(runs[-1].gates, ChunkedGates) and len(runs) == 4
    passes = layer_passes(runs, 4, 0)
    assert passes == layer_passes(runs[:-1], 4, 0) + 3 * 4
    losses = []
    for step in range(40):
        brain.step = step + 1
        losses.append(float(brain.fit_batch(batch)))
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_validation_has_no_such_run():
    brain = tiny_brain(**MIXED, gate_sampler=every_depth())
    out = brain.compute_forward(batch_of(noise(2)), sb.Stage.VALID)
    assert [run.depth for run, _ in out.students] == [4]


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_what_is_no_weight_is_refused(weight):
    told = {**MIXED, "streaming.mixed_weight": weight}
    with pytest.raises(ValueError, match="mixed_weight"):
        tiny_composed(**told).settings()


def test_gates_without_a_depth_are_refused():
    with pytest.raises(ValueError, match="must be 0 for gates that draw no"):
        tiny_brain(**MIXED, gate_sampler=full_depth(4, seed=1))
