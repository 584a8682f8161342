"""What docs/serving.md shows is what works: each example is run as it is."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browser import serving, spoken  # noqa: F401

DOCS = Path("docs/serving.md").read_text(encoding="utf-8")
#: What each example imports, or runs.
NEEDED = ("requests", "openai", "websockets")


def blocks(language):
    """The examples in a language."""
    return re.findall(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)


@pytest.fixture
def run(serving, spoken, tmp_path):  # noqa: F811
    """Runs an example beside a.wav, against a server of its own."""
    url, _ = serving()
    shutil.copy(spoken, tmp_path / "a.wav")

    def ran(command):
        command = [
            part.replace("127.0.0.1:8000", url[7:-1]) for part in command
        ]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return ran


def test_a_line_of_curl_does(run, served, spoken):  # noqa: F811
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    (line,) = [b for b in blocks("bash") if b.startswith("curl ")]
    assert line.count("\n") == 1
    text = served.transcribe_file(str(spoken))
    assert f'"text":"{text}"' in run(["sh", "-c", line])


@pytest.mark.parametrize("name", NEEDED)
def test_the_examples_in_python_do(run, served, spoken, name):  # noqa: F811
    pytest.importorskip(name)
    (code,) = [b for b in blocks("python") if name in b.split("(")[0]]
    found = run([sys.executable, "-c", code])
    if name != "websockets":
        assert found == served.transcribe_file(str(spoken)) + "\n"
    else:
        assert len(found.split()) > 1


def test_no_example_is_left_out():
    assert len(blocks("python")) == len(NEEDED)


def test_every_option_and_code_of_streams_is_told():
    from pretrained_interfaces.serve.command import OPTIONS
    from pretrained_interfaces.serve.live.hearing import CODES, ENDS

    for name in OPTIONS:
        if name not in ("host", "port", "threads"):
            assert f"`--{name}`" in DOCS, name
    for code in {*CODES.values(), *(code for code, _ in ENDS.values())}:
        assert f"| {code} |" in DOCS
