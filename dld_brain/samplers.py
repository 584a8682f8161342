"""Who decides which layers run in a training step.

A gate sampler is a pure function of the optimizer step: it holds no state
and never touches the global random generators, so that every rank draws
the same gates and a resumed run draws the gates it would have drawn.

Authors
 * The dld_brain authors 2026
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from dld_brain.gates import (
    Gates,
    check_n_layers,
    evenly_spread,
    gates_from_layers,
    prefix,
)

#: One fixed set of layers for each depth, by the name of the family.
FAMILIES = {"even": evenly_spread, "prefix": prefix}


class Pass(NamedTuple):
    """One run of the stack in a training step.

    Arguments
    ---------
    gates : tuple of bool
        One gate for each layer, at least one of them open.
    weight : float
        Of its loss.
    """

    gates: Gates
    weight: float = 1.0


class GateSampler(ABC):
    """Draws the gates of training steps.

    Arguments
    ---------
    n_total : int
        How many layers there are.
    seed : int
        Key of the draws, beside the step.
    """

    #: Whether every step runs the full depth.
    has_full_depth = False

    def __init__(self, n_total: int, seed: int) -> None:
        self.n_total = n_total
        self.seed = seed

    def rng(self, step: int) -> np.random.Generator:
        """The generator of a step.

        Arguments
        ---------
        step : int
            The optimizer step, from 0.

        Returns
        -------
        numpy.random.Generator
        """
        return np.random.default_rng([self.seed, step])

    @abstractmethod
    def gates(self, step: int) -> Gates:
        """Draws gates.

        Arguments
        ---------
        step : int
            The optimizer step, from 0.

        Returns
        -------
        tuple of bool
            One gate for each layer, at least one of them open.
        """

    def __call__(self, step: int) -> list[Pass]:
        """The runs of an optimizer step.

        Arguments
        ---------
        step : int
            The step, from 0.

        Returns
        -------
        list of Pass
        """
        return [Pass(self.gates(step))]

    def layers(self, n_layers: int) -> tuple[int, ...]:
        """The layers that stand for a depth in validation.

        Arguments
        ---------
        n_layers : int
            The depth.

        Returns
        -------
        tuple of int
        """
        return evenly_spread(n_layers, self.n_total)


def opened(rates: np.ndarray, rng: np.random.Generator) -> Gates:
    """Opens each layer by itself at its rate.

    Where every gate would be closed (0.02 % of the steps for 12 layers at
    0.5), one layer, drawn uniformly, is open instead.

    Arguments
    ---------
    rates : numpy.ndarray
        Probability that a layer runs, [L].
    rng : numpy.random.Generator
        What draws.

    Returns
    -------
    tuple of bool
    """
    gates = rng.random(len(rates)) < rates
    if not gates.any():
        gates[rng.integers(len(rates))] = True
    return tuple(gates.tolist())


def check_probability(name: str, value: float) -> None:
    """Raises unless a value is a probability.

    Arguments
    ---------
    name : str
        What it is called.
    value : float
        The value.

    Raises
    ------
    ValueError
        If it is none.

    Example
    -------
    >>> check_probability("p_open", 1.5)
    Traceback (most recent call last):
    ...
    ValueError: `p_open` must be between 0 and 1, but is 1.5
    """
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"`{name}` must be between 0 and 1, but is {value}")


class BernoulliGates(GateSampler):
    """Opens each layer by itself with probability `p_open` (DLD, eq. 1).

    Arguments
    ---------
    n_total : int
        How many layers there are.
    seed : int
        Key of the draws, beside the step.
    p_open : float
        Probability that a layer runs, in [0, 1].

    Raises
    ------
    ValueError
        If `p_open` is no probability.

    Example
    -------
    >>> sampler = BernoulliGates(n_total=4, seed=1, p_open=1.0)
    >>> sampler.gates(step=7)
    (True, True, True, True)
    """

    def __init__(self, n_total: int, seed: int, p_open: float = 0.5) -> None:
        super().__init__(n_total, seed)
        check_probability("p_open", p_open)
        self.p_open = p_open

    def gates(self, step: int) -> Gates:
        """Draws gates.

        Arguments
        ---------
        step : int
            The optimizer step, from 0.

        Returns
        -------
        tuple of bool
        """
        return opened(np.full(self.n_total, self.p_open), self.rng(step))


class StochasticDepthGates(GateSampler):
    """Opens layer l of L with probability 1 - l / L (1 - p_last).

    The linear schedule of stochastic depth (https://arxiv.org/abs/1603.09382,
    eq. 4, layers counted from 1). Its scaling at test time is left out: here
    the layers that run at a depth are chosen, and run as they are.

    Arguments
    ---------
    n_total : int
        How many layers there are.
    seed : int
        Key of the draws, beside the step.
    p_last : float
        Probability that the last layer runs, in [0, 1].

    Raises
    ------
    ValueError
        If `p_last` is no probability.

    Example
    -------
    >>> StochasticDepthGates(n_total=4, seed=1, p_last=0.5).rates
    array([0.875, 0.75 , 0.625, 0.5  ])
    """

    def __init__(self, n_total: int, seed: int, p_last: float = 0.5) -> None:
        super().__init__(n_total, seed)
        check_probability("p_last", p_last)
        self.rates = 1 - np.arange(1, n_total + 1) / n_total * (1 - p_last)

    def gates(self, step: int) -> Gates:
        """Draws gates.

        Arguments
        ---------
        step : int
            The optimizer step, from 0.

        Returns
        -------
        tuple of bool
        """
        return opened(self.rates, self.rng(step))


class UniformDepthGates(GateSampler):
    """Draws the depth uniformly.

    With a family of layers, each depth has one fixed set: the sub-models of
    training are those of inference (https://arxiv.org/abs/2010.08265).

    Arguments
    ---------
    n_total : int
        How many layers there are.
    seed : int
        Key of the draws, beside the step.
    min_layers : int
        The least depth that is drawn.
    family : str
        even, prefix (the first n) or random (n layers, drawn uniformly).

    Raises
    ------
    ValueError
        If `min_layers` is not between 1 and `n_total`, or there is no such
        family.

    Example
    -------
    >>> sampler = UniformDepthGates(n_total=4, seed=1, min_layers=4)
    >>> sampler.gates(step=7)
    (True, True, True, True)
    """

    def __init__(
        self,
        n_total: int,
        seed: int,
        min_layers: int = 1,
        family: str = "even",
    ) -> None:
        super().__init__(n_total, seed)
        check_n_layers(min_layers, n_total)
        known = (*FAMILIES, "random")
        if family not in known:
            raise ValueError(
                f"`family` must be one of {', '.join(known)}, but is {family!r}"
            )
        self.min_layers = min_layers
        self.family = family

    def gates(self, step: int) -> Gates:
        """Draws gates.

        Arguments
        ---------
        step : int
            The optimizer step, from 0.

        Returns
        -------
        tuple of bool
        """
        return self.draw(step, self.min_layers, self.n_total)

    def draw(self, step: int, least: int, most: int) -> Gates:
        """Draws a depth, and its gates.

        Arguments
        ---------
        step : int
            The optimizer step, from 0.
        least : int
            The least depth.
        most : int
            The greatest.

        Returns
        -------
        tuple of bool
        """
        rng = self.rng(step)
        n_layers = int(rng.integers(least, most + 1))
        layers = self.layers(n_layers)
        if self.family == "random":
            layers = rng.choice(self.n_total, n_layers, replace=False).tolist()
        return gates_from_layers(layers, self.n_total)

    def layers(self, n_layers: int) -> tuple[int, ...]:
        """The layers that stand for a depth.

        Arguments
        ---------
        n_layers : int
            The depth.

        Returns
        -------
        tuple of int
        """
        find = FAMILIES.get(self.family, evenly_spread)
        return find(n_layers, self.n_total)


class SandwichGates(UniformDepthGates):
    """Runs the full depth, the least and one between in every step.

    The sandwich rule (https://arxiv.org/abs/1903.05134), with the weights of
    Xu et al. (https://arxiv.org/abs/2407.18930): 1 for the full depth and 0.3
    for each of the others. With two depths there is none between.

    Arguments
    ---------
    n_total : int
        How many layers there are.
    seed : int
        Key of the draws, beside the step.
    min_layers : int
        The least depth.
    family : str
        even, prefix or random: the layers of the depth between; those of
        the least are even with random.
    part_weight : float
        Weight of the losses of the shallower depths.

    Raises
    ------
    ValueError
        As `UniformDepthGates`, or if `part_weight` is negative.

    Example
    -------
    >>> sampler = SandwichGates(n_total=4, seed=1)
    >>> [(sum(p.gates), p.weight) for p in sampler(step=0)][:2]
    [(4, 1.0), (1, 0.3)]
    """

    has_full_depth = True

    def __init__(
        self,
        n_total: int,
        seed: int,
        min_layers: int = 1,
        family: str = "even",
        part_weight: float = 0.3,
    ) -> None:
        super().__init__(n_total, seed, min_layers, family)
        if part_weight < 0:
            raise ValueError(
                f"`part_weight` must be at least 0, but is {part_weight}"
            )
        self.part_weight = part_weight

    def __call__(self, step: int) -> list[Pass]:
        """The runs of an optimizer step: full, least, between.

        Arguments
        ---------
        step : int
            The step, from 0.

        Returns
        -------
        list of Pass
        """
        least = self.layers(self.min_layers)
        runs = [Pass((True,) * self.n_total)]
        if self.min_layers < self.n_total:
            gates = gates_from_layers(least, self.n_total)
            runs.append(Pass(gates, self.part_weight))
        if self.min_layers + 1 < self.n_total:
            gates = self.draw(step, self.min_layers + 1, self.n_total - 1)
            runs.append(Pass(gates, self.part_weight))
        return runs
