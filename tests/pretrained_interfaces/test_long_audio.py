"""What a caller can say of long audio, see of it, and keep of it."""

import json

import numpy as np
import pytest
import soundfile

from dld_brain.audio.checks import AudioWarning
from dld_brain.audio.interrupted import Interrupted
from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.__main__ import main

RATE = 16000
SOURCE = "tests/samples/golden"
SPEECH, _ = soundfile.read(
    "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac", dtype="float32"
)
pytestmark = pytest.mark.filterwarnings(
    "ignore::dld_brain.audio.checks.AudioWarning"
)


@pytest.fixture
def asr():
    return DynamicEncoderASR.from_hparams(SOURCE)


@pytest.fixture
def long(tmp_path):
    """A file of three stretches of speech."""
    path = str(tmp_path / "long.wav")
    pause = np.zeros(RATE, np.float32)
    soundfile.write(path, np.concatenate([SPEECH, pause] * 3), RATE)
    return path


def interrupting(words):
    """A decoder that is interrupted when the words are used up."""
    left = iter(words)

    def decode(out):
        word = next(left, None)
        if word is None:
            raise KeyboardInterrupt
        return [word]

    return decode


def test_windows_are_an_option_of_a_call(asr, long):
    speech = np.concatenate([SPEECH] * 6)
    many = asr.transcribe(
        speech, sampling_rate=RATE, vad=None, window_seconds=2
    )
    few = asr.transcribe(speech, sampling_rate=RATE, vad=None, window_seconds=4)
    assert many.n_windows > few.n_windows > 1
    more = asr.transcribe(
        speech,
        sampling_rate=RATE,
        vad=None,
        window_seconds=4,
        overlap_seconds=1.5,
    )
    assert more.n_windows > few.n_windows
    assert asr.transcribe(long, window_seconds=4).n_windows == 3
    asr.longest_utterance = 3.0
    with pytest.warns(AudioWarning, match="is 4, but the longest .* 3.0 s"):
        asr.transcribe(long, window_seconds=4)


def test_how_much_runs_together_is_an_option_that_changes_no_text(
    asr, monkeypatch
):
    rows, model = [], asr.mods.model
    stem = model.stem.forward
    monkeypatch.setattr(
        model.stem, "forward", lambda x, *a: rows.append(len(x)) or stem(x, *a)
    )
    speech, texts = np.concatenate([SPEECH] * 6), []
    told = {"sampling_rate": RATE, "vad": None, "window_seconds": 2}
    for seconds in (1, 6, 60):
        found = asr.transcribe(speech, **told, batch_seconds=seconds)
        n, texts = found.n_windows, [*texts, found.text]
        expected = {1: [1] * n, 6: [3] * (n // 3) + [n % 3] * (n % 3 > 0)}
        assert rows == expected.get(seconds, [n])
        rows.clear()
    assert n > 3 and len({*texts}) == 1


@pytest.mark.parametrize(
    "options, message",
    [
        ({"window_seconds": 0}, "`window_seconds` must be at least 1 s"),
        ({"overlap_seconds": 10.0}, "must be less than half of a window"),
        ({"window_seconds": 9, "windowed": False}, "but not both"),
        ({"batch_seconds": 0.5}, "`batch_seconds` must be at least 1 s"),
    ],
)
def test_wrong_windows_are_told_before_the_file_is_read(asr, options, message):
    with pytest.raises(ValueError, match=message):
        asr.transcribe("nowhere.wav", **options)


def test_texts_are_given_as_they_are_decoded(asr, long):
    heard = []
    asr.task.decode = interrupting(["A B", "", "C"])
    found = asr.transcribe(long, on_text=heard.append)
    assert heard == ["A B", "C"] and found.text == "A B C"


def test_what_was_said_before_ctrl_c_is_kept(asr, long):
    asr.task.decode = interrupting(["A B", "C"])
    with pytest.raises(Interrupted) as stopped:
        asr.transcribe(long)
    assert stopped.value.text == "A B C"
    assert isinstance(stopped.value, KeyboardInterrupt)


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_prints_what_there_is(monkeypatch, long, capsys, as_json):
    def set_decoding_function(self):
        """A task that is interrupted."""
        original(self)
        self.task.decode = interrupting(["A B"])

    original = DynamicEncoderASR.set_decoding_function
    monkeypatch.setattr(
        DynamicEncoderASR, "set_decoding_function", set_decoding_function
    )
    words = ["transcribe", "--source", SOURCE, "--window", "5"]
    words += ["--batch_size", "1"]
    assert main([*words, *["--json"] * as_json, long, long]) == 130
    out, err = capsys.readouterr()
    if as_json:
        told = {"file": long, "text": "A B", "interrupted": True}
        assert json.loads(out) == told
    else:
        assert out == f"{long}\tA B\n"
    assert "error: interrupted" in err


def test_wrong_windows_of_the_shell_are_a_line(long, capsys):
    words = ["transcribe", "--source", SOURCE, "--overlap", "99", long]
    assert main(words) == 2
    assert "`overlap_seconds` must be less than" in capsys.readouterr().err
    words[3:5] = ["--batch_seconds", "0"]
    assert main(words) == 2
    assert "`batch_seconds` must be at least 1" in capsys.readouterr().err


def test_a_bar_is_for_long_audio_on_a_terminal(asr, monkeypatch, capsys):
    speech = np.concatenate([SPEECH] * 80)[: 70 * RATE]
    told = {"sampling_rate": RATE, "n_layers": 1, "vad": None}
    asr.transcribe(speech, **told)
    assert capsys.readouterr().err == ""  # no terminal
    asr.transcribe(speech, **told, progress=True)
    assert "/70 " in capsys.readouterr().err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    asr.transcribe(speech, **told)
    assert "audio" in capsys.readouterr().err
    asr.transcribe(speech[: 50 * RATE], **told)
    asr.transcribe(speech, **told, progress=False)
    assert capsys.readouterr().err == ""
