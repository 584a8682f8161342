"""A stream of a model: words as they are said, whatever comes."""

import gc
import json
import math
import warnings

import numpy as np
import pytest
import torch

from dld_brain.audio.features import extract
from dld_brain.losses import BLANK_ID
from dld_brain.model_folder.training import trained_on
from dld_brain.tasks.alignment import align_tokens, words_of
from pretrained_interfaces import DynamicEncoderASR, Governor
from pretrained_interfaces.streams.chunk_stream import RESTART
from pretrained_interfaces.streams.streamed import StreamedWords
from speechbrain.utils.dynamic_chunk_training import DynChunkTrainConfig

GOLDEN = "tests/samples/golden"
CHUNK, LEFT = 0.32, 0.64


@pytest.fixture(scope="module")
def asr():
    """A small model that talks: its head has little of the blank."""
    asr = DynamicEncoderASR.from_hparams(GOLDEN)
    asr.mods.compute_features.compute_fbanks.top_db = math.inf
    asr.mods.model.head.bias.data[BLANK_ID] -= 1.0
    return asr


@pytest.fixture(scope="module")
def wav():
    """3.1 s of noise that grows and falls silent."""
    noise = torch.randn(49_777, generator=torch.Generator().manual_seed(5))
    return 0.1 * noise * torch.linspace(0, 3, 49_777).sin().clamp(min=1e-3)


def listen(stream, wav, n_fed):
    """Words, and the text that is shown after each feed."""
    words = []
    for part in wav.split(n_fed):
        words += stream.feed(part).words
    return [*words, *stream.finish().words]


def offline(asr, wav, n_layers):
    """The text of the whole under the mask of the same chunks."""
    feats, lengths = extract(asr.mods, wav[None], torch.ones(1))
    chunks = DynChunkTrainConfig(8, 2)
    with torch.no_grad():
        (out,) = asr.mods.model(feats, lengths, [asr.gates(n_layers)], chunks)
    return asr.task.decode(out)[0]


@pytest.mark.parametrize("n_fed", [112, 16_000])
def test_words_are_those_of_the_masked_pass_at_every_depth(asr, wav, n_fed):
    for n_layers in asr.depths:
        stream = asr.stream(CHUNK, LEFT, n_layers)
        words = listen(stream, wav, n_fed)
        text = " ".join(word.text for word in words)
        assert text.split() == offline(asr, wav, n_layers).split()
        assert len(text) > 10
        assert stream.record.n_samples == len(wav)
        assert set(stream.record.chunks_at) == {n_layers}


def test_times_rise_and_lie_in_the_audio(asr, wav):
    words = listen(asr.stream(CHUNK, LEFT), wav, 999)
    times = [t for word in words for t in (word.start, word.end)]
    assert times == sorted(times)
    assert 0 <= times[0] and times[-1] <= len(wav) / 16000


class Letters:
    """A tokenizer of single letters, an underline in front of a word."""

    PIECES = ["", "▁A", "B", "▁"]

    def id_to_piece(self, i):
        return self.PIECES[i]

    def decode_ids(self, ids):
        return "".join(self.PIECES[i] for i in ids).replace("▁", " ")


def said(*chunks):
    """Words of chunks of tokens, and what is being said after each."""
    words, found, partial = StreamedWords(Letters(), 0.04), [], []
    for chunk in chunks:
        log_probs = torch.eye(4)[list(chunk)]
        found += words.add(log_probs)
        partial.append(words.partial)
    found += words.finish()
    return [w.text for w in found], partial, found


def test_a_token_that_goes_on_over_a_border_is_said_once():
    texts, partial, _ = said([0, 1, 2], [2, 2, 0], [2, 0, 1])
    assert texts == ["ABB", "A"]
    assert partial == ["AB", "AB", "A"]


def test_a_word_is_final_when_the_next_begins():
    words = StreamedWords(Letters(), 0.04)
    assert words.add(torch.eye(4)[[1, 2, 0]]) == []
    (word,) = words.add(torch.eye(4)[[0, 1, 2]])
    assert (word.text, word.start, word.end) == ("AB", 0.0, 0.08)
    (word,) = words.finish()
    assert (word.text, word.start) == ("AB", 0.16)
    assert words.finish() == []


