"""Speech without transcripts: the teacher's own serve, and the report says so."""

import csv
import json
import shutil

import numpy as np
import pytest
import soundfile

from dld_brain.audio.dataset import make_dataset
from dld_brain.model_folder import load_pretrained
from dld_brain.run import transcripts
from dld_brain.run.hub_model import convert, find_or_convert
from dld_brain.run.main import prepare
from dld_brain.run.transcripts import write_transcribed

SOURCE = "tests/samples/whisper"


def write_speech(path, seed):
    generator, n = np.random.default_rng(seed), 16_000
    rhythm = 0.02 + 0.2 * (np.arange(n) // 1_600 % 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, rhythm * generator.standard_normal(n), 16_000)


@pytest.fixture
def recordings(tmp_path):
    for i in range(4):
        write_speech(tmp_path / "mine" / f"{i}.wav", i)
    return tmp_path / "mine"


@pytest.fixture
def words(recordings, tmp_path):
    return [
        "hparams/whisper_any_depth.yaml",
        "--corpus=",
        f"--data_folder={recordings}",
        f"--model={SOURCE}",
        f"--output_folder={tmp_path}/run/1",
        "--num_workers=0",
    ]


def rows_of(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_folder_of_audio_is_enough(words, tmp_path):
    run = prepare(words)
    assert run.judged_by_teacher == ["valid", "test"]
    output = tmp_path / "run/1"
    for split, n in (("train", 2), ("valid", 1), ("test", 1)):
        rows = rows_of(output / "transcribed" / f"{split}.csv")
        assert len(rows) == n and all(row["wrd"] for row in rows)
    log = (output / "log.txt").read_text()
    assert "split by file: 2 (0.0 min) to train on" in log
    assert "valid, test: without transcripts" in log


def test_the_corpuss_transcripts_must_be_there(words, tmp_path):
    with pytest.raises(ValueError, match="has audio alone: hparams/whisper_an"):
        prepare([*words, "--transcripts=corpus"])
    assert not (tmp_path / "run").exists()  # before any model is converted


def test_a_folder_without_speech_is_said_before_a_model_is_read(
    words, recordings, tmp_path
):
    for wav in recordings.iterdir():
        wav.unlink()
    with pytest.raises(FileNotFoundError, match="or recordings .* has neither"):
        prepare(words)
    recordings.rmdir()
    with pytest.raises(FileNotFoundError, match="must be a folder, but .*mine"):
        prepare(words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("header", ["ID,duration,wav,wrd", "ID,duration,wav"])
def test_csv_files_need_transcripts_to_be_judged_by_alone(
    words, recordings, tmp_path, header
):
    rest = "," * (header.count(",") - 2)
    for i, split in enumerate(("train", "valid", "test")):
        cells = "said" if split == "test" else ""
        (recordings / f"{split}.csv").write_text(
            f"{header}\nu{i},1,$data_root/{i}.wav{rest}{cells if rest else ''}\n"
        )
    run = prepare(words)
    is_judged = rest == ""
    assert run.judged_by_teacher == ["valid", *["test"] * is_judged]
    (row,) = rows_of(tmp_path / "run/1/transcribed/test.csv")
    assert (row["wrd"] == "said") == (not is_judged)


@pytest.fixture
def teacher(tmp_path):
    convert(SOURCE, str(tmp_path / "teacher"), "whole_whisper")
    return load_pretrained(str(tmp_path / "teacher"))


def test_a_cut_line_is_transcribed_again_and_no_other(
    teacher, recordings, tmp_path, monkeypatch
):
    source, target = tmp_path / "train.csv", tmp_path / "transcribed"
    target.mkdir()
    lines = [f"u{i},1,$data_root/{i}.wav" for i in range(4)]
    source.write_text("\n".join(["ID,duration,wav", *lines, ""]))
    write_transcribed(teacher, source, str(recordings), target)
    whole = rows_of(target / "train.csv")
    kept = target / "train.jsonl"
    text = kept.read_text()
    at = text.rindex("\n", 0, -1)
    kept.write_text(text[: at + 8])  # in the middle of the last line
    missing = json.loads(text[at:])[0]
    asked, real = [], transcripts._transcribed

    def watched(model, dataset, left):
        asked.extend(dataset.data_ids[i] for i in left)
        return real(model, dataset, left)

    monkeypatch.setattr(transcripts, "_transcribed", watched)
    write_transcribed(teacher, source, str(recordings), target)
    assert asked == [missing]
    assert rows_of(target / "train.csv") == whole
    assert kept.read_text() == text


def test_a_run_that_ended_before_the_first_transcript_costs_none(
    teacher, recordings, tmp_path, monkeypatch
):
    """Its file holds the key alone, which must not be written again."""
    source, target = tmp_path / "train.csv", tmp_path / "transcribed"
    target.mkdir()
    source.write_text("ID,duration,wav\nu0,1,$data_root/0.wav\n")
    write_transcribed(teacher, source, str(recordings), target)
    kept = target / "train.jsonl"
    text = kept.read_text()
    kept.write_text(text.split("\n")[0] + "\n")
    write_transcribed(teacher, source, str(recordings), target)
    assert kept.read_text() == text
    monkeypatch.setattr(transcripts, "_transcribed", None)  # all is there
    write_transcribed(teacher, source, str(recordings), target)
    kept.write_bytes(b"\xff\n")  # no text at all
    with pytest.raises(TypeError):
        write_transcribed(teacher, source, str(recordings), target)


def test_transcripts_that_the_decoder_has_no_positions_for_are_named(
    teacher, recordings, tmp_path, caplog
):
    path = tmp_path / "long.csv"
    path.write_text(
        "ID,duration,wav,wrd\n"
        f"short,1,$data_root/0.wav,yes\nlong,1,$data_root/1.wav,{'no ' * 40}\n"
    )
    with caplog.at_level("WARNING"):
        found = make_dataset(
            str(path), str(recordings), teacher.task, 16_000, max_tokens=30
        )
    assert found.data_ids == ["short"]
    assert "1 of 2 transcripts have more than the 30 tokens" in caplog.text
    assert "left out: long" in caplog.text


def test_english_alone_is_what_an_english_whisper_knows(tmp_path):
    folder = tmp_path / "whisper"
    shutil.copytree(SOURCE, folder)
    path = folder / "generation_config.json"
    told = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**told, "is_multilingual": False}))
    with pytest.raises(ValueError, match="`language` must be en for .*'de'"):
        convert(str(folder), str(tmp_path / "out"), "whole_whisper", "de")


def test_a_folder_of_another_language_is_not_taken(tmp_path):
    folder = str(tmp_path / "out")
    find_or_convert(SOURCE, folder, "whole_whisper", "en")
    find_or_convert(SOURCE, folder, "whole_whisper")
    with pytest.raises(ValueError, match="`language` must be en, for which"):
        find_or_convert(SOURCE, folder, "whole_whisper", "de")
