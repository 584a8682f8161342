"""A stream by a sliding window: what two passes agree on."""

import pytest
import torch

from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.streams.window_stream import Agreement, Window
from pretrained_interfaces.times.timed import Word


def words(text, first=0.0):
    """Words of half a second each."""
    return [
        Word(word, first + 0.5 * i, first + 0.5 * i + 0.4, 1.0)
        for i, word in enumerate(text.split())
    ]


def texts(found):
    """What was said."""
    return " ".join(word.text for word in found)


def test_a_word_is_final_when_two_passes_agree():
    agreement = Agreement()
    assert texts(agreement.add(words("TURN OF"), 0.0)) == ""
    assert texts(agreement.add(words("TURN ON THE"), 0.0)) == "TURN"
    assert texts(agreement.add(words("TURN ON THE LIGHT"), 0.0)) == "ON THE"
    assert texts(agreement.finish()) == "LIGHT"
    assert agreement.finish() == []


def test_what_is_final_is_not_said_again_from_a_frame_earlier():
    agreement = Agreement()
    agreement.add(words("YES YES"), 0.0)
    assert texts(agreement.add(words("YES YES"), 0.0)) == "YES YES"
    moved = words("YES YES NO", -0.04)
    assert agreement.add(moved, 0.0) == []
    assert texts(agreement.add(moved, 0.0)) == "NO"


def test_a_word_that_leaves_the_window_is_final():
    agreement = Agreement()
    agreement.add(words("A B C"), 0.0)
    # From 0.6 s on; the pass disagrees about the rest.
    assert texts(agreement.add(words("X", 1.0), 0.6)) == "A B"
    assert texts(agreement.finish()) == "X"


def test_words_of_passes_that_disagree_do_not_overlap():
    agreement, found = Agreement(), []
    for shift in (0.0, 0.0, 0.3, 0.3, -0.1, -0.1):
        found += agreement.add(words("A B C D E F", shift), 0.0)
    found += agreement.finish()
    assert len(found) > 6
    ends = [0.0, *(word.end for word in found)]
    assert all(a <= w.start <= w.end for a, w in zip(ends, found))


@pytest.mark.parametrize("n_fed", [1, 7, 1000])
def test_windows_do_not_depend_on_how_they_are_fed(n_fed):
    samples, found = torch.arange(103.0), []
    window = Window(step=10, size=25)
    for part in samples.split(n_fed):
        window.feed(part)
        found += [(window.first, x.tolist()) for x in window.chunks()]
    found += [(window.first, x.tolist()) for x in window.finish()]
    ends = [*range(10, 101, 10), 103]
    expected = [
        (max(0, end - 25), samples[max(0, end - 25) : end].tolist())
        for end in ends
    ]
    assert found == expected


@pytest.fixture(scope="module")
def asr():
    """A small model that talks."""
    asr = DynamicEncoderASR.from_hparams("tests/samples/golden")
    asr.mods.model.head.bias.data[0] -= 1.0
    return asr


def test_a_stream_in_one_window_says_what_the_file_does(asr):
    wav = 0.1 * torch.randn(40_000, generator=torch.Generator().manual_seed(1))
    wav *= torch.linspace(0, 9, 40_000).sin()
    for n_layers in asr.depths:
        stream = asr.stream(1.0, n_layers=n_layers, window=10.0)
        found = [*stream.feed(wav[:1]).words, *stream.feed(wav[1:]).words]
        partial = stream.update.partial
        found += stream.finish().words
        (text,), _ = asr.transcribe_batch(wav[None], torch.ones(1), n_layers)
        assert texts(found) and partial
        assert texts(found).split()[-1] == text.split()[-1]
        assert stream.record.chunks_at == {n_layers: 3}


def test_silence_says_nothing_and_memory_is_bounded(asr):
    stream = asr.stream(0.5, window=2.0)
    for _ in range(30):
        assert stream.feed(torch.zeros(8000)).words == ()
    assert len(stream.front.samples) == 32_000
    assert stream.front.n_waiting == 0 and len(stream.front.parts) == 1
    assert stream.finish().words == ()


@pytest.mark.parametrize(
    "chunk, window, said",
    [
        (3.0, 2.0, "`chunk` must be between 0.02 s and the window, 2 s"),
        (1.0, 31.0, "`window` must be above 0 and at most 30 s"),
        (0.0, 2.0, "`chunk` must be between"),
    ],
)
def test_what_is_no_window_is_refused(asr, chunk, window, said):
    with pytest.raises(ValueError, match=said):
        asr.stream(chunk, window=window)
