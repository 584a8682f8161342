"""Transcripts as other programs read them: subtitles, CTM, JSON.

Pure functions without torch. Each takes a transcription, what its file is
called and where in that it begins (s), and gives the text of a file, whose
lines all end. Times are from the start of the file.
"""

import json
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from html import escape
from typing import TYPE_CHECKING

from pretrained_interfaces.times.timed import Segment, Word, moved

if TYPE_CHECKING:
    from pretrained_interfaces.transcription import Transcription

#: Subtitles: characters of a line, lines, and how long they are shown, s, at
#: most and (where nothing follows) at least. Netflix, Timed Text Style Guide,
#: general requirements and English: 42 characters, two lines, 5/6 s to 7 s
#: (https://partnerhelp.netflixstudios.com/hc/en-us/articles/215758617,
#: https://partnerhelp.netflixstudios.com/hc/en-us/articles/217350977).
LINE, LINES, LONGEST, SHORTEST = 42, 2, 7.0, 5 / 6
#: How long a subtitle is shown, s, whatever follows: one that ends where it
#: begins is none (WebVTT), and words may have no length.
LEAST = 0.02


def txt(found: "Transcription", name: str, offset: float = 0.0) -> str:
    """The text alone, on a line."""
    return f"{found.text}\n"


def json_text(found: "Transcription", name: str, offset: float = 0.0) -> str:
    """All that is known: segments and words as openai-whisper writes them.

    Times and probabilities have three decimals. Of a part, `offset` says where
    it begins, and `audio_seconds` are its own; characters beyond ASCII are
    escaped, so that any name can be written.
    """
    part = {"offset": offset} if offset else {}
    content = {"file": name, **part, **asdict(found), "rtf": found.rtf}
    content["segments"] = [
        {
            "id": i,
            "start": round(segment.start, 3),
            "end": round(segment.end, 3),
            "text": segment.text,
            **(
                {}
                if segment.words is None
                else {"words": [*map(json_word, segment.words)]}
            ),
        }
        for i, segment in enumerate(moved(found.segments, offset))
    ]
    return json.dumps(content, indent=2) + "\n"


def tsv(found: "Transcription", name: str, offset: float = 0.0) -> str:
    """Start, end and text of each segment, ms, as openai-whisper writes them."""
    lines = ["start\tend\ttext"]
    for segment in moved(found.segments, offset):
        start, end = round(1000 * segment.start), round(1000 * segment.end)
        lines.append(f"{start}\t{end}\t{' '.join(segment.text.split())}")
    return "\n".join(lines) + "\n"


def ctm(found: "Transcription", name: str, offset: float = 0.0) -> str:
    """A line a word: name, channel 1, start, duration, word, confidence.

    As sclite reads it (NIST SCTK, doc/infmts.htm: `<F> <C> <BT> <DUR> word
    [ <CONF> ]`); blanks of a name become underscores, which part fields.

    Raises
    ------
    ValueError
        If the transcription has no words.
    """
    name = "_".join(name.split())
    return "".join(
        f"{name} 1 {w.start + offset:.3f} {w.end - w.start:.3f} {w.text} "
        f"{w.confidence:.4f}\n"
        for w in found.words
    )


def srt(found: "Transcription", name: str, offset: float = 0.0) -> str:
    """SubRip subtitles, of `LINES` lines of at most `LINE` characters."""
    parts = [
        f"{i}\n{clock(cue.start, ',')} --> {clock(cue.end, ',')}\n"
        + "\n".join(line.replace("-->", "->") for line in lines_of(cue.text))
        + "\n"
        for i, cue in enumerate(moved(cues(found), offset), 1)
    ]
    return "\n".join(parts)


def vtt(found: "Transcription", name: str, offset: float = 0.0) -> str:
    """WebVTT subtitles (https://www.w3.org/TR/webvtt1/), as those of `srt`."""
    parts = [
        f"{clock(cue.start, '.')} --> {clock(cue.end, '.')}\n"
        + "\n".join(escape(line, quote=False) for line in lines_of(cue.text))
        + "\n"
        for cue in moved(cues(found), offset)
    ]
    return "\n".join(["WEBVTT\n", *parts])


#: By name, what makes the text of a file of a transcription, of what its
#: audio is called, and of where in its file that begins, s.
FORMATS: dict[str, Callable[["Transcription", str, float], str]] = {
    "txt": txt,
    "json": json_text,
    "srt": srt,
    "vtt": vtt,
    "tsv": tsv,
    "ctm": ctm,
}


