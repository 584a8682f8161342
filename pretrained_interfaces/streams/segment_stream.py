"""A stream of a Whisper with its decoder: speech between pauses, heard anew.

What is said since the last pause is heard anew with each step, and may change
until the next pause, with which it is final.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Optional

import torch

from dld_brain.audio.vad import LONG_PAUSE, find_speech
from dld_brain.audio.windows import quietest
from pretrained_interfaces.streams.governor import Governor
from pretrained_interfaces.streams.stream import Stream
from pretrained_interfaces.streams.window_stream import check_window
from pretrained_interfaces.times.timed import Word
from pretrained_interfaces.transcription import Clock

if TYPE_CHECKING:
    from pretrained_interfaces.asr import DynamicEncoderASR

#: What is kept where nobody speaks, s: the onset of what comes.
KEPT = 0.5
#: What is shorter is heard with its pause alone, s: of less speech a Whisper
#: makes words up.
EARLIEST = 0.5


class Piece(NamedTuple):
    """Speech since the last pause.

    Arguments
    ---------
    samples : torch.Tensor
        [S]; none where nobody speaks.
    is_final : bool
        Whether a pause is behind it, or it is as long as may be.
    first : int
        Which sample of the stream it begins with.
    """

    samples: torch.Tensor
    is_final: bool
    first: int


class Segments:
    """Parts what is fed at pauses, by steps: however it is fed.

    Arguments
    ---------
    rate : int
        Samples a second.
    step : int
        Samples of a step.
    longest : int
        Samples of speech; longer without a pause, it is parted where its
        second half is softest.

    Example
    -------
    >>> noise = torch.randn(8000, generator=torch.Generator().manual_seed(0))
    >>> speech = 0.3 * noise * torch.linspace(0, 6, 8000).sin()
    >>> segments = Segments(rate=16000, step=16000, longest=160000)
    >>> segments.feed(torch.cat((speech, torch.zeros(24000))))
    >>> [(len(piece.samples), piece.is_final) for piece in segments.chunks()]
    [(8640, True), (0, False), (0, False)]
    """

    def __init__(self, rate: int, step: int, longest: int) -> None:
        self.rate, self.step, self.longest = rate, step, longest
        #: Since the last pause, and not taken yet.
        self.samples = torch.zeros(0)
        #: Which sample of the stream they begin with.
        self.first = 0
        self.parts: list[torch.Tensor] = []
        self.n_waiting = 0

    def feed(self, samples: torch.Tensor) -> None:
        """Takes samples, [S]."""
        self.parts.append(samples)
        self.n_waiting += len(samples)

    def chunks(self) -> Iterator[Piece]:
        """Pieces of each whole step: final ones, and what is said now."""
        while self.n_waiting >= self.step:
            self._forward(self.step)
            yield from self._pieces(is_last=False)

    def finish(self) -> Iterator[Piece]:
        """What is left, all of it final."""
        self._forward(self.n_waiting)
        yield from self._pieces(is_last=True)

    def _forward(self, n_new: int) -> None:
        """Goes so many samples on."""
        waiting = torch.cat((torch.zeros(0), *self.parts))
        self.parts = [waiting[n_new:]]
        self.n_waiting -= n_new
        self.samples = torch.cat((self.samples, waiting[:n_new]))

    def _pieces(self, is_last: bool) -> Iterator[Piece]:
        """Takes what is final from the samples; gives that, and the rest."""
        samples, done, opened = self.samples, 0, len(self.samples)
        spans = find_speech(samples.numpy(), self.rate, pause=LONG_PAUSE)
        for i, (start, stop) in enumerate(spans):
            for cut in self._cuts(start, stop):
                yield Piece(samples[start:cut], True, self.first + start)
                start = done = cut
            is_over = i + 1 < len(spans) or stop < len(samples) or is_last
            yield Piece(samples[start:stop], is_over, self.first + start)
            if is_over:
                done = stop
            else:
                opened = start
        if opened == len(samples):
            yield Piece(samples[:0], False, self.first)
        n_out = max(done, opened - round(KEPT * self.rate))
        self.samples = samples[n_out:].clone()
        self.first += n_out

    def _cuts(self, start: int, stop: int) -> Iterator[int]:
        """Where speech is parted that is longer than the longest."""
        while stop - start > self.longest:
            half = start + self.longest // 2
            part = self.samples[half : start + self.longest].numpy()
            start = half + quietest(part, self.rate)
            yield start


class SegmentStream(Stream):
    """A stream of speech between pauses; see `DynamicEncoderASR.stream`.

    A pass over what is said now is left out where it would come later than
    the next, and for as long as the one before it took: so that half of the
    time at least is left to what is final, which is always heard.

    Arguments
    ---------
    step : float
        From one pass to the next, s.
    longest : float, optional
        Of speech without a pause, s; the model's longest window if not given.

    Raises
    ------
    ValueError
        If a step is longer than that, or that too long.
    """

    def __init__(
        self,
        asr: "DynamicEncoderASR",
        step: float,
        longest: Optional[float] = None,
        n_layers: Optional[int] = None,
        governor: Optional[Governor] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        rate, limits = asr.hparams.sample_rate, asr.window_limits
        longest = limits.longest / rate if longest is None else longest
        check_window(step, longest)
        front = Segments(rate, round(step * rate), round(longest * rate))
        super().__init__(asr, front, step, n_layers, governor, clock)
        self.asr, self.shortest = asr, limits.shortest
        self.heard: tuple[Word, ...] = ()
        #: By the clock, when what is said now may be heard again.
        self.again = -math.inf

    @property
    def partial_words(self) -> tuple[Word, ...]:
        """See `Stream.partial_words`."""
        return self.heard

    def run_chunk(self, x: Piece) -> Optional[list[Word]]:
        """Hears a piece; nothing is computed where nobody speaks."""
        if not len(x.samples):
            self.heard = ()
            return None
        if x.is_final:
            self.heard = ()
            return self._words(x)
        is_early = len(x.samples) < EARLIEST * self.rate
        started = self.clock()
        if is_early or self.waited > self.seconds or started < self.again:
            return None
        self.heard = tuple(self._words(x))
        now = self.clock()
        self.again = now + (now - started)
        return []

    def last_words(self) -> list[Word]:
        """None: the front has made all of it final."""
        self.heard = ()
        return []

    @torch.no_grad()
    def _words(self, piece: Piece) -> list[Word]:
        """The words of a piece, timed by what the decoder looked at."""
        missing = max(0, self.shortest - len(piece.samples))
        wavs = torch.nn.functional.pad(piece.samples, (0, missing))
        out = self.asr.encode(wavs[None], torch.ones(1), self.gates.depth)
        (spans,) = self.asr.task.words(out, self.asr.task.decode(out))
        end = (piece.first + len(piece.samples)) / self.rate
        clock = Clock(self.rate, self.asr.window_limits.step, end)
        return clock.words(spans, clock.starts(out, piece.first))
