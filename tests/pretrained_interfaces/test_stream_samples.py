"""What a stream is fed: any row of samples, copied, or a line on why not."""

import warnings

import numpy as np
import pytest
import torch

from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.streams.stream import check_samples


@pytest.fixture(scope="module")
def asr():
    """A small model that talks."""
    return DynamicEncoderASR.from_hparams("tests/samples/golden")


@pytest.mark.parametrize("as_tensor", [True, False])
@pytest.mark.parametrize("window", [None, 2.0])
def test_who_feeds_may_use_the_buffer_again(asr, as_tensor, window):
    """Callbacks of sound cards do."""
    rng = np.random.default_rng(3)
    loudness = np.sin(np.linspace(0, 9, 48_000)) ** 2  # as of speech
    samples = (loudness * rng.standard_normal(48_000)).astype(np.float32) / 5
    buffer = np.zeros(1280, np.float32)
    given = torch.from_numpy(buffer) if as_tensor else buffer
    texts = []
    for is_reused in (True, False):
        stream, words = asr.stream(0.64, 1.28, window=window), []
        for first in range(0, len(samples) - 1279, 1280):
            part = samples[first : first + 1280]
            buffer[:] = part
            words += stream.feed(given if is_reused else part.copy()).words
        words += stream.finish().words
        texts.append([word.text for word in words])
    assert texts[0] == texts[1] != []


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        (np.full(3, 1e30), "reach 1e\\+30"),
        (np.array([0.0, 16384.0]), "whole numbers of 16 bits"),
        (["a"], "a row of numbers"),
        (None, "."),
        (np.array([1j]), "."),
    ],
)
def test_what_is_no_sound_is_refused_before_any_is_taken(asr, samples, told):
    stream = asr.stream(0.64, 1.28)
    with pytest.raises(ValueError, match=told):
        stream.feed(samples)
    assert stream.record.n_samples == 0


@pytest.mark.parametrize(
    "samples",
    [
        np.array([16384, -16384], ">i2"),
        np.array([-0.5, 0.5], np.float32)[::-1],
        torch.tensor([0.5, -0.5], dtype=torch.bfloat16),
        torch.tensor([0.5, -0.5], requires_grad=True),
        np.frombuffer(np.array([16384, -16384], np.int16).tobytes(), np.int16),
    ],
)
def test_every_row_of_samples_is_one(samples):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = check_samples(samples, None, 16000)
    assert found.dtype == torch.float32 and found.tolist() == [0.5, -0.5]
