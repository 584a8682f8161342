"""NaN and infinity reach neither weights nor statistics nor the disk."""

import copy
import logging
from contextlib import contextmanager

import pytest
import torch
from common import (
    batch_of,
    noise,
    start,
    tiny_brain,
    tiny_modules,
    transcription,
)

from dld_brain.audio.features import FeatureNorm
from dld_brain.depth_table import DepthTable
from dld_brain.model_folder import save_model
from dld_brain.training.checkpoints import AtomicCheckpointer
from dld_brain.training.keeping import ORDERS, average_weights, keep_epoch

NAN = float("nan")


@contextmanager
def spoiled(brain, kind):
    """Two utterances, and one thing of a step with them that is not finite."""
    utterances, loss = noise(2, seed=9), brain.task.loss
    hook = None
    if kind == "samples":
        utterances[1]["sig"][100] = NAN
    elif kind == "loss":
        bad = torch.tensor([0.0, torch.inf])
        brain.task.loss = lambda *args: loss(*args) + bad
    else:
        weight = brain.modules.model.head.weight
        hook = weight.register_hook(lambda gradient: gradient * torch.inf)
    yield utterances
    brain.task.loss = loss
    if hook:
        hook.remove()


def fit(brain, batches, kind=None):
    """Trains on batches, by step; None stands for a spoiled one."""
    for step, utterances in batches:
        brain.step = step
        if utterances is None:
            with spoiled(brain, kind) as utterances:
                brain.fit_batch(batch_of(utterances))
        else:
            brain.fit_batch(batch_of(utterances))
    return brain


def state(brain):
    """All that a step changes."""
    return [
        brain.modules.model.state_dict(),
        brain.optimizer.state_dict(),
        {"steps": brain.optimizer_step, "rate": brain.lr_scheduler.n_steps},
        {"audio": brain.clock.spent.audio_hours},
    ]


@pytest.mark.parametrize("kind", ["samples", "gradient", "loss"])
def test_a_training_with_a_spoiled_batch_is_the_one_without(kind, caplog):
    batches = [(i, noise(2, seed=i)) for i in (1, 3, 4)]
    expected = fit(start(tiny_brain(), n_batches=9), batches)
    batches.insert(1, (2, None))
    with caplog.at_level(logging.WARNING):
        found = fit(start(tiny_brain(), n_batches=9), batches, kind)
    torch.testing.assert_close(state(found), state(expected), rtol=0, atol=0)
    assert found.clock.spent.skipped == 1
    blamed = "utt0, utt1" if kind == "gradient" else "utterances utt1"
    assert blamed in caplog.text
    assert found.stats.summary(1.0)["skipped"] == 1


def test_a_group_with_one_spoiled_batch_is_skipped_whole():
    def trained(batches):
        options = {"grad_accumulation_factor": 2}
        brain = start(tiny_brain(run_opts=options), n_batches=9)
        return fit(brain, batches, "samples")

    whole = [(i, noise(2, seed=i)) for i in (1, 2, 5, 6)]
    spoiled_group = [*whole[:2], (3, None), (4, noise(2)), *whole[2:]]
    torch.testing.assert_close(
        state(trained(spoiled_group)), state(trained(whole)), rtol=0, atol=0
    )


def test_too_many_in_a_row_end_the_training():
    brain = start(tiny_brain(run_opts={"nonfinite_patience": 2}), n_batches=9)
    batches = [(1, None), (2, None), (3, noise(2)), (4, None), (5, None)]
    fit(brain, batches, "samples")
    message = "3 steps in a row .* step 1; try a lower --lr .* utterances utt1"
    with pytest.raises(FloatingPointError, match=message):
        fit(brain, [(6, None)], "samples")


