"""Corpora in their genuine layouts, whole and broken."""

import shutil

import numpy as np
import pytest
import soundfile
from common import rows, transcription

from dld_brain.audio.dataset import make_dataset
from dld_brain.audio.preparation import CorpusError
from dld_brain.files import fingerprint
from recipes.AN4.an4_prepare import LINE, prepare_an4
from recipes.FluentSpeechCommands.fsc_prepare import prepare_fsc
from recipes.LibriSpeech.librispeech_prepare import prepare_librispeech
from recipes.MiniLibriSpeech.minilibrispeech_prepare import (
    prepare_minilibrispeech,
)
from recipes.SpokenCommands.espeak import Espeak, Speech
from recipes.SpokenCommands.spoken_commands_prepare import (
    prepare_spoken_commands,
    split_variants,
)
from recipes.TEDLIUM3.tedlium3_prepare import prepare_tedlium3


@pytest.fixture
def librispeech(tmp_path):
    shutil.copytree("tests/samples/LibriSpeech", tmp_path / "LibriSpeech")
    return tmp_path / "LibriSpeech"


@pytest.fixture
def an4(tmp_path):
    shutil.copytree("tests/samples/AN4", tmp_path / "an4")
    return tmp_path / "an4"


def test_librispeech_rows(librispeech, tmp_path):
    prepare_librispeech(str(librispeech), str(tmp_path), ["train-clean-100"])
    found = rows(tmp_path / "train-clean-100.csv")
    assert [row["ID"] for row in found] == [f"{i}-7-0000" for i in (2, 3, 4)]
    assert found[1]["wrd"] == "STOP ONE" and found[1]["spk_id"] == "3"
    assert found[1]["wav"] == "$data_root/train-clean-100/3/7/3-7-0000.flac"
    info = soundfile.info(librispeech / "train-clean-100/3/7/3-7-0000.flac")
    assert float(found[1]["duration"]) == pytest.approx(info.duration, abs=1e-3)


def test_minilibrispeech_has_the_test_speech_of_librispeech(
    librispeech, tmp_path
):
    """Or half of the speakers of its development speech, without that."""
    splits = ["train-clean-100", "dev", "test"]
    prepare_minilibrispeech(str(librispeech), str(tmp_path / "a"), splits)
    ids = [[r["ID"] for r in rows(tmp_path / f"a/{s}.csv")] for s in splits]
    assert ids[1:] == [["1-7-0000"], ["5-7-0000"]] and len(ids[0]) == 3
    # OpenSLR 31 alone: of four speakers the second and the fourth
    shutil.rmtree(librispeech / "test-clean")
    mini = librispeech / "train-clean-100"
    shutil.copytree(librispeech / "dev-clean", mini, dirs_exist_ok=True)
    mini.rename(librispeech / "dev-clean-2")
    prepare_minilibrispeech(str(librispeech), str(tmp_path / "b"), splits[1:])
    found = {s: rows(tmp_path / f"b/{s}.csv") for s in ("dev", "test")}
    assert [row["spk_id"] for row in found["dev"]] == ["1", "3"]
    assert [row["spk_id"] for row in found["test"]] == ["2", "4"]
    assert found["dev"][0]["wav"].startswith("$data_root/dev-clean-2/1/")


def test_minilibrispeech_without_development_speech_is_said(
    librispeech, tmp_path
):
    shutil.rmtree(librispeech / "dev-clean")
    with pytest.raises(CorpusError, match="'dev-clean-2' must be a folder of"):
        prepare_minilibrispeech(str(librispeech), str(tmp_path), ["dev"])


def break_audio(folder):
    """Makes three utterances of LibriSpeech wrong, each in its way."""
    first = folder / "train-clean-100/2/7/2-7-0000.flac"
    first.write_bytes(b"no audio")
    (folder / "train-clean-100/3/7/3-7-0000.flac").unlink()
    shutil.copy(
        folder / "train-clean-100/4/7/4-7-0000.flac",
        folder / "train-clean-100/4/7/4-7-0001.flac",
    )


