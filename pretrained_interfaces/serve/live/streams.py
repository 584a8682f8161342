"""All live streams of a server: how many, how made, how ended."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Optional

from prometheus_client import CollectorRegistry

from dld_brain.tasks import TranscriptionTask
from pretrained_interfaces.asr import DynamicEncoderASR
from pretrained_interfaces.serve.errors import Refusal
from pretrained_interfaces.serve.job import Busy
from pretrained_interfaces.serve.live.counted import Counted
from pretrained_interfaces.serve.settings import Settings
from pretrained_interfaces.streams.governor import Governor
from pretrained_interfaces.streams.stream import Stream

if TYPE_CHECKING:
    from pretrained_interfaces.serve.live.session import Session

logger = logging.getLogger(__name__)

#: Step and window of a model of whole utterances, s.
STEP, WINDOW = 1.0, 10.0
#: After what a client comes back where there are too many streams, s.
RETRY = 5


class Streams:
    """The live streams of one server, and the threads that hear them."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        self.settings = settings
        self.counted = Counted(registry)
        #: All sockets, and those of them that were let in.
        self.sessions: set[Session] = set()
        self.begun: set[Session] = set()
        self.is_closing = False
        self._end: Optional[float] = None
        self._make: Optional[Callable[..., Stream]] = None
        self._threads = ThreadPoolExecutor(settings.workers, "stream")

    def start(self, asr: DynamicEncoderASR) -> None:
        """Finds how a model streams.

        Raises
        ------
        ValueError
            If it does not with these settings.
        """
        self._make = maker(asr, self.settings)

    def make(self, governor: Optional[Governor], **options: Any) -> Stream:
        """Begins a stream.

        Raises
        ------
        ValueError
            If an option is not what it must be.
        """
        if self._make is None:
            raise Busy("the model is being loaded", RETRY)
        return self._make(governor=governor, **options)

    def enter(self, session: "Session") -> None:
        """Knows of a socket, whose first message is not there yet.

        Raises
        ------
        Refusal
            503, if the server stops.
        """
        if self.is_closing:
            raise Refusal(503, "the server is stopping", retry_after=RETRY)
        self.sessions.add(session)

    def begin(self, session: "Session") -> None:
        """Counts a stream: only now, so that no stranger holds its place.

        Raises
        ------
        Refusal
            503, if there are too many.
        """
        most = self.settings.max_streams
        if len(self.begun) >= most:
            raise Refusal(
                503,
                f"the server has {most} streams, and takes no more",
                retry_after=RETRY,
            )
        self.begun.add(session)
        self.counted.open.set(len(self.begun))

    def leave(self, session: "Session") -> None:
        """Forgets a stream."""
        self.sessions.discard(session)
        self.begun.discard(session)
        self.counted.open.set(len(self.begun))

    async def run(self, work: Callable[..., Any], *args: Any) -> Any:
        """Runs work in a thread: the loop goes on."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(work, *args))

    async def drain(self, seconds: float) -> None:
        """Has each stream answer what it was sent, and end.

        Called again, it has what is left of the time.
        """
        self.is_closing = True
        for session in [*self.sessions]:
            session.stop()
        clock = asyncio.get_running_loop().time
        if self._end is None:
            self._end = clock() + seconds
        while self.sessions and clock() < self._end:
            await asyncio.sleep(0.02)

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def maker(asr: DynamicEncoderASR, settings: Settings) -> Callable[..., Stream]:
    """What makes streams of a model, in the best way that it has."""
    chunk, window = settings.stream_chunk, settings.stream_window
    ways: list[dict[str, float]] = [
        {"chunk": chunk},
        {"chunk": max(chunk, STEP), "window": WINDOW},
    ]
    if window is not None:
        ways = [{"chunk": chunk, "window": window}]
    elif (
        asr.trained_in_chunks is False
        and asr.task.name == TranscriptionTask.name
    ):
        ways = ways[1:]
    for way in ways:
        try:
            asr.stream(**way)
        except ValueError as error:
            if way == ways[-1]:
                raise
            logger.info("live by a window of %g s, because %s", WINDOW, error)
        else:
            break
    return partial(asr.stream, **way)
