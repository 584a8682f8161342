"""A run that was interrupted is, bit for bit, the one that was not."""

import pytest
import torch
from conftest import small

from dld_brain.run.main import prepare

pytestmark = pytest.mark.slow

#: How batches are made; and, of all batches, how many come before the end.
CASES = {
    "utterances": ({"batch_size": 1, "max_batch_seconds": 0.0}, 5),
    "seconds": (
        {
            "batch_size": 1,
            "max_batch_seconds": 1.5,
            "num_workers": 1,
            "grad_accumulation_factor": 2,
        },
        6,
    ),
}


class Killed(BaseException):
    """Stands for the death of the process."""


def trained(folder, options, stop_after=None):
    """Weights, optimizer, statistics and log of a run, or of its second half.

    Augmentation and dropout are on, as by default.
    """
    arguments = [
        "hparams/conformer_teacher.yaml",
        *small(output_folder=folder, **options),
        "--number_of_epochs=3",
        "--gates=bernoulli",
        "--avg_checkpoints=2",
        "--schedule.n_warmup_steps=4",
        "--ckpt_interval_minutes=0",
        "--ckpt_interval_steps=1",
    ]
    run = prepare(arguments)
    seen, fit_batch = [], run.brain.fit_batch

    def stop(batch):
        if len(seen) == stop_after:
            raise Killed
        seen.append(batch.id)
        return fit_batch(batch)

    run.brain.fit_batch = stop
    if stop_after is not None:
        with pytest.raises(Killed):
            run.fit()
        return None
    run.fit()
    log = (folder / "train_log.txt").read_text().splitlines()
    return {
        "model": run.brain.modules.model.state_dict(),
        "optimizer": run.brain.optimizer.state_dict(),
        "normalize": run.brain.modules.normalize._statistics_dict(),
        "log": [[x for x in a.split(", ") if "seconds" not in x] for a in log],
    }


@pytest.mark.parametrize("name", CASES)
def test_a_resumed_run_is_the_uninterrupted_one(name, tmp_path):
    options, n_batches = CASES[name]
    expected = trained(tmp_path / "whole", options)
    trained(tmp_path / "killed", options, n_batches)
    torch.rand(7)  # what was drawn before does not matter
    found = trained(tmp_path / "killed", options)
    assert found.pop("log") == expected.pop("log")
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