def test_every_problem_is_named_and_stops_the_job(
    librispeech, tmp_path, caplog
):
    break_audio(librispeech)
    with pytest.raises(CorpusError, match="train-clean-100: 3 problems"):
        prepare_librispeech(
            str(librispeech), str(tmp_path), ["train-clean-100"]
        )
    assert not (tmp_path / "train-clean-100.csv").exists()
    for message in (
        "2-7-0000: audio does not open",
        "3-7-0000: transcript without audio",
        "4-7-0001: audio without transcript",
    ):
        assert message in caplog.text


def test_problems_are_left_out_if_allowed(librispeech, tmp_path):
    break_audio(librispeech)
    prepare_librispeech(
        str(librispeech), str(tmp_path), ["train-clean-100"], True
    )
    found = rows(tmp_path / "train-clean-100.csv")
    assert [row["ID"] for row in found] == ["4-7-0000"]


def test_preparation_goes_on_with_the_splits_that_are_missing(
    librispeech, tmp_path
):
    arguments = str(librispeech), str(tmp_path)
    prepare_librispeech(*arguments, ["dev-clean"])
    done = (tmp_path / "dev-clean.csv").stat().st_mtime_ns
    prepare_librispeech(*arguments, ["dev-clean", "test-clean"])
    assert (tmp_path / "dev-clean.csv").stat().st_mtime_ns == done
    assert len(rows(tmp_path / "test-clean.csv")) == 1


def add_utterance(librispeech, name="4-7-0001"):
    """Adds an utterance to a split of LibriSpeech."""
    folder = librispeech / "train-clean-100/4/7"
    shutil.copy(folder / "4-7-0000.flac", folder / f"{name}.flac")
    with open(folder / "4-7.trans.txt", "a") as file:
        file.write(f"{name} GO\n")


def test_a_corpus_that_has_changed_is_prepared_anew_and_it_is_said(
    librispeech, tmp_path, caplog
):
    arguments = str(librispeech), str(tmp_path), ["train-clean-100"]
    prepare_librispeech(*arguments)
    add_utterance(librispeech)
    prepare_librispeech(*arguments)
    assert len(rows(tmp_path / "train-clean-100.csv")) == 4
    assert "train-clean-100.csv is made anew: the files of the" in caplog.text
    # Letters for others, in files of the same size.
    path = librispeech / "train-clean-100/4/7/4-7.trans.txt"
    path.write_text(path.read_text().replace(" GO", " NO"))
    prepare_librispeech(*arguments)
    assert rows(tmp_path / "train-clean-100.csv")[-1]["wrd"] == "NO"


def test_options_of_the_preparation_count_as_its_sources(librispeech, tmp_path):
    break_audio(librispeech)
    arguments = str(librispeech), str(tmp_path), ["train-clean-100"]
    prepare_librispeech(*arguments, allow_problems=True)
    with pytest.raises(CorpusError, match="train-clean-100: 3 problems"):
        prepare_librispeech(*arguments)


def test_speech_that_checkpoints_were_trained_with_stays(
    librispeech, tmp_path, caplog
):
    csv = tmp_path / "csv/train-clean-100.csv"
    arguments = str(librispeech), str(csv.parent), ["train-clean-100"]
    prepare_librispeech(*arguments)
    fingerprint.add_user(csv, tmp_path / "save")
    (tmp_path / "save/CKPT+1").mkdir(parents=True)
    before = csv.read_text()
    # A corpus that was touched, and gives the same, is no reason to stop.
    (librispeech / "train-clean-100/README.txt").write_text("hello")
    prepare_librispeech(*arguments)
    add_utterance(librispeech)
    with pytest.raises(ValueError, match="must stay as it is, because the ch"):
        prepare_librispeech(*arguments)
    assert csv.read_text() == before
    shutil.rmtree(tmp_path / "save/CKPT+1")
    prepare_librispeech(*arguments)
    assert len(rows(csv)) == 4


