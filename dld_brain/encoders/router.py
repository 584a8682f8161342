"""Routers: parameters of the model's own that decide which layers run.

Two learn one set of layers for each depth, which a depth table then holds; the
third looks at the input of each utterance.

Authors
 * The dld_brain authors 2026
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, Optional

import numpy as np
import torch
from torch import nn

from dld_brain.losses import padding_mask
from dld_brain.samplers import Routed


class Decision(NamedTuple):
    """Whether a layer runs.

    Arguments
    ---------
    gate : torch.Tensor
        Of each utterance, [B], in [0, 1]; outside of training 0 or 1.
    rate : torch.Tensor
        The probability behind it, [B].
    """

    gate: torch.Tensor
    rate: torch.Tensor


#: Layer and its input [B, T', D] -> whether it runs.
Decide = Callable[[int, torch.Tensor], Decision]


class Router(nn.Module, ABC):
    """What all routers give.

    Arguments
    ---------
    n_total : int
        Layers, L.
    """

    def __init__(self, n_total: int) -> None:
        super().__init__()
        self.n_total = n_total

    @abstractmethod
    def begin(
        self, x: torch.Tensor, lengths: torch.Tensor, routed: Routed
    ) -> Decide:
        """Begins a run of the stack.

        Arguments
        ---------
        x : torch.Tensor
            Input of the first layer, [B, T', D].
        lengths : torch.Tensor
            Valid frames, [B].
        routed : Routed
            The run.

        Returns
        -------
        callable
            Asked once for each layer, in order.
        """


def straight_through(hard: torch.Tensor, soft: torch.Tensor) -> torch.Tensor:
    """The one forward, the other's gradient backward.

    Bengio et al., https://arxiv.org/abs/1308.3432, section 4.

    Arguments
    ---------
    hard : torch.Tensor
        Value.
    soft : torch.Tensor
        Has the gradient.

    Returns
    -------
    torch.Tensor

    Example
    -------
    >>> p = torch.tensor(0.7, requires_grad=True)
    >>> gate = straight_through(p.round(), p)
    >>> gate.backward()
    >>> gate.item(), p.grad.item()
    (1.0, 1.0)
    """
    # In this order what is added is an exact 0.
    return hard.detach() + (soft - soft.detach())


class ScoredLayers(Router):
    """A score for each layer: one order of layers, whatever the input.

    Arguments
    ---------
    n_total : int
        Layers, L.
    start : float
        Their score when made.
    """

    def __init__(self, n_total: int, start: float) -> None:
        super().__init__(n_total)
        self.scores = nn.Parameter(torch.full((n_total,), start))

    def layers(self, n_layers: int) -> tuple[int, ...]:
        """The layers of a depth: those of the highest scores, nested.

        Arguments
        ---------
        n_layers : int
            The depth.

        Returns
        -------
        tuple of int
        """
        order = self.scores.detach().cpu().argsort(descending=True, stable=True)
        return tuple(sorted(order[:n_layers].tolist()))

    @abstractmethod
    def gates(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Gates of all layers.

        Arguments
        ---------
        step : int
            The optimizer step.

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
        routed : Routed
            The run.

        Returns
        -------
        callable
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
    n_total : int
        Layers, L.
    min_layers : int
        Where k ends.
    anneal_steps : int
        Optimizer steps from one k to the next.
    temperature : float
        Of the softmaxes.

    Raises
    ------
    ValueError
        If `anneal_steps` is less than 1.

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
        if anneal_steps < 1:
            raise ValueError(
                f"`anneal_steps` must be at least 1, but is {anneal_steps}"
            )
        self.min_layers = min(min_layers, n_total)
        self.anneal_steps = anneal_steps
        self.temperature = temperature

    def k(self, step: int) -> int:
        """Layers that are kept.

        Arguments
        ---------
        step : int
            The optimizer step.

        Returns
        -------
        int
        """
        return max(self.min_layers, self.n_total - step // self.anneal_steps)

    def gates(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Gates of all layers; outside of training, of the top k, 0 or 1.

        Arguments
        ---------
        step : int
            The optimizer step.

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
            gates[list(self.layers(k))] = 1.0
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
    k : int
        How many.
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
    """Learns a mask of layers: open where sigmoid(score) > 1/2.

    As the masks of https://arxiv.org/abs/2502.12925 over heads, neurons and
    channels, rounded and passed straight through; here over layers, and the
    layers are trained along. `router_penalty` 100 and `open_rate` are the
    paper's 100 (mean sigmoid - target)^2.

    Arguments
    ---------
    n_total : int
        Layers, L.

    Example
    -------
    >>> gates, rates = LayerMask(n_total=3).gates(step=0)
    >>> gates.tolist(), round(rates[0].item(), 3)
    ([1.0, 1.0, 1.0], 0.731)
    """

    def __init__(self, n_total: int) -> None:
        super().__init__(n_total, start=1.0)

    def gates(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Gates of all layers, 0 or 1; the best one is always open.

        Arguments
        ---------
        step : int
            Not used.

        Returns
        -------
        tuple of torch.Tensor
            Gates and rates, [L].
        """
        rates = self.scores.sigmoid()
        hard = (rates > 0.5).float()
        hard[rates.argmax()] = 1.0
        return straight_through(hard, rates), rates


class InputRouter(Router):
    """Looks at the input of an utterance: the gate network of I3D.

    I3D (https://arxiv.org/abs/2303.07624): a small network on the mean over
    time of the encoder's input ("global") or of each layer's input ("local"),
    two logits a layer, straight-through Gumbel-softmax in training, a
    threshold on the probability outside. The size of the network, the one
    gate for a whole layer (theirs are one for attention and one for
    feed-forward), the penalty's square and the start with open gates are
    ours: the paper's details could not be verified.

    Arguments
    ---------
    n_total : int
        Layers, L.
    d_model : int
        Width, D.
    scope : str
        global or local.
    hidden : int
        Width of the gate network.

    Example
    -------
    >>> router = InputRouter(n_total=3, d_model=4).eval()
    >>> x, lengths = torch.randn(2, 5, 4), torch.tensor([5, 3])
    >>> decide = router.begin(x, lengths, Routed(threshold=0.0))
    >>> decide(0, x).gate
    tensor([1., 1.])
    """

    def __init__(
        self,
        n_total: int,
        d_model: int,
        scope: str = "global",
        hidden: int = 32,
    ) -> None:
        super().__init__(n_total)
        n_nets, n_gates = (1, n_total) if scope == "global" else (n_total, 1)
        self.nets = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(d_model),
                nn.Linear(d_model, hidden),
                nn.ReLU(),
                nn.Linear(hidden, 2 * n_gates),
            )
            for _ in range(n_nets)
        )
        for net in self.nets:  # p = sigmoid(2) = 0.88: nearly all layers run
            nn.init.constant_(net[-1].bias[:n_gates], 2.0)
            nn.init.zeros_(net[-1].bias[n_gates:])

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
        routed : Routed
            The run.

        Returns
        -------
        callable
        """
        valid = ~padding_mask(lengths, x.shape[1]).unsqueeze(-1)
        is_global = len(self.nets) == 1
        first = self._logits(0, x, valid, lengths) if is_global else None
        noise = self._noise(len(x), routed).to(x) if self.training else None
        n_open = torch.zeros(len(x), device=x.device)

        def decide(i: int, x: torch.Tensor) -> Decision:
            """Whether layer i runs."""
            if is_global:
                logits = first[..., i]  # [B, 2]
            else:
                logits = self._logits(i, x, valid, lengths)[..., 0]
            rate = logits.softmax(-1)[:, 0]
            if noise is not None:
                soft = (logits + noise[i]).softmax(-1)[:, 0]
                hard = (soft > 0.5).float()
            else:
                hard = (rate > routed.threshold).float()
            if i == self.n_total - 1:  # never all closed
                hard = torch.where(n_open == 0, torch.ones_like(hard), hard)
            n_open.add_(hard)
            gate = hard if noise is None else straight_through(hard, soft)
            return Decision(gate, rate)

        return decide

    def _logits(
        self,
        net: int,
        x: torch.Tensor,
        valid: torch.Tensor,
        lengths: torch.Tensor,
    ) -> torch.Tensor:
        """Logits of open and closed, [B, 2, gates of the network]."""
        mean = (x * valid).sum(1) / lengths.unsqueeze(-1)
        return self.nets[net](mean).unflatten(-1, (2, -1))

    def _noise(self, n: int, routed: Routed) -> torch.Tensor:
        """Gumbel noise of a step, [L, B, 2], the same on all ranks."""
        rng = np.random.default_rng([routed.seed, routed.step])
        return torch.from_numpy(rng.gumbel(size=(self.n_total, n, 2)))


def make_router(
    kind: str,
    n_total: int,
    d_model: int,
    per_depth: str = "none",
    min_layers: int = 2,
    anneal_steps: int = 100,
) -> Optional[Router]:
    """Makes a router.

    Arguments
    ---------
    kind : str
        none, top_k, mask, global or local.
    n_total : int
        Layers, L.
    d_model : int
        Width, D.
    per_depth : str
        What each depth has of its own: none, where a router decides.
    min_layers : int
        Of top_k: where k ends.
    anneal_steps : int
        Of top_k: optimizer steps from one k to the next.

    Returns
    -------
    Router
        Or None.

    Raises
    ------
    ValueError
        If there is no such kind, or it does not go with `per_depth`.

    Example
    -------
    >>> make_router("mask", n_total=3, d_model=4)
    LayerMask()
    """
    kinds = {
        "none": lambda: None,
        "top_k": lambda: RelaxedTopK(n_total, min_layers, anneal_steps),
        "mask": lambda: LayerMask(n_total),
        "global": lambda: InputRouter(n_total, d_model, "global"),
        "local": lambda: InputRouter(n_total, d_model, "local"),
    }
    if kind not in kinds:
        raise ValueError(
            f"`router` must be one of {', '.join(kinds)}, but is {kind!r}"
        )
    if kind != "none" and per_depth != "none":
        raise ValueError(
            f"`per_depth` must be none with a router, whose depth differs "
            f"from utterance to utterance, but is {per_depth!r}"
        )
    return kinds[kind]()
