"""A dynamic WavLM; wav2vec 2.0 and HuBERT have the same stack.

Hugging Face's modules and weights. What differs: gates decide which layers
run, WavLM's relative position bias is computed once, before the layers, and
attention is fused.
"""

import math
from collections.abc import Mapping
from typing import Any, Optional, Union

import torch
import torch.nn.functional as F
from torch import nn

from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.encoder.family import Body
from dld_brain.encoder.wavlm.huggingface import load_backbone, make_config
from dld_brain.encoder.wavlm.stem import WaveformStem


class RelativeBias(nn.Module):
    """WavLM's bucketed relative position bias, which belongs to no layer.

    WavLM, https://arxiv.org/abs/2110.13900, section III-B. Hugging Face and
    torchaudio keep the table in layer 0, and lose it where that layer does
    not run.

    Arguments
    ---------
    n_buckets : int
        Buckets, half of them for either direction.
    max_distance : int
        From this distance on, frames share a bucket.

    Example
    -------
    >>> RelativeBias(n_buckets=8, n_heads=2, max_distance=16)(5).shape
    torch.Size([1, 2, 5, 5])
    """

    def __init__(self, n_buckets: int, n_heads: int, max_distance: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_buckets, n_heads)
        self.max_distance = max_distance

    def forward(self, n_frames: int) -> torch.Tensor:
        """Computes the bias for every pair of frames.

        Returns
        -------
        torch.Tensor
            [1, H, T, T]; query by key.
        """
        device = self.embedding.weight.device
        frames = torch.arange(n_frames, device=device)
        distances = torch.arange(1 - n_frames, n_frames, device=device)
        values = self.embedding(self.buckets(distances)).T  # [H, 2 T - 1]
        # The distance from query i to key j is value j - i + T - 1.
        index = frames - frames.unsqueeze(1) + n_frames - 1
        return values[:, index].unsqueeze(0)

    def buckets(self, distances: torch.Tensor) -> torch.Tensor:
        """Exact up to a quarter of the buckets, then by the logarithm.

        Arguments
        ---------
        distances : torch.Tensor
            From query to key, frames, whole numbers.
        """
        n_side = self.embedding.num_embeddings // 2
        n_exact = n_side // 2
        size = distances.abs()
        log_share = torch.log(size.clamp(min=1).float() / n_exact) / math.log(
            self.max_distance / n_exact
        )
        far = n_exact + (log_share * (n_side - n_exact)).long()
        bucket = torch.where(size < n_exact, size, far.clamp(max=n_side - 1))
        return bucket + n_side * (distances > 0)


