"""Gate samplers: pure, keyed, exact at their ends, never all closed."""

import random
from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch

from dld_brain.depth_table import DepthRow, DepthTable
from dld_brain.gates.by_depth import (
    EveryDepthGates,
    SandwichGates,
    UniformDepthGates,
)
from dld_brain.gates.by_layer import BernoulliGates, StochasticDepthGates
from dld_brain.gates.gates import Gates, layers_computed
from dld_brain.gates.layer_sets import (
    check_n_layers,
    ends,
    evenly_spread,
    nested,
)
from dld_brain.gates.sampler import GatedRun, RoutedGates, with_intermediate
from dld_brain.run.blocks import GATES
from dld_brain.run.start import gates_with_table


def is_open(gates):
    """Of each layer, whether it runs."""
    return [gates.is_open(i) for i in range(gates.n_total)]


def test_gates_are_one_value_that_no_layer_set_twice_makes():
    gates = Gates.of([5, 0, np.int64(3), 3], 6)
    assert gates == Gates((0, 3, 5), 6) and hash(gates) == hash(
        Gates((0, 3, 5), 6)
    )
    assert (gates.depth, gates.n_total, gates.is_full) == (3, 6, False)
    assert is_open(gates) == [True, False, False, True, False, True]
    assert gates.without(3) == Gates((0, 5), 6)
    assert Gates.full(3).is_full
    for layers in ((3, 0), (0, 0), (0, True), (0, 1.0), (-1, 2)):
        with pytest.raises(ValueError, match="`layers` must"):
            Gates(layers, 6)
    with pytest.raises(AttributeError):
        gates.layers = (1,)


@pytest.mark.parametrize("n_total", [1, 2, 5, 12, 24])
def test_evenly_spread_has_n_layers_with_first_and_last(n_total):
    for n_layers in range(1, n_total + 1):
        layers = evenly_spread(n_layers, n_total).layers
        assert len(set(layers)) == n_layers
        assert layers == tuple(sorted(layers))
        assert layers[0] == 0
        if n_layers > 1:
            assert layers[-1] == n_total - 1
            gaps = np.diff(layers)
            assert gaps.max() - gaps.min() <= 1


def test_bernoulli_is_exact_at_its_ends():
    for step in range(50):
        assert BernoulliGates(12, seed=1, p_open=1.0).gates(step).is_full
        # Never all closed: one layer, drawn uniformly, is left.
        assert BernoulliGates(12, seed=1, p_open=0.0).gates(step).depth == 1


def test_bernoulli_opens_each_layer_at_its_rate():
    sampler = BernoulliGates(12, seed=5, p_open=0.3)
    rates = np.mean(
        [is_open(sampler.gates(step)) for step in range(4000)], axis=0
    )
    # 5 standard deviations of a mean of 4000: 5 * sqrt(.21 / 4000) = 0.036
    assert np.abs(rates - 0.3).max() < 0.036


def test_bernoulli_layers_are_independent():
    sampler = BernoulliGates(12, seed=5)
    draws = np.array([is_open(sampler.gates(step)) for step in range(4000)])
    correlation = np.corrcoef(draws.T) - np.eye(12)
    assert np.abs(correlation).max() < 0.08


def test_uniform_draws_every_depth_equally_often_and_evenly():
    sampler = UniformDepthGates(6, seed=2, min_layers=2)
    draws = [sampler.gates(step) for step in range(5000)]
    counts = Counter(gates.depth for gates in draws)
    assert set(counts) == {2, 3, 4, 5, 6}
    assert max(counts.values()) - min(counts.values()) < 150
    for gates in draws[:100]:
        assert gates == evenly_spread(gates.depth, 6)


@pytest.mark.parametrize(
    "sampler_class",
    [
        BernoulliGates,
        StochasticDepthGates,
        UniformDepthGates,
        SandwichGates,
        partial(EveryDepthGates, family="random"),
        RoutedGates,
    ],
)
def test_gates_are_a_function_of_seed_and_step(sampler_class):
    first = [sampler_class(12, seed=7)(step) for step in range(20)]
    torch.manual_seed(99), np.random.seed(99), random.seed(99)
    again = [sampler_class(12, seed=7)(step) for step in reversed(range(20))]
    assert first == again[::-1]
    assert first != [sampler_class(12, seed=8)(step) for step in range(20)]


