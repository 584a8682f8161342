"""The benchmark of long audio: what it joins, and what it says of it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))

import long  # noqa: E402

from dld_brain.tasks.transcription import TranscriptionTask  # noqa: E402

SPEECH = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"


def test_whole_utterances_are_joined_again_and_again(tmp_path):
    waves = {"a": np.full(800, 0.5), "b": np.full(400, -0.5)}
    found = long.join(waves, 0.26, 0.05, 8000, tmp_path / "a.wav")
    samples, rate = soundfile.read(found.path)
    assert (found.ids, rate) == (["a", "b", "a"], 8000)
    expected = [*[0.5] * 800, *[0] * 400, *[-0.5] * 400, *[0] * 400]
    np.testing.assert_allclose(samples, [*expected, *expected[:1200]])
    assert found.seconds == len(samples) / 8000 >= 0.26


def test_both_are_scored_in_the_same_way():
    texts = {"a": "ONE TWO", "b": "THREE FOUR"}
    alone = {"a": "ONE", "b": "TWO THREE FOUR"}
    task = TranscriptionTask.__new__(TranscriptionTask)
    task.scored = str
    found = {"text": "ONE TWO THREE FOUR FIVE"}
    rates = long.word_error_rates(task, texts, alone, found, ["a", "b"])
    assert rates == (25.0, 0.0)  # as one text nothing is wrong with it


@pytest.mark.slow  # starts processes
def test_a_report_is_written(tmp_path, capfd):
    csv = tmp_path / "test.csv"
    csv.write_text(f"ID,duration,wav,wrd\nx,1,{SPEECH},ONE\n")
    output = tmp_path / "long.json"
    flags = ["--source", "tests/samples/golden", "--n_layers", "1", "3"]
    flags += ["--csv", str(csv), "--seconds", "3", "--rounds", "1"]
    assert long.main([*flags, "--output", str(output)]) in (0, 3)
    rows = json.loads(output.read_text())["rows"]
    assert [row["input"].split(",")[0] for row in rows] == ["n=1", "n=3"]
    for row in rows:
        assert row["rtf"] > 0 and row["rtf_60"] > 0 and row["windows"] >= 1
        assert row["wer"] == pytest.approx(row["wer_alone"], abs=50)
    assert "| n | audio, s | windows | WER % |" in capfd.readouterr().out
    assert not list(Path(tmp_path).glob("*.wav"))
