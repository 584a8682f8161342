"""Steps of training whose loss or gradient is no finite number."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

#: Utterances that a message names; the others are counted.
NAMED = 8


@dataclass
class Group:
    """The batches that one optimizer step is made of.

    Arguments
    ---------
    ids : list of str
        Its utterances.
    suspects : list of str
        Those of them whose loss is not finite.
    audio_seconds : float
        Audio of its batches, over all ranks, s.
    layer_passes : float
        Layers that its batches were sent through.
    is_finite : bool
        Whether the losses of its batches are, on this rank.
    """

    ids: list[str] = field(default_factory=list)
    suspects: list[str] = field(default_factory=list)
    audio_seconds: float = 0.0
    layer_passes: float = 0.0
    is_finite: bool = True

    def add(self, ids: Sequence[str], losses: torch.Tensor) -> None:
        """Adds the utterances of a batch.

        Arguments
        ---------
        losses : torch.Tensor
            Of each utterance, [B].
        """
        self.ids += ids
        self.suspects += nonfinite_ids(ids, losses)

    def to_blame(self) -> list[str]:
        """The utterances with a loss that is not finite, on all ranks.

        All of the group where each loss is finite and the gradient is not.
        """
        own = [self.suspects, self.ids]
        if not torch.distributed.is_initialized():
            return own[0] or own[1]
        of_ranks = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(of_ranks, own)
        suspects, ids = (sum(lists, []) for lists in zip(*of_ranks))
        return suspects or ids


def nonfinite_ids(ids: Sequence[str], losses: torch.Tensor) -> list[str]:
    """The utterances whose loss is not finite.

    Arguments
    ---------
    losses : torch.Tensor
        Of each utterance, [B].

    Example
    -------
    >>> nonfinite_ids(["a", "b"], torch.tensor([1.0, float("nan")]))
    ['b']
    """
    is_finite = losses.detach().isfinite().tolist()
    return [name for name, is_good in zip(ids, is_finite) if not is_good]


def named(ids: Sequence[str]) -> str:
    """Names some utterances, and counts the others.

    Example
    -------
    >>> named("abcdefghij")
    'a, b, c, d, e, f, g, h and 2 more'
    """
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(ids[:NAMED]) + more


class Patience:
    """Counts the steps in a row that were skipped, and has enough of them.

    Arguments
    ---------
    n_steps : int
        So many are borne.

    Example
    -------
    >>> patience = Patience(1)
    >>> patience.skipped(["a"], "lower --lr")
    >>> patience.taken()
    >>> patience.skipped(["a"], "lower --lr")
    >>> patience.skipped(["b"], "lower --lr")
    Traceback (most recent call last):
    ...
    FloatingPointError: 2 steps in a row had a loss or gradient that is not \
finite: lower --lr, or leave out the utterances a, b
    """

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps
        self.in_a_row = 0
        self.blamed: list[str] = []

    def taken(self) -> None:
        """A step was taken."""
        self.in_a_row, self.blamed = 0, []

    def skipped(self, ids: Sequence[str], advice: str) -> None:
        """A step was skipped.

        Arguments
        ---------
        ids : sequence of str
            Its utterances; see `Group.to_blame`.
        advice : str
            What to try, beside leaving out the utterances.

        Raises
        ------
        FloatingPointError
            If it is one too many.
        """
        self.in_a_row += 1
        self.blamed = list(dict.fromkeys([*self.blamed, *ids]))
        logger.warning(
            "a loss or gradient is not finite: the step is skipped, of the "
            "utterances %s",
            named(ids),
        )
        if self.in_a_row > self.n_steps:
            raise FloatingPointError(
                f"{self.in_a_row} steps in a row had a loss or gradient that "
                f"is not finite: {advice}, or leave out the utterances "
                f"{named(self.blamed)}"
            )
