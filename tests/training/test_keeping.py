"""Which checkpoints are kept, and averaged into the model."""

import pytest
import torch
from common import start, tiny_brain

import speechbrain as sb
from dld_brain.training.checkpoints import AtomicCheckpointer

#: WER of three epochs: the second is the best, the last is not.
RATES = (40.0, 10.0, 30.0)


def trained(folder, **settings):
    """A Brain behind three epochs, in each of which every weight is 1 more."""
    checkpointer = AtomicCheckpointer(folder)
    brain = start(tiny_brain(checkpointer=checkpointer, **settings))
    for weight in brain.modules.model.parameters():
        torch.nn.init.zeros_(weight)
    for epoch, rate in enumerate(RATES, 1):
        for weight in brain.modules.model.parameters():
            weight.data += 1.0
        brain.optimizer_step = epoch
        brain.train_stats = {"loss": 1.0}
        brain.stats.summary = lambda loss, rate=rate: {
            "loss": 1,
            "WER": rate,
            "CER": 50.0 - rate,  # of characters, the first is the best
        }
        brain.on_stage_end(sb.Stage.VALID, 1.0, epoch)
    brain.load_average()
    return {float(w.detach().mean()) for w in brain.modules.model.parameters()}


@pytest.mark.parametrize(
    "averaged, n, expected",
    [
        ("best", 1, 2.0),  # epoch 2
        ("best", 2, 2.5),  # epochs 2 and 3
        ("best", 3, 2.0),
        ("last", 1, 3.0),
        ("last", 2, 2.5),
    ],
)
def test_the_model_is_the_mean_of(averaged, n, expected, tmp_path):
    settings = {"averaged": averaged, "avg_checkpoints": n}
    assert trained(tmp_path, **settings) == {expected}


def test_the_best_are_those_by_the_metric_of_the_run(tmp_path):
    assert trained(tmp_path, metric="CER", avg_checkpoints=1) == {1.0}