class TransformerLayer(nn.Module):
    """A layer of WavLM, wav2vec 2.0 or HuBERT, with fused attention.

    Arguments
    ---------
    layer : torch.nn.Module
        Hugging Face's layer, whose modules it takes, names included.
    is_pre_norm : bool
        Whether norms come before attention and feed-forward (the large
        models) rather than behind them.
    """

    def __init__(
        self, layer: nn.Module, n_heads: int, is_pre_norm: bool
    ) -> None:
        super().__init__()
        self.attention = layer.attention
        self.dropout = layer.dropout
        self.layer_norm = layer.layer_norm
        self.feed_forward = layer.feed_forward
        self.final_layer_norm = layer.final_layer_norm
        self.n_heads = n_heads
        self.is_pre_norm = is_pre_norm

    @property
    def final_norm(self) -> nn.Module:
        """The layer's last LayerNorm; of a layer that ends with one."""
        return self.final_layer_norm

    def forward(
        self,
        x: torch.Tensor,
        padding: Optional[torch.Tensor] = None,
        bias: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """Attention and feed-forward.

        Arguments
        ---------
        x : torch.Tensor
            Input, [B, T, D].
        padding : torch.Tensor, optional
            [B, T], true where a frame is padding.
        bias : torch.Tensor, optional
            WavLM's relative position bias, [1, H, T, T].

        Returns
        -------
        torch.Tensor
            Output, [B, T, D].
        """
        if self.is_pre_norm:
            y = self.layer_norm(x)
            x = x + self.dropout(self._attend(y, padding, bias))
            return x + self.feed_forward(self.final_layer_norm(x))
        x = x + self.dropout(self._attend(x, padding, bias))
        x = self.layer_norm(x)
        return self.final_layer_norm(x + self.feed_forward(x))

    def _attend(
        self,
        x: torch.Tensor,
        padding: Optional[torch.Tensor],
        bias: Optional[torch.Tensor],
    ) -> torch.Tensor:
        """Self-attention over the valid frames, [B, T, D] -> [B, T, D]."""
        attention = self.attention
        q, k, v = (
            self._split(project(x))
            for project in (
                attention.q_proj,
                attention.k_proj,
                attention.v_proj,
            )
        )
        mask = None if padding is None else ~padding[:, None, None, :]
        if bias is not None:
            mask = self._gated_bias(self._split(x), bias, mask).to(q.dtype)
        dropout_p = attention.dropout if self.training else 0.0
        x = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout_p
        )
        return attention.out_proj(x.transpose(1, 2).flatten(2))

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, D] -> [B, H, T, D / H]."""
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def _gated_bias(
        self,
        x: torch.Tensor,
        bias: torch.Tensor,
        mask: Optional[torch.Tensor],
    ) -> torch.Tensor:
        """Gates the bias by the query frame: WavLM, eq. 2 to 6."""
        attention = self.attention
        # The eight outputs are two gates, each a sum of four.
        sums = attention.gru_rel_pos_linear(x).unflatten(-1, (2, 4)).sum(-1)
        update, reset = torch.sigmoid(sums).chunk(2, dim=-1)
        gate = update * (reset * attention.gru_rel_pos_const - 1.0) + 2.0
        if mask is None:
            return gate * bias
        closed = torch.zeros_like(mask, dtype=gate.dtype)
        closed = closed.masked_fill(~mask, float("-inf"))
        return torch.addcmul(closed, gate, bias.to(gate.dtype))


def wavlm_encoder(
    source: Optional[str],
    config: dict[str, Any],
    vocab_size: int,
    n_total: Optional[int] = None,
    closed: str = "identity",
    normalize_wav: bool = False,
    freeze_stem: bool = True,
    task: str = "transcription",
    per_depth: str = "none",
    router: Union[str, Mapping[str, Any]] = "none",
) -> DynamicEncoder:
    """Makes a dynamic encoder of a WavLM, wav2vec 2.0 or HuBERT model.

    Arguments
    ---------
    source : str, optional
        Hugging Face id or folder of the pretrained model; without it the
        weights are random, and `config` is the whole configuration.
    vocab_size : int
        Tokens, the blank included, or labels, V.
    n_total : int, optional
        Layers, L, the first so many; all of the configuration if not given.
    closed : str
        What a closed layer does; see GatedLayers.
    normalize_wav : bool
        Whether waveforms are normalised: as `source` was trained.
    freeze_stem : bool
        Whether the convolutions on the waveform are left as they are.
    per_depth : str
        What each depth has of its own; see `make_per_depth`.
    router : mapping or str
        What may decide which layers run; see `make_router`.

    Raises
    ------
    ValueError
        If it does not hold such a model, or `config` does not fit.

    Example
    -------
    >>> sizes = dict(hidden_size=16, num_hidden_layers=3, intermediate_size=32)
    >>> sizes |= dict(num_attention_heads=2, num_conv_pos_embeddings=4)
    >>> sizes |= dict(num_conv_pos_embedding_groups=2, layerdrop=0.0)
    >>> config = {"model_type": "wavlm", **sizes}
    >>> model = wavlm_encoder(None, config, vocab_size=29)
    >>> samples, lengths = torch.randn(1, 4000, 1), torch.tensor([4000])
    >>> model(samples, lengths)[0].log_probs.shape
    torch.Size([1, 12, 29])
    """
    if n_total is not None:
        config = {**config, "num_hidden_layers": n_total}
    hf_config = make_config(source, config)
    is_pre_norm = hf_config.do_stable_layer_norm
    backbone = load_backbone(source, hf_config, normalize_wav)
    layers = backbone.encoder.layers
    n_heads = hf_config.num_attention_heads
    bias = None
    if hf_config.model_type == "wavlm":
        table = layers[0].attention.rel_attn_embed
        bias = RelativeBias(
            table.num_embeddings, n_heads, hf_config.max_bucket_distance
        )
        bias.embedding = table
        del layers[0].attention.rel_attn_embed
    body = Body(
        stem=WaveformStem(backbone, freeze_stem),
        layers=[TransformerLayer(x, n_heads, is_pre_norm) for x in layers],
        d_model=hf_config.hidden_size,
        norm=backbone.encoder.layer_norm if is_pre_norm else None,
        bias=bias,
    )
    return body.with_head(vocab_size, task, closed, per_depth, router)
