"""What commands tell the shell: a line a fault, and a status."""

import errno
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dld_brain.files.console import (
    FAULTS,
    LONGEST,
    Parser,
    escaped,
    fault_of,
    guarded,
    say,
)

GOLDEN = "tests/samples/golden"
#: A folder's name, and a file's, that no console prints as they are.
STRANGE = "two\nlines \x1b[31m \udcff ä"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_name_that_the_console_cannot_print_is_one_line(encoding):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding)
    say(STRANGE, "text", to=stream)
    line = raw.getvalue().decode(encoding)
    assert line.count("\n") == 1 and line.endswith("\ttext\n")
    assert line.startswith("two\\nlines \\x1b[31m \\udcff ")
    assert ("ä" in line) == (encoding == "utf-8") or encoding == "latin-1"


def test_a_fault_has_one_line_of_bounded_length_and_the_name():
    for error in (
        ValueError(STRANGE * 300),
        RuntimeError("CUDA error\n  compile with X\n"),
        OSError(errno.EACCES, "Permission denied", "a" * 5000),
        MemoryError(),
    ):
        text = fault_of("a.wav", error)
        assert "\n" not in text and len(text) <= LONGEST
    assert escaped("ab\u2028c\td") == "ab\\u2028c\\td"


def test_what_ends_a_command_has_its_status(capsys):
    def raising(error):
        def run():
            raise error

        return run

    assert guarded(raising(KeyboardInterrupt())) == 130
    assert guarded(raising(BrokenPipeError()), FAULTS) == 141
    assert guarded(raising(ValueError("no\nmore")), FAULTS) == 2
    assert capsys.readouterr().err == "error: interrupted\nerror: no\\nmore\n"
    with pytest.raises(ValueError):  # training keeps its traceback
        guarded(raising(ValueError()))


def test_a_wrong_command_line_is_one_line(capsys):
    with pytest.raises(SystemExit) as stop:
        Parser(prog="x").parse_args(["--no\nsuch"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def shell(*words: str, **options) -> subprocess.Popen:
    """Starts the command line on the golden model."""
    return subprocess.Popen(
        [sys.executable, "-m", "pretrained_interfaces", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A job in the background is started with interrupts ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )


@pytest.fixture
def files(tmp_path):
    """Audio under names that are no words, and other things; their fate."""
    speech = Path("tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac")
    good = [STRANGE, "-dash.flac", "-"]
    for name in good:
        (tmp_path / name).write_bytes(speech.read_bytes())
    (tmp_path / "void").mkdir()
    return good, ["missing\n.wav", "", "void", "~nobody/a.wav", "x" * 5000]


@pytest.mark.slow
def test_every_file_is_answered_whatever_the_console(files, tmp_path):
    good, bad = files
    source = ["transcribe", "--source", os.path.abspath(GOLDEN)]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    path = [os.getcwd(), *sys.path]
    environment["PYTHONPATH"] = os.pathsep.join(path)
    names = [*bad[:2], *good, *bad[2:]]
    process = shell(*source, "--", *names, cwd=tmp_path, env=environment)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    lines = out.decode("ascii").splitlines()
    assert [line.split("\t")[1] for line in lines] == ["NYNYE"] * len(good)
    told = err.decode("ascii").splitlines()
    faults, summary = told[: len(bad)], told[len(bad) :]
    assert summary[0].startswith(f"transcribed {len(good)} files, ")
    assert all(f.startswith("error: ") and len(f) < 500 for f in faults)
    assert str(tmp_path) in faults[0]  # where it was looked for


@pytest.mark.slow
def test_a_closed_pipe_ends_it_without_a_word():
    speech = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"
    process = shell("transcribe", "--source", GOLDEN, *[speech] * 50)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=120) == 141
    assert process.stderr.read() == b""


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.5, 5])
def test_an_interrupt_is_one_line_whenever_it_comes(seconds):
    words = ["calibrate", "--source", GOLDEN, "--seconds", "600"]
    process = shell(*words)
    time.sleep(seconds)  # torch is on its way; the model is at work
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.decode().splitlines()[-1] == "error: interrupted"
    assert b"Traceback" not in err
