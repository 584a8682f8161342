"""The gate samplers, by the name that an hparams file gives them."""

from collections.abc import Callable

from dld_brain.gates.by_depth import (
    EveryDepthGates,
    SandwichGates,
    UniformDepthGates,
)
from dld_brain.gates.by_layer import BernoulliGates, StochasticDepthGates
from dld_brain.gates.sampler import GateSampler, RoutedGates


def full_depth(n_total: int, seed: int) -> GateSampler:
    """All gates open: no layer dropping."""
    return BernoulliGates(n_total, seed, p_open=1.0)


#: Each takes `n_total` and `seed`; what else it takes are its options.
SAMPLERS: dict[str, Callable[..., GateSampler]] = {
    "full": full_depth,
    "bernoulli": BernoulliGates,
    "stochastic_depth": StochasticDepthGates,
    "uniform": UniformDepthGates,
    "sandwich": SandwichGates,
    "every_depth": EveryDepthGates,
    "routed": RoutedGates,
}
