"""Transcripts in a folder: of the audio that there is, nothing in vain."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.__main__ import main
from pretrained_interfaces.many import transcriber

GOLDEN = "tests/samples/golden"
SPEECH = sorted(Path("tests/samples/AN4/wav").rglob("*.flac"))


@pytest.fixture
def audio(tmp_path):
    """A folder with a.wav."""
    folder = tmp_path / "audio"
    folder.mkdir()
    put(folder / "a.wav", 0)
    return folder


def put(path, *which):
    """Writes speech to a file, whatever its name is made of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = [x for i in which for x in soundfile.read(SPEECH[i])[0]]
    with open(path, "wb") as file:
        soundfile.write(file, samples, 16000, format="WAV")


def shell(*words, status=0):
    """Transcribes with the golden model."""
    given = ["transcribe", "--source", GOLDEN, "--device", "cpu"]
    assert main([*given, *map(str, words)]) == status


@pytest.fixture
def no_model(monkeypatch):
    """Makes sure that nothing is computed."""

    def forbid():
        monkeypatch.setattr(transcriber, "DynamicEncoderASR", None)

    return forbid


def text_of(path):
    asr = DynamicEncoderASR.from_hparams(GOLDEN, device="cpu")
    return f"{asr.transcribe_file(path)}\n"


def test_audio_that_grows_while_it_is_read_is_made_anew(
    audio, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    answer = transcriber.Transcriber.answer

    def growing(self, items):
        found = answer(self, items)
        put(audio / "a.wav", 0, 3)  # the recording goes on
        return found

    with monkeypatch.context() as patch:
        patch.setattr(transcriber.Transcriber, "answer", growing)
        shell(audio, "-o", out)
    early = (out / "a.txt").read_text()
    shell(audio, "-o", out)
    late = (out / "a.txt").read_text()
    assert late == text_of(audio / "a.wav") != early


@pytest.mark.parametrize("word", ["file://{}/a.wav", "~/a.wav"])
def test_changed_audio_is_noticed_however_it_is_named(
    audio, tmp_path, monkeypatch, word, no_model
):
    monkeypatch.setenv("HOME", str(audio))
    out, word = tmp_path / "out", word.format(audio)
    shell(word, "-o", out)
    put(audio / "a.wav", 3)
    shell(word, "-o", out)
    assert (out / "a.txt").read_text() == text_of(audio / "a.wav")
    no_model()
    shell(audio / "a.wav", "-o", out)  # it is the same file


def test_a_longer_limit_makes_nothing_anew(audio, tmp_path, capsys, no_model):
    put(audio / "long.wav", *range(5), *range(5))
    out = tmp_path / "out"
    limits = [["--max_audio_seconds", n] for n in (5, 50, 60)]
    shell(audio, "-o", out, *limits[0], status=1)
    first = (out / "a.txt").stat().st_mtime_ns
    shell(audio, "-o", out, *limits[1])
    assert "transcribed 1 files" in capsys.readouterr().err
    assert (out / "a.txt").stat().st_mtime_ns == first
    no_model()
    shell(audio, "-o", out, *limits[2])
    shell(audio, "-o", out)


def test_names_that_are_too_long_are_written_and_done(
    audio, tmp_path, no_model
):
    (audio / "a.wav").rename(audio / f"{'n' * 251}.wav")
    rows = [{"path": f"{'n' * 251}.wav", "id": "i" * 300}]
    (audio / "m.jsonl").write_text(json.dumps(rows[0]))
    out = tmp_path / "out"
    words = [audio, audio / "m.jsonl", "-o", out, "--format", "txt,json"]
    shell(*words)
    assert len(list(out.glob("n*"))) == len(list(out.glob("i*"))) == 2
    no_model()
    shell(*words)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda out: (out / "a.txt").write_text("mine"), "has no record of"),
        (lambda out: (out / "a.txt").mkdir(), "must be a file, but is none"),
        (
            lambda out: [
                (out / "a.txt").write_text("mine"),
                (out / ".a.txt.made").mkdir(),
            ],
            "Is a directory",
        ),
    ],
)
def test_what_is_in_the_way_is_told_before_anything_is_computed(
    audio, tmp_path, spoil, message, capsys, no_model
):
    out = tmp_path / "out"
    out.mkdir()
    spoil(out)
    no_model()
    shell(audio / "a.wav", "-o", out, status=1)
    (error, *_) = capsys.readouterr().err.splitlines()
    assert error.startswith(f"error: {audio / 'a.wav'}: ")
    assert message in error and "CSV" not in error


