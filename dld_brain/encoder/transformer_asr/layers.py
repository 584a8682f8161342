"""SpeechBrain's TransformerASR under gates: Conformer, Branchformer, Transformer.

SpeechBrain's modules and weights. What differs: no frame of an utterance sees
what lies behind its end, where SpeechBrain's Conformer masks what comes out of
its convolution, and its Branchformer nothing.
"""

import math
from collections.abc import Mapping
from typing import Any, Optional, Union

import torch
from torch import nn

from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.encoder.family import Body
from dld_brain.encoder.transformer_asr.config import (
    FRONT_KEY,
    arguments,
    full_config,
)
from dld_brain.encoder.transformer_asr.stem import TransformerASRStem, reflect
from speechbrain.lobes.models.convolution import ConvolutionFrontEnd
from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR
from speechbrain.nnet.attention import RelPosEncXL


class TransformerLayer(nn.Module):
    """A layer of SpeechBrain's, with our names for what it gets."""

    def __init__(self, stock: nn.Module) -> None:
        super().__init__()
        self.stock = stock

    def forward(
        self,
        x: torch.Tensor,
        padding: Optional[torch.Tensor] = None,
        bias: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """[B, T, D] -> [B, T, D].

        Arguments
        ---------
        x : torch.Tensor
            [B, T, D].
        padding : torch.Tensor, optional
            [B, T], true where a frame is padding.
        bias : torch.Tensor, optional
            Positions relative to a frame, [1, 2 T - 1, D].
        """
        return self.stock(x, src_key_padding_mask=padding, pos_embs=bias)[0]

    def _attend(
        self,
        x: torch.Tensor,
        padding: Optional[torch.Tensor],
        bias: Optional[torch.Tensor],
    ) -> torch.Tensor:
        """Self-attention over the valid frames, [B, T, D] -> [B, T, D]."""
        return self.stock.mha_layer(
            *(x, x, x),
            key_padding_mask=padding,
            pos_embs=bias,
            return_attn_weights=False,
        )


class ConformerLayer(TransformerLayer):
    """SpeechBrain's, with padding zeroed before the convolution, not behind."""

    def forward(
        self,
        x: torch.Tensor,
        padding: Optional[torch.Tensor] = None,
        bias: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """See TransformerLayer."""
        stock = self.stock
        x = x + 0.5 * stock.ffn_module1(x)
        x = x + self._attend(stock.norm1(x), padding, bias)
        module = stock.convolution_module
        y = module.bottleneck(module.layer_norm(x).transpose(1, 2))
        if padding is not None:
            y = y.masked_fill(padding.unsqueeze(1), 0.0)
        x = x + module.after_conv(module.conv(y).transpose(1, 2))
        return stock.norm2(x + 0.5 * stock.ffn_module2(x))


class BranchformerLayer(TransformerLayer):
    """SpeechBrain's, with frames reflected at the end of the utterance."""

    def forward(
        self,
        x: torch.Tensor,
        padding: Optional[torch.Tensor] = None,
        bias: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """See TransformerLayer."""
        stock = self.stock
        y = stock.dropout(self._attend(stock.norm_mhsa(x), padding, bias))
        branch, gate = stock.convolution_branch, stock.convolution_branch.csgu
        z = branch.activation(branch.pre_channel_proj(stock.norm_conv(x)))
        z, weights = z.chunk(2, dim=-1)
        weights = self._convolve(gate.norm(weights), padding)
        if gate.use_linear_after_conv:
            weights = gate.linear(weights)
        z = gate.dropout(gate.activation(weights) * z)
        z = stock.dropout(branch.post_channel_proj(z))
        merged = stock.merge_proj(torch.cat((y, z), dim=-1))
        return x + stock.dropout(merged)

    def _convolve(
        self, x: torch.Tensor, padding: Optional[torch.Tensor]
    ) -> torch.Tensor:
        """The gate's depthwise convolution, [B, T, D] -> [B, T, D]."""
        conv = self.stock.convolution_branch.csgu.conv
        if padding is None:
            lengths = torch.full(x.shape[:1], x.shape[1], device=x.device)
        else:
            lengths = (~padding).sum(1)
        x = reflect(x, lengths, conv.kernel_size // 2)
        return conv.conv(x.transpose(1, 2)).transpose(1, 2)


class RelativePositions(RelPosEncXL):
    """SpeechBrain's positions for `RelPosMHAXL`, of a number of frames."""

    def forward(self, n_frames: int) -> torch.Tensor:
        """[1, 2 T - 1, D]."""
        return self.make_pe(n_frames)


#: By `encoder_module`.
WRAPPERS = {
    "transformer": TransformerLayer,
    "conformer": ConformerLayer,
    "branchformer": BranchformerLayer,
}


def transformer_asr_encoder(
    config: dict[str, Any],
    vocab_size: int,
    n_mels: int = 80,
    n_total: Optional[int] = None,
    freeze_stem: bool = False,
    task: str = "transcription",
    closed: str = "identity",
    per_depth: str = "none",
    router: Union[str, Mapping[str, Any]] = "none",
) -> DynamicEncoder:
    """Makes a dynamic encoder of a TransformerASR, of random weights.

    Arguments
    ---------
    config : dict
        Arguments of SpeechBrain's TransformerASR and, under `cnn`, of its
        ConvolutionFrontEnd, activations by their names; see `full_config`.
    vocab_size : int
        Tokens, the blank included, or labels, V.
    n_total : int, optional
        Layers, L, the first so many; all of the configuration if not given.
    freeze_stem : bool
        Whether the convolutions are left as they are.

    Example
    -------
    >>> config = dict(input_size=640, d_model=16, nhead=2, d_ffn=32)
    >>> cnn = dict(num_blocks=2, num_layers_per_block=1, strides=[2, 2])
    >>> cnn |= dict(out_channels=[64, 32], residuals=[False, False])
    >>> model = transformer_asr_encoder({**config, "cnn": cnn}, vocab_size=5)
    >>> feats, lengths = torch.randn(1, 100, 80), torch.tensor([100])
    >>> model(feats, lengths)[0].log_probs.shape
    torch.Size([1, 25, 5])
    """
    config = full_config(config)
    if n_total is not None:
        config["num_encoder_layers"] = n_total
    cnn, stock = make_stock(config, n_mels)
    is_relative = config["attention_type"] == "RelPosMHAXL"
    wrapper, width = WRAPPERS[config["encoder_module"]], config["d_model"]
    body = Body(
        TransformerASRStem(
            cnn, stock.custom_src_module, not is_relative, freeze_stem
        ),
        [wrapper(layer) for layer in stock.encoder.layers],
        width,
        norm=stock.encoder.norm,
        bias=RelativePositions(width) if is_relative else None,
    )
    return body.with_head(vocab_size, task, closed, per_depth, router)


def make_stock(
    config: Mapping[str, Any], n_mels: int
) -> tuple[ConvolutionFrontEnd, TransformerASR]:
    """SpeechBrain's front end and encoder, of a whole configuration."""
    front = arguments(config[FRONT_KEY], ConvolutionFrontEnd)
    cnn = ConvolutionFrontEnd(input_shape=(8, 10, n_mels), **front)
    width = math.prod(cnn.get_output_shape()[2:])
    if width != config["input_size"]:
        raise ValueError(
            f"`config.input_size` must be {width}, which the front end gives "
            f"a frame, but is {config['input_size']}"
        )
    body = arguments(config, TransformerASR)
    # Neither decoder nor its vocabulary: the size of none is of no effect.
    stock = TransformerASR(
        tgt_vocab=1, num_decoder_layers=0, causal=False, **body
    )
    return cnn, stock