def test_a_scaler_may_look_for_its_scale():
    brain = start(tiny_brain(run_opts={"nonfinite_patience": 0}), n_batches=9)
    brain.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    before = copy.deepcopy(brain.modules.model.state_dict())
    fit(brain, [(1, None)], "gradient")
    after = brain.modules.model.state_dict()
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert brain.scaler.get_scale() == 2.0 and brain.optimizer_step == 0
    with pytest.raises(FloatingPointError):  # the loss itself is no such thing
        fit(brain, [(2, None)], "loss")
    brain.scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
    with pytest.raises(FloatingPointError):  # nor is one that is not scaled
        fit(brain, [(3, None)], "gradient")


def test_statistics_are_those_of_the_finite_utterances():
    x = torch.randn(3, 5, 4)
    lengths = torch.tensor([1.0, 0.8, 0.6])
    expected, found = FeatureNorm(), FeatureNorm()
    expected(x[1:], lengths[1:], epoch=1)
    with_nan = x.clone()
    with_nan[0, 2, 1] = NAN
    found(with_nan[:1], lengths[:1], epoch=1)  # nothing to learn, as yet
    assert found.count == 0
    y = found(with_nan, lengths, epoch=1)
    torch.testing.assert_close(
        found._statistics_dict(), expected._statistics_dict(), rtol=0, atol=0
    )
    assert y[1:].isfinite().all()


@pytest.mark.parametrize("part", ["model", "normalize", "optimizer"])
def test_what_is_not_finite_is_not_saved(tmp_path, part):
    checkpointer = AtomicCheckpointer(tmp_path)
    brain = start(tiny_brain(checkpointer=checkpointer), n_batches=9)
    fit(brain, [(1, noise(2))])
    checkpointer.save_checkpoint()
    left = list(tmp_path.iterdir())
    if part == "model":
        brain.modules.model.head.weight.data[0, 0] = NAN
    elif part == "normalize":
        brain.modules.normalize.glob_std[0] = torch.inf
    else:
        kept = next(iter(brain.optimizer.state.values()))
        kept["exp_avg"].flatten()[0] = NAN
    with pytest.raises(ValueError, match=f"`{part}` .* must be finite, but 1 "):
        checkpointer.save_checkpoint()
    assert list(tmp_path.iterdir()) == left


def test_a_model_folder_stays_where_a_model_is_not_finite(tmp_path):
    (tmp_path / "old").touch()
    modules = tiny_modules()
    modules["model"].head.bias.data[0] = torch.inf
    with pytest.raises(ValueError, match="model must be finite"):
        save_model(str(tmp_path), modules, transcription(), DepthTable(), {})
    assert [p.name for p in tmp_path.iterdir()] == ["old"]
    with pytest.raises(ValueError, match="epoch 3 must be finite"):
        keep_epoch(str(tmp_path), 3, modules["model"])


def test_the_newest_finite_checkpoint_is_resumed_and_averaged(tmp_path, caplog):
    model = torch.nn.Linear(2, 2)
    checkpointer = AtomicCheckpointer(tmp_path, {"model": model})
    for steps in (1, 2, 3):
        torch.nn.init.constant_(model.weight, steps)
        meta = {"steps": steps, "error WER": 9.0 - steps}
        saved = checkpointer.save_checkpoint(meta=meta)
    torch.save(
        dict.fromkeys(model.state_dict(), torch.tensor(NAN)),
        saved.paramfiles["model"],
    )  # as a version before this one did
    found = checkpointer.recover_if_possible()
    assert found.meta["steps"] == 2 and model.weight[0, 0] == 2
    assert f"resumes from {found.path}" in caplog.text
    assert "2 of 2 tensors are not" in caplog.text
    average = average_weights(checkpointer, "model", 3, ORDERS["best"]("WER"))
    assert torch.equal(average["weight"], torch.full((2, 2), 1.5))
    for checkpoint in checkpointer.list_checkpoints():
        checkpoint.paramfiles["model"].write_bytes(b"half")
    with pytest.raises(ValueError, match="none of its 3 is: delete it"):
        checkpointer.recover_if_possible()
