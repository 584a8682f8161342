"""`python -m pretrained_interfaces live`: sources, screen, the whole."""

import io
import math
import signal
import subprocess
import sys
import threading
from contextlib import closing

import numpy as np
import pytest
import soundfile

from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.streams.live import find_blocks, transcribe_live
from pretrained_interfaces.streams.screen import Screen
from pretrained_interfaces.streams.sources import (
    WAITING,
    Block,
    arrivals,
    microphone,
    pcm_blocks,
    played,
)
from pretrained_interfaces.streams.streamed import StreamUpdate
from pretrained_interfaces.times.timed import Word

GOLDEN = "tests/samples/golden"


@pytest.fixture(scope="module")
def asr():
    """A small model that talks."""
    asr = DynamicEncoderASR.from_hparams(GOLDEN)
    asr.mods.model.head.bias.data[0] -= 1.0
    return asr


def pipe(data):
    """A pipe that gives what it likes."""
    file = io.BytesIO(data)
    return lambda size: file.read(min(size, 1001))


def test_a_pipe_gives_every_sample_whatever_it_is_cut_into(capsys):
    samples = np.arange(-5000, 5000, dtype=np.int16)
    found = np.concatenate(list(pcm_blocks(pipe(samples.tobytes()), 16000)))
    assert found.dtype == np.int16 and (found == samples).all()
    assert capsys.readouterr().err == ""
    list(pcm_blocks(pipe(samples.tobytes()[:-1]), 16000))
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

    parts = iter([b"\1", b"\0\2\0\3", b"\0", b""])
    found = np.concatenate(list(pcm_blocks(lambda size: next(parts), 16000)))
    assert found.tolist() == [1, 2, 3]


def test_a_fault_of_the_source_is_raised():
    def source():
        yield np.zeros(3)
        raise OSError("unplugged")

    found = arrivals(source())
    assert len(next(found).samples) == 3
    with pytest.raises(OSError, match="unplugged"):
        next(found)


def test_what_is_not_heard_waits_at_the_source_and_is_closed():
    """A pipe that is faster than the model is held back, and let go."""
    given, closed = [], threading.Event()

    def source():
        try:
            for i in range(10 * WAITING):
                given.append(i)
                yield np.full(3, i)
        finally:
            closed.set()

    found = arrivals(source())
    heard = [int(next(found).samples[0]) for _ in range(5)]
    assert not closed.wait(0.5)
    assert WAITING <= len(given) <= WAITING + 7
    heard += [int(next(found).samples[0]) for _ in range(2 * WAITING)]
    assert heard == list(range(2 * WAITING + 5))
    found.close()
    assert closed.wait(5)


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


def test_a_source_that_fails_loses_nothing_that_came_before(asr):
    def source():
        yield from blocks(6)
        raise OSError("unplugged")

    whole, cut = (Screen(io.StringIO(), io.StringIO()) for _ in range(2))
    transcribe_live(asr.stream(0.32, 0.64), blocks(6), whole)
    with pytest.raises(OSError, match="unplugged"):
        transcribe_live(asr.stream(0.32, 0.64), source(), cut)
    assert cut.out.getvalue() == whole.out.getvalue() != ""


def test_the_status_fits_the_terminal_and_its_encoding(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")

    class Ascii(Terminal):
        encoding = "ascii"

    screen = Screen(Ascii(), Ascii())
    word = Word("Köln", 0.0, 0.5, 1.0)
    update = StreamUpdate((word,), "so " * 60, n_layers=2, lag=0.1)
    screen.show(update)
    screen.finish()
    line = screen.status.getvalue().split("\x1b[K")[1].rstrip("\r")
    assert len(line) < 60 and line.endswith("so  [2 layers, lag 0.10 s]")
    assert "K\\xf6ln" in screen.out.getvalue()


@pytest.fixture(scope="module")
def minute(tmp_path_factory):
    """A minute of noise in a file."""
    path = tmp_path_factory.mktemp("live") / "minute.wav"
    noise = 0.1 * np.random.default_rng(0).standard_normal(60 * 16000)
    soundfile.write(path, noise, 16000)
    return str(path)


@pytest.mark.parametrize("source", ["a pipe", "a file"])
def test_ctrl_c_prints_the_whole(minute, source):
    """It comes while the source is being read, and at no set time."""
    name = "-" if source == "a pipe" else minute
    command = [sys.executable, "-m", "pretrained_interfaces", "live"]
    ends = subprocess.PIPE
    with subprocess.Popen(
        [*command, "--source", GOLDEN, name],
        stdin=ends,
        stdout=ends,
        stderr=ends,
    ) as process:
        if name == "-":  # which stays open
            samples, _ = soundfile.read(minute, 160_000, dtype="int16")
            process.stdin.write(samples.tobytes())
            process.stdin.flush()
        first = process.stdout.read(1)  # a word is there
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()
    assert err == b""
    words, _, behind = (first + rest).partition(b"\n")
    assert words.strip() and behind == b""


def test_who_closes_the_output_ends_it_quietly(minute):
    command = [sys.executable, "-m", "pretrained_interfaces", "live"]
    ends = subprocess.PIPE
    with subprocess.Popen(
        [*command, "--source", GOLDEN, minute], stdout=ends, stderr=ends
    ) as process:
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


class SoundDevice:
    """What `sounddevice` looks like; a microphone that counts."""

    class PortAudioError(Exception):
        pass

    def __init__(self, is_there=True, loses=()):
        self.is_there, self.loses, self.closed = is_there, loses, False

    def RawInputStream(self, rate, size, channels, dtype):  # noqa: N802
        if not self.is_there:
            raise self.PortAudioError("no device")
        assert (rate, channels, dtype) == (16000, 1, "int16")
        self.n = 0
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    def read(self, size):
        self.n += 1
        data = np.full(size, self.n, np.int16).tobytes()
        return memoryview(data), self.n in self.loses


def test_the_microphone_gives_blocks_and_is_closed(monkeypatch, capsys):
    device = SoundDevice(loses=[2])
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    with closing(arrivals(microphone(16000))) as found:
        heard = [next(found).samples for _ in range(3)]
    assert [block[0] for block in heard] == [1, 2, 3]
    assert all(block.dtype == np.int16 for block in heard)
    assert device.closed
    assert "dropped samples of the microphone" in capsys.readouterr().err


def test_without_a_microphone_one_line_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", SoundDevice(False))
    with pytest.raises(OSError, match="a microphone of 16000 Hz must be there"):
        next(microphone(16000))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ImportError, match="extra `mic`"):
        next(microphone(16000))


def test_a_file_on_the_command_line_is_the_same_as_a_pipe(tmp_path):
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * 16000)
    path = tmp_path / "noise.wav"
    soundfile.write(path, noise, 16000, subtype="PCM_16")
    samples, _ = soundfile.read(path, dtype="int16")
    played_ = run_live("--source", GOLDEN, str(path))
    piped = run_live("--source", GOLDEN, "-", given=samples.tobytes())
    assert played_ == piped
    status, out, err = piped
    assert (status, err) == (0, "") and len(out) > 5


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