def test_gates_leave_the_global_generators_alone():
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    expected = torch.rand(1), np.random.rand(), random.random()
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    BernoulliGates(12, seed=7)(3)
    assert expected == (torch.rand(1), np.random.rand(), random.random())


@pytest.mark.parametrize(
    "n_layers, message",
    [
        (0, "must be between 1 and 12, but is 0"),
        (-1, "must be between 1 and 12, but is -1"),
        (13, "must be between 1 and 12, but is 13"),
        (2.5, "must be a whole number between 1 and 12, but is 2.5"),
        ("6", "must be a whole number between 1 and 12, but is '6'"),
        (True, "must be a whole number between 1 and 12, but is True"),
    ],
)
def test_a_depth_that_is_none_is_refused(n_layers, message):
    with pytest.raises(ValueError, match=f"`n_layers` {message}"):
        check_n_layers(n_layers, 12)


def test_samplers_refuse_what_is_no_probability_or_depth():
    with pytest.raises(ValueError, match="`p_open` must be between 0 and 1"):
        BernoulliGates(12, seed=1, p_open=1.5)
    with pytest.raises(ValueError, match="`min_layers` must be between"):
        UniformDepthGates(12, seed=1, min_layers=13)
    with pytest.raises(ValueError, match="`layers` must name at least one"):
        Gates.of([], 12)
    with pytest.raises(ValueError, match="between 0 and 11, but is \\[12\\]"):
        Gates.of([12], 12)


def test_stochastic_depth_opens_the_last_layer_least():
    sampler = StochasticDepthGates(6, seed=5, p_last=0.4)
    rates = np.mean(
        [is_open(sampler.gates(step)) for step in range(4000)], axis=0
    )
    # 5 standard deviations of a mean of 4000: 5 * sqrt(.25 / 4000) = 0.04
    expected = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    assert np.abs(rates - expected).max() < 0.04
    always = StochasticDepthGates(6, seed=5, p_last=1.0)
    assert all(always.gates(step).is_full for step in range(50))


def test_a_family_is_what_a_depth_runs():
    prefixes = UniformDepthGates(6, seed=2, family="prefix")
    random_ones = UniformDepthGates(6, seed=2, family="random")
    for step in range(200):
        gates = prefixes.gates(step)
        assert gates.layers == tuple(range(gates.depth))
        assert prefixes.gates_for(gates.depth) == gates
    drawn = {g for g in map(random_ones.gates, range(2000)) if g.depth == 3}
    assert len(drawn) == 20  # all sets of 3 of 6
    with pytest.raises(ValueError, match="`family` must be one of even, pref"):
        UniformDepthGates(6, seed=2, family="odd")


