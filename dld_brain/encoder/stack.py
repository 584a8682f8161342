"""A stack of layers under gates.

Gates are an argument of `forward`, never state of a module: threads that
ask for different depths do not meet.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Optional

import torch
from torch import nn

from dld_brain.encoder.closed import make_closed
from dld_brain.encoder.routers.base import Decide
from dld_brain.gates.gates import Gates


class GatedLayers(nn.Module):
    """Runs the layers whose gate is open (DLD, eq. 1).

    Arguments
    ---------
    closed : str
        What a closed layer does: "identity", "norm" or "affine"; see
        `make_closed`.
    norm : torch.nn.Module, optional
        Behind the last layer, at every depth: for layers that end without
        a norm.
    d_model : int, optional
        Width, D; closed="affine" needs it.

    Raises
    ------
    ValueError
        If `closed` is none of them, or lacks the width.

    Example
    -------
    >>> stack = GatedLayers([nn.Linear(2, 2) for _ in range(3)])
    >>> x = torch.ones(1, 5, 2)
    >>> torch.equal(stack(x, Gates((2,), 3)), stack.layers[2](x))
    True
    """

    def __init__(
        self,
        layers: Iterable[nn.Module],
        closed: str = "identity",
        norm: Optional[nn.Module] = None,
        d_model: Optional[int] = None,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.closed = nn.ModuleList(
            make_closed(closed, d_model) for _ in self.layers
        )
        self.norm = nn.Identity() if norm is None else norm

    def __len__(self) -> int:
        return len(self.layers)

    def forward(
        self, x: torch.Tensor, gates: Optional[Gates] = None, **context
    ) -> torch.Tensor:
        """Runs the open layers in order.

        Arguments
        ---------
        x : torch.Tensor
            Input of the first layer, [B, T, D].
        gates : Gates, optional
            All open if not given.
        **context
            What every layer gets beside its input.

        Returns
        -------
        torch.Tensor
            Output of the last layer, [B, T, D].

        Raises
        ------
        ValueError
            If the gates are of a stack of other size.
        """
        if gates is None:
            gates = Gates.full(len(self.layers))
        ((_, y),) = self.run_many(x, [gates], **context)
        return y

    def run_many(
        self, x: torch.Tensor, many: Sequence[Gates], **context
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Runs several sets of gates; what begins alike is computed once.

        Arguments
        ---------
        x : torch.Tensor
            Input of the first layer, [B, T, D].
        **context
            What every layer gets beside its input.

        Yields
        ------
        tuple of int and torch.Tensor
            Which run, and its output, [B, T, D]; in no order, each as soon
            as it is there, so that the outputs of thousands need not be
            kept.

        Raises
        ------
        ValueError
            If gates are of a stack of other size.
        """
        for gates in many:
            self.check(gates)

        def descend(
            i: int, x: torch.Tensor, runs: list[int]
        ) -> Iterator[tuple[int, torch.Tensor]]:
            """Layer i on, for the runs that agree on the layers before."""
            while i < len(self.layers):
                is_open = many[runs[0]].is_open(i)
                others = [r for r in runs if many[r].is_open(i) != is_open]
                if others:  # they part
                    runs = [r for r in runs if r not in others]
                    yield from descend(i, x, others)
                x = self.step(i, x, is_open, context)
                i += 1
            x = self.norm(x)
            yield from ((run, x) for run in runs)

        if many:
            yield from descend(0, x, list(range(len(many))))

    def run_routed(
        self, x: torch.Tensor, decide: Decide, **context
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Runs what a router decides, for each utterance by itself.

        In training every layer is computed and weighed by its gate,
        y + g (f(y) - y), so that the gate has a gradient; outside, a layer
        is computed for the utterances that run it alone.

        Arguments
        ---------
        x : torch.Tensor
            Input of the first layer, [B, T, D].
        **context
            What every layer gets beside its input.

        Returns
        -------
        tuple of torch.Tensor
            Output of the last layer, [B, T, D]; gates and rates, [L, B].
        """
        decisions = []
        for i in range(len(self.layers)):
            decision = decide(i, x)
            decisions.append(decision)
            closed = self.step(i, x, False, context)
            if self.training:
                gate = decision.gate.to(x.dtype).view(-1, 1, 1)
                x = closed + gate * (self.step(i, x, True, context) - closed)
            else:
                x = self._step_some(i, x, closed, decision.gate > 0, context)
        gates, rates = (torch.stack(values) for values in zip(*decisions))
        return self.norm(x), gates, rates

    def _step_some(
        self,
        i: int,
        x: torch.Tensor,
        closed: torch.Tensor,
        is_open: torch.Tensor,
        context: dict[str, Any],
    ) -> torch.Tensor:
        """Computes a layer for the utterances that run it, [B] of bool."""
        if is_open.all():
            return self.step(i, x, True, context)
        if not is_open.any():
            return closed
        padding = context["padding"]
        part = None if padding is None else padding[is_open]
        found = closed.clone()
        found[is_open] = self.layers[i](
            x[is_open], **{**context, "padding": part}
        )
        return found

    def check(self, gates: Gates) -> None:
        """Raises unless there is one gate for each layer."""
        if gates.n_total != len(self.layers):
            raise ValueError(
                f"`gates` must have one entry for each of the "
                f"{len(self.layers)} layers, but has {gates.n_total}"
            )

    def step(
        self, i: int, x: torch.Tensor, is_open: bool, context: dict[str, Any]
    ) -> torch.Tensor:
        """Passes one layer, or passes it by.

        Arguments
        ---------
        x : torch.Tensor
            Its input, [B, T, D].
        context : dict
            What every layer gets beside its input.

        Returns
        -------
        torch.Tensor
            [B, T, D].
        """
        if is_open:
            return self.layers[i](x, **context)
        return self.closed[i](x, self.layers[i])