def test_words_are_as_sure_as_those_of_a_file():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(60, 4, generator=generator)
    logits[:, 3] = -9.0  # the gap alone
    log_probs = logits.log_softmax(-1)
    path = log_probs.argmax(-1)
    ids = [int(i) for i in torch.unique_consecutive(path) if i]
    expected = words_of(align_tokens(log_probs, ids), Letters())
    words = StreamedWords(Letters(), 0.04)
    found = [w for part in log_probs.split(7) for w in words.add(part)]
    found += words.finish()
    assert [w.text for w in found] == [w.text for w in expected] and found
    assert [w.confidence for w in found] == pytest.approx(
        [w.confidence for w in expected]
    )


def test_an_underline_alone_is_no_word():
    assert said([3, 0, 1], [0, 3, 2])[0] == ["A", "B"]


@pytest.mark.parametrize(
    "samples, rate, words",
    [
        ([0.0, math.nan], None, "sample 1 of 2 .* none of them is taken"),
        ([math.inf], None, "must be finite"),
        ([[0.0, 0.0]], None, "must be one row of mono samples"),
        ([0.0], 8000, "must be the model's, 16000 Hz, but is 8000: resample"),
        (np.array([1, 2]), None, "whole numbers of 16 bits, but are"),
    ],
)
def test_what_is_refused_leaves_the_stream_as_it_was(
    asr, wav, samples, rate, words
):
    expected = listen(asr.stream(CHUNK, LEFT), wav, 10_000)
    stream = asr.stream(CHUNK, LEFT)
    found = list(stream.feed(wav[:20_000]).words)
    with pytest.raises(ValueError, match=words):
        stream.feed(samples, rate)
    found += listen(stream, wav[20_000:], 10_000)
    assert found == expected


@pytest.mark.parametrize(
    "options, words",
    [
        ({"chunk": 0.5}, "must be a multiple of 0.04 s .* try 0.48"),
        ({"chunk": 0.0}, "must be a multiple of 0.04 s"),
        ({"chunk": math.nan}, "must be a multiple of 0.04 s"),
        ({"chunk": 31.2}, "between 0.04 and 30"),
        ({"left": -1.0}, "`left` must be between 0 and 60 s"),
        ({"n_layers": 99}, "`n_layers` must be between"),
        ({"n_layers": 2, "governor": Governor()}, "not both"),
        ({"governor": Governor(floor=99)}, "`floor` must be one of"),
    ],
)
def test_what_is_no_stream_is_refused(asr, options, words):
    with pytest.raises(ValueError, match=words):
        asr.stream(**options)


def test_nothing_and_too_little_say_nothing(asr):
    stream = asr.stream()
    assert stream.feed([]).words == ()
    assert stream.feed(torch.zeros(700)).n_layers == 0
    assert stream.finish().words == ()
    assert stream.finish().words == ()  # once more
    with pytest.raises(ValueError, match="must not be fed once"):
        stream.feed([0.0])


def test_whole_numbers_of_16_bits_are_those_samples(asr, wav):
    pcm = (wav * 2**15).round().to(torch.int16)
    found = listen(asr.stream(CHUNK, LEFT), pcm, 5000)
    assert found == listen(asr.stream(CHUNK, LEFT), pcm / 2**15, 5000)


def n_tensor_bytes():
    """Bytes of all tensors that there are."""
    gc.collect()
    return sum(
        o.untyped_storage().nbytes()
        for o in gc.get_objects()
        if type(o) is torch.Tensor
    )


def test_memory_is_bounded_and_positions_begin_anew(asr):
    stream = asr.stream(1.28, 1.28, asr.depths[0])
    sizes = []
    for _ in range(4):
        for _ in range(20):
            stream.feed(torch.zeros(20_480))
        sizes.append(n_tensor_bytes())
    assert sizes[1] == sizes[2] == sizes[3]
    longest = asr.longest_utterance or RESTART
    assert stream.front.first * 0.04 <= longest + 1.28
    assert stream.record.audio_seconds == pytest.approx(80 * 1.28)


