"""Gate samplers that draw the depth, and have layers for each."""

from collections.abc import Mapping, Sequence
from typing import Optional

import numpy as np

from dld_brain.gates.gates import Gates
from dld_brain.gates.layer_sets import ends, evenly_spread, nested, prefix
from dld_brain.gates.sampler import GatedRun, GateSampler, OneRun

#: One fixed set of layers for each depth, by the name of the family.
FAMILIES = {
    "even": evenly_spread,
    "prefix": prefix,
    "ends": ends,
    "nested": nested,
}
#: The others: n layers drawn anew, and those of a trained model's table.
OTHERS = ("random", "table")


class DepthSampler(GateSampler):
    """Knows the depths that are trained, and the layers of each.

    With a family of layers, each depth has one fixed set: the sub-models of
    training are those of inference (https://arxiv.org/abs/2010.08265).

    Arguments
    ---------
    seed : int
        Key of the draws, beside the step.
    depth_step : int
        From one depth to the next, counted from the full depth down.
    family : str
        even, prefix (the first n), ends (the first and the last), nested
        (each depth contains the smaller ones), random (n layers, drawn
        uniformly), or table.
    table : mapping of int to tuple of int, optional
        Of family table, the layers of each depth.
    n_last : int, optional
        Of family ends, how many of the last layers a depth has, at most; 2
        if not given.
    depth_power : float
        Of several runs in a step, that of depth n weighs (L / n) to this
        power: layers that many depths share learn from the shallow ones
        most. Ours.

    Raises
    ------
    ValueError
        If `min_layers` is not between 1 and `n_total`, `depth_step` or
        `n_last` is less than 1, there is no such family, or the table has
        no such depth.
    """

    def __init__(
        self,
        n_total: int,
        seed: int,
        min_layers: int = 1,
        depth_step: int = 1,
        family: str = "even",
        table: Optional[Mapping[int, Sequence[int]]] = None,
        n_last: Optional[int] = None,
        depth_power: float = 0.0,
    ) -> None:
        super().__init__(n_total, seed)
        if not 1 <= min_layers <= n_total:
            raise ValueError(
                f"`min_layers` must be between 1 and {n_total}, but is "
                f"{min_layers}"
            )
        for name, value in (("depth_step", depth_step), ("n_last", n_last)):
            if value is not None and value < 1:
                raise ValueError(f"`{name}` must be at least 1, but is {value}")
        _check_family(family, n_last, table)
        self.family = family
        self.n_last = 2 if n_last is None else n_last
        self.depth_power = depth_power
        self.depths = list(range(n_total, min_layers - 1, -depth_step))[::-1]
        self.table = table
        for n_layers in self.depths:
            self.gates_for(n_layers)

    def gates_for(self, n_layers: int) -> Gates:
        """The gates that stand for a depth."""
        if self.table is not None:
            if n_layers not in self.table:
                raise ValueError(
                    f"`table` must have {n_layers} layers among its depths, "
                    f"but has {', '.join(map(str, self.table))}"
                )
            return Gates.of(self.table[n_layers], self.n_total)
        if self.family == "ends":
            return ends(n_layers, self.n_total, self.n_last)
        find = FAMILIES.get(self.family, evenly_spread)
        return find(n_layers, self.n_total)

    def gates_at(self, n_layers: int, rng: np.random.Generator) -> Gates:
        """Gates of a depth: those of the family, or drawn."""
        if self.family != "random":
            return self.gates_for(n_layers)
        layers = rng.choice(self.n_total, n_layers, replace=False)
        return Gates.of(layers.tolist(), self.n_total)

    def run_at(
        self, n_layers: int, rng: np.random.Generator, weight: float = 1.0
    ) -> GatedRun:
        """One of several runs of a step."""
        weight *= (self.n_total / n_layers) ** self.depth_power
        return GatedRun(self.gates_at(n_layers, rng), weight)


