"""Which checkpoints are kept, and become the model."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from dld_brain.files.finite import check_finite
from dld_brain.files.whole import whole_file
from dld_brain.tasks import Task
from dld_brain.training.checkpoints import AtomicCheckpointer, disk_errors
from speechbrain.utils.checkpoints import Checkpoint, average_checkpoints
from speechbrain.utils.distributed import if_main_process

#: What a checkpoint is worth: the higher, the better.
Order = Callable[[Checkpoint], Any]
#: What ranks the checkpoints that are kept and averaged, by the metric that
#: models are compared by. No two are equal: else which are kept would be a
#: matter of how a folder lists its files.
ORDERS: dict[str, Callable[[str], Order]] = {
    "best": lambda metric: partial(_success, metric),
    "last": lambda metric: _progress,
}


def _success(metric: str, checkpoint: Checkpoint) -> tuple[float, ...]:
    """How few errors validation had; of equal ones, the last is the best."""
    error = checkpoint.meta.get(f"error {metric}", math.inf)
    return -error, *_progress(checkpoint)


def _progress(checkpoint: Checkpoint) -> tuple[int, int]:
    """Steps and epochs; -1 of a checkpoint within an epoch."""
    meta = checkpoint.meta
    return meta.get("steps", -1), meta.get("epoch", -1)


@dataclass(frozen=True)
class Keeping:
    """Which checkpoints are kept.

    Arguments
    ---------
    averaged : str
        One of `ORDERS`: what the `n` are, whose mean is the model.
    epochs : tuple of int
        Epochs whose weights are kept in `folder` whatever they reach.
    """

    averaged: str = "best"
    n: int = 1
    epochs: tuple[int, ...] = ()
    folder: str = ""


def errors(task: Task, stats: dict[str, float]) -> dict[str, float]:
    """What ranks a checkpoint, by each metric that was measured.

    Arguments
    ---------
    stats : dict
        By name, what validation gave.

    Example
    -------
    >>> from sentencepiece import SentencePieceProcessor
    >>> from dld_brain.tasks import TranscriptionTask
    >>> task = TranscriptionTask(SentencePieceProcessor())
    >>> errors(task, {"loss": 3.0, "WER": 12.5})
    {'error WER': 12.5}
    """
    return {
        f"error {metric}": task.with_metric(metric).error(stats[metric])
        for metric in task.METRICS
        if metric in stats
    }


def last_meta(checkpointer: AtomicCheckpointer) -> dict[str, Any]:
    """What the checkpoint of the last epoch says of itself."""
    found = checkpointer.list_checkpoints()
    last = max(found, key=_progress, default=None)
    return last.meta if last else {}


def epoch_file(save_folder: str, epoch: int) -> Path:
    """Where the weights of an epoch are kept.

    Arguments
    ---------
    epoch : int
        The epoch, from 1.

    Example
    -------
    >>> epoch_file("save", 25).as_posix()
    'save/epochs/25.ckpt'
    """
    return Path(save_folder, "epochs", f"{epoch}.ckpt")


def keep_epoch(save_folder: str, epoch: int, model: torch.nn.Module) -> None:
    """Keeps the weights of an epoch, whatever becomes of its checkpoint.

    Arguments
    ---------
    epoch : int
        The epoch, from 1.
    """
    if not if_main_process():
        return
    check_finite(model.state_dict(), f"the model of epoch {epoch}")
    path = epoch_file(save_folder, epoch)
    with whole_file(path) as unfinished, disk_errors(path):
        torch.save(model.state_dict(), unfinished)


def average_weights(
    checkpointer: AtomicCheckpointer, name: str, n: int, order: Order
) -> dict[str, torch.Tensor]:
    """Averages the weights of the first checkpoints of epochs.

    Raises
    ------
    ValueError
        If there is none that is finite.
    """
    of_epochs = checkpointer.find_checkpoints(order, ckpt_predicate=is_scored)
    checkpoints = list(islice(checkpointer.finite(of_epochs), n))
    if not checkpoints:
        raise ValueError(
            f"{checkpointer.checkpoints_dir} must hold the finite checkpoint "
            f"of an epoch, but has none: train first, without --test_only"
        )
    average = average_checkpoints(checkpoints, name)
    check_finite(average, f"the mean of {len(checkpoints)} checkpoints")
    return average


def is_scored(checkpoint: Checkpoint) -> bool:
    """Whether it is of the end of an epoch, behind validation."""
    return "steps" in checkpoint.meta
