"""Augmentation: in training it acts, on what it is of; elsewhere not."""

import pytest
import torch
from common import batch_of, noise, start, tiny_brain, tiny_composed

import speechbrain as sb
from dld_brain.training.augmentation import Augmentation
from speechbrain.augment.freq_domain import SpectrogramDrop


def recorded(change):
    """An augmenter that remembers what it was given."""
    seen = []

    def augment(x, lengths):
        seen.append((x, lengths))
        return change(x), lengths

    return augment, seen


def test_both_augmentations_act_in_training_alone():
    wav, wavs = recorded(lambda x: 2 * x)
    feats, features = recorded(torch.zeros_like)
    brain = start(tiny_brain())
    batch = batch_of(noise(2))
    plain, lengths = brain.extract_features(batch, sb.Stage.TRAIN)
    brain.augmentation = Augmentation(wav, feats)
    found, same = brain.extract_features(batch, sb.Stage.TRAIN)
    assert torch.equal(found, torch.zeros_like(plain))
    assert torch.equal(lengths, same)
    # The waveform's is in front of the features: twice as loud, 6 dB.
    assert torch.equal(wavs[0][0], batch.sig.data)
    louder = features[0][0][0] - plain[0]
    norm = brain.modules.normalize.glob_std
    assert torch.allclose(louder * norm, torch.tensor(6.02), atol=0.1)
    # Relative lengths, of frames, as SpeechBrain's augmenters take them.
    assert torch.allclose(features[0][1], lengths / plain.shape[1], atol=1e-6)
    again, _ = brain.extract_features(batch, sb.Stage.VALID)
    assert torch.equal(again, plain)
    assert len(wavs) == len(features) == 1


@pytest.mark.parametrize("key", ["max_time_drop", "max_freq_drop"])
def test_the_shortest_masks_that_settings_allow_can_be_drawn(key):
    with pytest.raises(ValueError, match=f"`{key}` must be .* 6, but is 5"):
        tiny_composed(**{key: 5}).settings()
    assert getattr(tiny_composed(**{key: 6}).settings().data, key) == 6
    drop = SpectrogramDrop(drop_length_low=5, drop_length_high=6)
    assert drop(torch.ones(2, 50, 80)).shape == (2, 50, 80)