def test_a_record_that_is_cut_and_a_file_for_a_folder_are_told(
    audio, tmp_path, capsys, no_model
):
    put(audio / "b/c.wav", 1)
    out = tmp_path / "out"
    shell(audio / "a.wav", "-o", out)
    before = (out / "a.txt").read_text()
    (out / ".a.txt.made").write_text("")
    (out / "b").write_text("mine")
    no_model()
    shell(audio, "-o", out, status=1)
    err = capsys.readouterr().err
    assert "a.txt must be a transcript" in err and "CSV" not in err
    assert f"{out / 'b'} must be a folder, but is none: move it away" in err
    assert (out / "a.txt").read_text() == before
    assert (out / "b").read_text() == "mine"


def test_what_was_changed_by_hand_stays_beside_another_format(audio, tmp_path):
    out = tmp_path / "out"
    shell(audio / "a.wav", "-o", out)
    (out / "a.txt").write_text("by hand")
    shell(audio / "a.wav", "-o", out, "--format", "txt,json")
    assert (out / "a.txt").read_text() == "by hand"
    assert json.loads((out / "a.json").read_text())["text"] != "by hand"


def test_a_file_is_done_once_however_it_is_named(audio, tmp_path):
    (tmp_path / "link").symlink_to(audio)
    (audio / "own.wav").symlink_to("a.wav")  # a name of its own
    named = [audio / "../audio/a.wav", audio, tmp_path / "link/a.wav"]
    shell(*named, f"file://{audio}/a.wav", "-o", tmp_path / "out")
    found = {path.name for path in (tmp_path / "out").glob("[!.]*")}
    assert found == {"a.txt", "own.txt"}


def test_a_file_and_a_folder_of_one_name_are_both_written(audio, tmp_path):
    put(audio / "a.txt/b.wav", 1)
    shell(audio, "-o", tmp_path / "out")
    found = [p for p in (tmp_path / "out").rglob("[!.]*") if p.is_file()]
    names = {str(p.relative_to(tmp_path / "out")) for p in found}
    assert names == {"a.wav.txt", "a.txt/b.txt"}


def test_files_of_parts_have_the_times_and_the_name_of_the_whole(
    audio, tmp_path
):
    put(audio / "talk.wav", 0, 3, 4)
    ends = [0.0]
    for i in (0, 3, 4):
        ends.append(ends[-1] + soundfile.info(SPEECH[i]).duration)
    rows = [
        {"path": "talk.wav", "offset": a, "duration": b - a, "id": f"u{i}"}
        for i, (a, b) in enumerate(zip(ends, ends[1:]))
    ]
    (audio / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "out"
    shell(audio / "m.jsonl", "-o", out, "--format", "ctm,json,tsv,srt,vtt")
    for i, (start, end) in enumerate(zip(ends, ends[1:])):
        lines = (out / f"u{i}.ctm").read_text().splitlines()
        times = [float(line.split()[2]) for line in lines]
        assert lines and all(line.startswith("talk 1 ") for line in lines)
        assert all(start - 1e-3 < t < end for t in times)
        row = json.loads((out / f"u{i}.json").read_text())
        words = [w for s in row["segments"] for w in s["words"]]
        starts = [word["start"] for word in words]
        assert starts == pytest.approx(times, abs=2e-3)
        first = (out / f"u{i}.tsv").read_text().splitlines()[1].split()[0]
        assert float(first) == pytest.approx(1000 * times[0], abs=2)
        for kind in ("srt", "vtt"):
            (clock, *_) = [
                line
                for line in (out / f"u{i}.{kind}").read_text().splitlines()
                if "-->" in line
            ]
            seconds = float(clock[6:12].replace(",", "."))
            assert seconds == pytest.approx(times[0], abs=2e-3)


def test_ctrl_c_prints_what_was_heard_and_keeps_nothing(
    audio, tmp_path, monkeypatch, capsys
):
    speech, pause = soundfile.read(SPEECH[0])[0], np.zeros(16000)
    file, out = audio / "a.wav", tmp_path / "out"
    soundfile.write(file, np.concatenate([speech, pause] * 3), 16000)
    original = DynamicEncoderASR.set_decoding_function

    def set_decoding_function(self):
        """A task that is interrupted in its second stretch."""
        original(self)
        said = iter(["A B"])

        def decode(_):
            for text in said:
                return [text]
            raise KeyboardInterrupt

        self.task.decode = decode

    with monkeypatch.context() as patch:
        name = "set_decoding_function"
        patch.setattr(DynamicEncoderASR, name, set_decoding_function)
        shell(file, "-o", out, "--window", "5", status=130)
    told, err = capsys.readouterr()
    assert told == f"{file}\tA B\n"
    assert f"warning: {file} is unfinished" in err
    assert list(out.iterdir()) == []
    shell(file, "-o", out)
    assert (out / "a.txt").read_text() == text_of(file)
