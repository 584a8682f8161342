"""Where nobody speaks no word is looked for, and nobody goes unheard."""

import sys
import types

import numpy as np
import pytest
import soundfile
import torch

from dld_brain.audio.vad import PAD, find_speech

RATE = 16000
SPEECH, _ = soundfile.read(
    "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac", dtype="float32"
)


def noise(seconds, level, rate=RATE, seed=0):
    """White noise of a level, dB of full scale."""
    rng = np.random.default_rng(seed)
    return 10 ** (level / 20) * rng.standard_normal(round(seconds * rate))


def sine(frequency):
    """Three seconds of a tone."""
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(3 * RATE) / RATE)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(1000),
        np.zeros(3 * RATE),
        np.full(3 * RATE, 0.5),
        np.eye(1, 3 * RATE, RATE)[0],  # a click
        noise(0.3, -60),
        noise(3, -60),
        noise(3, -60) + 0.5,
        noise(120, -60),
        noise(3, -20),
        np.concatenate([np.zeros(RATE), noise(1, -60), np.zeros(RATE)]),
        noise(3, -97),
        sine(50),
        sine(1000),
    ],
)
@pytest.mark.parametrize("rate", [8000, RATE])
def test_silence_noise_and_tones_are_no_speech(samples, rate):
    assert find_speech(samples, rate) == []
    assert find_speech(samples, rate, vad=None) == [(0, len(samples))]


@pytest.mark.parametrize("gain", [1, 0.1, 0.01])
def test_quiet_speech_is_speech(gain):
    quiet = np.round(SPEECH * gain * 2**15) / 2**15  # as 16 bits hold it
    ((start, stop),) = find_speech(quiet, RATE)
    assert np.square(SPEECH[start:stop]).sum() > 0.999 * (SPEECH**2).sum()


def test_speech_in_noise_of_its_own_power_is_speech():
    level = 20 * np.log10(SPEECH.std())
    for seed in range(20):
        loud = noise(len(SPEECH) / RATE, level, seed=seed)
        assert find_speech(SPEECH + loud, RATE)
        assert find_speech(np.tile(SPEECH + loud, 10), RATE)  # of any length


@pytest.mark.parametrize("level", [-60, -200])
def test_pauses_part_speech_and_are_left_out(level):
    pause = noise(0.5, level)
    parts = [np.concatenate([SPEECH, pause]) for _ in range(20)]
    found = find_speech(np.concatenate(parts), RATE)
    assert len(found) == 20
    for i, (start, stop) in enumerate(found):
        first = i * len(parts[0])
        last = first + len(SPEECH)
        assert first - (PAD + 0.03) * RATE <= start < first + 0.2 * RATE
        assert last - 0.3 * RATE < stop <= last + (PAD + 0.03) * RATE


def test_who_speaks_softly_between_others_is_heard():
    soft = 0.03 * SPEECH  # 30 dB softer
    pause = np.zeros(RATE // 2, np.float32)
    loud = np.tile(np.concatenate([SPEECH, pause]), 8)
    audio = np.concatenate([loud, soft, pause, loud])
    heard = np.zeros(len(audio), bool)
    for start, stop in find_speech(audio, RATE):
        heard[start:stop] = True
    theirs = np.zeros_like(audio)
    theirs[len(loud) : len(loud) + len(soft)] = soft
    assert (theirs[heard] ** 2).sum() > 0.99 * (theirs**2).sum()


def test_silero_is_asked_behind_the_energy(monkeypatch):
    asked = []

    def find(samples, model, **options):
        asked.append(samples.abs().max().item())
        return [{"start": 100, "end": 5000}, {"start": 8000, "end": 15000}]

    def load():
        torch.set_num_threads(1)  # as the package does when it is imported

    monkeypatch.setitem(
        sys.modules,
        "silero_vad",
        types.SimpleNamespace(get_speech_timestamps=find, load_silero_vad=load),
    )
    from dld_brain.audio import vad

    monkeypatch.setattr(vad, "_silero", vad._Silero)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = find_speech(0.01 * SPEECH, RATE, "silero")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(n_threads)
    pad = round(PAD * RATE)
    # Behind the last is too little for a pause: it stays.
    assert found == [(0, 5000 + pad), (8000 - pad, len(SPEECH))]
    assert find_speech(np.zeros(RATE), RATE, "silero") == []
    assert asked == [pytest.approx(0.5)]


def test_silero_itself_finds_speech_in_noise():
    """The package, where the extra is installed."""
    pytest.importorskip("silero_vad")
    rain = noise(2, -26)
    audio = np.concatenate([rain, SPEECH, rain])
    spans = find_speech(audio, RATE, "silero")
    assert spans[0][0] > len(rain) - RATE / 2
    assert spans[-1][1] > len(rain) + len(SPEECH) / 2


def test_silero_without_its_package_is_one_line(monkeypatch):
    from dld_brain.audio import vad

    monkeypatch.setitem(sys.modules, "silero_vad", None)
    monkeypatch.setattr(vad, "_silero", vad._Silero)
    with pytest.raises(ImportError, match=r"pip install -e '.\[vad\]'"):
        find_speech(SPEECH, RATE, "silero")


def test_silero_itself():
    pytest.importorskip("silero_vad")
    audio = np.concatenate([SPEECH, np.zeros(RATE, np.float32), SPEECH])
    assert len(find_speech(audio, RATE, "silero")) >= 2
    loud = noise(3, -20) * (1 + np.sin(np.arange(3 * RATE) / 600))
    assert find_speech(loud.astype(np.float32), RATE)
    assert find_speech(loud.astype(np.float32), RATE, "silero") == []
