"""Requests become batches: a queue, and the threads that run the model."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Optional

from dld_brain.audio.window_limits import BATCH
from pretrained_interfaces.serve.controller import DepthController
from pretrained_interfaces.serve.job import Answer, Busy, Job
from pretrained_interfaces.serve.queue import RequestQueue
from pretrained_interfaces.transcription import Transcription

logger = logging.getLogger(__name__)

#: How long a request waits for others to share its batch, s.
LINGER = 0.004
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
    batch_seconds : float
        Audio of a batch, padding included, s.
    """

    def __init__(
        self,
        run: Run,
        controller: DepthController,
        watch: Optional[Watch] = None,
        clock: Callable[[], float] = time.monotonic,
        linger: float = LINGER,
        batch_seconds: float = BATCH,
    ) -> None:
        self.controller = controller
        self._queue = RequestQueue(controller, batch_seconds)
        self._run, self._watch, self._clock = run, watch, clock
        self._linger = linger
        self._arrival = asyncio.Event()
        self.is_closing = False
        n_workers = controller.n_workers
        self._threads = ThreadPoolExecutor(n_workers, "model")
        self._workers = [
            asyncio.create_task(self._work(i)) for i in range(n_workers)
        ]

    def check(self, max_latency: Optional[float] = None) -> None:
        """Raises before a request is read that cannot be in time.

        Raises
        ------
        Busy
            See `RequestQueue.check`.
        """
        self._queue.check(self._clock(), max_latency)

    async def submit(self, job: Job) -> Answer:
        """Waits for the answer to a job; cancelled, it leaves the queue.

        Raises
        ------
        Busy
            If it would come too late at any depth, or the server stops.
        """
        if self.is_closing:
            raise Busy("the server is stopping", RETRY_WHEN_CLOSING)
        self._queue.add(job, self._clock())
        job.answer = asyncio.get_running_loop().create_future()
        self._arrival.set()
        try:
            return await job.answer
        finally:
            self._queue.leave(job)

    async def close(self) -> None:
        """Answers what waits, and ends."""
        self.is_closing = True
        self._arrival.set()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._threads.shutdown()

    @property
    def is_alive(self) -> bool:
        """Whether all workers take batches, until it is closed."""
        return self.is_closing or not any(w.done() for w in self._workers)

    @property
    def waiting(self) -> list[Job]:
        """Those that no batch has yet, the first first."""
        return self._queue.waiting

    @property
    def n_running(self) -> int:
        """Batches that the model computes now."""
        return self._queue.n_running

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
        first = self.waiting[0]
        try:
            jobs, n_layers = self._queue.next_batch(worker, self._clock())
        except Exception as error:  # the next try would fail as well
            logger.exception("no batch could be made")
            self._queue.leave(first)
            _fail(first, error)
            return
        try:
            await self._answer(jobs, n_layers)
        except Exception as error:  # whatever it is, the worker goes on
            logger.exception("a batch could not be answered")
            for job in jobs:
                _fail(job, error)
        finally:
            self._queue.done(worker)

    async def _answer(self, jobs: Sequence[Job], n_layers: int) -> None:
        """Answers jobs; where all fail together, one after the other."""
        started = self._clock()
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(
                self._threads, self._run, jobs, n_layers
            )
        except Exception as error:  # belongs to those who wait
            if len(jobs) == 1:
                _fail(jobs[0], error)
                return
            for job in jobs:  # that of one is not to be that of all
                if not job.answer.done():
                    await self._answer([job], n_layers)
            return
        taken = self._clock() - started
        for job, transcription in zip(jobs, found):
            if not job.answer.done():  # cancelled while it ran
                waited = started - job.arrived
                job.answer.set_result(
                    Answer(transcription, n_layers, waited, taken, len(jobs))
                )
        self._learn(jobs, n_layers, taken)

    def _learn(
        self, jobs: Sequence[Job], n_layers: int, seconds: float
    ) -> None:
        """Tells of a batch; what fails of that is no fault of its requests."""
        try:
            lengths = [job.seconds for job in jobs]
            self.controller.observe(n_layers, lengths, seconds)
            if self._watch is not None:
                self._watch(jobs, n_layers, seconds)
        except Exception:
            logger.exception("a batch could not be counted")


def _fail(job: Job, error: Exception) -> None:
    """Tells whoever waits for a job what went wrong."""
    if not job.answer.done():
        job.answer.set_exception(error)
