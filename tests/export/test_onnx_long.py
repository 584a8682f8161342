"""ONNX hears long audio in the windows that torch hears it in."""

import argparse

import numpy as np
import pytest
import soundfile
import torch

from dld_brain.audio.interrupted import Interrupted
from dld_brain.audio.window_limits import BATCH, limits
from dld_brain.audio.windows import find_windows
from dld_brain.export import transcribe_onnx
from dld_brain.export.__main__ import main
from dld_brain.export.onnx_audio import stretches
from dld_brain.losses import BLANK_ID
from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.depths.choose import choose_depth
from pretrained_interfaces.windowed import run_windows

pytestmark = [
    pytest.mark.slow,  # makes a graph
    pytest.mark.filterwarnings("ignore::dld_brain.audio.checks.AudioWarning"),
]

RATE = 16000
SPEECH = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"
SOURCE = "tests/samples/golden"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "out"
    flags = ["--source", SOURCE, "--output", str(path), "--n_layers", "3"]
    assert main(["onnx", *flags, "--files", SPEECH]) == 0
    return str(path)


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """27 s without a pause, and three stretches."""
    path = str(tmp_path_factory.mktemp("long") / "long.wav")
    speech, _ = soundfile.read(SPEECH, dtype="float32")
    pause = np.zeros(RATE, np.float32)
    parts = [np.tile(speech, 27), pause, speech, pause, speech]
    soundfile.write(path, np.concatenate(parts), RATE)
    return path


def recogniser(folder, *words):
    """A graph, as the shell has it."""
    words = ["--folder", folder, *words, "a.wav"]
    options: argparse.Namespace = transcribe_onnx.parser().parse_args(words)
    return transcribe_onnx.Recogniser(options)


@pytest.mark.parametrize("window, overlap", [(None, None), (5.0, 1.0)])
def test_windows_joined_are_those_of_torch(folder, long, window, overlap):
    asr = DynamicEncoderASR.from_hparams(SOURCE)
    found = recogniser(folder)
    told = found.settings
    sizes = limits(
        told.longest_utterance,
        told.sample_rate,
        told.min_samples,
        told.samples_per_frame,
        window,
        overlap,
    )
    assert sizes == asr.limits(window, overlap)
    waveform = asr.load_audio(long)
    samples = waveform.numpy()
    windows = find_windows(samples, RATE, sizes, "a")
    assert len(windows) > 3
    plan = choose_depth(None, 3, None, None, False).plan(asr, 1.0)
    with torch.no_grad():
        theirs = [*run_windows(asr, plan, waveform, windows)]
    together = (samples, sizes, RATE, BLANK_ID, "a")
    for batch in (BATCH, 1.0):  # in batches, and one by one
        ours = [*stretches(found.encode, *together, batch_seconds=batch)]
        assert len(ours) == len(theirs) == 3
        for a, b in zip(ours, theirs):
            np.testing.assert_allclose(a, b.out.log_probs[0].numpy(), atol=1e-3)


def test_transcripts_are_those_of_torch(folder, long):
    asr = DynamicEncoderASR.from_hparams(SOURCE)
    for flags, options in (
        ([], {}),
        (
            ["--window", "5", "--overlap", "1"],
            {"window_seconds": 5.0, "overlap_seconds": 1.0},
        ),
    ):
        expected = asr.transcribe(long, 3, **options).text
        assert expected
        assert recogniser(folder, *flags).transcribe(long) == expected


def test_ctrl_c_keeps_what_was_said(folder, long, monkeypatch, capsys):
    whole = recogniser(folder).transcribe(long)
    encode, calls = transcribe_onnx.Recogniser.encode, []

    def interrupted(self, windows):
        """Encodes all windows but the last, one by one."""
        calls.append(windows)
        if len(calls) == 4:  # two of the first stretch, one, and one
            raise KeyboardInterrupt
        return encode(self, windows)

    monkeypatch.setattr(transcribe_onnx.Recogniser, "encode", interrupted)
    alone = ["--batch_seconds", "1"]
    with pytest.raises(Interrupted) as stopped:
        recogniser(folder, *alone).transcribe(long)
    assert stopped.value.text and whole.startswith(stopped.value.text)
    calls.clear()
    assert transcribe_onnx.main(["--folder", folder, *alone, long]) == 130
    assert capsys.readouterr().out == f"{long}\t{stopped.value.text}\n"
