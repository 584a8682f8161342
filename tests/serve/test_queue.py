"""What makes a batch, and what a target is worth under load."""

from statistics import mean, quantiles

import pytest

from pretrained_interfaces.serve.arrivals import ArrivalRate
from pretrained_interfaces.serve.controller import DepthController
from pretrained_interfaces.serve.job import Busy, Job
from pretrained_interfaces.serve.queue import RequestQueue
from tests.serve.simulated import simulate

#: Computation of a second of audio, s, of a CTC model on one core, and how
#: long utterances of LibriSpeech are, s. One takes up to 0.8 of the target.
COSTS = {1: 0.0072, 2: 0.0126, 3: 0.0178, 4: 0.0228}
LENGTHS = (3.0, 8.0, 12.0, 14.0, 15.0, 16.0, 17.0)
TARGET = 0.5
#: Requests a second that full depth can do, one at a time.
CAPACITY = 1 / (COSTS[4] * mean(LENGTHS))


def controller(**options):
    """A controller of these costs."""
    return DepthController(
        list(COSTS), lambda n, seconds: COSTS[n] * seconds, TARGET, **options
    )


def padded(n_layers, batch, rng):
    """A core's time: nothing is saved by a batch, and no two take the same."""
    noise = rng.lognormvariate(0, 0.15)
    return COSTS[n_layers] * max(batch) * len(batch) * noise


def parallel(n_layers, batch, rng):
    """A GPU's time: another of a batch takes a tenth."""
    return COSTS[n_layers] * max(batch) * (0.9 + 0.1 * len(batch))


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("share", [0.8, 1.5, 3])
def test_requests_that_take_half_the_target_are_answered_in_it(
    share, n_workers
):
    rate = share * n_workers * CAPACITY
    ours = controller(n_workers=n_workers)
    found = simulate(rate, ours, padded, lengths=LENGTHS)
    assert found.p95 <= 1.03 * TARGET
    fixed = controller(n_workers=n_workers)
    full = simulate(rate, fixed, padded, lengths=LENGTHS, n_layers=4)
    assert found.refused < 0.4 * full.refused


def test_who_has_the_machine_alone_gets_all_layers():
    found = simulate(0.02 * CAPACITY, controller(), padded, 5000.0, LENGTHS)
    assert mean(found.depths) > 3.8


def test_where_batches_are_cheap_they_are_made_and_deep():
    found = simulate(2 * CAPACITY, controller(), parallel, lengths=LENGTHS)
    assert found.p95 <= TARGET
    assert found.refused < 0.01 * len(found.depths)
    assert mean(found.sizes) > 1.5
    alone = simulate(2 * CAPACITY, controller(), padded, lengths=LENGTHS)
    assert mean(found.depths) > mean(alone.depths) + 0.2


def queue_of(*lengths, ours=None, **options):
    """A queue of requests that came at 0 s."""
    queue = RequestQueue(ours or controller(), **options)
    queue.controller.refusal = lambda *_: None
    for seconds in lengths:
        queue.add(Job(None, [], seconds, n_layers=4), 0.0)
    return queue


def lengths_of(batch):
    """The audio of a batch, s."""
    return [job.seconds for job in batch[0]]


def test_nobody_that_joins_makes_the_first_late():
    in_time = queue_of(8.0, 8.0, 8.0)  # 0.18 s each, of 0.45 that are planned
    assert lengths_of(in_time.next_batch(0, 0.0)) == [8.0, 8.0]
    later = queue_of(8.0, 8.0, 8.0)
    assert lengths_of(later.next_batch(0, 0.2)) == [8.0]


def test_who_is_late_anyway_waits_for_others_where_that_saves_time():
    dear, cheap = controller(), controller()
    for _ in range(50):
        cheap.observe(4, [2.0] * 2, 0.05)  # 0.091 s by itself
    for ours, n_together in ((dear, 1), (cheap, 3)):
        queue = queue_of(2.0, 2.0, 2.0, ours=ours)
        assert len(queue.next_batch(0, 1.0)[0]) == n_together


def test_what_arrives_is_thought_of_before_it_is_there():
    """Two a second or ten, the queue has one request at this moment."""
    depths = []
    for gap in (0.5, 0.1):
        queue = RequestQueue(controller())
        for i in range(30):
            job = Job(None, [], 14.0)
            queue.add(job, gap * i)
            queue.leave(job)
        queue.add(Job(None, [], 14.0), gap * 30)
        depths.append(queue.next_batch(0, gap * 30)[1])
    assert depths[0] > depths[1] == 1


def test_a_rate_follows_bursts_and_silence():
    arrivals = ArrivalRate()
    for i in range(100):
        arrivals.add(float(i))
    assert arrivals.at(99.5) == pytest.approx(1.0)
    for i in range(100):
        arrivals.add(99.0 + 0.1 * i)
    assert arrivals.at(109.0) == pytest.approx(10.0, rel=0.1)
    assert arrivals.at(209.0) == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize("silence", [3600.0, 1e6])
