"""What a stream gives: words with their times, and a record of it."""

from collections import Counter
from dataclasses import dataclass, field
from math import exp
from typing import Any

import torch

from dld_brain.losses import BLANK_ID
from pretrained_interfaces.times.timed import Word

#: What begins a word, in SentencePiece's pieces.
SPACE = "\u2581"


@dataclass(frozen=True)
class StreamUpdate:
    """What a feed gave.

    Arguments
    ---------
    words : tuple of Word
        Words that are final now, and were not before.
    partial : str
        The word that is being said, so far.
    n_layers : int
        Depth of the last chunk; 0 where none was computed yet.
    lag : float
        From the arrival of the last chunk's last sample to its text, s.
    partial_words : tuple of Word
        The words of `partial`, as they are heard by now.
    """

    words: tuple[Word, ...] = ()
    partial: str = ""
    n_layers: int = 0
    lag: float = 0.0
    partial_words: tuple[Word, ...] = ()

    @property
    def text(self) -> str:
        """The final words, with spaces between them."""
        return " ".join(word.text for word in self.words)


@dataclass
class StreamRecord:
    """What a stream did; of a size that does not grow.

    Arguments
    ---------
    n_samples : int
        Samples that were transcribed; none is dropped.
    audio_seconds : float
        Their length, s.
    compute_seconds : float
        Time that the chunks took, s.
    max_lag : float
        The longest lag of a chunk, s.
    chunks_at : Counter
        By depth, chunks that ran at it.
    n_changes : int
        How often the depth changed.
    """

    n_samples: int = 0
    audio_seconds: float = 0.0
    compute_seconds: float = 0.0
    max_lag: float = 0.0
    chunks_at: Counter[int] = field(default_factory=Counter)
    n_changes: int = 0


class StreamedWords:
    """Greedy CTC over chunks: what is said does not change any more.

    Arguments
    ---------
    tokenizer : SentencePieceProcessor
        Tells words from pieces.
    frame_seconds : float
        From one frame to the next.
    """

    def __init__(self, tokenizer: Any, frame_seconds: float) -> None:
        self.tokenizer = tokenizer
        self.frame_seconds = frame_seconds
        self.last = BLANK_ID
        self.ids: list[int] = []
        self.sure: list[float] = []  # of its frames that are no blank
        self.first = self.end = 0  # frames of the word that is being said
        self.n_frames = 0

    @property
    def partial(self) -> str:
        """The word that is being said."""
        return self.tokenizer.decode_ids(self.ids).strip()

    @property
    def partial_words(self) -> tuple[Word, ...]:
        """The word that is being said, if there is one."""
        text = self.partial
        if not self.ids or not text:
            return ()
        times = self.first * self.frame_seconds, self.end * self.frame_seconds
        sure = sum(self.sure) / len(self.sure)
        return (Word(text, *times, sure),)

    def add(self, log_probs: torch.Tensor) -> list[Word]:
        """Takes frames, [C, V]; gives the words that end before another."""
        found = []
        best = log_probs.max(-1)
        for token, log_prob in zip(best.indices.tolist(), best.values.tolist()):
            if token not in (BLANK_ID, self.last):
                if self.tokenizer.id_to_piece(token).startswith(SPACE):
                    found += self.finish()
                if not self.ids:
                    self.first = self.n_frames
                self.ids.append(token)
            if token != BLANK_ID:
                self.end = self.n_frames + 1
                self.sure.append(exp(log_prob))
            self.last = token
            self.n_frames += 1
        return found

    def finish(self) -> list[Word]:
        """Ends the word that is being said, if there is one."""
        found = self.partial_words
        self.ids, self.sure = [], []
        return [*found]
