"""Whisper's encoder under gates: stem, layers, norm behind the last.

Whisper, https://arxiv.org/abs/2212.04356, section 2.2. Modules bear Hugging
Face's names. What differs: positions are those of the true length, not of
30 s, and padding is masked.
"""

from collections.abc import Mapping
from typing import Any, Optional, Union

import torch
import torch.nn.functional as F
from torch import nn

from dld_brain.audio.lengths import padding_mask
from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.encoder.family import Body
from dld_brain.encoder.stack import GatedLayers
from dld_brain.encoder.whisper.attention import WhisperLayer
from dld_brain.encoder.whisper.config import (
    N_POSITIONS,
    DecoderConfig,
    WhisperConfig,
)
from dld_brain.encoder.whisper.decoder import WhisperDecoder
from dld_brain.encoder.whisper.source import (
    Source,
    find_source,
    load_decoder,
    load_source,
)
from dld_brain.encoder.whisper.whole import DynamicWhisper


class WhisperStem(nn.Module):
    """Two convolutions, the second strided, and positions: 2 frames to 1."""

    #: Zeros beside the frames are part of the model: one frame is enough.
    min_frames = 1
    #: Frames of features to one of its own.
    stride = 2

    def __init__(self, config: WhisperConfig, is_frozen: bool = True) -> None:
        super().__init__()
        width = config.d_model
        self.conv1 = nn.Conv1d(config.num_mel_bins, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.register_buffer("positions", sinusoids(N_POSITIONS, width))
        self.drop = nn.Dropout(config.dropout)
        self.requires_grad_(not is_frozen)

    def forward(
        self, feats: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, T, F] and frames [B] -> [B, T', D] and the frames there."""
        padding = padding_mask(lengths, feats.shape[1]).unsqueeze(1)
        x = feats.transpose(1, 2).masked_fill(padding, 0.0)  # [B, F, T]
        x = F.gelu(self.conv1(x)).masked_fill(padding, 0.0)
        # [B, D, T'] -> [B, T', D], laid out so: products of others are slow.
        x = F.gelu(self.conv2(x)).transpose(1, 2).contiguous()
        positions = self.positions[: x.shape[1]].to(x)
        return self.drop(x + positions), self.out_lengths(lengths)

    def out_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Frames that frames of features become, [B]."""
        return (lengths + 1) // 2


def sinusoids(n_frames: int, d_model: int) -> torch.Tensor:
    """Positions as Whisper's: all sines, then all cosines, [T, D].

    Computed on the CPU also where a model is made on the meta device, to be
    counted: there these functions import sympy and torch._dynamo.
    """
    rates = torch.logspace(0, -4, d_model // 2, device="cpu")
    angles = torch.arange(n_frames, device="cpu").unsqueeze(1) * rates
    return torch.cat((angles.sin(), angles.cos()), dim=1)


def whisper_encoder(
    source: Optional[str],
    config: dict[str, Any],
    vocab_size: int,
    n_mels: int = 80,
    n_total: Optional[int] = None,
    freeze_stem: bool = True,
    task: str = "transcription",
    closed: str = "identity",
    per_depth: str = "none",
    router: Union[str, Mapping[str, Any]] = "none",
    decoder: Optional[Mapping[str, Any]] = None,
) -> DynamicEncoder:
    """Makes a dynamic encoder of a Whisper, with a linear head or its decoder.

    Arguments
    ---------
    source : str, optional
        Hugging Face id, a folder of it, or one of faster-whisper; without
        it the weights are random.
    config : dict
        What differs from the source's; without one, the whole.
    n_mels : int
        Mel bands of the features, which must be the source's.
    n_total : int, optional
        Layers, L, the first so many; all that there are if not given.
    freeze_stem : bool
        Whether the convolutions are left as they are.
    decoder : mapping, optional
        Sizes of the decoder, which is kept (`DecoderConfig`); a linear head
        if not given.

    Raises
    ------
    ValueError
        If a size is none, or not the source's.

    Example
    -------
    >>> config = dict(d_model=16, encoder_attention_heads=2, encoder_ffn_dim=8)
    >>> model = whisper_encoder(None, config, vocab_size=29)
    >>> feats, lengths = torch.randn(1, 100, 80), torch.tensor([100])
    >>> model(feats, lengths)[0].log_probs.shape
    torch.Size([1, 50, 29])
    """
    found = find_source(source, config)
    sizes = found.config
    if sizes.num_mel_bins != n_mels:
        raise ValueError(
            f"`n_mels` must be {sizes.num_mel_bins}, the mel bands of "
            f"{source or '`config`'}, but is {n_mels}"
        )
    stem = WhisperStem(sizes, freeze_stem)
    n_layers = n_total or sizes.encoder_layers
    layers = [WhisperLayer(sizes) for _ in range(n_layers)]
    norm = nn.LayerNorm(sizes.d_model)
    body = Body(stem, layers, sizes.d_model, norm)
    if source:
        load_source(found, body)
    if decoder is None:
        return body.with_head(vocab_size, task, closed, per_depth, router)
    kind = router if isinstance(router, str) else router["kind"]
    for name, value in (("per_depth", per_depth), ("router", kind)):
        if value != "none":
            raise ValueError(
                f"`{name}` must be none where the decoder is kept, but is "
                f"{value!r}"
            )
    return _with_decoder(body, found, DecoderConfig(**decoder))


def _with_decoder(
    body: Body, found: Source, config: DecoderConfig
) -> DynamicWhisper:
    """Keeps the decoder: no depth has a head of its own."""
    n_heads = config.decoder_attention_heads
    if body.d_model % n_heads:
        raise ValueError(
            f"`decoder.decoder_attention_heads` must divide the width of "
            f"{body.d_model}, but is {n_heads}"
        )
    decoder = WhisperDecoder(config, body.d_model)
    if found.name:
        load_decoder(found, decoder)
    layers = GatedLayers(body.layers, "identity", body.norm, body.d_model)
    return DynamicWhisper(body.stem, layers, decoder)
