"""Formats of transcripts: read back as other programs read them."""

import json
import re

import pytest

from pretrained_interfaces.times.formats import (
    FORMATS,
    LEAST,
    LINE,
    LONGEST,
    SHORTEST,
    needs_words,
    write,
)
from pretrained_interfaces.times.timed import Segment, Word, segments
from pretrained_interfaces.transcription import Transcription

TEXT = "turn the <lights> on in Zürich & the 厨房 und so weiter " * 8
WORDS = [
    Word(text, 0.4 * i + 3 * (i // 9), 0.4 * i + 3 * (i // 9) + 0.3, 0.9)
    for i, text in enumerate(TEXT.split())
]
TIME = r"(\d\d+):(\d\d):(\d\d)[,.](\d{3})"


def found(parts):
    parts = list(parts)
    text = " ".join(part.text for part in parts)
    last = parts[-1].end if parts else 2.0
    return Transcription(
        text, 2, (0, 1), last + 0.1, 1.0, 0.9, 0.1, 2, 1, parts
    )


TIMED = found(segments(WORDS))
UNTIMED = found([Segment(TEXT.strip(), 1.0, 60.0)])
ALONE = found([Segment("x" * 300, 0.0, 5.0, (Word("x" * 300, 0, 5, 1.0),))])
SHORT = found(Segment("ab", t, t + 0.3) for t in (0.0, 0.4, 0.8))


def read(text):
    """Subtitles: start and end, s, and lines."""
    cues = []
    for block in text.strip().split("\n\n"):
        lines = block.split("\n")
        at = next((i for i, line in enumerate(lines) if "-->" in line), None)
        if at is not None:
            times = [
                3600 * int(h) + 60 * int(m) + int(s) + int(ms) / 1000
                for h, m, s, ms in re.findall(TIME, lines[at])
            ]
            cues.append((*times, lines[at + 1 :]))
    return cues


@pytest.mark.parametrize("of", [TIMED, UNTIMED, ALONE, SHORT])
@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_subtitles_can_be_read(of, format):
    cues = read(write(of, "a.wav", format))
    said = " ".join(" ".join(lines) for _, _, lines in cues)
    said = re.sub("&lt;", "<", re.sub("&gt;", ">", said))
    assert re.sub("&amp;", "&", said).replace(" ", "") == (
        of.text.replace(" ", "")
    )
    for (start, end, lines), after in zip(
        cues, [*cues[1:], (of.audio_seconds,)]
    ):
        assert start < end <= after[0] + 1e-3
        assert end - start <= LONGEST + 0.01
        assert end - start >= min(SHORTEST, after[0] - start) - 0.1
        assert 1 <= len(lines) <= 2
        plain = [re.sub(r"&\w+;", "&", line) for line in lines]
        assert all(len(line) <= LINE for line in plain)


def test_subtitles_are_numbered_and_said_to_be_vtt():
    numbers = re.findall(r"^(\d+)\n\d\d:", write(TIMED, "a", "srt"), re.M)
    assert numbers == [str(i + 1) for i in range(len(numbers))]
    assert write(TIMED, "a", "vtt").startswith("WEBVTT\n\n00:00:00.000 --> ")
    assert "&lt;lights&gt; on in Zürich &amp;" in write(
        TIMED, "a", "vtt"
    ).replace("\n", " ")


def test_a_mark_of_times_in_the_text_is_none():
    of = found([Segment("a --> b", 0.0, 1.0)])
    assert write(of, "a", "srt").count("-->") == 1
    assert write(of, "a", "vtt").count("-->") == 1


def test_words_of_no_length_are_shown():
    """One too long for a subtitle, between others that begin with it."""
    texts = ["a" * 30, "b" * 90, "c" * 200, "d" * 70]
    words = [Word(text, 1.0, 1.0, 0.9) for text in texts]
    of = found(segments([*words, Word("e", 1.01, 2.0, 0.9)]))
    for format in ("srt", "vtt"):
        cues = read(write(of, "a", format))
        said = "".join("".join(lines) for _, _, lines in cues)
        assert said.replace(" ", "") == "".join(texts) + "e" and len(cues) > 4
        for (start, end, _), after in zip(cues, [*cues[1:], (9.0,)]):
            assert end - start >= LEAST - 1e-6 and end <= after[0]


@pytest.mark.parametrize("format", ["srt", "vtt", "tsv", "ctm", "json"])
def test_times_of_a_part_are_those_of_the_file(format):
    moved = found(
        Segment(
            s.text,
            s.start + 60,
            s.end + 60,
            tuple(Word(w.text, w.start + 60, w.end + 60, 0.9) for w in s.words),
        )
        for s in TIMED.segments
    )
    moved.audio_seconds = TIMED.audio_seconds + 60
    text = write(TIMED, "a", format, 60.0)
    if format != "json":
        assert text == write(moved, "a", format)
        return
    part, whole = json.loads(text), json.loads(write(moved, "a", format))
    assert part["segments"] == whole["segments"]
    assert part["offset"] == 60.0 and "offset" not in whole
    assert part["audio_seconds"] == TIMED.audio_seconds


def test_ctm_is_what_sclite_reads():
    lines = write(TIMED, "my file", "ctm").splitlines()
    assert len(lines) == len(WORDS)
    for line, word in zip(lines, WORDS):
        name, channel, start, duration, text, confidence = line.split(" ")
        assert (name, channel, text) == ("my_file", "1", word.text)
        assert float(start) == pytest.approx(word.start, abs=1e-3)
        assert float(duration) == pytest.approx(0.3, abs=1e-3)
        assert 0 <= float(confidence) <= 1
    starts = [float(line.split()[2]) for line in lines]
    assert starts == sorted(starts)
    with pytest.raises(ValueError, match="word_times=True"):
        write(UNTIMED, "a", "ctm")


def test_tsv_is_in_milliseconds():
    head, *rows = write(TIMED, "a", "tsv").splitlines()
    assert head == "start\tend\ttext"
    for row, segment in zip(rows, TIMED.segments, strict=True):
        start, end, text = row.split("\t")
        assert int(start) == round(1000 * segment.start)
        assert int(end) == round(1000 * segment.end)
        assert text == segment.text


def test_json_has_all():
    content = json.loads(write(TIMED, "ä.wav", "json"))
    assert (content["file"], content["text"]) == ("ä.wav", TIMED.text)
    assert content["rtf"] == TIMED.rtf and content["n_layers"] == 2
    words = [w for s in content["segments"] for w in s["words"]]
    assert [w["word"] for w in words] == TIMED.text.split()
    assert words[1]["start"] == pytest.approx(0.4)
    assert "words" not in json.loads(write(UNTIMED, "a", "json"))["segments"][0]


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_said_is_no_line(format):
    text = write(found([]), "a", format)
    expected = {
        "txt": "\n",
        "vtt": "WEBVTT\n",
        "tsv": "start\tend\ttext\n",
        "srt": "",
        "ctm": "",
    }
    if format == "json":
        assert json.loads(text)["segments"] == []
    else:
        assert text == expected[format]


def test_who_needs_words_is_told():
    assert [name for name in FORMATS if not needs_words(name)] == ["txt"]
    with pytest.raises(ValueError, match="one of txt, json, .* but is 'doc'"):
        write(TIMED, "a", "doc")
