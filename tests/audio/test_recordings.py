"""A folder of recordings: cut at pauses, split, written as CSV files."""

import csv

import numpy as np
import pytest
import soundfile

from dld_brain.audio.recordings import (
    are_recordings,
    pieces_of,
    prepare_recordings,
)
from dld_brain.audio.text_files import CorpusError

RATE = 16000
ROLES = {"train": ["train"], "valid": ["dev"], "test": ["test"]}
SPLITS = ["train", "dev", "test"]


def spoken(seconds, seed=0):
    """Noise whose loudness goes up and down as speech does."""
    n = round(seconds * RATE)
    loud = 0.05 + 0.15 * (np.arange(n) // 1600 % 2)
    return loud * np.random.default_rng(seed).standard_normal(n)


def silence(seconds):
    return np.zeros(round(seconds * RATE))


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_pieces_are_as_long_as_they_may_be_and_end_in_pauses():
    parts = [spoken(2), silence(1), spoken(2), silence(1), spoken(2)]
    samples = np.concatenate(parts)
    first, second = pieces_of(samples, RATE, longest=6)
    assert first.start == 0 and 5 * RATE <= first.stop <= 5.2 * RATE
    assert 5.8 * RATE <= second.start <= 6 * RATE
    assert second.stop == len(samples)
    (whole,) = pieces_of(samples, RATE, longest=9)
    assert (whole.start, whole.stop) == (0, len(samples))


def test_speech_without_a_pause_is_cut_where_it_is_softest():
    samples = spoken(20)
    samples[9 * RATE : 9 * RATE + 1200] *= 0.05  # shorter than any pause
    first, second = pieces_of(samples, RATE, longest=10)[:2]
    assert first.stop == second.start
    assert 9 * RATE - 400 <= first.stop <= 9 * RATE + 1200
    spans = pieces_of(samples, RATE, longest=10)
    assert all(s.stop - s.start <= 10 * RATE for s in spans)
    assert spans[-1].stop == len(samples)


def test_what_is_no_speech_is_left_out():
    samples = np.concatenate([silence(2), spoken(0.2), silence(2)])
    assert pieces_of(samples, RATE, longest=10) == []


@pytest.fixture
def folder(tmp_path):
    """Ten recordings, one of them of another rate; hidden files beside."""
    data = tmp_path / "data"
    for i in range(10):
        path = data / f"day{i % 2}" / f"{i}.{'flac' if i % 3 else 'wav'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = np.concatenate([spoken(1.5, i), silence(0.8), spoken(1, i)])
        soundfile.write(path, samples, 8000 if i == 9 else RATE)
    (data / "day0" / "._0.wav").write_bytes(b"no audio")
    (data / "notes.txt").write_text("no audio")
    return data


def prepared(folder, **changes):
    target = folder.parent / "csv"
    given = {"roles": ROLES, "longest": 2.0, "workers": 1, **changes}
    prepare_recordings(str(folder), str(target), SPLITS, **given)
    return {split: rows_of(target / f"{split}.csv") for split in SPLITS}


def test_files_are_split_and_each_piece_is_a_row(folder):
    assert are_recordings(folder, SPLITS)
    found = prepared(folder)
    files = {s: {row["wav"] for row in rows} for s, rows in found.items()}
    assert [len(files[s]) for s in SPLITS] == [8, 1, 1]
    assert not (files["train"] & files["dev"] | files["dev"] & files["test"])
    first, second = (r for r in found["train"] if "day0/0.wav" in r["wav"])
    assert (first["wrd"], first["start"]) == ("", "0")
    assert 1.5 <= float(first["duration"]) <= 1.7
    assert int(second["stop"]) == round(3.3 * RATE)
    slow = found["test"]  # the tenth: its segments are of its own rate
    assert "day1/9.wav" in slow[0]["wav"]
    assert int(slow[-1]["stop"]) == round(3.3 * RATE)
    assert max(float(row["duration"]) for row in slow) <= 2.0


def test_a_recording_that_comes_later_is_cut_as_well(folder):
    prepared(folder)
    soundfile.write(folder / "day0/more.wav", spoken(2), RATE)
    assert any(
        "more" in row["wav"] for r in prepared(folder).values() for row in r
    )


def test_many_folders_are_split_by_folder(folder):
    for i in range(10):
        soundfile_to = folder / f"speaker{i}" / "a.wav"
        soundfile_to.parent.mkdir()
        soundfile.write(soundfile_to, spoken(2, i), RATE)
    found = prepared(folder)
    by_split = [{row["spk_id"] for row in found[s]} for s in SPLITS]
    assert sum(map(len, by_split)) == len(set.union(*by_split)) == 12


def test_one_long_recording_is_split_by_its_pieces(tmp_path):
    (tmp_path / "data").mkdir()
    parts = [x for i in range(12) for x in (spoken(1.5, i), silence(1))]
    soundfile.write(tmp_path / "data/a.wav", np.concatenate(parts), RATE)
    found = prepared(tmp_path / "data")
    assert [len(found[s]) for s in SPLITS] == [10, 1, 1]


def test_a_file_that_is_no_audio_is_named_or_left_out(folder):
    (folder / "day1/broken.wav").write_bytes(b"RIFF")
    with pytest.raises(CorpusError, match="1 problem, .*day1/broken.wav"):
        prepared(folder)
    found = prepared(folder, allow_problems=True)
    assert not any(
        "broken" in r["wav"] for rows in found.values() for r in rows
    )


def test_too_little_speech_is_an_error_in_words(tmp_path):
    (tmp_path / "data").mkdir()
    soundfile.write(tmp_path / "data/a.wav", spoken(3), RATE)
    with pytest.raises(CorpusError, match="at least 10 pieces .* holds 2"):
        prepared(tmp_path / "data")


def test_a_role_has_one_split(folder):
    roles = {**ROLES, "test": ["a", "b"]}
    with pytest.raises(ValueError, match="`test_splits` .* but are a, b"):
        prepared(folder, roles=roles)
