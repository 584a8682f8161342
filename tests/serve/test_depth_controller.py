"""The depth controller, with a clock that the tests turn."""

from statistics import mean

import pytest

from pretrained_interfaces.serve.controller import DepthController, Load
from tests.serve import simulated

#: Seconds that a request takes, by depth, and how many run at once.
COSTS = {2: 0.050, 6: 0.135, 12: 0.265}
#: The depths between, on the lines between.
STEPS = {
    n: COSTS[a] + (COSTS[b] - COSTS[a]) * (n - a) / (b - a)
    for a, b in ((2, 6), (6, 12))
    for n in range(a, b + 1)
}
N_WORKERS, TARGET = 2, 0.5
#: Requests a second that full depth can do.
CAPACITY = N_WORKERS / COSTS[12]


def constant(n_layers, seconds):
    """The cost of a request, whatever its length."""
    return STEPS[n_layers]


def controller(**options):
    """A controller of these costs."""
    given = {"target": TARGET, "n_workers": N_WORKERS, **options}
    return DepthController(list(STEPS), constant, **given)


def simulate(share, decide=None, seconds=600.0, slowdown=1.0, costs=STEPS):
    """Arrivals at a share of the capacity; full depth if no controller."""

    def taken(n_layers, batch, rng):
        """One by one, whatever their length."""
        return slowdown * costs[n_layers] * len(batch)

    n_layers = None if decide else 12
    return simulated.simulate(
        share * CAPACITY,
        decide or controller(),
        taken,
        seconds,
        n_layers=n_layers,
        refuses=decide is not None,
    )


@pytest.mark.parametrize("share", [0.95, 1.2])
def test_the_target_is_held_where_full_depth_does_not_hold_it(share):
    fixed = simulate(share)
    ours = simulate(share, controller())
    assert fixed.p95 > 4 * TARGET
    assert ours.p95 <= TARGET and ours.refused == 0
    assert 8 < mean(ours.depths) < 12


def test_a_quiet_server_is_deep_and_a_busy_one_as_shallow_as_it_must():
    found = [
        mean(simulate(share, controller()).depths)
        for share in (0.3, 0.8, 1.5, 3)
    ]
    assert found == sorted(found, reverse=True)
    assert found[0] > 11.5 and found[-1] < 5


def test_requests_are_refused_at_the_floor_alone():
    some = simulate(3, controller(), seconds=200)
    assert some.refused < 0.01 * len(some.depths)
    many = simulate(8, controller(), seconds=200)
    assert many.refused > 0
    assert many.p95 <= TARGET and mean(many.depths) < 2.1


def test_hysteresis_changes_the_depth_less_often():
    def changes(hold):
        depths = simulate(1, controller(hold=hold), 200).depths
        return sum(a != b for a, b in zip(depths, depths[1:]))

    assert changes(1.0) < 0.5 * changes(0.0)


def test_a_machine_slower_than_its_calibration_is_learned():
    ours = simulate(1, controller(), slowdown=1.5)
    assert ours.p95 <= TARGET
    blind = controller()
    blind.observe = lambda *_: None
    assert simulate(1, blind, slowdown=1.5).p95 > TARGET


def test_a_depth_that_saves_no_time_is_not_run_whatever_was_calibrated():
    as_full = dict.fromkeys(STEPS, STEPS[12])
    slower = {n: 0.265 if n > 6 else 0.4 for n in STEPS}
    for costs in (as_full, slower):
        depths = simulate(1.5, controller(), seconds=200, costs=costs).depths
        assert mean(depths[len(depths) // 2 :]) > 11


def test_it_gets_shallower_at_once_and_deeper_step_by_step():
    ours = controller(hold=0.1)
    busy, idle = Load(20, 20.0), Load(1, 1.0)
    assert ours.choose(0.0, idle, [1.0], TARGET) == 12
    assert ours.choose(0.0, busy, [1.0], TARGET) == 2
    found = [ours.choose(0.04 * i, idle, [1.0], TARGET) for i in range(40)]
    assert found == sorted(found) and found[-1] == 12
    assert max(b - a for a, b in zip(found, found[1:])) == 1


def test_what_named_its_depth_is_counted_as_it_is():
    ours = controller()
    named = Load(1, 1.0, fixed_seconds=0.8)
    assert ours.backlog(2, named) == pytest.approx((0.05 + 0.8) / 2)
    assert ours.choose(0.0, named, [1.0], TARGET) < 12


def test_the_floor_is_never_gone_below():
    ours = controller(floor=6)
    assert ours.choose(0.0, Load(99, 99.0), [1.0], 0.0) == 6
    assert ours.refusal(Load(99, 99.0), 0.135) == 7  # 99 * 0.135 / 2 - 0.365


def test_a_long_request_is_taken_where_nobody_waits():
    ours = controller()
    assert ours.refusal(Load(), own_seconds=60.0) is None
    assert ours.refusal(Load(30, 30.0), own_seconds=60.0) >= 1


@pytest.mark.parametrize(
    "options, message",
    [
        ({"floor": 13}, "`floor` must be a depth of the model"),
        ({"target": 0.0}, "`target_p95` must be more than 0"),
        ({"target": float("nan")}, "`target_p95` must be more than 0"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        controller(**options)


def test_batches_of_many_have_a_cost_of_their_own():
    ours = controller()
    for _ in range(100):
        ours.observe(12, [1.0] * 8, 0.265)  # eight as fast as one
    assert ours.cost(12, [1.0] * 8) == pytest.approx(0.265, rel=0.01)
    assert ours.cost(12, [1.0]) == 0.265


def test_what_is_summed_up_does_not_grow_with_what_is_expected():
    """The loop waits for it: 60 s of work at 50 requests/s expect 3000."""
    asked = []

    def cost(n_layers, seconds):
        asked.append(n_layers)
        return constant(n_layers, seconds)

    ours = DepthController(list(STEPS), cost, TARGET, N_WORKERS)
    n_asked = []
    for busy in (60.0, 6000.0):
        asked.clear()
        load = Load(1, 15.0, running_seconds=busy, rate=50.0)
        assert ours.choose(0.0, load, [15.0], TARGET) == 2
        n_asked.append(len(asked))
    assert n_asked[0] == n_asked[1] < 20_000


def test_what_is_expected_counts_in_full_though_few_are_summed_up():
    ours = controller()
    ends = [
        ours._end_of_next(0.1, Load(1, 1.0, rate=rate), [1.0])
        for rate in (1e4, 2e4, 4e4)
    ]
    assert ends[1] == pytest.approx(2 * ends[0], rel=0.1)
    assert ends[2] == pytest.approx(2 * ends[1], rel=0.1)
