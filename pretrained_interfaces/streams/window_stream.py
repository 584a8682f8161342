"""A stream of a model that sees whole utterances: a window, encoded anew.

The last seconds are encoded with every step; a word is final when two steps
agree on it (LocalAgreement-2, Macháček et al.,
https://arxiv.org/abs/2307.14743), or when it leaves the window. Each second
of audio is encoded window / step times.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Optional

import torch

from dld_brain.audio.features import samples_per_frame
from dld_brain.audio.vad import find_speech
from pretrained_interfaces.streams.governor import Governor
from pretrained_interfaces.streams.stream import Stream
from pretrained_interfaces.streams.streamed import StreamedWords
from pretrained_interfaces.times.timed import Word

if TYPE_CHECKING:
    from pretrained_interfaces.asr import DynamicEncoderASR

#: A window is no longer, s: attention grows with its square.
LONGEST_WINDOW = 30.0


class Window:
    """The last samples of a stream, one step further each time.

    Arguments
    ---------
    step, size : int
        Samples of a step, and of the window.

    Example
    -------
    >>> window = Window(step=2, size=3)
    >>> window.feed(torch.arange(5.0))
    >>> [samples.tolist() for samples in window.chunks()], window.first
    ([[0.0, 1.0], [1.0, 2.0, 3.0]], 1)
    >>> [samples.tolist() for samples in window.finish()]
    [[2.0, 3.0, 4.0]]
    """

    def __init__(self, step: int, size: int) -> None:
        self.step, self.size = step, size
        self.samples = torch.zeros(0)
        #: Which sample of the stream the window begins with.
        self.first = 0
        self.parts: list[torch.Tensor] = []
        self.n_waiting = 0

    def feed(self, samples: torch.Tensor) -> None:
        """Takes samples, [S]."""
        self.parts.append(samples)
        self.n_waiting += len(samples)

    def chunks(self) -> Iterator[torch.Tensor]:
        """The windows that end with a whole step, [S] each."""
        while self.n_waiting >= self.step:
            yield self._forward(self.step)

    def finish(self) -> Iterator[torch.Tensor]:
        """The window that ends with the last sample, if there are more."""
        if self.n_waiting:
            yield self._forward(self.n_waiting)

    def _forward(self, n_new: int) -> torch.Tensor:
        """Goes so many samples on."""
        waiting = torch.cat(self.parts)
        self.parts = [waiting[n_new:]]
        self.n_waiting -= n_new
        samples = torch.cat((self.samples, waiting[:n_new]))
        n_out = max(0, len(samples) - self.size)
        self.samples = samples[n_out:].clone()
        self.first += n_out
        return self.samples


class Agreement:
    """Makes words final on which two steps agree; LocalAgreement-2."""

    def __init__(self) -> None:
        self.before: list[Word] = []
        #: Where the last final word ends, s.
        self.end = 0.0

    def add(self, words: list[Word], first: float) -> list[Word]:
        """Takes the words of a window; gives those that are final now.

        Arguments
        ---------
        first : float
            Where the window begins, s: what was heard before it, and is not
            final yet, is now.
        """
        found = [word for word in self.before if word.start < first]
        if found:
            self.end = found[-1].end
        before = self.before[len(found) :]
        # The middle: a word that is final may be heard a frame earlier.
        words = [
            replace(w, start=max(w.start, self.end))
            for w in words
            if (w.start + w.end) / 2 > self.end
        ]
        n_agreed = 0
        for old, new in zip(before, words):
            if old.text != new.text:
                break
            n_agreed += 1
        found += words[:n_agreed]
        if n_agreed:
            self.end = words[n_agreed - 1].end
        self.before = words[n_agreed:]
        return found

    def finish(self) -> list[Word]:
        """What is left is final."""
        found, self.before = self.before, []
        return found


class WindowStream(Stream):
    """A stream by a sliding window; see `DynamicEncoderASR.stream`.

    Arguments
    ---------
    step : float
        From one encoding to the next, s.
    window : float
        What each encodes, s.

    Raises
    ------
    ValueError
        If a step is longer than the window, or that too long.
    """

    def __init__(
        self,
        asr: "DynamicEncoderASR",
        step: float,
        window: float,
        n_layers: Optional[int] = None,
        governor: Optional[Governor] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_window(step, window)
        rate = asr.hparams.sample_rate
        front = Window(round(step * rate), round(window * rate))
        super().__init__(asr, front, step, n_layers, governor, clock)
        self.asr = asr
        self.frame_seconds = samples_per_frame(asr.mods) / rate
        self.agreement = Agreement()

    @property
    def partial_words(self) -> tuple[Word, ...]:
        """See `Stream.partial_words`."""
        return tuple(self.agreement.before)

    def run_chunk(self, x: torch.Tensor) -> list[Word]:
        """Encodes the window, [S]."""
        first = self.front.first / self.rate
        return self.agreement.add(self._heard(x, first), first)

    def last_words(self) -> list[Word]:
        """See `Stream.last_words`."""
        return self.agreement.finish()

    @torch.no_grad()
    def _heard(self, samples: torch.Tensor, first: float) -> list[Word]:
        """The words of a window that begins there, s."""
        is_long = len(samples) >= self.asr.window_limits.shortest
        if not is_long or not find_speech(samples.numpy(), self.rate):
            return []
        wavs = samples.unsqueeze(0)
        out = self.asr.encode(wavs, torch.ones(1), self.gates.depth)
        words = StreamedWords(self.asr.tokenizer, self.frame_seconds)
        found = words.add(out.log_probs[0, : int(out.lengths[0])])
        return [
            replace(word, start=word.start + first, end=word.end + first)
            for word in (*found, *words.finish())
        ]


def check_window(step: float, window: float) -> None:
    """Raises unless there is such a window, and such a step of it.

    Arguments
    ---------
    step, window : float
        Seconds.
    """
    if not 0 < window <= LONGEST_WINDOW:
        raise ValueError(
            f"`window` must be above 0 and at most {LONGEST_WINDOW:g} s, "
            f"but is {window}"
        )
    if not 0.02 <= step <= window:
        raise ValueError(
            f"`chunk` must be between 0.02 s and the window, {window:g} "
            f"s, but is {step}"
        )