def needs_words(name: str) -> bool:
    """Whether a format is better with times of words; all are but txt.

    Raises
    ------
    ValueError
        If there is no such format.
    """
    if name not in FORMATS:
        raise ValueError(
            f"`format` must be one of {', '.join(FORMATS)}, but is {name!r}"
        )
    return name != "txt"


def write(
    found: "Transcription", name: str, format: str, offset: float = 0.0
) -> str:
    """The text of a file, in a format by its name.

    Arguments
    ---------
    name : str
        What the audio is called.
    offset : float
        Where in its file the audio begins, s.

    Raises
    ------
    ValueError
        If there is no such format, or the transcription lacks what it needs.
    """
    needs_words(format)
    return FORMATS[format](found, name, offset)


def encoded(text: str) -> bytes:
    r"""A text as files hold it: UTF-8, and names that are none as they are.

    Example
    -------
    >>> encoded("\udcff")
    b'\xff'
    """
    return text.encode("utf-8", "surrogateescape")


def clock(seconds: float, mark: str) -> str:
    """A time as subtitles have it.

    Example
    -------
    >>> clock(3661.5, ","), clock(59.9996, ".")
    ('01:01:01,500', '00:01:00.000')
    """
    rest, ms = divmod(round(1000 * seconds), 1000)
    minutes, s = divmod(rest, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{s:02d}{mark}{ms:03d}"


def lines_of(text: str) -> list[str]:
    """The lines of a subtitle, as even as they can be.

    Example
    -------
    >>> lines_of("TURN THE LIGHTS ON IN THE KITCHEN AND THE HALL")
    ['TURN THE LIGHTS ON IN', 'THE KITCHEN AND THE HALL']
    """
    if len(text) <= LINE:
        return [text]
    wrap = textwrap.TextWrapper(break_on_hyphens=False, break_long_words=False)
    for width in range(min(len(text) // LINES, LINE), LINE + 1):
        wrap.width = width
        lines = wrap.wrap(text)
        if len(lines) <= LINES:
            break
    return lines


def cues(found: "Transcription") -> list[Segment]:
    """Subtitles: segments, cut to what fits and can be read.

    A subtitle is on for `SHORTEST` at least, as far as the next one lets it,
    and for `LEAST` in any case: what follows waits for that. Without times of
    words, those of a segment are shared out by characters.
    """
    parts = [cue for s in found.segments for cue in _cut(s)]
    ends = [part.start for part in parts[1:]] + [found.audio_seconds]
    shown: list[Segment] = []
    for part, end in zip(parts, ends):
        start = max(part.start, shown[-1].end) if shown else part.start
        end = max(part.end, min(part.start + SHORTEST, end), start + LEAST)
        shown.append(replace(part, start=start, end=end))
    return shown


def _cut(segment: Segment) -> Iterator[Segment]:
    """Cuts a segment into subtitles."""
    held: list[Word] = []
    for word in _short_words(segment):
        text = " ".join(w.text for w in [*held, word])
        is_long = held and word.end - held[0].start > LONGEST
        if held and (is_long or len(lines_of(text)) > LINES):
            yield _subtitle(held)
            held = []
        held.append(word)
    if held:
        yield _subtitle(held)


def _subtitle(words: list[Word]) -> Segment:
    """Words that are shown at once."""
    text = " ".join(word.text for word in words)
    return Segment(text, words[0].start, words[-1].end)


def _short_words(segment: Segment) -> Iterator[Word]:
    """The words of a segment; none longer than a line (no spaces, no words)."""
    words = segment.words
    if words is None:
        whole = Word(segment.text, segment.start, segment.end, 1.0)
        words = tuple(_shared(whole, segment.text.split()))
    for word in words:
        n = len(word.text)
        yield from _shared(
            word, [word.text[i : i + LINE] for i in range(0, n, LINE)]
        )


def _shared(word: Word, parts: list[str]) -> Iterator[Word]:
    """Shares the time of a text out to its parts, by characters."""
    total, seen = sum(map(len, parts)), 0
    step = (word.end - word.start) / max(1, total)
    for part in parts:
        start = word.start + seen * step
        seen += len(part)
        yield Word(part, start, word.start + seen * step, word.confidence)


def json_word(word: Word) -> dict[str, object]:
    """A word as openai-whisper writes it."""
    return {
        "word": word.text,
        "start": round(word.start, 3),
        "end": round(word.end, 3),
        "probability": round(word.confidence, 4),
    }
