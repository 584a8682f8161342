"""A server's queue under Poisson arrivals, without a model and in no time."""

import heapq
import random
from itertools import count
from statistics import quantiles

from pretrained_interfaces.serve.job import Busy, Job
from pretrained_interfaces.serve.queue import RequestQueue


class Found:
    """What a simulation saw."""

    def __init__(self):
        self.latencies, self.depths, self.sizes = [], [], []
        #: Of each request: max_latency, what it took, its depth.
        self.rows = []
        self.refused = 0

    @property
    def p95(self):
        return quantiles(self.latencies, n=20)[-1]


def simulate(
    rate,
    controller,
    taken,
    seconds=600.0,
    lengths=(1.0,),
    n_layers=None,
    refuses=True,
    wanted=lambda rng: {},
):
    """Requests come to the queue of a controller; workers take what is next.

    `taken` says what a batch takes, of its depth, lengths and a generator;
    `wanted` what a request wants, of the generator.
    """
    rng, found, order = random.Random(0), Found(), count()
    queue, events, now = RequestQueue(controller), [], 0.0
    if not refuses:
        controller.refusal = lambda *_: None
    idle = set(range(controller.n_workers))
    while now < seconds:
        now += rng.expovariate(rate)
        length = rng.choice(lengths)
        job = Job(None, [], length, n_layers, **wanted(rng))
        events.append((now, next(order), job, None))
    while events:
        now, _, job, ended = heapq.heappop(events)
        if job is not None:
            try:
                queue.add(job, now)
            except Busy:
                found.refused += 1
        else:
            worker, jobs, depth, started = ended
            queue.done(worker)
            idle.add(worker)
            controller.observe(depth, [j.seconds for j in jobs], now - started)
            found.latencies += [now - j.arrived for j in jobs]
            found.depths += [depth] * len(jobs)
            found.rows += [
                (j.max_latency, now - j.arrived, depth) for j in jobs
            ]
            found.sizes.append(len(jobs))
        while idle and queue.waiting:
            worker = min(idle)
            idle.remove(worker)
            jobs, depth = queue.next_batch(worker, now)
            end = now + taken(depth, [j.seconds for j in jobs], rng)
            ended = (worker, jobs, depth, now)
            heapq.heappush(events, (end, next(order), None, ended))
    return found
