"""The governor's decisions, under a clock that is told the time."""

import random

import pytest

from pretrained_interfaces.streams.governor import Governor

DEPTHS = [2, 4, 6, 8, 10, 12]
CHUNK = 0.64


def simulate(governor, load, n_chunks=400, fixed=None):
    """Lags and depths of chunks that arrive in time.

    Arguments
    ---------
    load : callable
        Which chunk -> seconds that a layer of it takes.
    """
    governing = governor.start(DEPTHS, CHUNK)
    now, lags, depths = 0.0, [], []
    for i in range(n_chunks):
        arrived = (i + 1) * CHUNK
        now = max(now, arrived)
        depth = fixed or governing.choose(now - arrived)
        seconds = load(i) * (depth + 1)
        now += seconds
        governing.note(depth, seconds)
        lags.append(now - arrived)
        depths.append(depth)
    return lags, depths


def p95(values):
    """The value that one in twenty is above."""
    return sorted(values)[int(0.95 * len(values))]


def under_load(i):
    """All layers take 0.13 s a chunk; in the middle, 1.04 s."""
    return 0.08 if 100 <= i < 300 else 0.01


def test_the_bound_holds_where_the_full_depth_falls_behind():
    lags, depths = simulate(Governor(max_lag=0.3), under_load)
    fixed, _ = simulate(Governor(max_lag=0.3), under_load, fixed=12)
    assert p95(lags) <= 0.3
    assert max(fixed) > 70  # and rising until the load ends
    assert set(depths[120:300]) == {2}
    assert depths[99] == depths[-1] == 12


def test_after_a_shock_it_comes_back_within_the_bound():
    """One chunk takes 3 s: what piled up is worked off at the floor."""
    shock = 50
    lags, depths = simulate(
        Governor(max_lag=0.3), lambda i: 0.25 if i == shock else 0.01
    )
    assert max(lags) > 3
    assert depths[shock + 1] == 2
    assert all(lag <= 0.3 for lag in lags[shock + 8 :])
    assert depths[-1] == 12


def test_it_goes_down_at_once_and_up_by_one_after_patience():
    governor = Governor(max_lag=0.3, patience=3)
    governing = governor.start(DEPTHS, CHUNK)
    depths = []
    for _ in range(30):
        depths.append(governing.choose(0.0))
        governing.note(depths[-1], 0.01 * (depths[-1] + 1))
    ups = [i for i in range(1, 30) if depths[i] != depths[i - 1]]
    assert depths[ups[0] - 1 : ups[0] + 1] == [2, 4]
    assert all(b - a == 3 for a, b in zip(ups, ups[1:]))
    assert depths[-1] == 12
    governing.note(12, 0.5)
    assert governing.choose(0.0) == 6  # 7 of 13 parts of 0.5 s


def test_load_that_flickers_does_not_make_it_flicker():
    """A layer is twice as dear in every second chunk."""
    _, depths = simulate(
        Governor(max_lag=0.3), lambda i: 0.04 if i % 2 else 0.02
    )
    assert len(set(depths[20:])) == 1


def stalls(seed, n_chunks=2000):
    """What a layer costs where each 15th chunk or so begins a stall of two."""
    rng, is_stalled, costs = random.Random(seed), False, []
    for _ in range(n_chunks):
        if rng.random() < (1 / 2 if is_stalled else 1 / 15):
            is_stalled = not is_stalled
        usual = 0.012 * rng.lognormvariate(0, 0.2)
        costs.append(usual * (6 if is_stalled else 1))
    return costs


@pytest.mark.parametrize("seed", range(3))
def test_short_stalls_that_come_again_are_not_forgotten(seed):
    costs = stalls(seed)
    lags, depths = simulate(Governor(max_lag=0.3), costs.__getitem__, 2000)
    fixed, _ = simulate(Governor(), costs.__getitem__, 2000, fixed=12)
    assert p95(lags) <= 0.3 < p95(fixed)
    assert sum(depths) / len(depths) > 4  # not by giving up


def test_it_never_goes_below_the_floor():
    governor = Governor(max_lag=0.3, floor=6)
    _, depths = simulate(governor, lambda i: 0.2)
    assert set(depths) == {6}


def test_what_cannot_be_kept_up_with_is_not_chosen():
    """A bound longer than a chunk is no leave to fall behind to it."""
    lags, depths = simulate(Governor(max_lag=5.0), lambda i: 0.05)
    assert max(depths) == 6  # 0.35 s of 0.64; eight would take 0.45
    assert max(lags) < CHUNK


@pytest.mark.parametrize(
    "options, words",
    [
        ({"max_lag": 0}, "`max_lag` must be more than 0 s"),
        ({"max_lag": float("nan")}, "`max_lag` must be more than 0 s"),
        ({"patience": 0}, "`patience` must be 1 chunk or more"),
        ({"floor": 3}, "`floor` must be one of the depths 2, 4"),
    ],
)
def test_what_is_no_governor_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Governor(**options).start(DEPTHS, CHUNK)