@pytest.mark.parametrize("text", ["ID,duration,wav,spk_id,wrd\n", None])
def test_csv_files_that_somebody_else_wrote_are_not_written_over(
    text, librispeech, tmp_path
):
    csv = tmp_path / "dev-clean.csv"
    arguments = str(librispeech), str(tmp_path), ["dev-clean"]
    if text is None:  # changed since
        prepare_librispeech(*arguments)
        text = csv.read_text()[:-9]
    csv.write_text(text)
    with pytest.raises(ValueError, match="dev-clean.csv must be .*skip_prep"):
        prepare_librispeech(*arguments)
    assert csv.read_text() == text


def test_an_unknown_split_is_refused(librispeech, tmp_path):
    with pytest.raises(
        CorpusError,
        match="split 'dev' must be a folder of .* there are dev-clean, ",
    ):
        prepare_librispeech(str(librispeech), str(tmp_path), ["dev"])
    with pytest.raises(CorpusError, match="'dev-other' must be .* folder of"):
        prepare_librispeech(str(librispeech), str(tmp_path), ["dev-other"])


def test_an4_rows(an4, tmp_path):
    splits = ["train", "valid", "train-all", "test"]
    prepare_an4(str(an4), str(tmp_path), splits)
    found = {split: rows(tmp_path / f"{split}.csv") for split in splits}
    assert [r["wrd"] for r in found["test"]] == ["NINE ONE"]
    assert [r["spk_id"] for r in found["valid"]] == ["faaa"]
    speakers = {r["spk_id"] for r in found["train"]}
    assert speakers == {"mbbb", "mccc"}
    assert len(found["train-all"]) == 4


@pytest.mark.parametrize("ending", [".wav", ".flac", ".sph", ".raw"])
def test_an4_audio_of_every_ending(an4, tmp_path, ending):
    stem = an4 / "wav/an4test_clstk/fddd/an5-fddd-b"
    samples, rate = soundfile.read(stem.with_suffix(".flac"), dtype="int16")
    stem.with_suffix(".flac").unlink()
    if ending == ".raw":
        samples.astype(">i2").tofile(stem.with_suffix(ending))
    else:
        kind = {".sph": "NIST"}.get(ending, ending[1:].upper())
        soundfile.write(stem.with_suffix(ending), samples, rate, format=kind)
    prepare_an4(str(an4), str(tmp_path / "csv"), ["test"])
    (row,) = rows(tmp_path / "csv/test.csv")
    path = row["wav"].replace("$data_root", str(an4))
    found, _ = soundfile.read(path, dtype="int16")
    np.testing.assert_array_equal(found, samples)


@pytest.mark.parametrize(
    "line, text",
    [
        ("<s> YES </s> (an1-f-b)", "YES"),
        ("RUBOUT G M E (an1-f-b)", "RUBOUT G M E"),
        ("<s>  </s> (an1-f-b)", ""),
    ],
)
def test_an4_transcript_lines(line, text):
    match = LINE.match(line)
    assert (match["text"], match["id"]) == (text, "an1-f-b")


def test_an4_lists_that_do_not_agree_are_reported(an4, tmp_path, caplog):
    transcripts = an4 / "etc/an4_test.transcription"
    transcripts.write_text("NINE (an9-fddd-b)\nnonsense\n")
    with pytest.raises(CorpusError, match="test: 3 problems"):
        prepare_an4(str(an4), str(tmp_path), ["test"])
    for message in (
        "an4_test.transcription:2: no transcript: nonsense",
        "an5-fddd-b: audio without transcript",
        "an9-fddd-b: not in an4_test.fileids",
    ):
        assert message in caplog.text
    (an4 / "etc/an4_test.fileids").unlink()
    with pytest.raises(CorpusError, match="an4_test.fileids must be a file"):
        prepare_an4(str(an4), str(tmp_path), ["test"])


