"""Wav2Vec2-BERT's encoder under gates: a Conformer on stacked mel frames.

Seamless, https://arxiv.org/abs/2312.05187, section 3.2.1. Hugging Face's
modules and weights.
"""

from collections.abc import Mapping
from typing import Any, Optional, Union

import torch
from torch import nn

from dld_brain.audio.lengths import padding_mask
from dld_brain.encoder.adapter import ConformerAdapter, added_mask
from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.encoder.family import Body
from dld_brain.encoder.relative import RelativePositions, RotaryPositions
from dld_brain.encoder.wavlm.huggingface import make_config, transformers

MODEL_TYPE = "wav2vec2-bert"


class ProjectionStem(nn.Module):
    """A norm and a projection, frame by frame."""

    min_frames = stride = 1

    def __init__(self, backbone: nn.Module, is_frozen: bool = True) -> None:
        super().__init__()
        self.projection = backbone.feature_projection
        self.projection.requires_grad_(not is_frozen)
        self.drop = nn.Dropout(backbone.config.hidden_dropout)

    def forward(
        self, feats: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, T, F] and frames [B] -> [B, T, D] and the same frames."""
        x, _ = self.projection(feats)
        padding = padding_mask(lengths, x.shape[1]).unsqueeze(-1)
        return self.drop(x.masked_fill(padding, 0.0)), lengths


class Wav2Vec2BertLayer(nn.Module):
    """Hugging Face's layer, with our names for what it gets."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    @property
    def final_norm(self) -> nn.Module:
        """The layer's last LayerNorm."""
        return self.block.final_layer_norm

    def forward(
        self,
        x: torch.Tensor,
        padding: Optional[torch.Tensor] = None,
        bias: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """[B, T, D] -> [B, T, D]; `bias` is what `positions_of` gives."""
        mask = keep = None
        if padding is not None:
            mask, keep = added_mask(padding, x), ~padding
        positions = None if bias is None else bias.to(x.dtype)
        return self.block(x, mask, positions, keep)


def wav2vec2_bert_encoder(
    config: dict[str, Any],
    vocab_size: int,
    n_total: Optional[int] = None,
    freeze_stem: bool = True,
    task: str = "transcription",
    closed: str = "identity",
    per_depth: str = "none",
    router: Union[str, Mapping[str, Any]] = "none",
) -> DynamicEncoder:
    """Makes a dynamic encoder of a Wav2Vec2-BERT's sizes, of random weights.

    Arguments
    ---------
    config : dict
        That of Hugging Face's Wav2Vec2BertModel.
    n_total : int, optional
        Layers, L; those of the configuration if not given.
    freeze_stem : bool
        Whether the projection of features is left as it is.

    Example
    -------
    >>> config = dict(hidden_size=16, num_hidden_layers=2, layerdrop=0.0)
    >>> config |= dict(num_attention_heads=2, intermediate_size=32)
    >>> config |= dict(model_type="wav2vec2-bert")
    >>> model = wav2vec2_bert_encoder(config, vocab_size=29)
    >>> feats, lengths = torch.randn(1, 50, 160), torch.tensor([50])
    >>> model(feats, lengths)[0].log_probs.shape
    torch.Size([1, 50, 29])
    """
    if n_total is not None:
        config = {**config, "num_hidden_layers": n_total}
    sizes = make_config(None, config, (MODEL_TYPE,))
    backbone = transformers.AutoModel.from_config(sizes)
    body = wav2vec2_bert_body(backbone, freeze_stem)
    return body.with_head(vocab_size, task, closed, per_depth, router)


def wav2vec2_bert_body(backbone: nn.Module, freeze_stem: bool = True) -> Body:
    """Takes Hugging Face's Wav2Vec2BertModel apart."""
    has_adapter = backbone.adapter is not None
    return Body(
        stem=ProjectionStem(backbone, freeze_stem),
        layers=[Wav2Vec2BertLayer(b) for b in backbone.encoder.layers],
        d_model=backbone.config.hidden_size,
        bias=positions_of(backbone.config),
        adapter=ConformerAdapter(backbone) if has_adapter else None,
    )


def positions_of(config: Any) -> Optional[nn.Module]:
    """What layers get beside their input; Shaw's tables are their own."""
    width, kind = config.hidden_size, config.position_embeddings_type
    if kind == "relative":
        return RelativePositions(width)
    if kind == "rotary":
        base = config.rotary_embedding_base
        return RotaryPositions(width // config.num_attention_heads, base)
    return None


def fill_wav2vec2_bert(backbone: nn.Module, model: DynamicEncoder) -> None:
    """Gives Hugging Face's model our weights."""
    state = model.stem.projection.state_dict()
    backbone.feature_projection.load_state_dict(state, strict=True)
    layers = backbone.encoder.layers
    for theirs, ours in zip(layers, model.layers.layers, strict=True):
        theirs.load_state_dict(ours.block.state_dict(), strict=True)
    if backbone.adapter is not None:
        ConformerAdapter(backbone).load_state_dict(model.pool.state_dict())
