"""Silence and noise in training: no word, at every depth."""

import math

import numpy as np
import pytest
import torch
from common import (
    batch_of,
    noise,
    start,
    tiny_brain,
    tiny_composed,
    tiny_modules,
)

import speechbrain as sb
from dld_brain import losses
from dld_brain.audio.features import FeatureNorm
from dld_brain.audio.no_speech import (
    AROUND,
    LEVELS,
    mix_in,
    no_speech,
    put_around,
)
from dld_brain.gates.by_depth import SandwichGates
from dld_brain.training.augmentation import Augmentation


def test_what_is_no_speech_is_silent_constant_or_noise_of_a_level():
    rng = np.random.default_rng(3)
    found = [no_speech(4000, rng) for _ in range(300)]
    varying = [x for x in found if np.ptp(x) > 0]
    levels = [20 * math.log10(x.std()) for x in varying]
    assert min(levels) > LEVELS[0] - 0.5 and max(levels) < LEVELS[1] + 0.5
    assert max(levels) - min(levels) > 50
    zeros = sum(not x.any() for x in found)
    assert min(zeros, len(varying), 300 - zeros - len(varying)) > 70
    assert all(np.abs(x).max() <= 1 for x in found)


def test_it_takes_a_share_of_the_places_and_leaves_padding():
    wavs, lens = torch.full((400, 50), 2.0), torch.full((400,), 0.8)
    wavs[:, 40:] = 0.0
    found, is_kept = mix_in(wavs, lens, 0.1, np.random.default_rng(1))
    again, _ = mix_in(wavs, lens, 0.1, np.random.default_rng(1))
    assert torch.equal(found, again)
    assert 0.05 < 1 - is_kept.float().mean() < 0.15
    assert torch.equal(found[is_kept], wavs[is_kept])
    assert found[~is_kept].abs().max() <= 1 and not found[:, 40:].any()


def test_it_is_put_around_an_utterance_that_stays_whole():
    rng = np.random.default_rng(5)
    wavs = torch.full((40, 50), 2.0)  # louder than anything put around
    lens = torch.linspace(0.1, 1.0, 40)
    found, longer = put_around(wavs, lens, 30, rng)
    assert found.shape == (40, 80)
    starts = set()
    for wav, n, total in zip(found, lens * 50, longer * 80):
        n, total = round(float(n)), round(float(total))
        assert total == n + 30 and not wav[total:].any()
        (is_speech,) = (wav == 2.0).nonzero(as_tuple=True)
        assert len(is_speech) == n == is_speech[-1] - is_speech[0] + 1
        starts.add(int(is_speech[0]))
    assert min(starts) < 5 and max(starts) > 25


def test_batches_grow_behind_the_first_epoch_up_to_the_longest_utterance():
    brain = brain_of(0.0)
    seen = []
    brain.modules["normalize"] = FeatureNorm(update_until_epoch=99)
    learn = brain.modules.normalize._learn
    brain.modules.normalize._learn = lambda *a: seen.append(a[2]) or learn(*a)
    brain.augmentation = Augmentation(no_speech_around=1.0, longest=1.5)
    wavs = torch.zeros(2, brain.sample_rate)
    lengths = []
    for brain.step in range(50):
        told = wavs, torch.ones(2), brain.sample_rate
        found, _ = brain.augmentation.put_around(*told, 2, brain.rng())
        lengths.append(found.shape[1] / brain.sample_rate - 1)
        assert brain.augmentation.put_around(*told, 1, brain.rng())[0] is wavs
    assert AROUND > max(lengths) == 0.5 and min(lengths) < 0.2
    brain.augmentation = Augmentation(no_speech_around=1.0)
    for epoch in (1, 2):  # what was put around is not learnt from
        brain.epoch_counter.current = epoch
        brain.extract_features(batch_of(noise(2)), sb.Stage.TRAIN)
    assert [bool(is_speech.any()) for is_speech in seen] == [True, False]
    brain.extract_features(batch_of(noise(2)), sb.Stage.VALID)
    assert len(seen) == 3 and seen[2].all()


def brain_of(share, **settings):
    """A Brain with a teacher and a sandwich of depths."""
    brain = tiny_brain(
        teacher=tiny_modules(seed=1),
        gate_sampler=SandwichGates(4, seed=3),
        **{"distillation.in_place_weight": 1.0, **settings},
    )
    brain.augmentation = Augmentation(no_speech=share)
    return start(brain, n_batches=99)


def test_its_loss_is_that_of_blanks_at_every_depth_and_no_teachers():
    brain = brain_of(1.0)
    brain.step = 1
    batch = batch_of(noise(3))
    brain.on_fit_batch_start(batch, True)
    predictions = brain.compute_forward(batch, sb.Stage.TRAIN)
    found = brain.compute_objectives(predictions, batch, sb.Stage.TRAIN)
    expected = 0.0
    assert len(predictions.students) > 2
    for run, out in predictions.students:
        for log_probs, n in zip(out.log_probs, out.lengths):
            blanks = log_probs[:n, 0].detach().sum()
            expected -= run.weight * float(blanks) / 3
    assert found.item() == pytest.approx(expected, rel=1e-4)
    found.backward()
    for parameter in brain.modules.model.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()
    assert predictions.teacher is not None
    # What has words is taught as before.
    batch = batch_of(noise(3))
    predictions = brain.compute_forward(batch, sb.Stage.TRAIN)
    run, out = predictions.students[0]
    kl = losses.kl(predictions.teacher.log_probs, *out[:2])
    taught = brain.distilled(run, out, predictions)
    torch.testing.assert_close(taught, kl)


def test_the_normaliser_learns_from_speech_alone():
    brain = brain_of(0.5)
    batch = batch_of(noise(4))
    brain.modules["normalize"] = FeatureNorm()
    brain.step = 1
    brain.on_fit_batch_start(batch, True)
    has_words = batch.targets.lengths > 0
    assert 0 < has_words.sum() < 4
    brain.compute_forward(batch, sb.Stage.TRAIN)
    found = brain.modules.normalize._statistics_dict()
    kept = [u for u, is_kept in zip(noise(4), has_words) if is_kept]
    brain.modules["normalize"] = FeatureNorm()
    brain.compute_forward(batch_of(kept), sb.Stage.TRAIN)
    expected = brain.modules.normalize._statistics_dict()
    torch.testing.assert_close(found, expected)


def test_a_model_learns_to_say_nothing():
    brain = brain_of(0.5)
    for brain.step in range(1, 21):
        brain.fit_batch(batch_of(noise(4, seed=brain.step, seconds=0.3)))
    silence = batch_of([{**u, "sig": 0 * u["sig"]} for u in noise(1)])
    brain.modules.eval()
    brain.valid_depths = [2, 4]
    for _, out in brain.compute_forward(silence, sb.Stage.VALID).students:
        assert not out.log_probs.argmax(-1).any()


def test_a_classifier_has_no_answer_to_silence():
    with pytest.raises(ValueError, match="`no_speech` must be 0 for `task`"):
        tiny_composed(no_speech=0.1, task="classification").settings()
