"""Many files get what each gets alone; what is done is not done again."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.__main__ import main
from pretrained_interfaces.many import transcriber

GOLDEN = "tests/samples/golden"
SPEECH = Path("tests/samples/AN4/wav")


@pytest.fixture(scope="module")
def golden():
    return DynamicEncoderASR.from_hparams(GOLDEN, device="cpu")


@pytest.fixture
def folder(tmp_path):
    """Speech of several lengths, once over a pause, and what is none."""
    folder = tmp_path / "audio"
    folder.mkdir()
    speech = [soundfile.read(p)[0] for p in sorted(SPEECH.rglob("*.flac"))]
    for i, samples in enumerate(speech):
        soundfile.write(folder / f"{i}.wav", samples, 16000)
    pause = np.zeros(32000)
    long = np.concatenate([speech[0], pause, speech[3], pause, speech[4]])
    soundfile.write(folder / "long.wav", long, 16000)
    soundfile.write(folder / "silence.wav", pause, 16000)
    spoilt = np.full(16000, np.nan, np.float32)
    soundfile.write(folder / "spoilt.wav", spoilt, 16000, subtype="FLOAT")
    (folder / "text.wav").write_text("no audio")
    return folder


def shell(*words, status=0):
    """Transcribes with the golden model."""
    given = ["transcribe", "--source", GOLDEN, "--device", "cpu"]
    assert main([*given, *map(str, words)]) == status


@pytest.mark.parametrize("n_layers", [None, 1])
def test_files_in_batches_get_what_each_gets_alone(
    golden, folder, n_layers, capsys
):
    depth = [] if n_layers is None else ["--n_layers", n_layers]
    shell(folder, "--json", "--batch_size", 8, *depth, status=1)
    rows = [json.loads(x) for x in capsys.readouterr().out.splitlines()]
    assert [row["file"] for row in rows] == sorted(map(str, folder.iterdir()))
    found = {Path(row["file"]).stem: row for row in rows}
    for name in ("spoilt", "text"):
        assert set(found.pop(name)) == {"file", "error"}
    for row in found.values():
        alone = asdict(golden.transcribe(row["file"], n_layers))
        assert row["compute_seconds"] > 0
        alone = json.loads(json.dumps(alone))
        for key in ("confidence", "entropy"):
            assert row[key] == pytest.approx(alone.pop(key), abs=1e-4)
        alone.pop("compute_seconds")
        assert {key: row[key] for key in alone} == alone
    assert found["long"]["n_windows"] == 3
    assert found["silence"]["text"] == ""


def test_batches_are_what_was_asked_for(folder, monkeypatch):
    groups = []
    run = transcriber.transcribe_jobs

    def watched(asr, jobs, n_layers, batch_seconds):
        assert batch_seconds == 7.0
        groups.append([job.seconds for job in jobs])
        return run(asr, jobs, n_layers, batch_seconds)

    monkeypatch.setattr(transcriber, "transcribe_jobs", watched)
    shell(
        *[folder / f"{i}.wav" for i in range(5)],
        "--batch_size",
        3,
        "--batch_seconds",
        7,
    )
    assert [len(group) for group in groups] == [3, 2]
    lengths = [s for group in groups for s in group]
    assert lengths == sorted(lengths, reverse=True)
    shell(folder / "0.wav", folder / "1.wav", "--max_entropy", 1)
    assert len(groups) == 2  # what looks at its input goes one by one


def test_a_fault_in_a_batch_is_that_files_alone(folder, monkeypatch, capsys):
    def broken(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(transcriber, "transcribe_jobs", broken)
    shell(folder / "0.wav", folder / "1.wav")
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2 and "error" not in err


def outputs(folder):
    """What is in a folder, by name: content and time."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {
        str(p.relative_to(folder)): (p.read_text(), p.stat().st_mtime_ns)
        for p in files
        if not p.name.startswith(".")
    }


def test_outputs_are_those_of_the_formats_and_a_summary_ends_it(
    golden, folder, tmp_path, capsys
):
    out = tmp_path / "out"
    shell(folder, "-o", out, "--format", "txt,json,srt,ctm", status=1)
    names = ["0", "1", "2", "3", "4", "long", "silence"]
    suffixes = ["txt", "json", "srt", "ctm"]
    expected = {f"{n}.{s}" for n in names for s in suffixes}
    assert set(outputs(out)) == expected
    for name in names:
        text = golden.transcribe_file(folder / f"{name}.wav")
        assert (out / f"{name}.txt").read_text() == f"{text}\n"
    words = (out / "0.ctm").read_text().split()
    assert words[:2] == ["0", "1"]
    told, err = capsys.readouterr()
    lines = err.splitlines()
    assert not told
    assert "transcribed 7 files, 0.0" in lines[-2] and "RTF" in lines[-2]
    assert lines[-1].startswith("2 failed: ")
    assert all(name in lines[-1] for name in ("spoilt.wav", "text.wav"))
    assert sum(line.startswith("error: ") for line in lines) == 2


