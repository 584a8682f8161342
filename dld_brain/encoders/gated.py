"""A stack of layers under gates, and the encoder built round it.

Gates are an argument of `forward`, never state of a module: threads that
ask for different depths do not meet.

Authors
 * The dld_brain authors 2026
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Optional, Union

import torch
from torch import nn

from dld_brain.encoders.router import Decide, Router
from dld_brain.gates import Gates
from dld_brain.losses import padding_mask
from dld_brain.samplers import Routed

CLOSED = ("identity", "norm")


class EncoderOutput(NamedTuple):
    """What an encoder gives.

    Arguments
    ---------
    log_probs : torch.Tensor
        Log-probabilities of the tokens, [B, T', V]; of the labels of a
        classification, [B, 1, V].
    lengths : torch.Tensor
        Valid frames, [B], whole numbers.
    """

    log_probs: torch.Tensor
    lengths: torch.Tensor


class RoutedOutput(NamedTuple):
    """What an encoder gives whose router decided.

    Arguments
    ---------
    out : EncoderOutput
        Log-probabilities and lengths.
    gates : torch.Tensor
        Of each layer and utterance, [L, B]; outside of training 0 or 1.
    rates : torch.Tensor
        The probabilities behind them, [L, B].
    """

    out: EncoderOutput
    gates: torch.Tensor
    rates: torch.Tensor


Output = Union[EncoderOutput, RoutedOutput]


class GatedLayers(nn.Module):
    """Runs the layers whose gate is open (DLD, eq. 1).

    Arguments
    ---------
    layers : iterable of torch.nn.Module
        Layers, called as `layer(x, **context)`.
    closed : str
        What a closed layer does: "identity" passes its input on (DLD,
        eq. 1); "norm" applies the layer's `final_norm` alone, as LDASR
        does, the authors' earlier code.
    norm : torch.nn.Module, optional
        Behind the last layer, at every depth: for layers that end without
        a norm.

    Raises
    ------
    ValueError
        If `closed` is neither.

    Example
    -------
    >>> stack = GatedLayers([nn.Linear(2, 2) for _ in range(3)])
    >>> x = torch.ones(1, 5, 2)
    >>> torch.equal(stack(x, (False, False, True)), stack.layers[2](x))
    True
    """

    def __init__(
        self,
        layers: Iterable[nn.Module],
        closed: str = "identity",
        norm: Optional[nn.Module] = None,
    ) -> None:
        super().__init__()
        if closed not in CLOSED:
            raise ValueError(
                f"`closed` must be one of {CLOSED}, but is {closed!r}"
            )
        self.layers = nn.ModuleList(layers)
        self.closed = closed
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
        gates : tuple of bool, optional
            One gate for each layer; all open if not given.
        **context
            What every layer gets beside its input.

        Returns
        -------
        torch.Tensor
            Output of the last layer, [B, T, D].

        Raises
        ------
        ValueError
            If there are not as many gates as layers.
        """
        if gates is None:
            gates = (True,) * len(self.layers)
        self._check(gates)
        for i, is_open in enumerate(gates):
            x = self.step(i, x, is_open, context)
        return self.norm(x)

    def run_many(
        self, x: torch.Tensor, many: Sequence[Gates], **context
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Runs several sets of gates; what begins alike is computed once.

        Arguments
        ---------
        x : torch.Tensor
            Input of the first layer, [B, T, D].
        many : sequence of tuple of bool
            Gates of each run.
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
            If a run has not as many gates as there are layers.
        """
        for gates in many:
            self._check(gates)

        def descend(
            i: int, x: torch.Tensor, runs: list[int]
        ) -> Iterator[tuple[int, torch.Tensor]]:
            """Layer i on, for the runs that agree on the layers before."""
            if i == len(self.layers):
                x = self.norm(x)
                yield from ((run, x) for run in runs)
                return
            for is_open in (True, False):
                rest = [run for run in runs if many[run][i] == is_open]
                if rest:
                    y = self.step(i, x, is_open, context)
                    yield from descend(i + 1, y, rest)

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
        decide : callable
            Layer and its input -> Decision.
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

    def _check(self, gates: Gates) -> None:
        """Raises unless there is one gate for each layer."""
        if len(gates) != len(self.layers):
            raise ValueError(
                f"`gates` must have one entry for each of the "
                f"{len(self.layers)} layers, but has {len(gates)}"
            )

    def step(
        self, i: int, x: torch.Tensor, is_open: bool, context: dict[str, Any]
    ) -> torch.Tensor:
        """Passes one layer, or passes it by.

        Arguments
        ---------
        i : int
            The layer.
        x : torch.Tensor
            Its input, [B, T, D].
        is_open : bool
            Its gate.
        context : dict
            What every layer gets beside its input.

        Returns
        -------
        torch.Tensor
            [B, T, D].
        """
        if is_open:
            return self.layers[i](x, **context)
        if self.closed == "norm":
            return self.layers[i].final_norm(x)
        return x


class MeanOverTime(nn.Module):
    """Mean over the valid frames: one vector for each utterance.

    SpeechBrain's `StatisticsPooling` adds noise to the mean, in inference
    as well, and goes through the batch one by one.

    Example
    -------
    >>> x = torch.tensor([[[1.0], [3.0], [8.0]]])
    >>> MeanOverTime()(x, torch.tensor([2]))
    (tensor([[[2.]]]), tensor([1]))
    """

    def forward(
        self, x: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Averages.

        Arguments
        ---------
        x : torch.Tensor
            [B, T, D].
        lengths : torch.Tensor
            Valid frames, [B].

        Returns
        -------
        tuple of torch.Tensor
            [B, 1, D], and ones, [B].
        """
        padding = padding_mask(lengths, x.shape[1]).unsqueeze(-1)
        total = x.masked_fill(padding, 0.0).sum(1, keepdim=True)
        return total / lengths.view(-1, 1, 1), torch.ones_like(lengths)


def make_pool(task: str) -> Optional[nn.Module]:
    """What stands between layers and head: of a classification, a mean.

    Arguments
    ---------
    task : str
        transcription or classification.

    Returns
    -------
    torch.nn.Module
        Or None.

    Example
    -------
    >>> make_pool("classification"), make_pool("transcription")
    (MeanOverTime(), None)
    """
    return MeanOverTime() if task == "classification" else None


class DynamicEncoder(nn.Module):
    """From features to log-probabilities, at any depth.

    Arguments
    ---------
    stem : torch.nn.Module
        `stem(feats, lengths)` gives [B, T', D] and the lengths there.
    layers : GatedLayers
        The stack.
    head : torch.nn.Module
        [B, T', D] -> [B, T', V].
    bias : torch.nn.Module, optional
        T' -> the positional bias of attention, [1, H, T', T'], which every
        layer that runs gets. It belongs to no layer.
    pool : torch.nn.Module, optional
        `pool(x, lengths)` in front of the head: for a classification.
    per_depth : torch.nn.ModuleList, optional
        What each depth has of its own at the head; see `make_per_depth`.
    router : Router, optional
        What decides where a run is `Routed`.

    Example
    -------
    >>> from dld_brain.encoders.conformer import ConvStem, conformer_layers
    >>> model = DynamicEncoder(
    ...     ConvStem(n_mels=80, d_model=16),
    ...     GatedLayers(conformer_layers(3, 16, 32, n_heads=2)),
    ...     nn.Linear(16, 30),
    ... )
    >>> feats, lengths = torch.randn(2, 100, 80), torch.tensor([100, 50])
    >>> out = model(feats, lengths, gates=(True, False, True))
    >>> out.log_probs.shape, out.lengths
    (torch.Size([2, 24, 30]), tensor([24, 11]))
    """

    def __init__(
        self,
        stem: nn.Module,
        layers: GatedLayers,
        head: nn.Module,
        bias: Optional[nn.Module] = None,
        pool: Optional[nn.Module] = None,
        per_depth: Optional[nn.ModuleList] = None,
        router: Optional[Router] = None,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.layers = layers
        self.head = head
        self.bias = bias
        self.pool = pool
        self.per_depth = per_depth
        self.router = router

    @property
    def n_total(self) -> int:
        """Layers in the stack, L."""
        return len(self.layers)

    def forward(
        self,
        feats: torch.Tensor,
        lengths: torch.Tensor,
        gates: Union[Gates, Routed, list[Union[Gates, Routed]], None] = None,
    ) -> Union[Output, list[Output]]:
        """Computes log-probabilities at the depth that the gates give.

        Several sets of gates are run in one call, as one step of training
        has to under DistributedDataParallel; the stem, and layers in front
        of the first that differs, are computed once.

        Arguments
        ---------
        feats : torch.Tensor
            Features, [B, T, F].
        lengths : torch.Tensor
            Valid frames, [B], whole numbers.
        gates : tuple of bool, Routed, or list of them, optional
            One gate for each layer; all open if not given. Or the router
            decides.

        Returns
        -------
        EncoderOutput, RoutedOutput, or list of them
            Log-probabilities [B, T', V] and lengths [B]; of a list of
            gates, a list.
        """
        x, lengths = self.stem(feats, lengths)
        if isinstance(gates, list):
            return self.run_list(x, lengths, gates)
        if isinstance(gates, Routed):
            return self.run_routed(x, lengths, gates)
        n_layers = self.n_total if gates is None else sum(gates)
        x = self.run_layers(x, lengths, gates)
        return self.run_head(x, lengths, n_layers)

    def run_list(
        self,
        x: torch.Tensor,
        lengths: torch.Tensor,
        many: list[Union[Gates, Routed]],
    ) -> list[Output]:
        """Several runs; what those with fixed gates share is computed once.

        Arguments
        ---------
        x : torch.Tensor
            Output of the stem, [B, T', D].
        lengths : torch.Tensor
            Valid frames there, [B].
        many : list of tuple of bool or Routed
            Gates of each run.

        Returns
        -------
        list of EncoderOutput or RoutedOutput
        """
        fixed = [gates for gates in many if not isinstance(gates, Routed)]
        context = self.context(x, lengths)
        outputs = dict(self.layers.run_many(x, fixed, **context))
        heads = iter(
            self.run_head(outputs[run], lengths, sum(gates))
            for run, gates in enumerate(fixed)
        )
        return [
            self.run_routed(x, lengths, gates)
            if isinstance(gates, Routed)
            else next(heads)
            for gates in many
        ]

    def run_routed(
        self, x: torch.Tensor, lengths: torch.Tensor, routed: Routed
    ) -> RoutedOutput:
        """Runs the layers that the router decides.

        Arguments
        ---------
        x : torch.Tensor
            Output of the stem, [B, T', D].
        lengths : torch.Tensor
            Valid frames there, [B].
        routed : Routed
            The run.

        Returns
        -------
        RoutedOutput

        Raises
        ------
        ValueError
            If the model has no router.
        """
        if self.router is None:
            raise ValueError(
                "the model must have a router where no gates are given to "
                "it, but has none: train one with --router=global"
            )
        decide = self.router.begin(x, lengths, routed)
        context = self.context(x, lengths)
        y, gates, rates = self.layers.run_routed(x, decide, **context)
        out = self.run_head(y, lengths, self.n_total)
        return RoutedOutput(out, gates, rates)

    def run_layers(
        self,
        x: torch.Tensor,
        lengths: torch.Tensor,
        gates: Optional[Gates] = None,
    ) -> torch.Tensor:
        """The part behind the stem: what differs between two depths.

        Arguments
        ---------
        x : torch.Tensor
            Output of the stem, [B, T', D].
        lengths : torch.Tensor
            Valid frames there, [B].
        gates : tuple of bool, optional
            One gate for each layer; all open if not given.

        Returns
        -------
        torch.Tensor
            [B, T', D].
        """
        return self.layers(x, gates, **self.context(x, lengths))

    def context(
        self, x: torch.Tensor, lengths: torch.Tensor
    ) -> dict[str, Optional[torch.Tensor]]:
        """What every layer gets beside its input.

        Arguments
        ---------
        x : torch.Tensor
            Output of the stem, [B, T', D].
        lengths : torch.Tensor
            Valid frames there, [B].

        Returns
        -------
        dict of str to torch.Tensor
            `padding`, [B, T'], and `bias`, [1, H, T', T'], where there is
            one.
        """
        padding = padding_mask(lengths, x.shape[1])
        # Without a mask the attention takes its faster path.
        is_padded = torch.compiler.is_exporting() or padding.any()
        context = {"padding": padding if is_padded else None}
        if self.bias is not None:
            context["bias"] = self.bias(x.shape[1])
        return context

    def run_head(
        self, x: torch.Tensor, lengths: torch.Tensor, n_layers: int
    ) -> EncoderOutput:
        """From the last layer to log-probabilities.

        Arguments
        ---------
        x : torch.Tensor
            Output of the layers, [B, T', D].
        lengths : torch.Tensor
            Valid frames, [B].
        n_layers : int
            Layers that ran: a depth may have parameters of its own.

        Returns
        -------
        EncoderOutput
            Log-probabilities [B, T', V] and lengths [B]; with a `pool`,
            [B, 1, V] and ones.
        """
        if self.pool is not None:
            x, lengths = self.pool(x, lengths)
        if self.per_depth is None:
            logits = self.head(x)
        else:
            logits = self.per_depth[n_layers - 1](self.head, x)
        return EncoderOutput(logits.log_softmax(-1), lengths)
