"""What a model does with silence, and with audio longer than training's."""

import numpy as np
import pytest
import soundfile
import torch

from dld_brain.audio.checks import AudioWarning
from dld_brain.encoder.deepen import Step
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.gates.gates import Gates
from dld_brain.tasks.confidence import mean_confidence
from pretrained_interfaces import DynamicEncoderASR, Escalate
from pretrained_interfaces.windowed import run_windows

RATE = 16000
SPEECH, _ = soundfile.read(
    "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac", dtype="float32"
)
LONG = np.concatenate([SPEECH, np.zeros(RATE // 2, np.float32)] * 6)


@pytest.fixture
def asr():
    return DynamicEncoderASR.from_hparams("tests/samples/golden")


def sound(seconds, seed=0):
    """Noise that swells, as speech does, [S]."""
    n = round(seconds * RATE)
    rng = np.random.default_rng(seed)
    swell = 0.55 + 0.45 * np.sin(np.arange(n) / 2000)
    return (0.1 * swell * rng.standard_normal(n)).astype(np.float32)


@pytest.mark.filterwarnings("ignore::dld_brain.audio.checks.AudioWarning")
@pytest.mark.parametrize("vad", ["energy", None])
def test_without_speech_no_layer_runs(asr, monkeypatch, vad):
    calls = []
    monkeypatch.setattr(
        asr.mods.model.stem, "forward", lambda *a: calls.append(a) or 1 / 0
    )
    silence = np.zeros(3 * RATE)
    if vad is None:
        with pytest.raises(ZeroDivisionError):
            asr.transcribe(silence, sampling_rate=RATE, vad=vad)
        return
    found = asr.transcribe(silence, sampling_rate=RATE, vad=vad)
    assert (found.text, found.layers, found.n_windows) == ("", (), 0)
    assert (found.confidence, found.entropy) == (1.0, 0.0)
    assert not calls


def test_a_batch_says_nothing_where_nobody_speaks(asr):
    wavs = torch.stack([torch.from_numpy(sound(1.0)), torch.zeros(RATE)])
    texts, tokens = asr.transcribe_batch(wavs, torch.ones(2))
    asr.task.decoder = lambda out: (["WORDS"] * 2, [[1], [1]])
    texts, tokens = asr.transcribe_batch(wavs, torch.ones(2))
    assert (texts, tokens) == (["WORDS", ""], [[1], []])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seconds", [0.1, 3.0, 20.0])
def test_what_is_no_longer_is_the_plain_pass(asr, seconds):
    samples = sound(seconds)
    found = asr.transcribe(samples, sampling_rate=RATE)
    out = asr.encode(torch.from_numpy(samples)[None], torch.ones(1))
    assert [found.text] == asr.task.decode(out)
    assert found.confidence == float(mean_confidence(out))
    assert found.n_windows == 1


def framewise(feats, lengths):
    """A model whose frames see 7 frames of the features, as the stem does."""
    views = feats.unfold(1, 7, 4).mean(dim=-1)[..., :9]  # [B, T', 9]
    out = EncoderOutput(views.log_softmax(-1), (lengths - 7) // 4 + 1)
    return Step(Gates((0,), 1), out, 1)


@pytest.mark.filterwarnings("ignore::dld_brain.audio.checks.AudioWarning")
@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_windows_are_joined_without_a_seam(asr, seed, one_by_one):
    rng = np.random.default_rng(seed)
    asr.longest_utterance = rng.uniform(1, 6)
    wav = torch.from_numpy(sound(rng.uniform(10, 60), seed))
    windows = asr.find_windows(wav, "a", vad=None, windowed=True)
    assert len(windows) > 2
    (found,) = run_windows(asr, framewise, wav, windows, one_by_one)
    expected = framewise(*asr.features(wav[None], torch.ones(1))).out
    assert found.out.lengths.tolist() == expected.lengths.tolist()
    torch.testing.assert_close(
        found.out.log_probs, expected.log_probs, atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("depth", [1, None, Escalate(0.0)])
def test_long_audio_is_its_stretches_one_by_one(asr, depth):
    asr.longest_utterance = 1.2
    alone = asr.transcribe(SPEECH, depth, sampling_rate=RATE)
    with pytest.warns(AudioWarning, match="encoded in 6 windows"):
        found = asr.transcribe(LONG, depth, sampling_rate=RATE)
    assert (found.n_windows, found.layers) == (6, alone.layers)
    assert found.audio_seconds == pytest.approx(len(LONG) / RATE)
    asr.task.decoder = lambda out: (["SAID"], [[1]])
    with pytest.warns(AudioWarning):
        found = asr.transcribe(LONG, depth, sampling_rate=RATE)
    assert found.text == " ".join(["SAID"] * 6)
    whole = asr.transcribe(LONG, depth, sampling_rate=RATE, windowed=False)
    assert (whole.text, whole.n_windows) == ("SAID", 1)


def test_no_more_is_encoded_at_once_than_a_batch_of_windows(asr, monkeypatch):
    seconds = []
    features = asr.features
    monkeypatch.setattr(
        asr,
        "features",
        lambda wavs, lens: (
            seconds.append(wavs.numel() / RATE) or features(wavs, lens)
        ),
    )
    with pytest.warns(AudioWarning, match="encoded in .* windows"):
        asr.transcribe(sound(200.0), 1, sampling_rate=RATE, vad=None)
    assert len(seconds) > 3 and max(seconds) <= 60


def test_wrong_options_are_told_before_the_file_is_read(asr):
    with pytest.raises(ValueError, match="`vad` must be energy, silero or No"):
        asr.transcribe("nowhere.wav", vad="webrtc")
    with pytest.raises(ValueError, match="audio must have at most 2 s"):
        asr.transcribe(sound(3.0), sampling_rate=RATE, max_audio_seconds=2)
    wavs = torch.as_tensor(np.stack([sound(1.0), 1e30 * sound(1.0)]))
    with pytest.raises(ValueError, match="features .* utterance 1 of 2"):
        asr.encode_batch(wavs, torch.ones(2))
    wavs[1] = torch.nan
    with pytest.raises(ValueError, match="audio .* utterance 1 of 2"):
        asr.encode_batch(wavs, torch.ones(2))
