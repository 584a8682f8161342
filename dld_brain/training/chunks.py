"""Which chunks a training step sees, and at which depth each runs."""

from collections.abc import Sequence
from typing import Optional

import numpy as np

from dld_brain.gates.by_depth import DepthSampler
from dld_brain.gates.gates import ChunkedGates
from dld_brain.gates.sampler import GatedRun, GateSampler
from speechbrain.utils.dynamic_chunk_training import DynChunkTrainConfig

#: Of the generators, beside the seed and the step: the gates' is another.
KEY, KEY_OF_DEPTHS = 1, 2
#: Chunks whose depth is drawn; behind them the first comes again.
N_DRAWN = 64


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
    mixed_weight : float
        Weight of a further run in the steps that see chunks, of which each
        has a depth of its own; 0: there is none.

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
        mixed_weight: float = 0.0,
    ) -> None:
        check_numbers("sizes", sizes, 1)
        check_numbers("left_context", left_context, 0)
        if not 0 <= whole_share <= 1:
            raise ValueError(
                f"`whole_share` must be between 0 and 1, but is {whole_share}"
            )
        if not 0 <= mixed_weight < np.inf:
            raise ValueError(
                f"`mixed_weight` must be 0 or more, but is {mixed_weight}"
            )
        self.mixed_weight = mixed_weight
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

    def mixed(self, step: int, gate_sampler: GateSampler) -> list[GatedRun]:
        """The run of a step whose chunks differ in depth, if there is one.

        A depth is drawn uniformly for each chunk, of those that the gates
        train, and has the layers that stand for it.

        Arguments
        ---------
        step : int
            The step, from 0.
        """
        if not self.mixed_weight or self(step) is None:
            return []
        rng = np.random.default_rng([self.seed, step, KEY_OF_DEPTHS])
        drawn = rng.choice(gate_sampler.depths, N_DRAWN).tolist()
        gates = ChunkedGates(tuple(map(gate_sampler.gates_for, drawn)))
        return [GatedRun(gates, self.mixed_weight)]

    def check(self, gate_sampler: GateSampler) -> None:
        """Raises unless the gates have depths that chunks can be mixed of.

        Raises
        ------
        ValueError
            If chunks are to be mixed, and the gates draw no depth.
        """
        if self.mixed_weight and not isinstance(gate_sampler, DepthSampler):
            raise ValueError(
                "`streaming.mixed_weight` must be 0 for gates that draw no "
                "depth: train with --gates=uniform, sandwich or every_depth"
            )


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