def test_a_silence_is_forgotten_after_some_requests(silence):
    """At most it doubles the mean gap; 20 requests are remembered."""
    arrivals, now = ArrivalRate(), 0.0
    for _ in range(100):
        now += 0.1
        arrivals.add(now)
    now += silence
    arrivals.add(now)
    assert arrivals.at(now) >= 0.5 * 10.0
    for _ in range(20):
        now += 0.1
        arrivals.add(now)
    assert arrivals.at(now) == pytest.approx(10.0, rel=0.3)


def test_what_was_long_ago_says_nothing_of_those_that_come_now():
    arrivals = ArrivalRate()
    for now in (0.0, 3600.0, 3600.1):
        arrivals.add(now)
    assert arrivals.at(3600.1) == pytest.approx(10.0)


def test_a_rate_that_falls_for_good_is_followed():
    arrivals, now = ArrivalRate(), 0.0
    for gap in [0.0] * 50 + [0.01] * 50 + [10.0] * 50:
        now += gap
        arrivals.add(now)
    assert arrivals.at(now) == pytest.approx(0.1, rel=0.2)


def test_a_batch_has_as_much_audio_as_was_told():
    cheap = controller()
    for _ in range(50):
        cheap.observe(4, [2.0] * 2, 0.01)
        cheap.observe(4, [2.0] * 4, 0.01)
    for seconds, n_together in ((8.0, 4), (4.0, 2), (1.0, 1)):
        queue = queue_of(*[2.0] * 4, ours=cheap, batch_seconds=seconds)
        assert len(queue.next_batch(0, 0.0)[0]) == n_together


def test_a_server_batches_as_much_audio_as_its_option_says(client_of):
    client = client_of(batch_seconds=7.0)
    queue = client.app.state.server.batcher._queue
    assert queue._batch_seconds == 7.0


def test_who_would_wait_longer_is_not_refused_and_who_would_not_is():
    queue = RequestQueue(controller())
    for _ in range(4):
        queue.add(Job(None, [], 14.0), 0.0)  # 0.1 s each at the fastest depth
    with pytest.raises(Busy):
        queue.add(Job(None, [], 14.0), 0.0)
    queue.add(Job(None, [], 14.0, max_latency=60.0), 0.0)
    with pytest.raises(Busy):  # in time itself, but four would not be
        queue.add(Job(None, [], 14.0, max_latency=0.2), 0.0)
    queue.add(Job(None, [], 1.0, max_latency=0.2), 0.0)
    assert [job.max_latency for job in queue.waiting] == [0.2, *[None] * 4, 60]


def test_who_can_wait_lets_others_pass():
    queue = RequestQueue(controller())
    with pytest.raises(Busy):  # half of what they can wait is theirs
        for _ in range(100):
            queue.add(Job(None, [], 14.0, max_latency=10.0), 0.0)
    assert 40 < len(queue.waiting) < 52  # 0.1 s each
    for _ in range(4):
        queue.add(Job(None, [], 14.0), 0.0)
    assert {job.max_latency for job in queue.next_batch(0, 0.0)[0]} == {None}


def test_who_can_wait_is_heard_deep_and_in_time_beside_those_who_cannot():
    def wanted(rng):
        """Every third can wait for a minute."""
        return {"max_latency": rng.choice([None, None, 60.0])}

    found = simulate(
        1.5 * CAPACITY, controller(), padded, lengths=LENGTHS, wanted=wanted
    )
    urgent = [row for row in found.rows if row[0] is None]
    patient = [row for row in found.rows if row[0] is not None]
    assert quantiles([row[1] for row in urgent], n=20)[-1] <= 1.03 * TARGET
    assert max(row[1] for row in patient) <= 60.0
    assert mean(row[2] for row in patient) > mean(row[2] for row in urgent)
    assert found.refused < 0.05 * len(found.rows)


def test_one_whose_audio_is_not_read_yet_is_refused_where_all_are():
    queue = RequestQueue(controller())
    queue.check(0.0)
    for _ in range(4):
        queue.add(Job(None, [], 14.0), 0.0)
    queue.check(0.0)  # what it takes is not known
    queue.add(Job(None, [], 3.0), 0.0)
    queue.controller.refusal = lambda load, own, limit: limit < 1 or None
    before = queue._arrivals._n_gaps
    with pytest.raises(Busy):
        queue.check(0.1)
    assert queue._arrivals._n_gaps == before + 1
    queue.check(0.1, max_latency=60.0)
    assert queue._arrivals._n_gaps == before + 1


def test_a_batch_that_cannot_be_made_leaves_the_queue_as_it_was():
    queue = queue_of(2.0, 2.0)
    before = list(queue.waiting)
    queue.controller.cost = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        queue.next_batch(0, 0.0)
    assert queue.waiting == before and queue.n_running == 0
