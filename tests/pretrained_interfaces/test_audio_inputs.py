"""Audio in the forms that people have; one error for all others."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from pretrained_interfaces import DynamicEncoderASR

SPEECH = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"


@pytest.fixture(scope="module")
def asr(pretrained):
    return DynamicEncoderASR.from_hparams(pretrained)


@pytest.fixture(scope="module")
def speech():
    """Samples of the file, [S], at 16 kHz."""
    samples, rate = soundfile.read(SPEECH, dtype="float32")
    assert rate == 16000
    return samples


class Decoded(dict):
    """A mapping of a class of its own, as `datasets` has them."""


FORMS = {
    "path": lambda s: (SPEECH, None),
    "Path": lambda s: (Path(SPEECH), None),
    "open file": lambda s: (open(SPEECH, "rb"), None),  # noqa: SIM115
    "BytesIO": lambda s: (io.BytesIO(Path(SPEECH).read_bytes()), None),
    "array": lambda s: (s, 16000),
    "double": lambda s: (s.astype(np.float64), 16000),
    "tensor": lambda s: (torch.from_numpy(s), 16000),
    "stereo": lambda s: (np.stack([s, s], axis=1), 16000),
    "NumPy rate": lambda s: (s, np.int64(16000)),
    "tensor of a rate": lambda s: (s, torch.tensor(16000)),
    "sparse": lambda s: (torch.from_numpy(s).to_sparse(), 16000),
    "mapping": lambda s: ({"array": s, "sampling_rate": 16000}, None),
    "more keys": lambda s: (
        Decoded(path="x.wav", array=s, sampling_rate=16000),
        None,
    ),
    "16 bits": lambda s: ((s * 2**15).round().astype(np.int16), 16000),
    "list in it": lambda s: (
        {"array": s.tolist(), "sampling_rate": 16000},
        None,
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_samples_and_text(asr, speech, form):
    audio, rate = FORMS[form](speech)
    found = asr.load_audio(audio, sampling_rate=rate)
    torch.testing.assert_close(found, torch.from_numpy(speech))
    if hasattr(audio, "seek"):
        audio.seek(0)
    found = asr.transcribe(audio, 2, sampling_rate=rate)
    assert found.text == asr.transcribe_file(SPEECH, 2)
    assert found.audio_seconds == pytest.approx(len(speech) / 16000)
    assert found["text"] == str(found) == found.text


def test_samples_are_read_at_their_rate(asr, speech):
    once = asr.load_audio(speech, sampling_rate=16000)
    twice = asr.load_audio(speech, sampling_rate=8000)
    assert len(twice) == pytest.approx(2 * len(once), abs=3)


def test_a_call_is_a_transcription_and_of_a_list_a_list(asr, speech):
    expected = asr.transcribe(SPEECH, 1)
    one = asr(SPEECH, 1)
    assert (one.text, one.layers) == (expected.text, expected.layers)
    many = asr([SPEECH, Path(SPEECH)], depth=1)
    assert [each.text for each in many] == [expected.text] * 2
    samples = asr([speech, torch.from_numpy(speech)], 1, sampling_rate=16000)
    assert [each.text for each in samples] == [expected.text] * 2
    assert asr([]) == []


def test_waveforms_with_their_lengths_are_speechbrains(asr):
    wavs, wav_lens = torch.randn(2, 8000), torch.tensor([1.0, 0.7])
    expected = asr.encode_batch(wavs, wav_lens)
    assert torch.equal(asr(wavs, wav_lens), expected)
    assert torch.equal(asr(wavs, wav_lens=wav_lens), expected)
    two = asr.encode_batch(wavs, wav_lens, 2)
    assert torch.equal(asr(wavs, wav_lens, 2), two)
    assert torch.equal(asr(wavs, wav_lens, n_layers=2), two)


@pytest.mark.parametrize(
    "audio",
    [
        None,
        3,
        b"RIFF",
        (0.1, 0.2),
        {"array": [0.0]},
        {"sampling_rate": 16000},
        {"path": SPEECH},
        [0.1, 0.2],
        [[0.1, 0.2]],
        object(),
    ],
)
def test_what_is_no_audio_is_one_error(asr, audio):
    ways = [asr] if isinstance(audio, list) else [asr, asr.transcribe]
    for way in ways:
        with pytest.raises(
            TypeError, match="audio must be a path, an"
        ) as error:
            way(audio)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "audio, rate, message",
    [
        (np.zeros(9000), None, "`sampling_rate` must be given with samples"),
        (torch.zeros(9000), None, "`sampling_rate` must be given with sampl"),
        (np.zeros(9000), 0, "must be a whole number of Hz, but is 0"),
        (np.zeros(9000), 16e3, "must be a whole number of Hz, but is 16000.0"),
        (np.zeros(9000), True, "must be a whole number of Hz, but is True"),
        (np.zeros(9000, complex), 16000, "must be floats in .* or whole numb"),
        (np.zeros(9000, bool), 16000, "must be floats in .* or whole numbers"),
        (np.zeros((2, 9000)), 16000, "but have .2, 9000.: give their transpo"),
        (np.zeros((2, 3, 4)), 16000, r"must have shape \[S\] or \[S, channels"),
        (np.zeros(()), 16000, r"must have shape \[S\] or \[S, channels"),
        (np.zeros(0), 16000, r"must have shape .* but have \[0\]"),
        (np.zeros(99), 16000, r"at least 960 samples \(0.06 s\), but has 99"),
        (np.full(9000, np.nan), 16000, "audio must be finite"),
        (torch.empty(9000, device="meta"), 16000, "be numbers in memory"),
        (np.zeros(9000), torch.tensor(True), "must be a whole number of Hz"),
        (io.BytesIO(b"no audio"), None, "the open file must be audio that"),
    ],
)
def test_samples_that_are_none(asr, audio, rate, message):
    with pytest.raises(ValueError, match=message):
        asr.transcribe(audio, sampling_rate=rate)
