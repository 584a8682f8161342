"""What is printed of many files: as other programs read it, and a summary."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pretrained_interfaces.__main__ import main
from pretrained_interfaces.many.item import Item
from pretrained_interfaces.many.told import Printer
from pretrained_interfaces.many.transcriber import Answer
from pretrained_interfaces.times.timed import Segment, Word
from pretrained_interfaces.transcription import Transcription

GOLDEN = "tests/samples/golden"
SPEECH = sorted(Path("tests/samples/AN4/wav").rglob("*.flac"))


def shell(*words, status=0):
    """Transcribes with the golden model."""
    given = ["transcribe", "--source", GOLDEN, "--device", "cpu"]
    assert main([*given, *map(str, words)]) == status


def answer(item, *words):
    """An answer with words of half a second."""
    said = tuple(Word(w, t, t + 0.5, 0.9) for w, t in words)
    parts = [Segment("x", said[0].start, said[-1].end, said)] if said else []
    text = " ".join(word.text for word in said)
    return Answer(
        item, Transcription(text, 1, (0,), 3.0, 1.0, 0.9, 0.1, 1, 1, parts)
    )


@pytest.fixture
def talk(tmp_path):
    """A manifest of three parts of a talk, the last one first."""
    speech = [soundfile.read(SPEECH[i])[0] for i in (0, 3, 4)]
    soundfile.write(tmp_path / "talk.wav", np.concatenate(speech), 16000)
    starts = np.cumsum([0, *(len(s) / 16000 for s in speech)]).tolist()
    rows = [
        {"path": "talk.wav", "offset": a, "duration": b - a}
        for a, b in pairwise(starts)
    ]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows[::-1])))
    return manifest, starts


def test_ctm_of_parts_is_that_of_the_recording(talk, capsys):
    manifest, starts = talk
    shell(manifest, "--format", "ctm")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert {row[0] for row in rows} == {"talk"}
    times = [float(row[2]) for row in rows]
    assert times == sorted(times)
    for start, end in pairwise(starts):
        assert any(start - 1e-3 < t < end for t in times)


def test_json_of_parts_has_times_of_the_file(talk, capsys):
    manifest, starts = talk
    shell(manifest, "--json")
    rows = [json.loads(x) for x in capsys.readouterr().out.splitlines()]
    for row, (start, end) in zip(rows[::-1], pairwise(starts), strict=True):
        assert row["offset"] == start
        assert row["audio_seconds"] == pytest.approx(end - start, abs=1e-3)
        for part in row["segments"]:
            assert start <= part["start"] < part["end"] <= end + 1e-6


def test_ctm_is_sorted_by_recording_and_time(capsys):
    items = [Item("y/b.wav", "b.wav", 1.0, 2.0), Item("x/a.wav"), Item("c")]
    printer = Printer("ctm", ["b", "a", "c"])
    printer.add(0, answer(items[0], ("two", 0.2), ("four", 2.0)))
    printer.add(1, answer(items[1], ("one", 2.0)))
    printer.add(2, answer(items[2]))
    printer.names = [*printer.names, "b"]
    last = Item("y/b.wav", "b.wav", 2.0, 2.0)  # it overlaps the first
    printer.add(3, answer(last, ("three", 0.1)))
    assert capsys.readouterr().out == ""
    printer.end()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["a", "1", "2.000"],
        ["b", "1", "1.200"],
        ["b", "1", "2.100"],
        ["b", "1", "3.000"],
    ]


@pytest.mark.parametrize("form", ["ctm", "srt"])
def test_nothing_said_prints_nothing(form, capsys):
    printer = Printer(form, ["a"])
    printer.add(0, answer(Item("a")))
    printer.end()
    assert capsys.readouterr().out == ""


def test_subtitles_of_two_files_do_not_run_into_each_other(capsys):
    printer = Printer("srt")
    for i in range(3):
        said = [("a", 0.0)] if i != 1 else []
        printer.add(i, answer(Item(f"{i}"), *said))
    blocks = capsys.readouterr().out.split("\n\n")
    assert [block.split("\n")[0] for block in blocks] == ["1", "1"]


def test_a_summary_ends_what_is_more_than_one_file(tmp_path, capsys):
    files = SPEECH[:2]
    shell(*files)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("transcribed 2 files, ") and "RTF" in line
    shell(*files, tmp_path / "no.wav", "--json", status=1)
    assert "1 failed: " in capsys.readouterr().err
    shell(files[0])
    assert capsys.readouterr().err == ""
