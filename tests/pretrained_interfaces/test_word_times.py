"""Times of words and segments, from audio to seconds; text laid on audio."""

import numpy as np
import pytest
import soundfile
import torch

from dld_brain.encoder.deepen import Step
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.gates.gates import Gates
from dld_brain.tasks.alignment import WordSpan
from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.depths.depth import Fixed
from pretrained_interfaces.times.aligning import aligned
from pretrained_interfaces.times.timed import Word, segments, words_in
from pretrained_interfaces.transcription import Clock
from pretrained_interfaces.windowed import Stretch

RATE, FRAME = 16000, 0.04
SPEECH, _ = soundfile.read(
    "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac", dtype="float32"
)
#: When something is said, s: bursts of 0.3 s.
SAID = [0.4, 1.0, 1.9, 2.5, 4.5, 5.2, 6.3, 7.0, 7.7, 10.4, 11.0]
#: Tokens of the golden model.
SPACE, E = 3, 4
pytestmark = pytest.mark.filterwarnings(
    "ignore::dld_brain.audio.checks.AudioWarning"
)


@pytest.fixture
def asr():
    return DynamicEncoderASR.from_hparams("tests/samples/golden")


@pytest.fixture
def ears(asr, monkeypatch):
    """The model, with an encoder that writes a word for each burst."""

    def loud(feats, lengths):
        """Frames that see 7 frames of the features, as the stem does."""
        views = feats.unfold(1, 7, 4).mean(dim=(-1, -2))  # [B, T']
        tokens = torch.where(views > views.mean(), E, SPACE)
        log_probs = torch.full((*tokens.shape, 13), 0.01)
        log_probs.scatter_(2, tokens[..., None], 0.88)
        out = EncoderOutput(log_probs.log(), (lengths - 7) // 4 + 1)
        return Step(Gates((0,), 1), out, 1)

    monkeypatch.setattr(Fixed, "plan", lambda *_: loud)
    return asr


def bursts():
    """What is said in 12 s, [S]."""
    rng = np.random.default_rng(0)
    level = np.full(12 * RATE, 0.001)
    for start in SAID:
        level[round(start * RATE) : round((start + 0.3) * RATE)] = 0.3
    return (level * rng.standard_normal(len(level))).astype(np.float32)


@pytest.mark.parametrize("vad", ["energy", None])
@pytest.mark.parametrize("longest", [None, 3.0, 1.2])
def test_words_start_when_they_are_said(ears, vad, longest):
    ears.longest_utterance = longest
    found = ears.transcribe(
        bursts(), sampling_rate=RATE, vad=vad, word_times=True
    )
    assert found.text.split() == [w.text for w in found.words] == ["E"] * 11
    # What a frame sees begins up to two frames before and behind it.
    for word, start in zip(found.words, SAID):
        assert word.start == pytest.approx(start, abs=2 * FRAME)
        assert word.end == pytest.approx(start + 0.3, abs=2 * FRAME)
        assert word.confidence == pytest.approx(0.88)


def test_windows_give_the_times_of_the_whole(ears):
    whole = ears.transcribe(
        bursts(), sampling_rate=RATE, windowed=False, word_times=True
    )
    ears.longest_utterance = 2.0
    found = ears.transcribe(
        bursts(), sampling_rate=RATE, vad=None, word_times=True
    )
    assert found.n_windows > 4
    for a, b in zip(found.words, whole.words, strict=True):
        assert a.start == pytest.approx(b.start, abs=FRAME + 1e-6)
        assert a.end == pytest.approx(b.end, abs=FRAME + 1e-6)


def test_segments_are_parted_at_pauses(ears):
    found = ears.transcribe(
        bursts(), sampling_rate=RATE, vad=None, word_times=True
    )
    assert [len(s.words) for s in found.segments] == [4, 5, 2]
    assert [s.text for s in found.segments][2] == "E E"
    first, last = found.segments[0], found.segments[-1]
    assert (first.start, last.end) == (
        found.words[0].start,
        found.words[-1].end,
    )


@pytest.mark.parametrize("n_layers", [1, None])
def test_times_change_nothing_else(asr, n_layers):
    plain = asr.transcribe(SPEECH, n_layers, sampling_rate=RATE)
    timed = asr.transcribe(
        SPEECH, n_layers, sampling_rate=RATE, word_times=True
    )
    assert " ".join(w.text for w in timed.words) == timed.text == plain.text
    assert timed.confidence == plain.confidence
    (segment,) = plain.segments
    assert segment.words is None and segment.text == plain.text
    assert 0 <= segment.start < segment.end <= plain.audio_seconds
    assert all(0 <= w.start < w.end <= len(SPEECH) / RATE for w in timed.words)
    with pytest.raises(ValueError, match="word_times=True"):
        plain.words  # noqa: B018


def test_words_of_a_beam_search_have_times(asr):
    asr.decode_with("beam", beam_size=5)
    found = asr.transcribe(SPEECH, sampling_rate=RATE, word_times=True)
    assert " ".join(w.text for w in found.words) == found.text
    assert found.words[-1].end <= found.audio_seconds


def test_without_speech_nothing_has_a_time(asr):
    found = asr.transcribe(
        np.zeros(2 * RATE), sampling_rate=RATE, word_times=True
    )
    assert (found.words, found.segments) == ([], [])


def test_a_text_is_laid_on_the_speech_of_all_stretches(ears):
    ears.longest_utterance = 3.0
    text = " ".join("Ee" if i == 6 else "e" for i in range(11))
    # One more E than is heard must share the frames of its burst.
    found = ears.align(bursts(), text, sampling_rate=RATE)
    assert [w.text for w in found.words] == text.split()
    assert found.text == text
    for i in (0, 3, 4, 5, 9, 10):
        start = found.words[i].start
        assert start == pytest.approx(SAID[i], abs=2 * FRAME)


def test_a_token_does_not_last_over_a_pause(asr):
    path = torch.tensor([0, 0, E, E])
    log_probs = torch.full((1, 4, 13), 0.01)
    log_probs.scatter_(2, path[None, :, None], 0.88)
    stretches = [
        Stretch(
            EncoderOutput(each.log(), torch.tensor([4])), Gates((0,), 1), 1, *at
        )
        for each, at in (
            (log_probs, (0, 2560)),
            (log_probs.flip(1), (RATE, RATE + 2560)),
        )
    ]
    clock = Clock(RATE, 640, 2.0)
    found = aligned(asr.task.vocabulary, stretches, clock, "E", [E])
    (word,) = found.words
    assert word.end - word.start == pytest.approx(2 * FRAME)


@pytest.mark.parametrize(
    "text, options, match",
    [
        ("E 7 ü", {}, "but has '7' 'ü': leave it out"),
        ("E " * 400, {}, "need at least"),
        ("", {}, "must have a word"),
        ("E", {"n_layers": 99}, "`n_layers` must be between"),
    ],
)
def test_what_cannot_be_aligned_is_said(asr, text, options, match):
    with pytest.raises(ValueError, match=match):
        asr.align(SPEECH, text, sampling_rate=RATE, **options)


def test_a_text_of_silence_is_refused(asr):
    with pytest.raises(ValueError, match="audio: no speech was found to align"):
        asr.align(np.zeros(RATE), "E", sampling_rate=RATE)


def test_segments_are_cut_where_the_gap_is_longer():
    words = [Word("A", t, t + 0.5, 1.0) for t in (0.0, 1.5, 3.1)]
    assert [s.text for s in segments(words, gap=1.0)] == ["A A", "A"]
    assert [*segments([])] == []


@pytest.mark.parametrize(
    "rate, step", [(16000, 320), (16000, 640), (22050, 441)]
)
@pytest.mark.parametrize("first", [0, 1, 4321, 10_000_019])
def test_a_word_ends_where_the_next_begins_and_not_behind_it(rate, step, first):
    clock = Clock(rate, step, 1e6)
    starts = [(first + k * step) / rate for k in range(1000)]
    spans = [WordSpan("a", k, k + 1, 1.0) for k in range(1000)]
    words = words_in(spans, starts, clock.step / clock.rate, 1e6)
    for a, b in zip(words, words[1:]):
        assert a.start < a.end == b.start
    assert words[0].start == pytest.approx(first / rate, abs=1e-9)
