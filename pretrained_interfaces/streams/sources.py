"""Where a live stream's samples come from, with the time of their arrival."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from dld_brain.files.console import complain

#: What is read at once, s: below what is noticed, above what a call costs.
BLOCK = 0.08
#: Blocks that wait to be heard, at most: 20 s of a microphone's.
WAITING = 250
#: What a reader that nobody listens to may take to end, s.
GRACE = 1.0


class Block(NamedTuple):
    """Samples, and when they were there.

    Arguments
    ---------
    samples : np.ndarray
        [S], in [-1, 1] or of 16 bits.
    arrived : float
        By `time.monotonic`, s.
    """

    samples: np.ndarray
    arrived: float


def microphone(rate: int) -> Iterator[np.ndarray]:
    """Blocks of the microphone, [S] of 16 bits.

    Raises
    ------
    ImportError
        If the extra `mic` is not installed.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: PortAudio is missing
        raise ImportError(
            f"the microphone needs the extra `mic` (pip install "
            f"'dld-brain[mic]') and PortAudio, but {error}: or pipe samples "
            f"to `live -`"
        ) from None
    size = round(BLOCK * rate)
    try:
        with sounddevice.RawInputStream(
            rate, size, channels=1, dtype="int16"
        ) as device:
            while True:
                data, is_lost = device.read(size)
                if is_lost:
                    complain("the system dropped samples of the microphone")
                yield np.frombuffer(bytes(data), np.int16)
    except sounddevice.PortAudioError as error:
        raise OSError(
            f"a microphone of {rate} Hz must be there, but: {error}"
        ) from None


def pcm_blocks(read: Callable[[int], bytes], rate: int) -> Iterator[np.ndarray]:
    """Raw samples of a pipe, [S] of 16 bits (little-endian), as they come.

    Arguments
    ---------
    read : callable
        Gives at most so many bytes, as soon as there are some; none at the
        end.
    """
    rest = b""
    while True:
        data = read(round(2 * BLOCK * rate))
        if not data:
            break
        data = rest + data
        n_whole = len(data) // 2 * 2
        data, rest = data[:n_whole], data[n_whole:]
        yield np.frombuffer(data, "<i2").astype(np.int16)
    if rest:
        complain(
            "the input must end with a whole sample of 16 bits, but ends with half"
        )


def played(
    samples: np.ndarray,
    rate: int,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[np.ndarray]:
    """A recording in real time, in blocks: what a microphone would give.

    Arguments
    ---------
    samples : np.ndarray
        [S].
    rate : int
        Hz.
    """
    size, started = round(BLOCK * rate), clock()
    for first in range(0, len(samples), size):
        block = samples[first : first + size]
        wait = started + (first + len(block)) / rate - clock()
        if wait > 0:
            sleep(wait)
        yield block


def arrivals(
    blocks: Iterator[np.ndarray],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Block]:
    """Blocks with the time of their arrival, none of which is lost.

    They are read in a thread, so that what arrives during a computation
    waits here; of what comes faster than it is heard, `WAITING` blocks.
    Errors of the source are raised here. Closed, it ends the thread, which
    closes the source.
    """
    waiting: queue.Queue[Any] = queue.Queue(WAITING)
    is_over = threading.Event()

    def put(found: Any) -> None:
        """Waits for room, as long as somebody listens."""
        while not is_over.is_set():
            with contextlib.suppress(queue.Full):
                return waiting.put(found, timeout=0.1)

    def read() -> None:
        """Reads to the end, or until nobody listens."""
        try:
            with contextlib.closing(blocks):
                for samples in blocks:
                    put(Block(samples, clock()))
                    if is_over.is_set():
                        return
            put(None)
        except Exception as error:  # whatever it is, the caller's to answer
            put(error)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        while (found := _next_of(waiting)) is not None:
            if isinstance(found, Exception):
                raise found
            yield found
    finally:
        is_over.set()
        reader.join(GRACE)  # one that waits for a pipe ends with the process


def _next_of(waiting: "queue.Queue[Any]") -> Any:
    """What comes next, with an ear for Ctrl-C on every system."""
    while True:
        with contextlib.suppress(queue.Empty):
            return waiting.get(timeout=0.5)
