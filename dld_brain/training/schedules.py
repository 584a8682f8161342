"""Learning rates over a training."""

from collections.abc import Callable
from typing import Any

import torch

from speechbrain.nnet.schedulers import NoamScheduler, TriStageLRSchedule
from speechbrain.utils import checkpoints


@checkpoints.register_checkpoint_hooks
class TriStage(TriStageLRSchedule):
    """SpeechBrain's three stages, counting its steps as its Noam does.

    A tenth of the updates warms up, four tenths hold, five decay: wav2vec
    2.0, https://arxiv.org/abs/2006.11477, section 4.2.

    Arguments
    ---------
    n_updates : int
        Updates of the whole training; then the rate stays where it is.

    Example
    -------
    >>> weight = torch.nn.Parameter(torch.zeros(1))
    >>> optimizer = torch.optim.SGD([weight], lr=1.0)
    >>> schedule = TriStage(lr=1.0, n_updates=20)
    >>> for _ in range(5):
    ...     schedule(optimizer)
    >>> optimizer.param_groups[0]["lr"]
    1.0
    """

    def __init__(self, lr: float, n_updates: int) -> None:
        _check_count("n_updates", n_updates)
        n_warmup, n_hold = round(0.1 * n_updates), round(0.4 * n_updates)
        super().__init__(
            lr,
            warmup_steps=max(1, n_warmup),
            hold_steps=n_hold,
            decay_steps=max(1, n_updates - n_warmup - n_hold),
            total_steps=n_updates,
        )
        self.n_steps = 0

    def __call__(self, opt: torch.optim.Optimizer) -> None:
        """Sets the learning rate of the next step."""
        self.n_steps += 1
        super().__call__(opt, min(self.n_steps, self.total_steps))

    @checkpoints.mark_as_saver
    def save(self, path: Any) -> None:
        """Saves the count."""
        torch.save({"n_steps": self.n_steps}, path)

    @checkpoints.mark_as_loader
    def load(self, path: Any, end_of_epoch: bool = False) -> None:
        """Loads the count."""
        self.n_steps = torch.load(path)["n_steps"]


def noam(lr: float, n_warmup_steps: int) -> NoamScheduler:
    """SpeechBrain's Noam, with its peak written out."""
    _check_count("n_warmup_steps", n_warmup_steps)
    return NoamScheduler(lr_initial=lr, n_warmup_steps=n_warmup_steps)


def _check_count(name: str, value: int) -> None:
    """Raises unless a number of steps is one."""
    if value < 1:
        raise ValueError(f"`{name}` must be at least 1, but is {value}")


#: Each takes the learning rate `lr`; what else it takes are its options.
SCHEDULES: dict[str, Callable[..., Any]] = {
    "noam": noam,
    "tri_stage": TriStage,
}
