"""Routers: parameters of the model's own that decide which layers run."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from dld_brain.gates.gates import Routed


class Decision(NamedTuple):
    """Whether a layer runs; or, stacked, all layers.

    Arguments
    ---------
    gate : torch.Tensor
        Of each utterance, [B] or [L, B], in [0, 1]; outside of training 0
        or 1.
    rate : torch.Tensor
        The probability behind it, [B] or [L, B].
    """

    gate: torch.Tensor
    rate: torch.Tensor


#: Layer and its input [B, T', D] -> whether it runs.
Decide = Callable[[int, torch.Tensor], Decision]


class Router(nn.Module, ABC):
    """What all routers give."""

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

        Returns
        -------
        callable
            Asked once for each layer, in order.
        """


def straight_through(hard: torch.Tensor, soft: torch.Tensor) -> torch.Tensor:
    """The one forward, the other's gradient backward.

    Bengio et al., https://arxiv.org/abs/1308.3432, section 4.

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
