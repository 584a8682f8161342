"""A folder of recordings: found, cut at pauses, split without a transcript."""

import csv
import os
import shutil

import numpy as np
import pytest
import soundfile

from dld_brain.audio.recording_splits import Recording, split_in_three
from dld_brain.audio.recordings import (
    find_recordings,
    prepare_recordings,
    segments_of,
)
from dld_brain.audio.text_files import CorpusError

RATE = 8000
ROLES = (["train"], ["valid"], ["test"])


def speech(*seconds, seed=0):
    """Noise with a rhythm, so long each; half a second of pause between."""
    generator, found = np.random.default_rng(seed), []
    for length in seconds:
        n = round(length * RATE)
        rhythm = 0.1 + 0.1 * (np.arange(n) // 800 % 2)
        found += [rhythm * generator.standard_normal(n), np.zeros(RATE // 2)]
    return np.concatenate(found[:-1])


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "mine"
    (path / "deep" / "er").mkdir(parents=True)
    for i, name in enumerate(("a.wav", "b.flac", "c.ogg", "deep/er/d.MP3")):
        kind = {"format": "MP3"} if name.endswith("MP3") else {}
        soundfile.write(path / name, speech(2, seed=i), RATE, **kind)
    (path / "._a.wav").write_bytes(b"no audio")
    (path / "notes.txt").write_text("no audio")
    soundfile.write(path / "nobody.wav", np.zeros(RATE), RATE)
    return path


def rows_of(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def prepare(folder, roles=ROLES, **options):
    splits = [name for role in roles for name in role]
    target = folder.parent / "csv"
    prepare_recordings(str(folder), str(target), splits, 3.0, roles, **options)
    return {split: rows_of(target / f"{split}.csv") for split in splits}


def test_segments_lie_between_pauses_and_lose_no_speech():
    samples = speech(2, 2, 2, 9)
    found = segments_of(samples, RATE, 5.0)
    assert all(stop - start <= 5 * RATE for start, stop in found)
    assert found[0][0] == 0 and found[-1][1] == len(samples)
    heard = np.zeros(len(samples), bool)
    for start, stop in found:
        assert not heard[start:stop].any()  # nothing is in two
        heard[start:stop] = True
    assert np.abs(samples[~heard]).max() == 0
    # Two fit into one segment, a third does not: the cut is in the pause.
    assert 4.5 * RATE <= found[0][1] <= 5 * RATE <= found[1][0] + RATE // 4
    assert segments_of(samples, RATE, 60.0) == [(0, len(samples))]
    assert segments_of(np.zeros(RATE * 9), RATE, 5.0) == []


def test_nested_files_are_found_and_hidden_ones_are_not(folder):
    names = [p.relative_to(folder).as_posix() for p in find_recordings(folder)]
    expected = ["a.wav", "b.flac", "c.ogg", "deep/er/d.MP3", "nobody.wav"]
    assert names == expected


def test_a_folder_of_audio_becomes_csv_files(folder):
    soundfile.write(folder / "long.wav", speech(2, 2, 2), RATE)
    found = prepare(folder)
    files = [{row["wav"] for row in rows} for rows in found.values()]
    assert len(set.union(*files)) == sum(map(len, files)) == 5  # none in two
    rows = [row for split in found.values() for row in split]
    assert all(row["wrd"] == "" for row in rows)
    long = [row for row in rows if row["wav"] == "$data_root/long.wav"]
    assert len(long) == 3 and max(float(r["duration"]) for r in rows) <= 3
    assert prepare(folder) == found  # as it is
    shutil.rmtree(folder.parent / "csv")
    assert prepare(folder) == found  # and anew


def test_a_file_that_is_no_audio_is_a_problem(folder):
    (folder / "broken.wav").write_bytes(b"RIFF, or not")
    with pytest.raises(CorpusError, match="recordings: 1 problem.*broken.wav"):
        prepare(folder)
    found = prepare(folder, allow_problems=True)
    assert sum(map(len, found.values())) == 4


def test_a_name_that_is_no_utf8_is_a_problem(folder):
    path = next(folder.rglob("*.flac"), None) or next(folder.rglob("*.wav"))
    odd = os.fsencode(path.parent / "caf") + b"\xe9" + path.suffix.encode()
    with open(odd, "wb") as file:
        file.write(path.read_bytes())
    with pytest.raises(CorpusError, match="1 problem.*caf.*must be UTF-8"):
        prepare(folder)
    assert len(prepare(folder, allow_problems=True)) > 0


def test_folders_that_are_called_as_splits_are_them(folder):
    for name in ("train", "valid", "test"):
        (folder / name).mkdir()
        soundfile.write(folder / name / "x.wav", speech(2), RATE)
    found = prepare(folder)
    for name, rows in found.items():
        assert [r["wav"] for r in rows] == [f"$data_root/{name}/x.wav"]


def test_splits_without_folders_must_be_three(folder):
    roles = (["a", "b"], ["c"], ["d"])
    with pytest.raises(CorpusError, match="a folder for each .* a, b, c, d"):
        prepare(folder, roles)


def some(folder, *names, seconds=10):
    stop = seconds * RATE
    return [Recording(folder / n, RATE, [(0, stop)]) for n in names]


def test_a_speaker_is_in_one_split_alone(tmp_path):
    names = [f"{who:02}/{i}.wav" for who in range(20) for i in range(3)]
    parts = split_in_three(some(tmp_path, *names), tmp_path)
    speakers = [{r.path.parent.name for r in part} for part in parts]
    assert [len(s) for s in speakers] == [16, 2, 2]
    assert len(set.union(*speakers)) == 20
    again = split_in_three(some(tmp_path, *names[::-1]), tmp_path)
    assert [set(map(str, p)) for p in again] == [
        set(map(str, p)) for p in parts
    ]


def test_few_folders_are_split_by_file(tmp_path):
    names = [f"{i % 2}/{i}.wav" for i in range(20)]
    parts = split_in_three(some(tmp_path, *names), tmp_path)
    assert [len(part) for part in parts] == [16, 2, 2]


def test_many_hours_hold_out_no_more_than_one(tmp_path):
    names = [f"{i}.wav" for i in range(40)]
    _, *held = split_in_three(some(tmp_path, *names, seconds=3600), tmp_path)
    assert [len(part) for part in held] == [1, 1]


def test_a_single_file_is_split_in_time_and_too_little_refused(tmp_path):
    one = Recording(
        tmp_path / "a.wav", 1, [(10 * i, 10 * i + 9) for i in range(20)]
    )
    train, valid, test = split_in_three([one], tmp_path)
    found = [[r.segments[0][0] for r in part] for part in (train, valid, test)]
    assert found == [[*range(0, 160, 10)], [160, 170], [180, 190]]
    with pytest.raises(
        CorpusError, match="has 2 segments in 2 files: give more"
    ):
        split_in_three(some(tmp_path, "a.wav", "b.wav"), tmp_path)
