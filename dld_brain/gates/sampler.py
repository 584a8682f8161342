"""Who decides which layers run in a training step.

A gate sampler is a pure function of the optimizer step: it holds no state
and never touches the global random generators, so that every rank draws
the same gates and a resumed run draws the gates it would have drawn.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, Union

import numpy as np

from dld_brain.gates.gates import ChunkedGates, Gates, Routed
from dld_brain.gates.layer_sets import evenly_spread


class GatedRun(NamedTuple):
    """One run of the stack in a training step.

    Arguments
    ---------
    gates : Gates, Routed or ChunkedGates
        Which layers run; or the model's router decides; or each chunk has
        its own.
    is_taught : bool
        Whether it learns from teachers, beside the task.
    """

    gates: Union[Gates, Routed, ChunkedGates]
    weight: float = 1.0
    is_taught: bool = True

    @property
    def depth(self) -> int:
        """Open gates; 0 where they differ between utterances or chunks."""
        return self.gates.depth if isinstance(self.gates, Gates) else 0

    @property
    def is_whole(self) -> bool:
        """Whether all layers run, whatever is heard."""
        return isinstance(self.gates, Gates) and self.gates.is_whole


class GateSampler(ABC):
    """Draws the gates of training steps.

    Arguments
    ---------
    seed : int
        Key of the draws, beside the step.
    """

    #: Whether every step runs the full depth.
    has_full_depth = False

    def __init__(self, n_total: int, seed: int) -> None:
        self.n_total = n_total
        self.seed = seed
        #: Depths that are trained, rising.
        self.depths = list(range(1, n_total + 1))

    def rng(self, step: int) -> np.random.Generator:
        """The generator of a step.

        Arguments
        ---------
        step : int
            The optimizer step, from 0.
        """
        return np.random.default_rng([self.seed, step])

    @abstractmethod
    def __call__(self, step: int) -> list[GatedRun]:
        """The runs of an optimizer step.

        Arguments
        ---------
        step : int
            The step, from 0.
        """

    def validation(self, step: int, depths: Sequence[int]) -> list[GatedRun]:
        """The runs that a checkpoint is judged by."""
        return [GatedRun(self.gates_for(n), 1 / len(depths)) for n in depths]

    def gates_for(self, n_layers: int) -> Gates:
        """The gates that stand for a depth in validation."""
        return evenly_spread(n_layers, self.n_total)


class OneRun(GateSampler):
    """Draws the gates of one run a step.

    Arguments
    ---------
    seed : int
        Key of the draws, beside the step.
    """

    @abstractmethod
    def gates(self, step: int) -> Gates:
        """Draws gates.

        Arguments
        ---------
        step : int
            The optimizer step, from 0.
        """

    def __call__(self, step: int) -> list[GatedRun]:
        """The run of an optimizer step.

        Arguments
        ---------
        step : int
            The step, from 0.
        """
        return [GatedRun(self.gates(step))]


class RoutedGates(GateSampler):
    """Lets the model's router decide, beside the full depth if it is to run.

    Arguments
    ---------
    seed : int
        Key of the router's draws, beside the step.
    full_weight : float
        Weight of the loss of the full depth; 0 does not run it. Xu et al.
        (https://arxiv.org/abs/2407.18930) have 1, and 0.3 for the other.
    part_weight : float
        Weight of the loss of the router's run.
    open_rate : float
        Share of the layers that the router is to run, in [0, 1].
    rate_penalty : float
        Of its distance from that, squared, nats an utterance.

    Raises
    ------
    ValueError
        If a weight is negative, or `open_rate` is no share.

    Example
    -------
    >>> RoutedGates(n_total=2, seed=1)(step=7)
    [GatedRun(gates=Routed(step=7, seed=1, threshold=0.5), weight=1.0, ...)]
    """

    def __init__(
        self,
        n_total: int,
        seed: int,
        full_weight: float = 0.0,
        part_weight: float = 1.0,
        open_rate: float = 0.5,
        rate_penalty: float = 0.0,
    ) -> None:
        super().__init__(n_total, seed)
        for name, value in (
            ("full_weight", full_weight),
            ("part_weight", part_weight),
            ("rate_penalty", rate_penalty),
        ):
            if value < 0:
                raise ValueError(f"`{name}` must be at least 0, but is {value}")
        if not 0 <= open_rate <= 1:
            raise ValueError(
                f"`open_rate` must be between 0 and 1, but is {open_rate}"
            )
        self.full_weight = full_weight
        self.part_weight = part_weight
        self.open_rate = open_rate
        self.rate_penalty = rate_penalty
        self.has_full_depth = full_weight > 0

    def __call__(self, step: int) -> list[GatedRun]:
        """The runs of an optimizer step.

        Arguments
        ---------
        step : int
            The step, from 0.
        """
        runs = [GatedRun(Routed(step, self.seed), self.part_weight)]
        if self.has_full_depth:
            full = Gates.full(self.n_total)
            runs.insert(0, GatedRun(full, self.full_weight))
        return runs

    def validation(self, step: int, depths: Sequence[int]) -> list[GatedRun]:
        """The run that a checkpoint is judged by: the router's."""
        return [GatedRun(Routed(step, self.seed))]


def with_intermediate(
    runs: Sequence[GatedRun], weight: float
) -> list[GatedRun]:
    """Adds the task's loss half way through each run: intermediate CTC.

    Lee and Watanabe, https://arxiv.org/abs/2102.03216, eq. 7, but for a
    scale: L + weight L_half, where theirs is (1 - w) L + w L_half. Half way
    is behind half of the layers that run. That is a run of its own, whose
    layers are all computed by the run that it is half of; it takes a head.

    Arguments
    ---------
    weight : float
        Of the loss half way; 0 adds nothing.

    Example
    -------
    >>> runs = with_intermediate([GatedRun(Gates((0, 2, 3), 4))], 0.5)
    >>> [(run.gates.layers, run.weight) for run in runs[1:]]
    [((0,), 0.5)]
    """
    halves = []
    for run in runs if weight else ():
        if not isinstance(run.gates, Gates):
            continue
        half = run.gates.layers[: run.depth // 2]
        if half:
            gates = Gates(half, run.gates.n_total, run.gates.decoder)
            halves.append(GatedRun(gates, weight * run.weight, is_taught=False))
    return [*runs, *halves]