def test_what_is_done_is_skipped_and_what_changed_is_made_anew(
    folder, tmp_path, capsys
):
    out, good = tmp_path / "out", [folder / f"{i}.wav" for i in range(3)]
    shell(*good[:2], "-o", out)
    first = outputs(out)
    shell(*good, "-o", out)
    second = outputs(out)
    assert set(second) == {"0.txt", "1.txt", "2.txt"}
    assert {n: second[n] for n in first} == first
    assert "transcribed 1 files" in capsys.readouterr().err
    shell(*good, "-o", out)
    assert outputs(out) == second
    assert "transcribed 0 files" in capsys.readouterr().err
    (folder / "1.wav").write_bytes((folder / "4.wav").read_bytes())
    (out / "2.txt").unlink()
    shell(*good, "-o", out)
    third = outputs(out)
    changed = {n for n in third if third[n] != second[n]}
    assert changed == {"1.txt", "2.txt"}
    shell(*good, "-o", out, "--batch_seconds", 9)  # of which no text comes
    assert outputs(out) == third
    shell(*good, "-o", out, "--n_layers", 1)
    fourth = outputs(out)
    assert all(fourth[n][1] != third[n][1] for n in third)
    shell(*good, "-o", out, "--n_layers", 1, "--int8")
    fifth = outputs(out)
    assert all(fifth[n][1] != fourth[n][1] for n in third)


def test_what_was_changed_by_hand_stays(folder, tmp_path, capsys):
    out = tmp_path / "out"
    shell(folder / "0.wav", "-o", out)
    (out / "0.txt").write_text("by hand")
    shell(folder / "0.wav", "-o", out)
    shell(folder / "0.wav", "-o", out, "--n_layers", 1, status=1)
    assert (out / "0.txt").read_text() == "by hand"
    assert "changed by hand" in capsys.readouterr().err
    (out / "1.txt").write_text("another's")
    shell(folder / "1.wav", "-o", out, status=1)
    assert (out / "1.txt").read_text() == "another's"


def test_a_model_is_not_loaded_where_all_is_done(folder, tmp_path, monkeypatch):
    shell(folder / "0.wav", "-o", tmp_path / "out")
    monkeypatch.setattr(transcriber, "DynamicEncoderASR", None)
    shell(folder / "0.wav", "-o", tmp_path / "out")


def test_parts_of_a_file_are_answered_as_files_of_their_own(
    golden, folder, tmp_path, capsys
):
    lengths = [soundfile.info(folder / f"{i}.wav").duration for i in (0, 3)]
    rows = [
        {"audio_filepath": "long.wav", "offset": 0, "duration": lengths[0]},
        {
            "audio_filepath": "long.wav",
            "offset": lengths[0] + 2,
            "duration": lengths[1],
            "id": "second",
        },
        {"audio_filepath": "long.wav", "offset": 1e6},
    ]
    (folder / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    shell(folder / "m.jsonl", "--json", status=1)
    found = [json.loads(x) for x in capsys.readouterr().out.splitlines()]
    for row, i in zip(found, (0, 3)):
        assert row["text"] == golden.transcribe_file(folder / f"{i}.wav")
    assert found[1]["id"] == "second"
    assert "`offset` must be less than" in found[2]["error"]


@pytest.mark.parametrize(
    "words, message",
    [
        (["--json", "-o", "out"], "give --json, or -o and --format json"),
        (["--format", "txt,srt"], "give -o, a folder"),
    ],
)
def test_flags_that_do_not_go_together(words, message, capsys):
    shell("no.wav", *words, status=2)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--batch_size=0", "--jobs=x", "--format=doc"])
def test_flags_that_are_none(flag, capsys):
    with pytest.raises(SystemExit) as stop:
        shell("no.wav", flag)
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_what_was_written_before_an_interrupt_stays(folder, tmp_path, n_jobs):
    out, names = tmp_path / "out", tmp_path / "list.txt"
    lines = []
    for i in range(400):
        copy = folder / f"copy{i}.wav"
        os.link(folder / f"{i % 5}.wav", copy)
        lines.append(f"{copy}\n")
    names.write_text("".join(lines))
    process = subprocess.Popen(
        [
            *[sys.executable, "-m", "pretrained_interfaces", "transcribe"],
            *["--source", GOLDEN, str(names), "-o", str(out)],
            *["--jobs", str(n_jobs), "--batch_size", "2"],
        ],
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        start_new_session=True,
    )
    while process.poll() is None and not list(out.glob("copy*.txt")):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    lines = err.decode().splitlines()
    assert lines[-1] == "error: interrupted" and "Traceback" not in str(err)
    written = list(out.glob("copy*.txt"))
    assert 0 < len(written) < 400
    assert all(path.read_text().endswith("\n") for path in written)
    assert not list(out.glob(".unfinished*"))
