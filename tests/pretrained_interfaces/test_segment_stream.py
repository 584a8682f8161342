"""A stream of a Whisper with its decoder: segments that pauses make final."""

from dataclasses import replace

import pytest
import torch

from dld_brain.run.hub_model import convert
from pretrained_interfaces import DynamicEncoderASR, Governor
from pretrained_interfaces.streams.segment_stream import Segments

RATE = 16_000


def noise(seconds, seed=0):
    """Loud and soft by turns, as speech is."""
    n = round(seconds * RATE)
    found = torch.randn(n, generator=torch.Generator().manual_seed(seed))
    return 0.2 * found * torch.linspace(0, 12 * seconds, n).sin().abs()


def silence(seconds):
    """As soft as a room."""
    return 1e-5 * noise(seconds, 7)


@pytest.fixture(scope="module")
def wav():
    """Two stretches of speech, and a pause around each."""
    return torch.cat(
        (silence(0.7), noise(1.5), silence(1.2), noise(2, 1), silence(0.9))
    )


@pytest.fixture(scope="module")
def asr(tmp_path_factory):
    """A Whisper of random weights, which talks."""
    path = str(tmp_path_factory.mktemp("whisper") / "pretrained")
    convert("tests/samples/whisper", path, "whole_whisper")
    return DynamicEncoderASR.from_hparams(path)


def pieces(wav, n_fed, longest=10.0):
    """The pieces of a stream that is fed so."""
    segments = Segments(RATE, 8000, round(longest * RATE))
    found = []
    for part in wav.split(n_fed):
        segments.feed(part)
        found += [*segments.chunks()]
    return [*found, *segments.finish()]


@pytest.mark.parametrize("n_fed", [777, 8000, 10**6])
def test_pieces_do_not_depend_on_how_they_are_fed(wav, n_fed):
    for a, b in zip(pieces(wav, n_fed), pieces(wav, 4000), strict=True):
        assert a.is_final == b.is_final
        torch.testing.assert_close(a.samples, b.samples)
        torch.testing.assert_close(
            a.samples, wav[a.first : a.first + len(a.samples)]
        )


def test_pauses_make_speech_final_once(wav):
    final = [p.samples for p in pieces(wav, 800) if p.is_final]
    assert len(final) == 2
    for found, seconds in zip(final, (1.5, 2.0)):
        assert abs(len(found) / RATE - seconds) < 0.2
    said = [p for p in pieces(wav, 800) if len(p.samples)]
    lengths = [len(p.samples) for p in said]
    assert lengths[0] < lengths[1] and not said[0].is_final


def test_speech_without_a_pause_is_parted_and_nothing_is_lost():
    wav = noise(9.0)
    found = [p.samples for p in pieces(wav, 800, 2.0) if p.is_final]
    assert all(len(p) <= 2 * RATE for p in found) and len(found) >= 5
    torch.testing.assert_close(torch.cat(found), wav)


def test_memory_is_bounded_whatever_comes():
    for kind in (silence, noise):
        segments, most = Segments(RATE, 8000, 2 * RATE), 0
        for _ in range(60):
            segments.feed(kind(0.5))
            assert [*segments.chunks()]
            most = max(most, len(segments.samples))
        assert most <= 3.1 * RATE
        assert sum(map(len, segments.parts)) == 0


def test_what_is_said_is_final_after_a_pause(asr, wav):
    for n_layers in asr.depths:
        stream = asr.stream(0.5, n_layers=n_layers)
        updates = [stream.feed(part) for part in wav.split(4000)]
        updates.append(stream.finish())
        words = [word for u in updates for word in u.words]
        expected = []
        for piece in pieces(wav, 4000):
            if piece.is_final:
                told = asr.transcribe(
                    piece.samples.numpy(),
                    n_layers,
                    sampling_rate=RATE,
                    vad=None,
                    word_times=True,
                )
                first = piece.first / RATE
                expected += [
                    replace(w, start=w.start + first, end=w.end + first)
                    for w in told.words
                ]
        assert [w.text for w in words] == [w.text for w in expected]
        for one in ("start", "end", "confidence"):
            assert [getattr(w, one) for w in words] == pytest.approx(
                [getattr(w, one) for w in expected], abs=1e-3
            )
        assert any(u.partial for u in updates) and words
        assert not updates[-1].partial and stream.partial == ""
        partial = [word for u in updates for word in u.partial_words]
        assert all(0 <= w.start <= w.end <= len(wav) / RATE for w in partial)
        assert all(0 < w.confidence <= 1 for w in words)
        assert set(stream.record.chunks_at) == {n_layers}


def test_silence_costs_nothing(asr):
    stream = asr.stream(0.5)
    for _ in range(5):
        assert stream.feed(silence(0.5)).words == ()
    assert stream.finish().words == () and not stream.record.chunks_at


def test_who_is_late_hears_what_is_final_alone(asr, wav):
    stream = asr.stream(0.5, clock=lambda: 100.0)
    words = stream.feed(wav, arrived=0.0).words  # a minute and more ago
    on_time = asr.stream(0.5, clock=lambda: 100.0)
    assert words == on_time.feed(wav, arrived=100.0).words
    assert stream.record.chunks_at.total() == 2  # what pauses made final
    assert on_time.record.chunks_at.total() > 4


def test_half_of_the_time_is_left_to_what_is_final(asr):
    now, passes = [0.0], []

    def encode(*args):
        passes.append(now[0])
        now[0] += 2.0  # what a pass takes
        return type(asr).encode(asr, *args)

    asr.encode = encode
    try:
        stream = asr.stream(0.5, clock=lambda: now[0])
        for part in noise(9.0).split(8000):
            now[0] += 0.5
            stream.feed(part)
    finally:
        del asr.encode
    assert passes == [0.5, 4.5, 8.5, 12.5, 16.5]  # of 2 s, and 2 s without


def test_a_governor_holds_the_floor_of_who_is_late(asr, wav):
    ticks = iter(range(10**6))
    governor = Governor(max_lag=0.5, floor=asr.depths[1])
    stream = asr.stream(0.5, governor=governor, clock=lambda: next(ticks))
    stream.feed(wav)
    stream.finish()
    assert set(stream.record.chunks_at) == {asr.depths[1]}


def test_a_governor_comes_and_goes_in_mid_stream(asr, wav):
    options = {"n_layers": asr.depths[-1], "clock": lambda: 0.0}
    stream = asr.stream(0.5, **options)
    stream.feed(wav)
    stream.govern(Governor(max_lag=30.0, floor=asr.depths[0]))
    with pytest.raises(ValueError, match="without a governor"):
        stream.set_depth(asr.depths[-1])
    stream.feed(noise(1.0))
    assert stream.update.n_layers == asr.depths[0]
    stream.govern(None)
    stream.set_depth(asr.depths[-1])
    stream.feed(noise(1.0))
    assert stream.update.n_layers == asr.depths[-1]


@pytest.mark.parametrize(
    "options, said",
    [
        ({"chunk": 3.0, "window": 2.0}, "`chunk` must be between"),
        ({"window": 31.0}, "`window` must be above 0 and at most 30"),
    ],
)
def test_what_is_no_segment_is_refused(asr, options, said):
    with pytest.raises(ValueError, match=said):
        asr.stream(**options)
