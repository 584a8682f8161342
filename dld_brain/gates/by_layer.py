"""Gate samplers that decide for each layer by itself."""

import numpy as np

from dld_brain.gates.gates import Gates
from dld_brain.gates.sampler import OneRun


def opened(rates: np.ndarray, rng: np.random.Generator) -> Gates:
    """Opens each layer by itself at its rate.

    Where every gate would be closed (0.02 % of the steps for 12 layers at
    0.5), one layer, drawn uniformly, is open instead.

    Arguments
    ---------
    rates : numpy.ndarray
        Probability that a layer runs, [L].
    """
    gates = rng.random(len(rates)) < rates
    if not gates.any():
        gates[rng.integers(len(rates))] = True
    return Gates(tuple(gates.nonzero()[0].tolist()), len(rates))


def check_probability(name: str, value: float) -> None:
    """Raises unless a value is a probability.

    Example
    -------
    >>> check_probability("p_open", 1.5)
    Traceback (most recent call last):
    ...
    ValueError: `p_open` must be between 0 and 1, but is 1.5
    """
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"`{name}` must be between 0 and 1, but is {value}")


class BernoulliGates(OneRun):
    """Opens each layer by itself with probability `p_open` (DLD, eq. 1).

    Arguments
    ---------
    seed : int
        Key of the draws, beside the step.
    p_open : float
        Probability that a layer runs, in [0, 1].

    Example
    -------
    >>> sampler = BernoulliGates(n_total=4, seed=1, p_open=1.0)
    >>> sampler.gates(step=7).depth
    4
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
        """
        return opened(np.full(self.n_total, self.p_open), self.rng(step))


class StochasticDepthGates(OneRun):
    """Opens layer l of L with probability 1 - l / L (1 - p_last).

    The linear schedule of stochastic depth (https://arxiv.org/abs/1603.09382,
    eq. 4, layers counted from 1). Its scaling at test time is left out: here
    the layers that run at a depth are chosen, and run as they are.

    Arguments
    ---------
    seed : int
        Key of the draws, beside the step.
    p_last : float
        Probability that the last layer runs, in [0, 1].

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
        """
        return opened(self.rates, self.rng(step))
