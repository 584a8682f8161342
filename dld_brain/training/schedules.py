"""Learning rates over a training."""

from collections.abc import Callable
from math import inf
from typing import Any, Optional

import torch

from speechbrain.nnet.schedulers import NoamScheduler, TriStageLRSchedule
from speechbrain.utils import checkpoints


@checkpoints.register_checkpoint_hooks
class Stages:
    """SpeechBrain's stages (warm-up, hold, decay), counting its own steps.

    The rate rises to `lr`, stays there, and decreases exponentially to a
    twentieth of it (`TriStageLRSchedule`'s `final_lr_scale`) at the last
    update; then it stays where it is.

    Arguments
    ---------
    n_updates : int, optional
        Updates of the whole training; if not given, `plan` says.
    """

    def __init__(self, lr: float, n_updates: Optional[int] = None) -> None:
        if n_updates is not None:
            check_count("n_updates", n_updates)
        self.lr = lr
        self.n_updates = n_updates
        self.n_steps = 0

    def plan(self, n_updates: int) -> None:
        """Says how long training is, where it was not said before."""
        if self.n_updates is None:
            self.n_updates = n_updates

    def warmup_and_hold(self, n_updates: float) -> tuple[int, float]:
        """Updates of the first two stages.

        Arguments
        ---------
        n_updates : float
            Infinite until the length of the training is known.
        """
        raise NotImplementedError

    def __call__(self, opt: torch.optim.Optimizer) -> None:
        """Sets the learning rate of the next step."""
        self.n_steps += 1
        total = self.n_updates or inf
        n_warmup, n_hold = self.warmup_and_hold(total)
        n_decay = max(1, total - n_warmup - n_hold) if total < inf else inf
        stages = TriStageLRSchedule(self.lr, n_warmup, n_hold, n_decay, total)
        stages(opt, min(self.n_steps, total))

    @checkpoints.mark_as_saver
    def save(self, path: Any) -> None:
        """Saves the count, and what it is a part of."""
        state = {"n_steps": self.n_steps, "n_updates": self.n_updates}
        torch.save(state, path)

    @checkpoints.mark_as_loader
    def load(self, path: Any, end_of_epoch: bool = False) -> None:
        """Loads the count, and what it is a part of."""
        state = torch.load(path)
        self.n_steps = state["n_steps"]
        self.n_updates = state["n_updates"]


@checkpoints.register_checkpoint_hooks
class Exponential(Stages):
    """Warms up, then decreases exponentially to the end of training (DLD).

    Example
    -------
    >>> weight = torch.nn.Parameter(torch.zeros(1))
    >>> optimizer = torch.optim.SGD([weight], lr=1.0)
    >>> schedule = Exponential(lr=1.0, n_warmup_steps=10)
    >>> schedule.plan(n_updates=30)
    >>> rates = []
    >>> for _ in range(30):
    ...     schedule(optimizer)
    ...     rates.append(optimizer.param_groups[0]["lr"])
    >>> [round(rates[step - 1], 3) for step in (1, 10, 20, 30)]
    [0.109, 1.0, 0.224, 0.05]
    """

    def __init__(
        self, lr: float, n_warmup_steps: int, n_updates: Optional[int] = None
    ) -> None:
        check_count("n_warmup_steps", n_warmup_steps)
        super().__init__(lr, n_updates)
        self.n_warmup_steps = n_warmup_steps

    def warmup_and_hold(self, n_updates: float) -> tuple[int, float]:
        """The warm-up, and nothing."""
        return self.n_warmup_steps, 0


@checkpoints.register_checkpoint_hooks
class TriStage(Stages):
    """A tenth of the updates warms up, four tenths hold, five decay.

    wav2vec 2.0, https://arxiv.org/abs/2006.11477, section 4.2.

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

    def warmup_and_hold(self, n_updates: float) -> tuple[int, float]:
        """A tenth, and four tenths."""
        if n_updates == inf:
            return 1, inf
        return max(1, round(0.1 * n_updates)), round(0.4 * n_updates)


class Noam(NoamScheduler):
    """SpeechBrain's Noam, with its peak written out."""

    def __init__(self, lr: float, n_warmup_steps: int) -> None:
        check_count("n_warmup_steps", n_warmup_steps)
        super().__init__(lr_initial=lr, n_warmup_steps=n_warmup_steps)

    def plan(self, n_updates: int) -> None:
        """It goes on for ever: its length does not matter."""


def check_count(name: str, value: int) -> None:
    """Raises unless a number of steps is one.

    Example
    -------
    >>> check_count("n_updates", 0)
    Traceback (most recent call last):
    ...
    ValueError: `n_updates` must be at least 1, but is 0
    """
    if value < 1:
        raise ValueError(f"`{name}` must be at least 1, but is {value}")


#: Each takes the learning rate `lr`; what else it takes are its options.
SCHEDULES: dict[str, Callable[..., Any]] = {
    "exponential": Exponential,
    "noam": Noam,
    "tri_stage": TriStage,
}
