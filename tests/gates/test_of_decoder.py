"""Gates of a decoder beside those of its encoder: keyed apart, never closed."""

from collections import Counter

import numpy as np
import pytest

from dld_brain.gates.by_depth import EveryDepthGates, UniformDepthGates
from dld_brain.gates.by_layer import BernoulliGates
from dld_brain.gates.gates import Gates
from dld_brain.gates.layer_sets import decoder_gates
from dld_brain.gates.of_decoder import BothGates, decoder_seed
from dld_brain.gates.sampler import RoutedGates, with_intermediate
from dld_brain.run.blocks import DECODER_GATES


def made(block, n_total=4, seed=1):
    return DECODER_GATES.read(block).make(
        n_total=n_total, seed=decoder_seed(seed)
    )


def cells(runs):
    """Depths of both halves, by run."""
    return [(run.gates.depth, run.gates.decoder.depth) for run in runs]


SAMPLERS = ["uniform", "sandwich", "every_depth", "bernoulli"]


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_step_always_draws_the_same_and_never_none(name):
    both = BothGates(BernoulliGates(3, 1), made(name))
    again = BothGates(BernoulliGates(3, 1), made(name))
    for step in reversed(range(50)):  # as after a resume
        np.random.seed(step)
        assert both(step) == again(step)
        assert all(min(cell) >= 1 for cell in cells(both(step)))


@pytest.mark.parametrize("name", SAMPLERS[:3])
def test_layers_of_a_depth_are_those_that_run_after_training(name):
    both = BothGates(BernoulliGates(3, 1), made(name))
    drawn = [run.gates.decoder for step in range(50) for run in both(step)]
    assert {g.depth for g in drawn} == {1, 2, 3, 4}
    assert all(g == decoder_gates(g.depth, 4) for g in drawn)


def test_the_full_depth_of_both_is_there_once_if_asked():
    decoder = made("uniform")
    both = BothGates(EveryDepthGates(3, 1), decoder)
    without = BothGates(EveryDepthGates(3, 1), decoder, with_full=False)
    assert both.has_full_depth and not without.has_full_depth
    is_drawn = set()
    for step in range(30):
        found = cells(both(step))
        assert found.count((3, 4)) == 1
        is_drawn.add((3, 4) in cells(without(step)))
        assert set(found) == {*cells(without(step)), (3, 4)}
    assert is_drawn == {True, False}


def test_every_depth_of_both_is_every_cell():
    both = BothGates(EveryDepthGates(3, 1), made("every_depth"))
    assert sorted(cells(both(0))) == [
        (n, m) for n in range(1, 4) for m in range(1, 5)
    ]


def test_weights_are_multiplied():
    encoder = EveryDepthGates(2, 1, depth_power=1.0)
    decoder = made({"sampler": "sandwich", "part_weight": 0.5}, n_total=2)
    found = {
        (r.gates.depth, r.gates.decoder.depth): r.weight
        for r in BothGates(encoder, decoder)(0)
    }
    assert found == {(1, 2): 2.0, (1, 1): 1.0, (2, 2): 1.0, (2, 1): 0.5}


def test_draws_of_both_halves_are_independent():
    encoder = UniformDepthGates(4, 1)
    both = BothGates(encoder, made("uniform"), with_full=False)
    counts = Counter(cells(both(step))[0] for step in range(3200))
    # 16 cells, 200 each: 5 standard deviations are 5 * sqrt(187.5) = 68
    assert len(counts) == 16
    assert max(abs(n - 200) for n in counts.values()) < 68


def test_the_encoders_draws_stay_as_they_are():
    encoder = BernoulliGates(4, 1)
    both = BothGates(encoder, made("uniform"), with_full=False)
    for step in range(20):
        (run,), (alone,) = both(step), encoder(step)
        assert run.gates.with_decoder(None) == alone.gates
    assert both.validation(0, [2]) == encoder.validation(0, [2])


def test_what_a_router_decides_is_left():
    routed = RoutedGates(3, 1)
    both = BothGates(routed, made("uniform"), with_full=False)
    assert both(5) == routed(5)


def test_half_way_through_a_run_the_decoder_is_the_same():
    decoder = Gates((0,), 2)
    runs = BothGates(EveryDepthGates(4, 1), made("uniform"))(0)
    run = runs[-1]._replace(gates=Gates.full(4).with_decoder(decoder))
    half = with_intermediate([run], 0.5)[1]
    assert half.gates == Gates((0, 1), 4).with_decoder(decoder)


def test_whole_is_both():
    full = Gates.full(2)
    assert full.is_whole and full.with_decoder(full).is_whole
    assert not full.with_decoder(Gates((0,), 2)).is_whole
    assert not Gates((0,), 2).with_decoder(full).is_whole


def test_full_is_no_sampler_and_options_are_checked():
    assert made("full") is None
    with pytest.raises(ValueError, match="`decoder_gates.min_layers` must be"):
        made({"sampler": "uniform", "min_layers": 5})
    with pytest.raises(ValueError, match="no option of uniform decoder gates"):
        made({"sampler": "uniform", "family": "even"})
    with pytest.raises(ValueError, match="one of full, bernoulli, uniform"):
        made("routed")