def test_spoken_commands_are_the_same_from_the_same_seed(tmp_path):
    audio = {}
    for name, seed in (("one", 5), ("two", 5), ("other", 6)):
        prepare_spoken_commands(
            str(tmp_path / name),
            str(tmp_path / f"{name}_csv"),
            ["train", "test"],
            utterances={"train": 3, "test": 2},
            seed=seed,
        )
        files = sorted((tmp_path / name).glob("*/*.flac"))
        audio[name] = [path.read_bytes() for path in files]
        assert len(files) == 5
    assert audio["one"] == audio["two"]
    assert audio["one"] != audio["other"]
    found = rows(tmp_path / "one_csv/train.csv")
    assert [row["ID"] for row in found] == [f"train-{i:05d}" for i in range(3)]


def test_spoken_commands_of_other_numbers_are_not_mixed(tmp_path):
    prepare_spoken_commands(
        str(tmp_path / "a"), str(tmp_path / "csv"), ["test"], {"test": 1}
    )
    with pytest.raises(ValueError, match="must be made with .*: delete it"):
        prepare_spoken_commands(
            str(tmp_path / "a"), str(tmp_path / "csv2"), ["test"], {"test": 2}
        )


def test_voices_of_the_splits_are_disjoint():
    parts = split_variants(Espeak().variants(), seed=2026)
    voices = [set(part) for part in parts.values()]
    assert sum(map(len, voices)) == len(set.union(*voices)) > 80


def test_missing_espeak_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "espeakng_loader", None)
    with pytest.raises(ImportError, match=r"dld-brain\[quickstart\]"):
        Espeak()


def test_an_unknown_voice_is_refused():
    with pytest.raises(ValueError, match="no voice 'nobody'"):
        Espeak().speak("YES", Speech("nobody"))


STM = """;; a comment
Al_2006 1 inter_segment_gap 0 0.25 <o,,unknown> ignore_time_segment_in_scoring
Al_2006 1 Al 0.25 1.00 <o,f0,male> i don 't <unk> know
Al_2006 1 Al 1.00 1.25 <o,f0,male> <unk>
Al_2006 1 Bo 1.25 9.00 <o,f0,female> it 's 'cause they 're here
"""


@pytest.fixture
def tedlium(tmp_path):
    """Builds a talk of two seconds, and what stands in its .stm file."""

    def build(text=STM, seconds=2.0):
        folder = tmp_path / "TEDLIUM_release-3/legacy/dev"
        for part in ("sph", "stm"):
            (folder / part).mkdir(parents=True)
        (folder / "stm/Al_2006.stm").write_text(text)
        samples = np.arange(int(16000 * seconds)).astype(np.int16)
        path = folder / "sph/Al_2006.sph"
        soundfile.write(path, samples, 16000, format="NIST")
        return tmp_path / "TEDLIUM_release-3"

    return build


def test_tedlium_gives_the_golden_file(tedlium, tmp_path, caplog):
    prepare_tedlium3(str(tedlium()), str(tmp_path), ["dev"])
    wav = "$data_root/legacy/dev/sph/Al_2006.sph"
    assert (tmp_path / "dev.csv").read_text().splitlines() == [
        "ID,duration,wav,spk_id,wrd,start,stop",
        f"Al_2006-0000025-0000100,0.7500,{wav},Al,i don't know,4000,16000",
        f"Al_2006-0000125-0000900,0.7500,{wav},Bo,it's 'cause they're here,"
        "20000,32000",
    ]
    assert "1 segments cut at the end of their file, the first: " in caplog.text
    assert "Al_2006.stm:5" in caplog.text


def test_a_segment_is_read_and_not_its_talk(tedlium, tmp_path):
    folder = tedlium()
    prepare_tedlium3(str(folder), str(tmp_path), ["dev"])
    csv_file, task = str(tmp_path / "dev.csv"), transcription()
    task.encode = lambda text: text
    found = {
        item["id"]: item
        for item in make_dataset(csv_file, str(folder), task, 16000)
    }
    first = found["Al_2006-0000025-0000100"]
    assert len(first["sig"]) == 12000
    samples = (first["sig"] * 2**15).round().short().numpy()
    np.testing.assert_array_equal(samples, np.arange(4000, 16000))
    assert first["reference"] == "i don't know"