class Clock:
    """Time that passes when it is told, or by the layers that run."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def slow(asr):
    """A clock, and how long each layer takes by it."""
    clock, cost = Clock(), {"layer": 0.0}

    def spend(*_):
        clock.now += cost["layer"]

    hooks = [
        layer.norm2.register_forward_hook(spend)
        for layer in asr.mods.model.layers.layers
    ]
    yield clock, cost
    for hook in hooks:
        hook.remove()


def test_the_governor_keeps_the_lag_and_every_sample(asr, slow):
    clock, cost = slow
    n_total, n_least = asr.depths[-1], asr.depths[0]
    stream = asr.stream(CHUNK, LEFT, governor=Governor(0.3), clock=clock)
    block, lags, arrived = int(CHUNK * 16000), [], 0.0
    for i in range(90):
        # At full depth 0.03 s in all; in the middle, 1.5 chunks.
        is_loaded = 30 <= i < 60
        cost["layer"] = (1.5 * CHUNK if is_loaded else 0.03) / n_total
        arrived += CHUNK
        clock.now = max(clock.now, arrived)
        update = stream.feed(torch.zeros(block), arrived=arrived)
        lags.append(update.lag)
    record = stream.record
    assert record.n_samples == 90 * block
    assert sum(record.chunks_at.values()) >= 88
    assert {n_least, n_total} <= set(record.chunks_at)
    assert record.n_changes >= 2
    assert sorted(lags)[int(0.95 * len(lags))] <= 0.3
    with pytest.raises(ValueError, match="a stream without a governor"):
        stream.set_depth(1)


def test_the_depth_changes_from_the_next_chunk_on(asr, wav):
    stream = asr.stream(CHUNK, LEFT, asr.depths[0])
    stream.feed(wav[:20_000])
    stream.set_depth()
    assert stream.feed(wav[20_000:]).n_layers == asr.n_total
    assert set(stream.record.chunks_at) == {asr.depths[0], asr.n_total}


def test_a_minute_without_samples_changes_nothing(asr, wav, slow):
    """In the middle of a chunk: what is there waits, and nothing lags."""
    clock, cost = slow
    cost["layer"] = 0.001
    expected = listen(asr.stream(CHUNK, LEFT), wav, 10_000)
    stream = asr.stream(CHUNK, LEFT, governor=Governor(0.3), clock=clock)
    stream.feed(wav[:7_000], arrived=clock.now)
    depths = []
    for first in range(7_000, len(wav), 5_000):
        clock.now += 60.0
        update = stream.feed(wav[first : first + 5_000], arrived=clock.now)
        assert update.lag < 0.1
        depths.append(update.n_layers)
    assert depths[-1] > depths[0]  # nor is it taken for load
    stream = asr.stream(CHUNK, LEFT, clock=clock)
    found = list(stream.feed(wav[:7_000]).words)
    clock.now += 60.0
    found += listen(stream, wav[7_000:], 5_000)
    assert found == expected


def test_an_hour_of_silence_says_nothing_in_the_same_memory(asr):
    stream = asr.stream(30.0, 30.0, asr.depths[0])
    silent = asr.mods.model.head.bias.data.clone()
    try:
        asr.mods.model.head.bias.data[BLANK_ID] += 100.0
        sizes = []
        for i in range(120):
            assert stream.feed(torch.zeros(480_000)).text == ""
            if i in (30, 119):
                sizes.append(n_tensor_bytes())
        assert stream.finish().words == ()
    finally:
        asr.mods.model.head.bias.data = silent
    assert sizes[0] == sizes[1]
    assert stream.record.audio_seconds == 3600


def test_nan_in_mid_stream_is_refused_by_a_window_stream_too(asr, wav):
    expected = listen(asr.stream(0.5, window=2.0), wav, 16_000)
    stream = asr.stream(0.5, window=2.0)
    found = list(stream.feed(wav[:16_000]).words)
    bad = wav[16_000:32_000].clone()
    bad[7] = math.nan
    with pytest.raises(ValueError, match="sample 7 of 16000"):
        stream.feed(bad)
    assert found + listen(stream, wav[16_000:], 16_000) == expected


@pytest.mark.parametrize("is_chunked", [None, True, False])
def test_a_model_of_whole_utterances_warns(asr, monkeypatch, is_chunked):
    monkeypatch.setattr(asr, "trained_in_chunks", is_chunked)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        asr.stream(CHUNK, LEFT)
        asr.stream(1.0, window=10.0)
    assert len(found) == (is_chunked is False)
    assert all("window=10" in str(w.message) for w in found)
    assert all(w.filename == __file__ for w in found)


def test_a_folder_says_whether_training_saw_chunks(tmp_path):
    assert trained_on(tmp_path).in_chunks is None
    for told in (True, False, None, "no"):
        (tmp_path / "training.json").write_text(json.dumps({"in_chunks": told}))
        known = told if isinstance(told, bool) else None
        assert trained_on(tmp_path).in_chunks is known
