"""What waits and runs, and which of it makes the next batch.

Pure logic: the time is an argument, and nothing here waits or knows a model.
"""

from bisect import bisect_right, insort
from math import inf
from typing import Optional

from dld_brain.audio.window_limits import BATCH
from pretrained_interfaces.serve.arrivals import ArrivalRate
from pretrained_interfaces.serve.controller import (
    PLANNED,
    DepthController,
    Load,
)
from pretrained_interfaces.serve.job import Busy, Job

#: A late batch is joined by what makes it cost this share, at most, of both.
CHEAPER = 0.8


class RequestQueue:
    """Requests in the order in which they are due, and the workers' load.

    Who can wait lets others pass: requests that say nothing are due after the
    controller's target, and those with a `max_latency` after that.

    Arguments
    ---------
    controller : DepthController
        Chooses the depths.
    batch_seconds : float
        Audio of a batch, padding included, s.

    Example
    -------
    >>> cost = lambda n_layers, seconds: 0.01 * n_layers * seconds
    >>> queue = RequestQueue(DepthController([2, 4], cost, target=0.5))
    >>> for seconds in (5.0, 1.0, 5.0):
    ...     queue.add(Job(None, [], seconds), now=0.0)
    >>> jobs, n_layers = queue.next_batch(worker=0, now=0.0)
    >>> [job.seconds for job in jobs], n_layers
    ([5.0, 5.0, 1.0], 2)
    """

    def __init__(
        self, controller: DepthController, batch_seconds: float = BATCH
    ) -> None:
        self.controller, self._batch_seconds = controller, batch_seconds
        self.waiting: list[Job] = []
        self._arrivals = ArrivalRate()
        self._ends: dict[int, float] = {}  # by worker, when it should be done

    @property
    def n_running(self) -> int:
        """Batches that are computed now."""
        return len(self._ends)

    def check(self, now: float, max_latency: Optional[float] = None) -> None:
        """Raises if what waits by itself makes a request late.

        What is refused so counts as having come; what is not does with `add`.

        Raises
        ------
        Busy
            See `add`.
        """
        try:
            self._check(now, 0.0, max_latency)
        except Busy:
            self._arrivals.add(now)
            raise

    def add(self, job: Job, now: float) -> None:
        """A request has come.

        Raises
        ------
        Busy
            If it, or the last that waits, would be answered too late at any
            depth: later than it wants to be, if it says when that is.
        """
        self._arrivals.add(now)
        own = self._cost(job, self.controller.fastest([job.seconds]))
        self._check(now, own, job.max_latency)
        if job.arrived is None:
            job.arrived = now
        insort(self.waiting, job, key=self._due)

    def leave(self, job: Job) -> None:
        """Nobody waits for a request any more; it may be running."""
        if job in self.waiting:
            self.waiting.remove(job)

    def load(self, now: float, until: float = inf) -> Load:
        """What runs, and what waits of that which is due until then."""
        waiting = self.waiting[
            : bisect_right(self.waiting, until, key=self._due)
        ]
        free = [job for job in waiting if job.n_layers is None]
        named = [job for job in waiting if job.n_layers is not None]
        return Load(
            len(free),
            sum(job.seconds for job in free),
            sum(self._cost(job, job.n_layers) for job in named),
            sum(max(0.0, end - now) for end in self._ends.values()),
            self._arrivals.at(now),
        )

    def next_batch(self, worker: int, now: float) -> tuple[list[Job], int]:
        """The first of the queue and those that go with it, and their depth.

        Arguments
        ---------
        worker : int
            That runs it, until `done`.
        """
        first, target = self.waiting[0], self.controller.target
        slack = self._due(first) - now
        n_layers = first.n_layers
        if n_layers is None:
            urgent = max(now + target, self._due(first))
            last = max(urgent, self._due(self.waiting[-1]))
            n_layers = self.controller.choose(
                now,
                {
                    until - now: self.load(now, until)
                    for until in (urgent, last)
                },
                [first.seconds],
                slack,
            )
        if slack > target:  # others who come meanwhile cannot wait so long
            slack = target / 2
        batch = self._with_others(first, n_layers, slack)
        lengths = [job.seconds for job in batch]
        taken = self.controller.cost(n_layers, lengths)
        # Only now, so that what fails above leaves the queue as it was.
        self.waiting = [job for job in self.waiting if job not in batch]
        self._ends[worker] = now + taken
        return batch, n_layers

    def done(self, worker: int) -> None:
        """A worker's batch has ended."""
        del self._ends[worker]

    def _check(
        self, now: float, own_seconds: float, max_latency: Optional[float]
    ) -> None:
        """Raises unless a request that takes so long can be in time.

        Of what it can wait beyond the target half is planned, so that those
        who cannot wait find room before it.
        """
        target = self.controller.target
        limit = target if max_latency is None else max_latency
        planned = limit if limit <= target else (limit + target) / 2
        ends = {now + limit: planned}
        if self.waiting:  # whom it passes
            last = self._due(self.waiting[-1])
            ends |= {
                u: u - now for u in (now + target, last) if u > now + limit
            }
        for until, within in ends.items():
            load = self.load(now, until)
            found = self.controller.refusal(load, own_seconds, within)
            if found is not None:
                raise Busy("the server is busy", found)

    def _due(self, job: Job) -> float:
        """When a job should be answered."""
        limit = job.max_latency
        return job.arrived + (
            self.controller.target if limit is None else limit
        )

    def _cost(self, job: Job, n_layers: int) -> float:
        """What a job takes by itself, s."""
        n_layers = n_layers if job.n_layers is None else job.n_layers
        return self.controller.cost(n_layers, [job.seconds])

    def _with_others(
        self, first: Job, n_layers: int, slack: float
    ) -> list[Job]:
        """The first of the queue and what goes with it, the likest first.

        None that joins makes the first late. Where it is late by itself, it
        waits a little more for those that cost less so than apart: the queue
        gets shorter. What workers without a batch can take is left to them.
        """
        batch, lengths = [first], [first.seconds]
        n_idle = self.controller.n_workers - self.n_running
        n_most = -(-len(self.waiting) // max(1, n_idle))
        others = [job for job in self.waiting[1:] if job.kind == first.kind]
        others.sort(key=lambda job: abs(job.seconds - first.seconds))
        for job in others[: n_most - 1]:
            if not self._joins(job.seconds, lengths, n_layers, slack):
                break
            batch.append(job)
            lengths.append(job.seconds)
        return batch

    def _joins(
        self, seconds: float, lengths: list[float], n_layers: int, slack: float
    ) -> bool:
        """Whether audio is run together with others, whose first has slack."""
        wider = [*lengths, seconds]
        if max(wider) * len(wider) > self._batch_seconds:
            return False
        cost = self.controller.cost
        together = cost(n_layers, wider)
        if cost(n_layers, lengths[:1]) <= PLANNED * slack:
            return together <= PLANNED * slack
        apart = cost(n_layers, lengths) + cost(n_layers, [seconds])
        is_in_time = together <= PLANNED * self.controller.target / 2
        return is_in_time and together <= CHEAPER * apart
