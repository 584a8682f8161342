"""Who decides which layers run in a training step.

A gate sampler is a pure function of the optimizer step: it holds no state
and never touches the global random generators, so that every rank draws
the same gates and a resumed run draws the gates it would have drawn.

Authors
 * The dld_brain authors 2026
"""

from collections.abc import Sequence

import numpy as np

Gates = tuple[bool, ...]


def evenly_spread(n_layers: int, n_total: int) -> tuple[int, ...]:
    """Returns `n_layers` layers of `n_total`, first and last included.

    The rule of LayerDrop's inference (https://arxiv.org/abs/1909.11556):
    layers that are kept lie at equal distances. One layer alone is layer 0.

    Arguments
    ---------
    n_layers : int
        How many layers run, 1 to `n_total`.
    n_total : int
        How many layers there are.

    Returns
    -------
    tuple of int
        Layer indices in rising order, counted from 0.

    Raises
    ------
    ValueError
        If `n_layers` is not between 1 and `n_total`.

    Example
    -------
    >>> evenly_spread(4, 12)
    (0, 4, 7, 11)
    """
    check_n_layers(n_layers, n_total)
    if n_layers == 1:
        return (0,)
    # Integer rounding of i * (L - 1) / (n - 1), halves up: the same layers
    # on every machine, whatever its floating point.
    step = n_layers - 1
    return tuple(
        (2 * i * (n_total - 1) + step) // (2 * step) for i in range(n_layers)
    )


def gates_from_layers(layers: Sequence[int], n_total: int) -> Gates:
    """Turns the layers that run into gates.

    Arguments
    ---------
    layers : sequence of int
        Layers that run, counted from 0.
    n_total : int
        How many layers there are.

    Returns
    -------
    tuple of bool
        One gate for each layer.

    Raises
    ------
    ValueError
        If no layer is named, or one lies outside the stack.

    Example
    -------
    >>> gates_from_layers([0, 2], 3)
    (True, False, True)
    """
    if not layers or not all(0 <= layer < n_total for layer in layers):
        raise ValueError(
            f"`layers` must name at least one layer between 0 and "
            f"{n_total - 1}, but is {list(layers)}"
        )
    return tuple(i in set(layers) for i in range(n_total))


def check_n_layers(n_layers: int, n_total: int) -> None:
    """Raises unless `n_layers` is a depth of a stack of `n_total` layers.

    Arguments
    ---------
    n_layers : int
        The depth asked for.
    n_total : int
        How many layers there are.

    Raises
    ------
    ValueError
        If `n_layers` is no whole number between 1 and `n_total`.

    Example
    -------
    >>> check_n_layers(13, 12)
    Traceback (most recent call last):
    ...
    ValueError: `n_layers` must be between 1 and 12, but is 13
    """
    is_whole = isinstance(n_layers, int) and not isinstance(n_layers, bool)
    if not is_whole:
        raise ValueError(
            f"`n_layers` must be a whole number between 1 and {n_total}, "
            f"but is {n_layers!r}"
        )
    if not 1 <= n_layers <= n_total:
        raise ValueError(
            f"`n_layers` must be between 1 and {n_total}, but is {n_layers}"
        )


class BernoulliGates:
    """Opens each layer by itself with probability `p_open` (DLD, eq. 1).

    Where every gate would be closed (0.02 % of the steps for 12 layers at
    0.5), one layer, drawn uniformly, is open instead.

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
    >>> sampler(step=7)
    (True, True, True, True)
    """

    def __init__(self, n_total: int, seed: int, p_open: float = 0.5) -> None:
        if not 0.0 <= p_open <= 1.0:
            raise ValueError(
                f"`p_open` must be between 0 and 1, but is {p_open}"
            )
        self.n_total = n_total
        self.seed = seed
        self.p_open = p_open

    def __call__(self, step: int) -> Gates:
        """Draws the gates of an optimizer step.

        Arguments
        ---------
        step : int
            The optimizer step, from 0.

        Returns
        -------
        tuple of bool
            One gate for each layer, at least one of them open.
        """
        rng = np.random.default_rng([self.seed, step])
        gates = rng.random(self.n_total) < self.p_open
        if not gates.any():
            gates[rng.integers(self.n_total)] = True
        return tuple(gates.tolist())


class UniformDepthGates:
    """Draws the depth uniformly and runs its evenly spread layers.

    One fixed set of layers for each depth: the sub-models of training are
    those of inference (https://arxiv.org/abs/2010.08265).

    Arguments
    ---------
    n_total : int
        How many layers there are.
    seed : int
        Key of the draws, beside the step.
    min_layers : int
        The least depth that is drawn.

    Raises
    ------
    ValueError
        If `min_layers` is not between 1 and `n_total`.

    Example
    -------
    >>> sampler = UniformDepthGates(n_total=4, seed=1, min_layers=4)
    >>> sampler(step=7)
    (True, True, True, True)
    """

    def __init__(self, n_total: int, seed: int, min_layers: int = 1) -> None:
        check_n_layers(min_layers, n_total)
        self.n_total = n_total
        self.seed = seed
        self.min_layers = min_layers

    def __call__(self, step: int) -> Gates:
        """Draws the gates of an optimizer step.

        Arguments
        ---------
        step : int
            The optimizer step, from 0.

        Returns
        -------
        tuple of bool
            One gate for each layer, at least one of them open.
        """
        rng = np.random.default_rng([self.seed, step])
        n_layers = int(rng.integers(self.min_layers, self.n_total + 1))
        layers = evenly_spread(n_layers, self.n_total)
        return gates_from_layers(layers, self.n_total)
