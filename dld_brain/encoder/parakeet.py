"""Parakeet's encoder under gates: NVIDIA's FastConformer.

https://arxiv.org/abs/2305.05084. Hugging Face's modules and weights.
"""

from collections.abc import Mapping
from typing import Any, Optional, Union

import torch
from torch import nn

from dld_brain.audio.lengths import padding_mask
from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.encoder.family import Body
from dld_brain.encoder.relative import RelativePositions
from dld_brain.encoder.wavlm.huggingface import make_config, transformers

MODEL_TYPE = "parakeet_encoder"


class ParakeetStem(nn.Module):
    """Strided convolutions over time and frequency: 8 frames to 1."""

    #: Zeros beside the frames are part of the model: one frame is enough.
    min_frames = 1

    def __init__(self, backbone: nn.Module, is_frozen: bool = True) -> None:
        super().__init__()
        self.subsampling = backbone.subsampling.requires_grad_(not is_frozen)
        self.stride = self.subsampling.stride**self.subsampling.num_layers
        self.scale = backbone.input_scale
        self.drop = nn.Dropout(backbone.config.dropout)

    def forward(
        self, feats: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, T, F] and frames [B] -> [B, T', D] and the frames there."""
        padding = padding_mask(lengths, feats.shape[1])
        x = feats.masked_fill(padding.unsqueeze(-1), 0.0)
        x = self.subsampling(x, ~padding) * self.scale
        for layer in self.subsampling.layers:
            if isinstance(layer, nn.Conv2d):
                kernel, stride = layer.kernel_size[0], layer.stride[0]
                reach = 2 * layer.padding[0] - kernel
                lengths = (lengths + reach) // stride + 1
        return self.drop(x), lengths


class ParakeetLayer(nn.Module):
    """Hugging Face's layer, with our names for what it gets.

    Its batch norm keeps the statistics that it comes with, in training too:
    those of a batch would have padding in them, and the depths of the step.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block
        self.train(self.training)

    @property
    def final_norm(self) -> nn.Module:
        """The layer's last LayerNorm."""
        return self.block.norm_out

    def train(self, mode: bool = True) -> "ParakeetLayer":
        """Sets the mode of all but the batch norm."""
        super().train(mode)
        self.block.conv.norm.eval()
        return self

    def forward(
        self,
        x: torch.Tensor,
        padding: Optional[torch.Tensor] = None,
        bias: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """[B, T, D] -> [B, T, D]; `bias` is what `RelativePositions` gives."""
        n_wavs, n_frames, _ = x.shape
        mask = None
        if padding is not None:
            mask = ~padding[:, None, None, :].expand(-1, -1, n_frames, -1)
        positions = bias.to(x.dtype).expand(n_wavs, -1, -1)
        return self.block(x, mask, positions)


def parakeet_encoder(
    config: dict[str, Any],
    vocab_size: int,
    n_total: Optional[int] = None,
    freeze_stem: bool = True,
    task: str = "transcription",
    closed: str = "identity",
    per_depth: str = "none",
    router: Union[str, Mapping[str, Any]] = "none",
) -> DynamicEncoder:
    """Makes a dynamic encoder of a Parakeet's sizes, of random weights.

    Arguments
    ---------
    config : dict
        That of Hugging Face's ParakeetEncoder.
    n_total : int, optional
        Layers, L; those of the configuration if not given.
    freeze_stem : bool
        Whether the strided convolutions are left as they are.

    Example
    -------
    >>> config = dict(hidden_size=16, num_hidden_layers=2, layerdrop=0.0)
    >>> config |= dict(num_attention_heads=2, intermediate_size=32)
    >>> config |= dict(model_type="parakeet_encoder")
    >>> model = parakeet_encoder(config, vocab_size=29)
    >>> feats, lengths = torch.randn(1, 100, 80), torch.tensor([100])
    >>> model(feats, lengths)[0].log_probs.shape
    torch.Size([1, 13, 29])
    """
    if n_total is not None:
        config = {**config, "num_hidden_layers": n_total}
    sizes = make_config(None, config, (MODEL_TYPE,))
    body = parakeet_body(transformers.AutoModel.from_config(sizes), freeze_stem)
    return body.with_head(vocab_size, task, closed, per_depth, router)


def parakeet_body(backbone: nn.Module, freeze_stem: bool = True) -> Body:
    """Takes Hugging Face's ParakeetEncoder apart."""
    width = backbone.config.hidden_size
    return Body(
        stem=ParakeetStem(backbone, freeze_stem),
        layers=[ParakeetLayer(block) for block in backbone.layers],
        d_model=width,
        bias=RelativePositions(width),
    )


def fill_parakeet(backbone: nn.Module, model: DynamicEncoder) -> None:
    """Gives Hugging Face's model our weights."""
    state = model.stem.subsampling.state_dict()
    backbone.subsampling.load_state_dict(state, strict=True)
    for theirs, ours in zip(backbone.layers, model.layers.layers, strict=True):
        theirs.load_state_dict(ours.block.state_dict(), strict=True)