@pytest.mark.parametrize(
    "line, message",
    [
        ("Al_2006 1 Al zero one <o,f0,male> yes", "no line of an .stm file"),
        ("Al_2006 1 Al 2.5 3.0 <o,f0,male> yes", "begins at 2.5 s, but"),
        ("Al_2006 1 Al 1.5 1.0 <o,f0,male> yes", "must end behind its start"),
        ("Bo_2006 1 Bo 0.5 1.0 <o,f0,male> yes", "transcript without audio"),
    ],
)
def test_what_is_wrong_in_an_stm_file_is_named_by_line(
    line, message, tedlium, tmp_path, caplog
):
    folder = tedlium(STM + line + "\n")
    with pytest.raises(CorpusError, match="dev: 1 problem, the first: Al_2006"):
        prepare_tedlium3(str(folder), str(tmp_path), ["dev"])
    assert "Al_2006.stm:6: " in caplog.text and message in caplog.text
    prepare_tedlium3(str(folder), str(tmp_path), ["dev"], allow_problems=True)
    assert len(rows(tmp_path / "dev.csv")) == 2


def test_a_link_that_was_lost_in_unpacking_is_named(tedlium, tmp_path):
    folder = tedlium()
    shutil.rmtree(folder / "legacy/dev/stm")
    (folder / "legacy/dev/stm").write_text("../../data/stm")
    with pytest.raises(CorpusError, match="a link to ../../data/stm that was"):
        prepare_tedlium3(str(folder), str(tmp_path), ["dev"])
    with pytest.raises(CorpusError, match="'eval' must be one of train, dev"):
        prepare_tedlium3(str(folder), str(tmp_path), ["eval"])


def test_fluent_speech_commands_give_the_golden_file(tmp_path):
    folder = "tests/samples/FluentSpeechCommands"
    prepare_fsc(folder, str(tmp_path), ["test", "train"])
    wavs = "$data_root/wavs/speakers"
    seconds = [
        soundfile.info(f"{folder}/wavs/speakers/{name}.wav").duration
        for name in ("mccc/an4-mccc-b", "fddd/an5-fddd-b")
    ]
    assert (tmp_path / "test.csv").read_text().splitlines() == [
        "ID,duration,wav,spk_id,wrd,intent",
        f"an4-mccc-b,{seconds[0]:.4f},{wavs}/mccc/an4-mccc-b.wav,mccc,"
        "Enter six,activate/six/none",
        f"an5-fddd-b,{seconds[1]:.4f},{wavs}/fddd/an5-fddd-b.wav,fddd,"
        "Nine one,activate/nine/none",
    ]
    assert len(rows(tmp_path / "train.csv")) == 4


def test_what_is_wrong_in_fluent_speech_commands_is_named(tmp_path, caplog):
    folder = tmp_path / "fsc"
    shutil.copytree("tests/samples/FluentSpeechCommands", folder)
    path = folder / "data/train_data.csv"
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace("answer,", ",")
    path.write_text("\n".join(lines) + "\n")
    (folder / "wavs/speakers/mccc/an4-mccc-b.wav").unlink()
    with pytest.raises(CorpusError, match="train: 2 problems"):
        prepare_fsc(str(folder), str(tmp_path), ["train"])
    assert "train_data.csv:2: a column is empty" in caplog.text
    assert "train_data.csv:5: an4-mccc-b: transcript without" in caplog.text
    path.write_text("path,speakerId\na.wav,b\n")
    with pytest.raises(CorpusError, match="lacks action, location, object"):
        prepare_fsc(str(folder), str(tmp_path), ["train"])
    with pytest.raises(CorpusError, match="'dev' must be one of train, valid"):
        prepare_fsc(str(folder), str(tmp_path), ["dev"])
