"""`align` of the shell: what it prints, writes and says of faults."""

import os
import shutil

import pytest

from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.__main__ import main

FILE = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"
SOURCE = "tests/samples/golden"


def run(*options, file=FILE):
    return main(["align", "--source", SOURCE, file, *options])


def test_words_are_those_of_the_call(capsys, tmp_path):
    asr = DynamicEncoderASR.from_hparams(SOURCE)
    words = asr.align(FILE, "sixty one", n_layers=2).words
    assert run("--text", "sixty one", "--n_layers", "2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[4] for line in lines] == ["sixty", "one"]
    for line, word in zip(lines, words):
        name, _, start, *_ = line.split()
        assert name == "an5-fddd-b"
        assert float(start) == pytest.approx(word.start, abs=1e-3)
    text = tmp_path / "a.txt"
    text.write_bytes("\ufeffsixty\r\none\r\n".encode())
    out = tmp_path / "a.ctm"
    options = ["--text_file", str(text), "--n_layers", "2", "-o", str(out)]
    assert run(*options) == 0
    assert out.read_text().splitlines() == lines
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "options, status, match",
    [
        (["--text", "é"], 1, f"error: {FILE}: `text` must be what"),
        (["--text", "E " * 99], 1, "tokens need at least"),
        (["--text_file", "nowhere.txt"], 2, "nowhere.txt: No such file"),
        (["--text", "E", "--n_layers", "9"], 2, "`n_layers` must be"),
    ],
)
def test_faults_are_one_line(capsys, options, status, match):
    assert run(*options) == status
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert match.replace("tokens need at least", "tokens need at least") in err


def test_a_text_is_asked_for(capsys):
    with pytest.raises(SystemExit) as found:
        run()
    assert found.value.code == 2
    assert "--text --text_file is required" in capsys.readouterr().err


def test_a_file_that_is_missing_is_named(capsys):
    assert run("--text", "E", file="gone.wav") == 1
    assert "gone.wav" in capsys.readouterr().err


def test_a_name_that_is_no_text_is_written_as_it_is(tmp_path):
    path = os.fsdecode(bytes(tmp_path) + b"/\xff.flac")
    shutil.copyfile(FILE, path)
    out = tmp_path / "a.ctm"
    assert run("--text", "E", "-o", str(out), file=path) == 0
    assert out.read_bytes().startswith(b"\xff 1 ")
