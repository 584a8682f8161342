"""`python -m pretrained_interfaces live`: sources, screen, the whole."""

import io
import math
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.streams.live import (
    Block,
    Screen,
    arrivals,
    find_blocks,
    pcm_blocks,
    played,
    transcribe_live,
)

GOLDEN = "tests/samples/golden"


@pytest.fixture(scope="module")
def asr():
    """A small model that talks."""
    asr = DynamicEncoderASR.from_hparams(GOLDEN)
    asr.mods.model.head.bias.data[0] -= 1.0
    return asr


class Pipe(io.BytesIO):
    """A pipe that gives what it likes."""

    def read1(self, size=-1):
        return super().read1(min(size, 1001))


def test_a_pipe_gives_every_sample_whatever_it_is_cut_into(capsys):
    samples = np.arange(-5000, 5000, dtype=np.int16)
    found = np.concatenate(list(pcm_blocks(Pipe(samples.tobytes()), 16000)))
    assert found.dtype == np.int16 and (found == samples).all()
    assert capsys.readouterr().err == ""
    list(pcm_blocks(Pipe(samples.tobytes()[:-1]), 16000))
    assert "a whole sample of 16 bits" in capsys.readouterr().err


def test_a_file_is_played_in_real_time():
    now = [10.0]

    def sleep(seconds):
        now[0] += seconds

    samples, times = np.arange(16_100), []
    found = []
    for block in played(samples, 16000, sleep, lambda: now[0]):
        found.append(block)
        times.append(now[0] - 10.0)
    assert (np.concatenate(found) == samples).all()
    ends = np.cumsum([len(block) for block in found]) / 16000
    assert times == pytest.approx(ends.tolist())


def test_a_file_that_grows_is_played_as_it_was(asr, tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    path = tmp_path / "growing.wav"
    soundfile.write(path, np.full(8000, 0.25), 16000)
    blocks = find_blocks(asr, str(path))
    found = [next(blocks)]
    with open(path, "ab") as file:
        file.write(bytes(32_000))
    found = np.concatenate([*found, *blocks])
    assert len(found) == 8000 and (found == 0.25).all()
    # What its header does not tell of is not heard either.
    assert len(np.concatenate(list(find_blocks(asr, str(path))))) == 8000


def test_a_pipe_that_grows_is_heard_to_its_end():
    """What `tail -f` gives: a half sample now, the rest later."""

    class Growing:
        def __init__(self):
            self.parts = [b"\1", b"\0\2\0\3", b"\0", b""]

        def read1(self, size):
            return self.parts.pop(0)

    found = np.concatenate(list(pcm_blocks(Growing(), 16000)))
    assert found.tolist() == [1, 2, 3]


def test_a_fault_of_the_source_is_raised():
    def source():
        yield np.zeros(3)
        raise OSError("unplugged")

    found = arrivals(source())
    assert len(next(found).samples) == 3
    with pytest.raises(OSError, match="unplugged"):
        next(found)


class Terminal(io.StringIO):
    """Text that believes to be seen."""

    def isatty(self):
        return True


def blocks(n, is_interrupted=False):
    """Noise, with one block that is none."""
    rng = np.random.default_rng(1)
    for i in range(n):
        samples = 0.1 * rng.standard_normal(8000).astype(np.float32)
        yield Block(samples * (math.nan if i == 2 else 1), 0.0)
    if is_interrupted:
        raise KeyboardInterrupt


@pytest.mark.parametrize("is_interrupted", [True, False])
def test_the_whole_is_printed_at_the_end(asr, is_interrupted, capsys):
    screen = Screen(Terminal(), Terminal())
    stream = asr.stream(0.32, 0.64)
    transcribe_live(stream, blocks(6, is_interrupted), screen)
    text = " ".join(screen.words)
    assert len(text) > 5
    assert screen.out.getvalue().rstrip().endswith("\n\n" + text)
    assert f"[{asr.n_total} layers, lag " in screen.status.getvalue()
    assert "none of them is taken" in capsys.readouterr().err
    piped = Screen(io.StringIO(), io.StringIO())
    transcribe_live(asr.stream(0.32, 0.64), blocks(6), piped)
    assert piped.out.getvalue().split() == text.split()
    assert piped.status.getvalue() == ""


def run_live(*arguments, given=b""):
    """Runs the command; gives status, stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "pretrained_interfaces", "live", *arguments],
        input=given,
        capture_output=True,
        timeout=120,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_a_pipe_on_the_command_line():
    pcm = np.zeros(40_001, np.int16).tobytes()
    status, out, err = run_live("--source", GOLDEN, "-", given=pcm)
    assert status == 0, err
    assert out.endswith("\n")
    status, _, err = run_live("--source", GOLDEN, "--floor", "2", "-")
    assert status == 2 and "`--floor` must be given with" in err
