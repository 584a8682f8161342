"""A router that looks at the input of each utterance."""

import numpy as np
import torch
from torch import nn

from dld_brain.audio.lengths import padding_mask
from dld_brain.encoder.routers.base import (
    Decide,
    Decision,
    Router,
    straight_through,
)
from dld_brain.gates.gates import Routed


class InputRouter(Router):
    """Looks at the input of an utterance: the gate network of I3D.

    I3D (https://arxiv.org/abs/2303.07624): a small network on the mean over
    time of the encoder's input ("global") or of each layer's input ("local"),
    two logits a layer, straight-through Gumbel-softmax in training, a
    threshold on the probability outside. The size of the network, the one
    gate for a whole layer (theirs are one for attention and one for
    feed-forward), the penalty's square and the start with open gates are
    ours: the paper's details could not be verified.

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
        if not 1 <= hidden <= 65_536:
            raise ValueError(
                f"`router.hidden` must be between 1 and 65536, but is {hidden}"
            )
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
