"""Windows of long audio say what the audio says."""

import warnings

import numpy as np
import pytest

from dld_brain.audio.checks import AudioWarning
from dld_brain.audio.window_limits import limits
from dld_brain.audio.windows import (
    Window,
    cut,
    find_windows,
    kept_frames,
    quietest,
)
from dld_brain.export.onnx_audio import stretches

RATE, STEP, FIELD = 1000, 40, 130


def encode(samples):
    """A frame-wise encoder: each frame sees FIELD samples, STEP apart."""
    views = np.lib.stride_tricks.sliding_window_view(samples, FIELD)[::STEP]
    return np.stack([views.mean(axis=1), views.std(axis=1)], axis=1)


def each(windows):
    """A batch of views."""
    return [encode(samples) for samples in windows]


def quietly(*arguments, **options):
    """Windows, without the word that is said of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AudioWarning)
        return find_windows(*arguments, **options)


@pytest.mark.parametrize("seed", range(50))
def test_windows_joined_are_the_whole(seed):
    rng = np.random.default_rng(seed)
    longest = rng.uniform(1, 8)
    model = limits(longest, RATE, FIELD, STEP)
    samples = rng.standard_normal(int(rng.uniform(0.2, 40) * RATE))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AudioWarning)
        (found,) = stretches(
            each, samples, model, RATE, blank_id=0, name="a", vad=None
        )
    np.testing.assert_allclose(found, encode(samples))


@pytest.mark.parametrize("seed", range(50))
def test_windows_fit_the_model_and_share_context(seed):
    rng = np.random.default_rng(seed)
    model = limits(rng.uniform(1, 40), RATE, FIELD, STEP)
    edges = np.sort(rng.choice(60 * RATE, 6, replace=False))
    spans = edges.reshape(3, 2).tolist()
    windows = cut(spans, 60 * RATE, model)
    assert [w.stop for w in windows if w.is_last] == [
        max(stop, start + FIELD) for start, stop in spans
    ]
    starts = iter(spans)
    begin = next(starts)[0]
    assert windows[0].start == begin
    for window, following in zip(windows, windows[1:]):
        assert FIELD <= window.stop - window.start <= model.longest
        if window.is_last:
            begin = next(starts)[0]
            assert following.start == begin
        else:
            assert (following.start - begin) % STEP == 0
            assert window.stop - following.start >= 2 * model.context - STEP


def test_neighbours_are_parted_where_both_say_blank():
    windows = [Window(0, 100, False), Window(40, 140, True)]
    for both in range(15, 46):  # the middle half of 60 common frames
        a, b = np.full(100, -9.0), np.full(100, -9.0)
        a[40 + both] = b[both] = -0.1
        kept = kept_frames(windows, [a, b], step=1)
        assert kept == [slice(0, 40 + both), slice(both, 100)] or both == 45


def test_what_is_no_longer_than_training_is_one_window():
    model = limits(30.0, RATE, FIELD, STEP)
    samples = np.random.default_rng(0).standard_normal(30 * RATE + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # and nothing is said
        found = find_windows(samples[:-1], RATE, model, "a", vad=None)
        assert found == [(0, 30 * RATE, True)]
        found = find_windows(samples, RATE, model, "a", None, windowed=False)
        assert found == [(0, 30 * RATE + 1, True)]
    with pytest.warns(AudioWarning, match="a.wav: its 30.0 s .* in 2 windows"):
        found = find_windows(samples, RATE, model, "a.wav", vad=None)
    assert max(stop - start for start, stop, _ in found) <= 20 * RATE


def test_pauses_part_short_audio_and_nothing_is_said_of_it():
    model = limits(30.0, 16000, 960, 640)
    rng = np.random.default_rng(0)
    swell = 0.05 + 0.5 * np.abs(np.sin(np.arange(16000) / 2500))
    speech = swell * rng.standard_normal(16000)
    brief, pause = 0.001 * rng.standard_normal((2, 4000))
    pause = np.tile(pause, 4)  # 1 s; the other 0.25 s
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        samples = np.concatenate([brief, speech, brief])
        (whole,) = find_windows(samples, 16000, model, "a")
        assert whole == (0, len(samples), True)
        samples = np.concatenate([pause, speech, pause, speech, pause])
        first, second = find_windows(samples, 16000, model, "a")
        one = find_windows(samples, 16000, model, "a", windowed=False)
    assert one == [(0, len(samples), True)]
    for window, start in ((first, 16000), (second, 48000)):
        assert window.is_last
        assert abs(window.start - start) < 0.1 * 16000
        assert abs(window.stop - start - 16000) < 0.1 * 16000


def test_silence_has_no_windows():
    model = limits(None, 16000, 960, 640)
    assert quietly(np.zeros(16000 * 60), 16000, model, "a") == []


def test_a_caller_chooses_windows():
    model = limits(30.0, RATE, FIELD, STEP, 5, overlap_seconds=1.5)
    assert (model.whole, model.longest, model.context) == (5000, 5000, 1500)
    samples = np.random.default_rng(0).standard_normal(20 * RATE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was asked for
        found = find_windows(samples, RATE, model, "a", vad=None)
    assert max(stop - start for start, stop, _ in found) <= 5 * RATE
    shared = [a.stop - b.start for a, b in zip(found, found[1:])]
    assert len(found) > 5 and min(shared) >= 3 * RATE - STEP


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("overlap", [0, 0.01, 0.3, 0.49])
def test_no_overlap_loses_a_frame(seed, overlap):
    rng = np.random.default_rng(seed)
    model = limits(None, RATE, FIELD, STEP, 1.0, overlap)
    samples = rng.standard_normal(int(rng.uniform(1, 20) * RATE))
    (found,) = stretches(each, samples, model, RATE, 0, "a", vad=None)
    np.testing.assert_allclose(found, encode(samples))


@pytest.mark.parametrize(
    "sizes, message",
    [
        ((0.5, None), "`window_seconds` must be at least 1 s, but is 0.5"),
        ((float("nan"), None), "must be at least 1 s, but is nan"),
        ((float("inf"), None), "must be at least 1 s, but is inf"),
        ((4, 2), "less than half of a window of 4 s, but is 2"),
        ((None, 10), "less than half of a window of 20 s, but is 10"),
        ((None, -1), "`overlap_seconds` must be at least 0 s, but is -1"),
        (("9", None), "`window_seconds` must be a number of seconds"),
        ((None, True), "`overlap_seconds` must be a number of seconds"),
    ],
)
def test_windows_that_cannot_be_are_told(sizes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        limits(None, RATE, FIELD, STEP, *sizes)


def test_a_window_that_training_has_not_seen_is_said():
    with pytest.warns(AudioWarning, match="is 8, but .* training had 6.0 s"):
        limits(6.0, RATE, FIELD, STEP, window_seconds=8)


def test_the_quietest_place_is_no_closed_stop():
    rng = np.random.default_rng(0)
    samples = rng.standard_normal(4 * 16000)
    samples[16000:16800] = 0  # 0.05 s, as of a t
    samples[40000:44800] *= 0.1  # 0.3 s between words
    assert 40000 < quietest(samples, 16000) < 44800
    for n_samples in (0, 1, 3199, 3201):
        assert 0 <= quietest(samples[:n_samples], 16000) <= n_samples
