"""Requests become batches: a queue, and the threads that run the model."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Optional

from pretrained_interfaces.serve.controller import (
    PLANNED,
    DepthController,
    Load,
)
from pretrained_interfaces.serve.job import Answer, Busy, Job
from pretrained_interfaces.transcription import Transcription

#: How long a request waits for others to share its batch, s.
LINGER = 0.004
#: Audio of a batch, padding included, s.
BATCH_SECONDS = 60.0
#: After what a client of a server that stops tries again, s.
RETRY_WHEN_CLOSING = 5

Run = Callable[[Sequence[Job], int], list[Transcription]]
#: Told of each batch: its jobs, n_layers, and what it took, s.
Watch = Callable[[Sequence[Job], int, float], None]


class Batcher:
    """Queues jobs and runs them in batches at the depth of a controller.

    The first in the queue is always in the next batch; those like it in
    length join it while its answer would not be late for it.

    Arguments
    ---------
    run : callable
        Transcribes jobs at a depth, in a thread.
    controller : DepthController
        Chooses the depth; as many batches as its `n_workers` run at once.
    watch : callable, optional
        See `Watch`.
    clock : callable
        Gives seconds.
    """

    def __init__(
        self,
        run: Run,
        controller: DepthController,
        watch: Optional[Watch] = None,
        clock: Callable[[], float] = time.monotonic,
        linger: float = LINGER,
    ) -> None:
        self.controller = controller
        self.waiting: list[Job] = []
        self._run, self._watch, self._clock = run, watch, clock
        self._linger = linger
        self._ends: dict[int, float] = {}  # by worker, when it should be done
        self._arrival = asyncio.Event()
        self.is_closing = False
        n_workers = controller.n_workers
        self._threads = ThreadPoolExecutor(n_workers, "model")
        self._workers = [
            asyncio.create_task(self._work(i)) for i in range(n_workers)
        ]

    async def submit(self, job: Job) -> Answer:
        """Waits for the answer to a job; cancelled, it leaves the queue.

        Raises
        ------
        Busy
            If it would come too late at any depth, or the server stops.
        """
        if self.is_closing:
            raise Busy("the server is stopping", RETRY_WHEN_CLOSING)
        own = self._cost(job, self.controller.fastest([job.seconds]))
        retry_after = self.controller.refusal(self.load(), own)
        if retry_after is not None:
            raise Busy("the server is busy", retry_after)
        if job.arrived is None:
            job.arrived = self._clock()
        job.answer = asyncio.get_running_loop().create_future()
        self.waiting.append(job)
        self._arrival.set()
        try:
            return await job.answer
        finally:
            if job in self.waiting:
                self.waiting.remove(job)

    async def close(self) -> None:
        """Answers what waits, and ends."""
        self.is_closing = True
        self._arrival.set()
        await asyncio.gather(*self._workers)
        self._threads.shutdown()

    @property
    def n_running(self) -> int:
        """Batches that the model computes now."""
        return len(self._ends)

    def load(self) -> Load:
        """What waits and runs now."""
        free = [job for job in self.waiting if job.n_layers is None]
        named = [job for job in self.waiting if job.n_layers is not None]
        now = self._clock()
        return Load(
            len(free),
            sum(job.seconds for job in free),
            sum(self._cost(job, job.n_layers) for job in named),
            sum(max(0.0, end - now) for end in self._ends.values()),
        )

    def _cost(self, job: Job, n_layers: int) -> float:
        """What a job takes by itself, s."""
        n_layers = n_layers if job.n_layers is None else job.n_layers
        return self.controller.cost(n_layers, [job.seconds])

    async def _work(self, worker: int) -> None:
        """Runs one batch after another until the queue is closed and empty."""
        while True:
            while not self.waiting:
                if self.is_closing:
                    return
                self._arrival.clear()
                await self._arrival.wait()
            if len(self.waiting) < self.controller.n_workers + 1:
                await asyncio.sleep(self._linger)
            if self.waiting:
                await self._run_batch(worker)

    async def _run_batch(self, worker: int) -> None:
        """Takes a batch from the queue, and answers it."""
        jobs, n_layers = self._next_batch()
        lengths = [job.seconds for job in jobs]
        started = self._clock()
        planned = self.controller.cost(n_layers, lengths)
        self._ends[worker] = started + planned
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(
                self._threads, self._run, jobs, n_layers
            )
        except Exception as error:  # belongs to those who wait
            for job in jobs:
                if not job.answer.done():
                    job.answer.set_exception(error)
            return
        finally:
            del self._ends[worker]
        taken = self._clock() - started
        self.controller.observe(n_layers, lengths, taken)
        if self._watch is not None:
            self._watch(jobs, n_layers, taken)
        for job, transcription in zip(jobs, found):
            if not job.answer.done():  # cancelled while it ran
                waited = started - job.arrived
                job.answer.set_result(
                    Answer(transcription, n_layers, waited, taken, len(jobs))
                )

    def _next_batch(self) -> tuple[list[Job], int]:
        """The first of the queue and those that go with it, and their depth."""
        now, first = self._clock(), self.waiting[0]
        limit = first.max_latency or self.controller.target
        slack = first.arrived + limit - now
        n_layers = first.n_layers
        if n_layers is None:
            n_layers = self.controller.choose(
                now, self.load(), [first.seconds], slack
            )
        batch = self._with_others(first, n_layers, slack)
        self.waiting = [job for job in self.waiting if job not in batch]
        return batch, n_layers

    def _with_others(
        self, first: Job, n_layers: int, slack: float
    ) -> list[Job]:
        """The first of the queue and what goes with it, the likest first.

        One that is late waits a little more, so that the queue gets shorter;
        what workers without a batch can take is left to them.
        """
        batch, lengths = [first], [first.seconds]
        time_there_is = PLANNED * max(slack, self.controller.target / 2)
        n_idle = self.controller.n_workers - self.n_running
        n_most = -(-len(self.waiting) // max(1, n_idle))
        others = [job for job in self.waiting[1:] if job.kind == first.kind]
        others.sort(key=lambda job: abs(job.seconds - first.seconds))
        for job in others[: n_most - 1]:
            wider = [*lengths, job.seconds]
            is_late = self.controller.cost(n_layers, wider) > time_there_is
            if is_late or max(wider) * len(wider) > BATCH_SECONDS:
                break
            batch.append(job)
            lengths = wider
        return batch
