"""Wav2Vec2-BERT's adapter: between its layers and its head, whatever is open.

Hugging Face's modules and weights; of it, what makes an utterance in a batch
what it is alone.
"""

from typing import Any

import torch
from torch import nn

from dld_brain.audio.lengths import padding_mask


class ConformerAdapter(nn.Module):
    """Makes frames fewer, by layers of strided convolution and attention.

    Length adaptor of https://arxiv.org/abs/2010.12829, section 3.3, as of
    Seamless (https://arxiv.org/abs/2312.05187, section 3.2.1).

    Arguments
    ---------
    backbone : torch.nn.Module
        Hugging Face's Wav2Vec2BertModel that has an adapter.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.adapter = backbone.adapter
        self.ffn = backbone.intermediate_ffn
        #: Width behind it.
        self.d_out = backbone.config.output_hidden_size

    @property
    def stride(self) -> int:
        """Frames in front of it for one behind."""
        return self.adapter.stride ** len(self.adapter.layers)

    def forward(
        self, x: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, T, D] and valid frames [B] -> [B, T', D'] and those there."""
        if self.ffn is not None:
            x = x + 0.5 * self.ffn(x)
        if self.adapter.proj is not None:
            x = self.adapter.proj_layer_norm(self.adapter.proj(x))
        for layer in self.adapter.layers:
            x, lengths = self._through(layer, x, lengths)
        return x, lengths

    def _through(
        self, layer: Any, x: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Through one of its layers."""
        padding = padding_mask(lengths, x.shape[1]).unsqueeze(-1)

        def fewer(norm: nn.Module, conv: nn.Module) -> torch.Tensor:
            """Behind the end stands what stands there alone: nothing."""
            y = norm(x).masked_fill(padding, 0.0).transpose(1, 2)
            return layer.activation(conv(y)).transpose(1, 2)

        residual = fewer(layer.residual_layer_norm, layer.residual_conv)
        y = fewer(layer.self_attn_layer_norm, layer.self_attn_conv)
        pad, kernel = self.adapter.stride // 2, self.adapter.kernel_size
        lengths = (lengths + 2 * pad - kernel) // self.adapter.stride + 1
        mask = added_mask(padding_mask(lengths, y.shape[1]), y)
        y, _ = layer.self_attn(y, mask)
        y = layer.self_attn_dropout(y) + residual
        return layer.ffn(layer.ffn_layer_norm(y)) + y, lengths


def added_mask(padding: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Padding [B, T] as attention to x adds it, [B, 1, 1, T]."""
    lowest = torch.finfo(x.dtype).min
    mask = x.new_zeros(padding.shape).masked_fill(padding, lowest)
    return mask[:, None, None, :]
