"""Live from the shell: the microphone, a pipe, or a file in real time.

> python -m pretrained_interfaces live --source DIR
> ffmpeg -i URL -ac 1 -ar 16000 -f s16le - | python -m pretrained_interfaces \
      live --source DIR --max_lag 0.3 -
> python -m pretrained_interfaces live --source DIR a.wav

Words are printed when they will not change any more; on a terminal, the
depth and the lag stand behind them. The end of the input, or Ctrl-C, prints
the whole.
"""

import queue
import sys
import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Optional, TextIO

import numpy as np

from dld_brain.files.console import STATUSES, complain, escaped

if TYPE_CHECKING:
    from pretrained_interfaces.asr import DynamicEncoderASR
    from pretrained_interfaces.streams.stream import Stream
    from pretrained_interfaces.streams.streamed import StreamUpdate

#: What is read at once, s: below what is noticed, above what a call costs.
BLOCK = 0.08
#: Characters of a line on a terminal.
WIDTH = 72


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


def add_command(commands: Any, shared: ArgumentParser, model: Any) -> None:
    """Adds `live` to a command line.

    Arguments
    ---------
    commands
        What `add_subparsers` gave.
    shared : ArgumentParser
        What all commands have.
    model : tuple of str
        Module and name of the interface that loads the model.
    """
    command = commands.add_parser(
        "live",
        parents=[shared],
        help="transcribe the microphone, or a pipe, as one speaks",
        epilog=STATUSES,
    )
    depth = command.add_mutually_exclusive_group()
    depth.add_argument(
        "--n_layers", type=int, help="layers that run (default: all)"
    )
    depth.add_argument(
        "--max_lag",
        type=float,
        help="choose the depth of each chunk so that text lags no more, s",
    )
    command.add_argument(
        "--floor", type=int, help="with --max_lag, the shallowest depth"
    )
    command.add_argument(
        "--chunk", type=float, default=0.64, help="s (default: 0.64)"
    )
    command.add_argument(
        "--left", type=float, default=5.12, help="what is seen before it, s"
    )
    command.add_argument(
        "--window",
        type=float,
        help="for a model of whole utterances: encode so much anew with each "
        "chunk, s",
    )
    command.add_argument(
        "input",
        nargs="?",
        help="- for raw 16-bit mono samples at the model's rate on stdin, or "
        "an audio file, which is played in real time (default: microphone)",
    )
    command.set_defaults(model=model, run=live)


def live(asr: "DynamicEncoderASR", options: Namespace) -> int:
    """Transcribes what comes, until it ends or Ctrl-C."""
    from pretrained_interfaces.streams.governor import Governor

    governor = None
    if options.max_lag is not None:
        governor = Governor(max_lag=options.max_lag, floor=options.floor)
    elif options.floor is not None:
        raise ValueError("`--floor` must be given with `--max_lag`")
    stream = asr.stream(
        options.chunk,
        options.left,
        options.n_layers,
        governor,
        window=options.window,
    )
    with closing(find_blocks(asr, options.input)) as blocks:
        transcribe_live(stream, arrivals(blocks), Screen())
    return 0


def find_blocks(
    asr: "DynamicEncoderASR", name: Optional[str]
) -> Iterator[np.ndarray]:
    """Where samples come from: see the command's `input`."""
    rate = asr.hparams.sample_rate
    if name is None:
        return microphone(rate)
    if name == "-":
        return pcm_blocks(sys.stdin.buffer, rate)
    return played(asr.load_audio(name).cpu().numpy(), rate)


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


def pcm_blocks(pipe: BinaryIO, rate: int) -> Iterator[np.ndarray]:
    """Raw samples of a pipe, [S] of 16 bits (little-endian), as they come."""
    rest = b""
    while True:
        data = pipe.read1(round(2 * BLOCK * rate))
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
    blocks: Iterable[np.ndarray],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Block]:
    """Blocks with the time of their arrival, none of which is lost.

    They are read in a thread, so that what arrives during a computation
    waits here; nothing is dropped. Errors of the source are raised here.
    """
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def read() -> None:
        """Reads to the end."""
        try:
            for samples in blocks:
                waiting.put(Block(samples, clock()))
            waiting.put(None)
        except Exception as error:  # whatever it is, the caller's to answer
            waiting.put(error)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:  # so that Ctrl-C is heard everywhere
            found = waiting.get(timeout=0.5)
        except queue.Empty:
            continue
        if isinstance(found, Exception):
            raise found
        if found is None:
            return
        yield found


class Screen:
    """Shows words as they come.

    Arguments
    ---------
    out : TextIO, optional
        Of words; stdout if not given.
    status : TextIO, optional
        Of what changes yet, where it is a terminal; stderr if not given.
    """

    def __init__(
        self, out: Optional[TextIO] = None, status: Optional[TextIO] = None
    ) -> None:
        self.out = out or sys.stdout
        self.status = status or sys.stderr
        self.is_live = self.out.isatty() and self.status.isatty()
        self.line = ""
        self.words: list[str] = []

    def show(self, update: "StreamUpdate") -> None:
        """Shows an update."""
        for word in update.words:
            text = escaped(word.text)
            self.words.append(text)
            if not self.is_live:
                self.out.write(text + " ")
            else:
                self.line = f"{self.line} {text}".strip()
        if not self.is_live:
            self.out.flush()
            return
        if len(self.line) > WIDTH:
            self._clear()
            print(self.line, file=self.out, flush=True)
            self.line = ""
        self._clear()
        told = f"{self.line} {escaped(update.partial)}".strip()
        depth = f"[{update.n_layers} layers, lag {update.lag:.2f} s]"
        print(f"{told}  {depth}", end="", file=self.status, flush=True)

    def finish(self) -> None:
        """Prints the whole; where words were not drawn over, it is there."""
        if self.is_live:
            self._clear()
            print(self.line, end="\n\n", file=self.out)
            print(" ".join(self.words), file=self.out, flush=True)
        else:
            print(file=self.out, flush=True)

    def _clear(self) -> None:
        """Clears the line of what changes yet."""
        print("\r\x1b[K", end="", file=self.status, flush=True)


def transcribe_live(
    stream: "Stream", blocks: Iterable[Block], screen: Screen
) -> None:
    """Feeds a stream and shows what it gives, to the end or Ctrl-C.

    A block that the stream refuses (NaN) is named and left out.
    """
    try:
        for block in blocks:
            try:
                update = stream.feed(block.samples, arrived=block.arrived)
            except ValueError as error:
                complain(str(error))
                continue
            screen.show(update)
    except KeyboardInterrupt:
        pass  # the ordinary end of a microphone
    screen.show(stream.finish())
    screen.finish()
    record = stream.record
    depths = ", ".join(
        f"{n} layers: {count}" for n, count in sorted(record.chunks_at.items())
    )
    if screen.status.isatty():
        print(
            f"{record.audio_seconds:.1f} s, longest lag {record.max_lag:.2f} "
            f"s, chunks at {depths or 'no depth'}",
            file=screen.status,
        )
