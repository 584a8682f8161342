"""Which chunks a training step sees."""

from collections.abc import Sequence
from typing import Optional

import numpy as np

from speechbrain.utils.dynamic_chunk_training import DynChunkTrainConfig

#: Of the generator, beside the seed and the step: the gates' is another.
KEY = 1


class ChunkSampler:
    """Draws the chunks of training steps, https://arxiv.org/abs/2012.05481.

    Of SpeechBrain's DynChunkTrainConfigRandomSampler it has the choices, not
    the global generator: a resumed run, and every rank, draws the same.

    Arguments
    ---------
    seed : int
        Key of the draws, beside the step.
    sizes : tuple of int
        Frames of a chunk at the layers, of which one is drawn: 16 are 0.64 s
        of the Conformer.
    left_context : tuple of int
        Chunks before its own that a frame sees, of which one is drawn.
    whole_share : float
        Share of the steps that see whole utterances.

    Raises
    ------
    ValueError
        If one is not what it must be.

    Example
    -------
    >>> sample = ChunkSampler(seed=1, whole_share=0.0)
    >>> sample(7) == sample(7)
    True
    """

    def __init__(
        self,
        seed: int,
        sizes: tuple[int, ...] = (8, 16, 32),
        left_context: tuple[int, ...] = (4, 8),
        whole_share: float = 0.4,
    ) -> None:
        check_numbers("sizes", sizes, 1)
        check_numbers("left_context", left_context, 0)
        if not 0 <= whole_share <= 1:
            raise ValueError(
                f"`whole_share` must be between 0 and 1, but is {whole_share}"
            )
        self.seed = seed
        self.sizes = tuple(sizes)
        self.left_context = tuple(left_context)
        self.whole_share = whole_share

    def __call__(self, step: int) -> Optional[DynChunkTrainConfig]:
        """The chunks of an optimizer step; None: it sees whole utterances.

        Arguments
        ---------
        step : int
            The step, from 0.
        """
        rng = np.random.default_rng([self.seed, step, KEY])
        if rng.random() < self.whole_share:
            return None
        size, left = rng.choice(self.sizes), rng.choice(self.left_context)
        return DynChunkTrainConfig(int(size), int(left))


def check_numbers(name: str, numbers: Sequence[int], least: int) -> None:
    """Raises unless they are whole numbers from `least` on, one at least.

    Example
    -------
    >>> check_numbers("sizes", [8, 0], 1)
    Traceback (most recent call last):
    ...
    ValueError: `sizes` must be whole numbers from 1 on, but is [8, 0]
    """
    if not numbers or any(number < least for number in numbers):
        raise ValueError(
            f"`{name}` must be whole numbers from {least} on, but is "
            f"{list(numbers)}"
        )