class UniformDepthGates(DepthSampler, OneRun):
    """Draws the depth uniformly.

    Arguments
    ---------
    seed : int
        Key of the draws, beside the step.

    Example
    -------
    >>> sampler = UniformDepthGates(n_total=4, seed=1, min_layers=4)
    >>> sampler.gates(step=7).depth
    4
    """

    def __init__(
        self,
        n_total: int,
        seed: int,
        min_layers: int = 1,
        depth_step: int = 1,
        family: str = "even",
        table: Optional[Mapping[int, Sequence[int]]] = None,
        n_last: Optional[int] = None,
    ) -> None:
        super().__init__(
            n_total, seed, min_layers, depth_step, family, table, n_last
        )

    def gates(self, step: int) -> Gates:
        """Draws gates.

        Arguments
        ---------
        step : int
            The optimizer step, from 0.
        """
        rng = self.rng(step)
        return self.gates_at(int(rng.choice(self.depths)), rng)


class SandwichGates(DepthSampler):
    """Runs the full depth, the least and some between in every step.

    The sandwich rule (https://arxiv.org/abs/1903.05134), with the weights of
    Xu et al. (https://arxiv.org/abs/2407.18930): 1 for the full depth and 0.3
    for each of the others.

    Arguments
    ---------
    seed : int
        Key of the draws, beside the step.
    n_between : int
        Depths between that are drawn, without repetition; all of them where
        there are no more.
    part_weight : float
        Weight of the losses of the shallower depths.

    Raises
    ------
    ValueError
        As `DepthSampler`, or if `part_weight` or `n_between` is negative.

    Example
    -------
    >>> sampler = SandwichGates(n_total=4, seed=1)
    >>> [(p.depth, p.weight) for p in sampler(step=0)][:2]
    [(4, 1.0), (1, 0.3)]
    """

    has_full_depth = True

    def __init__(
        self,
        n_total: int,
        seed: int,
        min_layers: int = 1,
        depth_step: int = 1,
        family: str = "even",
        table: Optional[Mapping[int, Sequence[int]]] = None,
        n_last: Optional[int] = None,
        depth_power: float = 0.0,
        n_between: int = 1,
        part_weight: float = 0.3,
    ) -> None:
        super().__init__(
            n_total,
            seed,
            min_layers,
            depth_step,
            family,
            table,
            n_last,
            depth_power,
        )
        for name, value in (
            ("n_between", n_between),
            ("part_weight", part_weight),
        ):
            if value < 0:
                raise ValueError(f"`{name}` must be at least 0, but is {value}")
        self.n_between = n_between
        self.part_weight = part_weight

    def __call__(self, step: int) -> list[GatedRun]:
        """The runs of an optimizer step: full, least, between.

        Arguments
        ---------
        step : int
            The step, from 0.
        """
        rng = self.rng(step)
        runs = [GatedRun(Gates.full(self.n_total))]
        shallower = self.depths[:-1]
        if shallower:
            runs.append(self.run_at(shallower[0], rng, self.part_weight))
        n_drawn = min(self.n_between, len(shallower[1:]))
        drawn = rng.choice(shallower[1:], n_drawn, replace=False).tolist()
        return runs + [self.run_at(n, rng, self.part_weight) for n in drawn]


class EveryDepthGates(DepthSampler):
    """Runs every depth in every step.

    With the prefix family and a head for each depth, the early-exit
    Conformer (https://arxiv.org/abs/2309.09546): the runs begin alike and
    take no more layers than the full depth.

    Arguments
    ---------
    seed : int
        Key of the draws, beside the step.

    Example
    -------
    >>> sampler = EveryDepthGates(4, 1, min_layers=2, depth_step=2)
    >>> [run.depth for run in sampler(step=0)]
    [2, 4]
    """

    has_full_depth = True

    def __call__(self, step: int) -> list[GatedRun]:
        """The runs of an optimizer step.

        Arguments
        ---------
        step : int
            The step, from 0.
        """
        rng = self.rng(step)
        return [self.run_at(n, rng) for n in self.depths]


def _check_family(
    family: str,
    n_last: Optional[int],
    table: Optional[Mapping[int, Sequence[int]]],
) -> None:
    """Raises where a family is none, or has options of another."""
    known = (*FAMILIES, *OTHERS)
    if family not in known:
        raise ValueError(
            f"`family` must be one of {', '.join(known)}, but is {family!r}"
        )
    for name, value, owner in (
        ("n_last", n_last, "ends"),
        ("table", table, "table"),
    ):
        if value is not None and family != owner:
            raise ValueError(
                f"`{name}` must be given with family {owner} alone, but "
                f"`family` is {family}"
            )
    if family == "table" and table is None:
        raise ValueError(
            "`table` must be given with family table: the folder "
            "`pretrained` of a finished run"
        )