@pytest.mark.parametrize("n_total", [1, 2, 5, 12, 24])
def test_nested_sets_contain_each_other_and_are_spread(n_total):
    smaller = ()
    for n_layers in range(1, n_total + 1):
        layers = nested(n_layers, n_total).layers
        assert len(set(layers)) == n_layers and set(smaller) < set(layers)
        assert layers == tuple(sorted(layers))
        smaller = layers
    if n_total > 2:  # a half of the layers leaves no gap of three
        assert np.diff(nested(n_total // 2 + 1, n_total).layers).max() <= 3


@pytest.mark.parametrize("n_last", [1, 2, 9])
def test_ends_are_first_and_last_layers(n_last):
    for n_layers in range(1, 13):
        layers = ends(n_layers, 12, n_last).layers
        assert len(set(layers)) == n_layers
        assert layers == tuple(sorted(layers))
        n_tail = min(n_last, n_layers // 2)
        assert layers[: n_layers - n_tail] == tuple(range(n_layers - n_tail))
        assert all(i >= 12 - n_tail for i in layers[n_layers - n_tail :])


def test_depths_of_both_ends_share_all_but_the_last_layer():
    settings = {"min_layers": 2, "family": "ends", "n_last": 1}
    sampler = EveryDepthGates(6, 1, **settings, depth_power=2.0)
    runs = sampler(step=0)
    assert [sampler.gates_for(n).layers for n in (1, 2, 3, 6)] == [
        (0,),
        (0, 5),
        (0, 1, 5),
        (0, 1, 2, 3, 4, 5),
    ]
    # Layers 0 to 4 once, and the last for each of 5 depths.
    assert layers_computed([run.gates for run in runs]) == 5 + 5
    assert [run.weight for run in runs] == [
        (6 / n) ** 2 for n in (2, 3, 4, 5, 6)
    ]
    part = SandwichGates(6, 1, part_weight=0.5, depth_power=1.0)(step=0)
    assert [run.weight for run in part[:2]] == [1.0, 0.5 * 6]


def test_a_table_says_which_layers_are_trained(tmp_path):
    rows = [DepthRow(n, list(range(6 - n, 6)), 9, 1e8, 36) for n in range(1, 7)]
    DepthTable("0" * 32, "mine", rows).save(str(tmp_path))
    block = GATES.read(
        {"sampler": "uniform", "family": "table", "table": str(tmp_path)}
    )
    gates = gates_with_table(block)
    sampler = gates.make(n_total=6, seed=2)
    assert sampler.gates_for(2).layers == (4, 5)
    gates = {sampler.gates(step) for step in range(200)}
    assert gates == {Gates.of(row.layers, 6) for row in rows}
    nowhere = GATES.read({"sampler": "uniform", "table": "nowhere"})
    with pytest.raises(
        FileNotFoundError, match="`gates.table` must be a folder"
    ):
        gates_with_table(nowhere)
    with pytest.raises(ValueError, match="`table` must be given with family"):
        UniformDepthGates(6, seed=2, family="table")
    block = gates_with_table(block)
    with pytest.raises(ValueError, match="must name at least one"):
        block.make(n_total=4, seed=2)  # of another model
    with pytest.raises(ValueError, match="`table` must have 7 layers among"):
        UniformDepthGates(7, 2, family="table", table=block["table"])


def test_every_depth_runs_each_once():
    sampler = EveryDepthGates(6, 1, min_layers=2, depth_step=2, family="prefix")
    runs = sampler(step=3)
    assert [run.gates for run in runs] == [
        Gates.of(range(n), 6) for n in (2, 4, 6)
    ]
    assert {run.weight for run in runs} == {1.0}
    # No more layers than the full depth has.
    assert layers_computed([run.gates for run in runs]) == 6
    with pytest.raises(ValueError, match="`depth_step` must be at least 1"):
        EveryDepthGates(6, 1, depth_step=0)


def test_half_way_is_behind_half_of_the_layers_that_run():
    runs = [GatedRun(Gates.full(4), 2.0), GatedRun(Gates((1,), 4))]
    found = with_intermediate(runs, 0.3)
    assert found[:2] == runs
    assert found[2:] == [GatedRun(Gates((0, 1), 4), 0.6, False)]
    # It computes no layer that is not computed anyway.
    assert layers_computed([run.gates for run in found]) == layers_computed(
        [run.gates for run in runs]
    )
    assert with_intermediate(runs, 0.0) == runs


def test_a_sandwich_is_full_least_and_between():
    sampler = SandwichGates(6, seed=2, min_layers=2, part_weight=0.3)
    between = Counter()
    for step in range(3000):
        full, least, middle = sampler(step)
        assert full.gates.is_full and full.weight == 1.0
        assert least.depth == 2 and least.weight == 0.3
        assert middle.weight == 0.3
        between[middle.depth] += 1
    assert set(between) == {3, 4, 5}
    assert max(between.values()) - min(between.values()) < 150
    assert len(SandwichGates(2, seed=2)(0)) == 2  # nothing is between
    assert len(SandwichGates(1, seed=2)(0)) == 1
    depths = {
        tuple(run.depth for run in SandwichGates(6, 2, n_between=9)(step))
        for step in range(20)
    }
    assert {tuple(sorted(d)) for d in depths} == {(1, 2, 3, 4, 5, 6)}
    with pytest.raises(ValueError, match="`part_weight` must be at least 0"):
        SandwichGates(6, seed=2, part_weight=-1.0)


def test_runs_that_begin_alike_share_their_layers():
    full, two = Gates.full(4), Gates((0, 3), 4)
    assert layers_computed([full]) == 4
    assert layers_computed([full, full]) == 4
    assert layers_computed([full, two]) == 5
