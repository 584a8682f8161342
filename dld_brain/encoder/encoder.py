"""The encoder round a stack of gated layers: from features to log-probs."""

from collections.abc import Sequence
from typing import Any, Optional, Union

import torch
from torch import nn

from dld_brain.audio.lengths import padding_mask
from dld_brain.encoder.chunked_gates import run_chunked
from dld_brain.encoder.chunks import chunk_mask
from dld_brain.encoder.output import EncoderOutput
from dld_brain.encoder.routers.base import Decision, Router
from dld_brain.encoder.stack import GatedLayers
from dld_brain.gates.gates import ChunkedGates, Gates, Routed
from speechbrain.utils.dynamic_chunk_training import DynChunkTrainConfig


class DynamicEncoder(nn.Module):
    """From features to log-probabilities, at any depth.

    Arguments
    ---------
    stem : torch.nn.Module
        `stem(feats, lengths)` gives [B, T', D] and the lengths there.
    head : torch.nn.Module
        [B, T', D] -> [B, T', V].
    bias : torch.nn.Module, optional
        T' -> the positional bias of attention, [1, H, T', T'], which every
        layer that runs gets. It belongs to no layer.
    pool : torch.nn.Module, optional
        `pool(x, lengths)` in front of the head: the mean of a classification,
        or an adapter; its `stride` is frames in front for one behind.
    per_depth : torch.nn.ModuleList, optional
        What each depth has of its own at the head; see `make_per_depth`.
    router : Router, optional
        What decides where a run is `Routed`.

    Example
    -------
    >>> from dld_brain.encoder.conformer import ConvStem, conformer_layers
    >>> model = DynamicEncoder(
    ...     ConvStem(n_mels=80, d_model=16),
    ...     GatedLayers(conformer_layers(3, 16, 32, n_heads=2)),
    ...     nn.Linear(16, 30),
    ... )
    >>> feats, lengths = torch.randn(2, 100, 80), torch.tensor([100, 50])
    >>> (out,) = model(feats, lengths, [Gates((0, 2), 3)])
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
        gates: Optional[Sequence[Union[Gates, Routed, ChunkedGates]]] = None,
        chunks: Optional[DynChunkTrainConfig] = None,
        **given: Any,
    ) -> list[EncoderOutput]:
        """Computes log-probabilities at the depths that the gates give.

        All runs are one call, as one step of training
        has to under DistributedDataParallel; the stem, and layers in front
        of the first that differs, are computed once.

        Arguments
        ---------
        feats : torch.Tensor
            Features, [B, T, F].
        lengths : torch.Tensor
            Valid frames, [B], whole numbers.
        gates : sequence of Gates, Routed or ChunkedGates, optional
            Of each run the gates, or that the router decides, or the gates
            of each of `chunks`; one run with all open if not given.
        chunks : DynChunkTrainConfig, optional
            What a frame sees, in chunks of frames T'; the whole utterance if
            not given.
        **given
            What the head gets beside its input; see `Task.given`.

        Returns
        -------
        list of EncoderOutput
            Of each run, in their order.
        """
        if gates is None:
            gates = [Gates.full(self.n_total)]
        x, lengths = self.stem(feats, lengths)
        fixed = [g for g in gates if isinstance(g, Gates)]
        context = self.context(x, lengths, chunks)
        outputs = dict(self.layers.run_many(x, fixed, **context))
        heads = iter(
            self.run_head(outputs[run], lengths, g, **given)
            for run, g in enumerate(fixed)
        )
        return [
            next(heads)
            if isinstance(g, Gates)
            else self._run_other(x, lengths, g, chunks)
            for g in gates
        ]

    def _run_other(
        self,
        x: torch.Tensor,
        lengths: torch.Tensor,
        gates: Union[Routed, ChunkedGates],
        chunks: Optional[DynChunkTrainConfig],
    ) -> EncoderOutput:
        """A run whose gates differ between utterances, or chunks."""
        if isinstance(gates, Routed):
            return self.run_routed(x, lengths, gates, chunks)
        if chunks is None:
            raise ValueError(
                "`chunks` must be given where each chunk has gates of its own"
            )
        return run_chunked(self, x, lengths, gates, chunks)

    def run_routed(
        self,
        x: torch.Tensor,
        lengths: torch.Tensor,
        routed: Routed,
        chunks: Optional[DynChunkTrainConfig] = None,
    ) -> EncoderOutput:
        """Runs the layers that the router decides.

        Arguments
        ---------
        x : torch.Tensor
            Output of the stem, [B, T', D].
        lengths : torch.Tensor
            Valid frames there, [B].
        """
        if self.router is None:
            raise ValueError(
                "the model must have a router where no gates are given to "
                "it, but has none: train one with --router=global"
            )
        decide = self.router.begin(x, lengths, routed)
        context = self.context(x, lengths, chunks)
        y, gates, rates = self.layers.run_routed(x, decide, **context)
        # What depths have of their own, a model with a router has not.
        out = self.run_head(y, lengths, Gates.full(self.n_total))
        return out._replace(gates=None, routing=Decision(gates, rates))

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
        gates : Gates, optional
            All open if not given.

        Returns
        -------
        torch.Tensor
            [B, T', D].
        """
        return self.layers(x, gates, **self.context(x, lengths))

    def context(
        self,
        x: torch.Tensor,
        lengths: torch.Tensor,
        chunks: Optional[DynChunkTrainConfig] = None,
    ) -> dict[str, Any]:
        """What every layer gets beside its input.

        Arguments
        ---------
        x : torch.Tensor
            Output of the stem, [B, T', D].
        lengths : torch.Tensor
            Valid frames there, [B].

        Returns
        -------
        dict
            `padding`, [B, T']; `bias`, [1, H, T', T'], and `chunks`, a
            ChunkMask, where there is one.

        Raises
        ------
        ValueError
            If the layers know no chunks.
        """
        padding = padding_mask(lengths, x.shape[1])
        # Without a mask the attention takes its faster path.
        is_padded = torch.compiler.is_exporting() or padding.any()
        context = {"padding": padding if is_padded else None}
        if self.bias is not None:
            context["bias"] = self.bias(x.shape[1])
        if chunks is not None:
            self.check_chunks()
            context["chunks"] = chunk_mask(x, chunks)
        return context

    def check_chunks(self) -> None:
        """Raises unless the layers can run in chunks."""
        if not all(getattr(m, "has_chunks", False) for m in self.layers.layers):
            raise ValueError(
                "a model that runs in chunks must be a Conformer of hparams/"
                "conformer_*.yaml, whose layers know chunks, but is another: "
                "stream it by a sliding window (`window=10`)"
            )

    def run_head(
        self, x: torch.Tensor, lengths: torch.Tensor, gates: Gates
    ) -> EncoderOutput:
        """From the last layer to log-probabilities.

        Arguments
        ---------
        x : torch.Tensor
            Output of the layers, [B, T', D].
        lengths : torch.Tensor
            Valid frames, [B].
        gates : Gates
            What ran: a depth may have parameters of its own.

        Returns
        -------
        EncoderOutput
            Log-probabilities [B, T', V] and lengths [B], of the frames that
            a `pool` leaves.
        """
        if self.pool is not None:
            x, lengths = self.pool(x, lengths)
        if self.per_depth is None:
            logits = self.head(x)
        else:
            logits = self.per_depth[gates.depth - 1](self.head, x)
        return EncoderOutput(logits.log_softmax(-1), lengths, gates)

    @torch.no_grad()
    def teach(
        self, feats: torch.Tensor, lengths: torch.Tensor, **given: Any
    ) -> EncoderOutput:
        """What a student learns from: the full depth.

        Arguments
        ---------
        feats : torch.Tensor
            Features, [B, T, F].
        lengths : torch.Tensor
            Valid frames, [B].
        """
        (taught,) = self(feats, lengths, **given)
        return taught

    def run_typical_head(
        self,
        x: torch.Tensor,
        lengths: torch.Tensor,
        decoder: Optional[Gates] = None,
    ) -> None:
        """What a head computes for speech; costs are counted of it.

        Arguments
        ---------
        decoder : Gates, optional
            Of a head that is a decoder.
        """
        full = Gates.full(self.n_total)
        self.run_head(x, lengths, full.with_decoder(decoder))
