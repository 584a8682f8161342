"""Routers that learn one order of layers, which a depth table then holds."""

from abc import abstractmethod

import torch
from torch import nn

from dld_brain.encoder.routers.base import (
    Decide,
    Decision,
    Router,
    straight_through,
)
from dld_brain.gates.gates import Gates, Routed
from dld_brain.gates.layer_sets import evenly_spread


class ScoredLayers(Router):
    """A score for each layer: one order of layers, whatever the input."""

    def __init__(self, n_total: int, start: float) -> None:
        super().__init__(n_total)
        self.scores = nn.Parameter(torch.full((n_total,), start))

    def gates_for(self, n_layers: int) -> Gates:
        """The gates of a depth: the layers of the highest scores, nested."""
        order = self.scores.detach().cpu().argsort(descending=True, stable=True)
        return Gates.of(order[:n_layers].tolist(), self.n_total)

    @abstractmethod
    def gates(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Gates of all layers.

        Returns
        -------
        tuple of torch.Tensor
            Gates and rates, [L].
        """

    def begin(
        self, x: torch.Tensor, lengths: torch.Tensor, routed: Routed
    ) -> Decide:
        """Begins a run; see `Router.begin`.

        Arguments
        ---------
        x : torch.Tensor
            Input of the first layer, [B, T', D].
        lengths : torch.Tensor
            Valid frames, [B].
        """
        gates, rates = self.gates(routed.step)
        n = len(x)
        return lambda i, _: Decision(gates[i].expand(n), rates[i].expand(n))


class RelaxedTopK(ScoredLayers):
    """Learns which k layers to keep, k annealed from L to `min_layers`.

    Simple-Top-k of Xu et al. (https://arxiv.org/abs/2407.18930): gates are
    the sum of k successive softmaxes of the scores, each less what the ones
    before have taken (relaxed subset sampling, https://arxiv.org/abs/1901.10517,
    without its noise). Here units are whole layers, and layers outside the
    top k have no stochastic depth; the temperature is ours.

    Arguments
    ---------
    anneal_steps : int
        Optimizer steps from one k to the next.

    Example
    -------
    >>> router = RelaxedTopK(n_total=4, min_layers=2, anneal_steps=10)
    >>> [router.k(step) for step in (0, 10, 99)]
    [4, 3, 2]
    >>> gates, _ = router.gates(step=10)
    >>> round(gates.sum().item(), 3)
    3.0
    """

    def __init__(
        self,
        n_total: int,
        min_layers: int = 2,
        anneal_steps: int = 100,
        temperature: float = 0.1,
    ) -> None:
        super().__init__(n_total, start=0.5)
        for name, value in (
            ("anneal_steps", anneal_steps),
            ("min_layers", min_layers),
        ):
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1, but is {value}")
        if temperature <= 0:
            raise ValueError(
                f"`temperature` must be above 0, but is {temperature}"
            )
        self.min_layers = min(min_layers, n_total)
        self.anneal_steps = anneal_steps
        self.temperature = temperature

    def k(self, step: int) -> int:
        """Layers that are kept."""
        return max(self.min_layers, self.n_total - step // self.anneal_steps)

    def gates(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Gates of all layers; outside of training, of the top k, 0 or 1.

        Returns
        -------
        tuple of torch.Tensor
            Gates and rates, [L].
        """
        k = self.k(step)
        if k == self.n_total:
            gates = torch.ones_like(self.scores)
        elif self.training:
            gates = relaxed_top_k(self.scores, k, self.temperature)
        else:
            gates = torch.zeros_like(self.scores)
            gates[list(self.gates_for(k).layers)] = 1.0
        return gates, gates


def relaxed_top_k(
    scores: torch.Tensor, k: int, temperature: float
) -> torch.Tensor:
    """The sum of k successive softmaxes.

    Xie and Ermon, https://arxiv.org/abs/1901.10517, eq. 3 and 4: a =
    softmax(score / temperature), and then score + log(1 - a).

    Arguments
    ---------
    scores : torch.Tensor
        Scores, [L].
    temperature : float
        Of the softmaxes; with less of it, gates come nearer to 0 and 1.

    Returns
    -------
    torch.Tensor
        [L], between 0 and 1, with the sum k.

    Example
    -------
    >>> relaxed_top_k(torch.tensor([0.9, 0.1, 0.8]), 2, temperature=0.1).round()
    tensor([1., 0., 1.])
    """
    total = torch.zeros_like(scores)
    itself = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    for i in range(k):
        logits = scores / temperature
        total = total + logits.softmax(-1)
        if i < k - 1:
            # log(1 - a): 1 - a is the share of the others.
            others = logits.expand(len(logits), -1)
            others = others.masked_fill(itself, float("-inf")).logsumexp(-1)
            scores = scores + others - logits.logsumexp(-1)
    return total.clamp(max=1.0)


class LayerMask(ScoredLayers):
    """Learns which n layers to open: those of the highest scores.

    After the masks of https://arxiv.org/abs/2502.12925 over heads, neurons
    and channels: a gate is 0 or 1, and the gradient that of sigmoid(score).
    Theirs opens where the sigmoid is above 1/2 and pays 100 (mean sigmoid -
    target)^2, which does not say how many of a dozen layers are open; nor
    does a penalty on that number come to rest on it. So the n best are open
    here, as in https://arxiv.org/abs/1911.13299, from evenly spread ones on;
    and the layers are trained along.

    Arguments
    ---------
    lead : float
        By how much the scores of evenly spread layers are higher at first.

    Raises
    ------
    ValueError
        If `n_layers` is not between 1 and `n_total`.

    Example
    -------
    >>> gates, _ = LayerMask(n_total=4, n_layers=2).gates(step=0)
    >>> gates.tolist()
    [1.0, 0.0, 0.0, 1.0]
    """

    def __init__(
        self, n_total: int, n_layers: int = 2, lead: float = 0.1
    ) -> None:
        super().__init__(n_total, start=1.0)
        self.n_layers = n_layers
        self.scores.data[list(evenly_spread(n_layers, n_total).layers)] += lead

    def gates(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Gates of all layers, 0 or 1.

        Returns
        -------
        tuple of torch.Tensor
            Gates and rates, [L], which are the same.
        """
        hard = torch.zeros_like(self.scores)
        hard[list(self.gates_for(self.n_layers).layers)] = 1.0
        gates = straight_through(hard, self.scores.sigmoid())
        return gates, gates
