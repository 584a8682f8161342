"""The front of WavLM, wav2vec 2.0 and HuBERT: from samples to frames.

Hugging Face's modules and weights, under lengths: statistics are over the
valid samples, so that an utterance has in a batch what it has alone.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from dld_brain.audio.lengths import padding_mask


class WaveformStem(nn.Module):
    """Convolutions on the waveform, projection, convolutional positions.

    wav2vec 2.0, https://arxiv.org/abs/2006.11477, section 2.

    Arguments
    ---------
    backbone : transformers.PreTrainedModel
        A WavLM, wav2vec 2.0 or HuBERT model, whose modules it takes.
    is_frozen : bool
        Whether the convolutions on the waveform are left as they are, as
        is usual in fine-tuning.
    """

    def __init__(self, backbone: nn.Module, is_frozen: bool = True) -> None:
        super().__init__()
        config = backbone.config
        self.conv_layers = backbone.feature_extractor.conv_layers
        self.conv_layers.requires_grad_(not is_frozen)
        self.projection = backbone.feature_projection
        # wav2vec 2.0 gives two values, HuBERT one.
        self.gives_two = config.model_type != "hubert"
        self.pos_conv_embed = backbone.encoder.pos_conv_embed
        # A pre-norm stack has this norm behind its last layer.
        is_pre_norm = config.do_stable_layer_norm
        self.norm = (
            nn.Identity() if is_pre_norm else backbone.encoder.layer_norm
        )
        self.drop = nn.Dropout(config.hidden_dropout)
        self.windows = list(zip(config.conv_kernel, config.conv_stride))

    @property
    def min_frames(self) -> int:
        """Samples under one output frame."""
        samples = 1
        for kernel, stride in reversed(self.windows):
            samples = (samples - 1) * stride + kernel
        return samples

    @property
    def stride(self) -> int:
        """Samples from one output frame to the next."""
        return math.prod(stride for _, stride in self.windows)

    def forward(
        self, feats: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Subsamples and adds positions.

        Arguments
        ---------
        feats : torch.Tensor
            Samples, [B, S, 1].
        lengths : torch.Tensor
            Valid samples, [B].

        Returns
        -------
        tuple of torch.Tensor
            [B, T', D], and the valid frames there, [B], at least 1: an
            utterance of fewer than `min_frames` samples is filled up with
            zeros.
        """
        padding = padding_mask(lengths, feats.shape[1]).unsqueeze(-1)
        x = feats.masked_fill(padding, 0.0)
        missing = max(0, self.min_frames - x.shape[1])
        # [B, S, 1] -> [B, 1, S]; transposed, it would pass as channels-last,
        # which the convolutions would keep, a tenth slower.
        x = F.pad(x, (0, 0, 0, missing)).squeeze(-1).unsqueeze(1)
        for layer, (kernel, stride) in zip(self.conv_layers, self.windows):
            lengths = ((lengths - kernel) // stride + 1).clamp(min=1)
            x = convolve(layer, x, lengths)
        x = self.projection(x.transpose(1, 2))  # [B, T', D]
        x = x[0] if self.gives_two else x
        padding = padding_mask(lengths, x.shape[1]).unsqueeze(-1)
        x = x.masked_fill(padding, 0.0)
        return self.drop(self.norm(x + self.pos_conv_embed(x))), lengths


def convolve(
    layer: nn.Module, x: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """One convolution with its norm, blind to padding.

    Arguments
    ---------
    x : torch.Tensor
        [B, C, T].
    lengths : torch.Tensor
        Valid frames of the output, [B].

    Returns
    -------
    torch.Tensor
        [B, C', T'].
    """
    # The others look at one frame at a time, or at valid frames only.
    norm = getattr(layer, "layer_norm", None)
    if not isinstance(norm, nn.GroupNorm):
        return layer(x)
    # One name for all three: each frees the one before, 65 MB for 10 s.
    x = layer.conv(x)
    x = masked_group_norm(norm, x, lengths)
    return layer.activation(x)


def masked_group_norm(
    norm: nn.GroupNorm, x: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """Group norm of a channel a group, over the valid frames.

    WavLM-base normalises its first convolution over the whole time axis,
    padding included.

    Arguments
    ---------
    x : torch.Tensor
        [B, C, T].
    lengths : torch.Tensor
        Valid frames, [B].

    Returns
    -------
    torch.Tensor
        [B, C, T].

    Example
    -------
    >>> x, norm = torch.randn(2, 3, 8), nn.GroupNorm(3, 3)
    >>> y = masked_group_norm(norm, x, torch.tensor([8, 5]))
    >>> torch.allclose(y[1:, :, :5], norm(x[1:, :, :5]), atol=1e-5)
    True
    """
    padding = padding_mask(lengths, x.shape[2]).unsqueeze(1)
    if not (torch.compiler.is_exporting() or padding.any()):
        return norm(x)
    n = lengths.view(-1, 1, 1)
    mean = x.masked_fill(padding, 0.0).sum(2, keepdim=True) / n
    centred = (x - mean).masked_fill(padding, 0.0)
    var = centred.square().sum(2, keepdim=True) / n
    scale = norm.weight.unsqueeze(-1) * (var + norm.eps).rsqrt()
    return centred * scale + norm.bias.unsqueeze(-1)
