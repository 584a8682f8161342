"""Gates of a decoder's layers, beside those of the encoder in front of it.

The layers of a depth are those that run at it after training
(`decoder_gates`): no family is to be chosen.
"""

from collections.abc import Callable, Sequence
from typing import Optional

import numpy as np

from dld_brain.gates.by_depth import (
    EveryDepthGates,
    SandwichGates,
    UniformDepthGates,
)
from dld_brain.gates.by_layer import BernoulliGates
from dld_brain.gates.gates import Gates, Routed
from dld_brain.gates.sampler import GatedRun, GateSampler


def uniform_depth(
    n_total: int, seed: int, min_layers: int = 1, depth_step: int = 1
) -> GateSampler:
    """Draws the depth uniformly; see `UniformDepthGates`."""
    return UniformDepthGates(
        n_total, seed, min_layers, depth_step, "ends", n_last=1
    )


def every_depth(
    n_total: int, seed: int, min_layers: int = 1, depth_step: int = 1
) -> GateSampler:
    """Runs every depth; see `EveryDepthGates`."""
    return EveryDepthGates(
        n_total, seed, min_layers, depth_step, "ends", n_last=1
    )


def sandwich(
    n_total: int,
    seed: int,
    min_layers: int = 1,
    depth_step: int = 1,
    n_between: int = 1,
    part_weight: float = 0.3,
) -> GateSampler:
    """Runs the full depth, the least and some; see `SandwichGates`."""
    return SandwichGates(
        n_total,
        seed,
        min_layers,
        depth_step,
        "ends",
        n_last=1,
        n_between=n_between,
        part_weight=part_weight,
    )


#: Each takes `n_total` and `seed`; what else it takes are its options.
DECODER_SAMPLERS: dict[str, Optional[Callable[..., GateSampler]]] = {
    "full": None,
    "bernoulli": BernoulliGates,
    "uniform": uniform_depth,
    "sandwich": sandwich,
    "every_depth": every_depth,
}


def decoder_seed(seed: int) -> int:
    """The key of a decoder's draws: else they were those of the encoder.

    Example
    -------
    >>> decoder_seed(1) == decoder_seed(1) != 1
    True
    """
    return int(np.random.SeedSequence([seed, 1]).generate_state(1)[0])


class BothGates(GateSampler):
    """Draws gates of an encoder and of the decoder behind it.

    Each run of the encoder's sampler is one with each run of the decoder's;
    their weights are multiplied. What the router decides is left as it is.

    Arguments
    ---------
    encoder, decoder : GateSampler
        Of either half, keyed apart; see `decoder_seed`.
    with_full : bool
        Whether all layers of both run in every step, at weight 1 where the
        draws have no such run.

    Example
    -------
    >>> from dld_brain.gates.make import full_depth
    >>> both = BothGates(full_depth(3, 1), uniform_depth(2, 4, min_layers=2))
    >>> [(run.gates, run.gates.decoder) for run in both(step=0)]
    [(Gates(layers=(0, 1, 2), n_total=3), Gates(layers=(0, 1), n_total=2))]
    """

    def __init__(
        self,
        encoder: GateSampler,
        decoder: GateSampler,
        with_full: bool = True,
    ) -> None:
        super().__init__(encoder.n_total, encoder.seed)
        self.encoder = encoder
        self.decoder = decoder
        self.with_full = with_full
        self.depths = encoder.depths
        halves = encoder.has_full_depth and decoder.has_full_depth
        self.has_full_depth = with_full or halves

    def __call__(self, step: int) -> list[GatedRun]:
        """The runs of an optimizer step.

        Arguments
        ---------
        step : int
            The step, from 0.
        """
        drawn = self.decoder(step)
        runs = [
            both
            for run in self.encoder(step)
            for both in self._with_decoder(run, drawn)
        ]
        if self.with_full and not any(run.is_whole for run in runs):
            full = Gates.full(self.n_total)
            decoder = Gates.full(self.decoder.n_total)
            runs.append(GatedRun(full.with_decoder(decoder)))
        return runs

    @staticmethod
    def _with_decoder(
        run: GatedRun, drawn: Sequence[GatedRun]
    ) -> list[GatedRun]:
        """A run of the encoder, once with each run of the decoder."""
        if isinstance(run.gates, Routed):
            return [run]
        return [
            run._replace(
                gates=run.gates.with_decoder(other.gates),
                weight=run.weight * other.weight,
            )
            for other in drawn
        ]

    def validation(self, step: int, depths: Sequence[int]) -> list[GatedRun]:
        """The runs that a checkpoint is judged by: with the whole decoder."""
        return self.encoder.validation(step, depths)

    def gates_for(self, n_layers: int) -> Gates:
        """The gates that stand for a depth in validation."""
        return self.encoder.gates_for(n_layers)
