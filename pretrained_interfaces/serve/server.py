"""The model behind an application: loaded, warm, busy, stopped."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Optional

import numpy as np
import torch
from fastapi import WebSocket

from pretrained_interfaces.asr import DynamicEncoderASR
from pretrained_interfaces.depths.calibration import count
from pretrained_interfaces.serve.batcher import Batcher
from pretrained_interfaces.serve.controller import DepthController
from pretrained_interfaces.serve.errors import Refusal
from pretrained_interfaces.serve.job import Answer, Busy
from pretrained_interfaces.serve.known import known_errors
from pretrained_interfaces.serve.live.hearing import hear
from pretrained_interfaces.serve.live.streams import Streams
from pretrained_interfaces.serve.metrics import Metrics
from pretrained_interfaces.serve.model import listen, transcribe_jobs
from pretrained_interfaces.serve.settings import Settings

logger = logging.getLogger(__name__)

#: Files that are decoded at the same time.
N_READERS = 2
#: After what a client of a server that loads tries again, s.
RETRY_WHEN_LOADING = 5


class Server:
    """A model that answers requests, or says why not yet.

    Arguments
    ---------
    asr : DynamicEncoderASR, optional
        Loaded from the settings' `source` if not given.
    """

    def __init__(
        self, settings: Settings, asr: Optional[DynamicEncoderASR] = None
    ) -> None:
        self.settings, self._asr = settings, asr
        self.metrics = Metrics()
        self.batcher: Optional[Batcher] = None
        self.streams = Streams(settings, self.metrics.registry)
        #: Whether it was told to stop: what it has is answered, and no more.
        self.is_stopping = False
        #: See `known_errors`.
        self.errors: Optional[dict[str, Any]] = None
        self._readers = ThreadPoolExecutor(N_READERS, "reader")

    @property
    def asr(self) -> DynamicEncoderASR:
        """The model, as soon as it is loaded."""
        self._check_loaded()
        return self._asr

    def check_ready(self) -> None:
        """Raises unless more requests can be answered.

        Raises
        ------
        Busy
            With the time to come back.
        """
        self._check_loaded()
        if self.is_stopping:
            raise Busy("the server is stopping", RETRY_WHEN_LOADING)
        if not self.batcher.is_alive:
            raise Busy(
                "a worker of the server has ended: start it anew",
                RETRY_WHEN_LOADING,
            )

    def check_open(self) -> None:
        """Raises if it stops: what was asked before goes on.

        Raises
        ------
        Refusal
            503.
        """
        if self.is_stopping:
            raise Refusal(
                503, "the server is stopping", retry_after=RETRY_WHEN_LOADING
            )

    def _check_loaded(self) -> None:
        """Raises unless the model is loaded and warm, and is not taken away."""
        if self.batcher is None:
            raise Busy("the model is being loaded", RETRY_WHEN_LOADING)
        if self.batcher.is_closing:
            raise Busy("the server is stopping", RETRY_WHEN_LOADING)

    @property
    def name(self) -> str:
        """What the model is called: its folder, or owner/name of the Hub."""
        folder = self.asr.folder
        if folder is None:
            return str(self.settings.source or "dld")
        return Path(folder).resolve().name

    async def start(self) -> None:
        """Loads the model, measures its depths where that is not known.

        Raises
        ------
        OSError, ValueError, ...
            As of `DynamicEncoderASR.from_hparams` and `DepthController`.
        """
        controller = await _in_thread(self._load)
        seconds = self.settings.batch_seconds
        run = partial(transcribe_jobs, self._asr, batch_seconds=seconds)
        self.batcher = Batcher(
            run, controller, self.metrics.ran, batch_seconds=seconds
        )
        logger.info(
            "ready: %s, depths %s, target %g s",
            self.name,
            controller.depths,
            self.settings.target_p95,
        )

    def _load(self) -> DepthController:
        """Loads and warms the model."""
        settings = self.settings
        torch.set_num_threads(count("threads", settings.n_threads))
        if self._asr is None:
            self._asr = DynamicEncoderASR.from_hparams(
                settings.source, device=settings.device, int8=settings.int8
            )
        asr = self._asr
        controller = DepthController(
            asr.depths,
            asr.costs().cost,
            settings.target_p95,
            settings.workers,
            settings.floor,
        )
        noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
        self.streams.start(asr)
        self.errors = known_errors(asr.folder)
        samples = {"array": noise, "sampling_rate": 16000}
        job = listen(asr, samples, 60.0, word_times=True)
        for n_layers in controller.depths:
            transcribe_jobs(asr, [job, job], n_layers)
        return controller

    async def transcribe(self, file: BinaryIO, **wanted: Any) -> Answer:
        """Answers a request; cancelled, what waits of it is not run.

        Arguments
        ---------
        **wanted
            Of `Job`: n_layers, max_latency, word_times.

        Raises
        ------
        Busy
            If the server is not ready, stops, or has too much to do.
        ValueError
            See `listen`.
        """
        asr, loop = self.asr, asyncio.get_running_loop()
        self.batcher.check(wanted.get("max_latency"))
        arrived = time.monotonic()
        read = partial(listen, asr, file, self.settings.max_seconds, **wanted)
        job = await loop.run_in_executor(self._readers, read)
        job.arrived = arrived  # what reading took is not there any more
        answer = await self.batcher.submit(job)
        self.metrics.answered(answer)
        return answer

    async def hear(self, socket: WebSocket) -> None:
        """Hears a stream that is accepted, to its end."""
        self.streams.counted.ended(await hear(socket, self))

    async def now(self) -> dict[str, Any]:
        """What the server does now; see `schemas.LoadNow`."""
        self.check_ready()
        controller, waiting = self.batcher.controller, self.batcher.waiting
        return {
            "depth": controller.current,
            "floor": controller.floor,
            "target_p95": controller.target,
            "queue_requests": len(waiting),
            "queue_audio_seconds": round(sum(j.seconds for j in waiting), 3),
            "streams": len(self.streams.begun),
            **self.metrics.figures(),
        }

    def observe(self) -> None:
        """Sets the gauges, which are of the moment that they are read."""
        if self.batcher is not None:
            waiting = self.batcher.waiting
            self.metrics.queue.set(len(waiting))
            self.metrics.queue_audio.set(sum(job.seconds for job in waiting))
            self.metrics.running.set(self.batcher.n_running)
            self.metrics.depth.set(self.batcher.controller.current)

    async def stop(self) -> None:
        """Answers what waits, and ends."""
        await self.streams.drain(self.settings.drain_seconds)
        self.streams.close()
        if self.batcher is not None:
            await self.batcher.close()
        self._readers.shutdown(wait=False, cancel_futures=True)


async def _in_thread(task: Callable[[], DepthController]) -> DepthController:
    """Runs a task that a process which ends does not wait for."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[DepthController] = loop.create_future()

    def tell(name: str, value: Any) -> None:
        """Sets what came of it, unless nobody waits any more."""
        if not found.done():
            getattr(found, name)(value)

    def run() -> None:
        """Does it, and tells the loop if that is still there."""
        try:
            outcome = ("set_result", task())
        except Exception as error:  # belongs to who waits
            outcome = ("set_exception", error)
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, *outcome)

    threading.Thread(target=run, name="loader", daemon=True).start()
    return await found
