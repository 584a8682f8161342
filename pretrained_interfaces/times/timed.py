"""Words and segments of a transcript, with their times."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Optional, Union

if TYPE_CHECKING:  # which needs torch
    from dld_brain.tasks.alignment import WordSpan

#: Between two words of a segment, s, at most: the end of a word is where its
#: last token was, before its last sound fades.
GAP = 1.0
#: Decimals of a time, s: so that the end of a frame is the start of the next,
#: however either was computed.
DECIMALS = 9


@dataclass(frozen=True)
class Word:
    """A word and when it was said.

    Arguments
    ---------
    start, end : float
        From the start of the audio, s.
    confidence : float
        Mean probability of its tokens over their frames, in (0, 1].
    """

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class Segment:
    """What was said between two pauses.

    Arguments
    ---------
    start, end : float
        From the start of the audio, s: those of the first and last word;
        without times of words, those of the stretch of speech.
    words : tuple of Word, optional
        None if their times were not asked for.
    """

    text: str
    start: float
    end: float
    words: Optional[tuple[Word, ...]] = None


def segments(words: Sequence[Word], gap: float = GAP) -> Iterator[Segment]:
    """Cuts words where nothing is said for longer than a gap.

    Arguments
    ---------
    gap : float
        From the end of a word to the start of the next, s.

    Example
    -------
    >>> words = [Word("A", 0.0, 0.5, 1.0), Word("B", 2.0, 2.5, 1.0)]
    >>> [segment.text for segment in segments(words)]
    ['A', 'B']
    """
    first = 0
    for i in range(1, len(words) + 1):
        if i == len(words) or words[i].start - words[i - 1].end > gap:
            part = tuple(words[first:i])
            text = " ".join(word.text for word in part)
            yield Segment(text, part[0].start, part[-1].end, part)
            first = i


def words_in(
    spans: Iterable["WordSpan"],
    starts: Sequence[float],
    frame_seconds: float,
    audio_seconds: float,
) -> list[Word]:
    """Words by time, of words by frame.

    A frame lasts from its first sample to that of the next one: a word
    starts with its first frame and ends with its last.

    Arguments
    ---------
    starts : sequence of float
        When each frame starts, s.
    frame_seconds : float
        How long a frame lasts.
    audio_seconds : float
        No word ends later.

    Example
    -------
    >>> from dld_brain.tasks.alignment import WordSpan
    >>> spans = [WordSpan("A", 1, 3, 0.5)]
    >>> words_in(spans, [0.0, 0.5, 1.0, 1.5], 0.5, audio_seconds=9.0)
    [Word(text='A', start=0.5, end=1.5, confidence=0.5)]
    """
    words = []
    for span in spans:
        times = (starts[span.start], _end(span, starts, frame_seconds))
        times = (min(round(t, DECIMALS), audio_seconds) for t in times)
        words.append(Word(span.text, *times, span.confidence))
    return words


def moved(parts: Iterable[Segment], seconds: float) -> list[Segment]:
    """Segments as much later, with their words.

    Arguments
    ---------
    seconds : float
        Where the audio begins in its file.

    Example
    -------
    >>> moved([Segment("A", 0.5, 1.0)], 2.0)
    [Segment(text='A', start=2.5, end=3.0, words=None)]
    """
    return [
        _later(part, seconds, words=words)
        for part in parts
        for words in [
            part.words and tuple(_later(w, seconds) for w in part.words)
        ]
    ]


def _later(what: Union[Word, Segment], seconds: float, **others: Any) -> Any:
    """A word or a segment as much later."""
    start, end = what.start + seconds, what.end + seconds
    return replace(what, start=start, end=end, **others)


def _end(
    span: "WordSpan", starts: Sequence[float], frame_seconds: float
) -> float:
    """When a word ends, s; where it starts if it has no frame."""
    if span.end == span.start:
        return starts[span.start]
    return starts[span.end - 1] + frame_seconds
