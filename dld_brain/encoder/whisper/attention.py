"""Whisper's attention and its encoder's layer, with Hugging Face's names."""

from typing import NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import nn

from dld_brain.encoder.whisper.config import WhisperConfig


class KeysValues(NamedTuple):
    """What attention looks at, [B, H, T, D / H] each."""

    keys: torch.Tensor
    values: torch.Tensor

    def then(self, more: "KeysValues") -> "KeysValues":
        """Joined with those of later positions."""
        return KeysValues(*(torch.cat(pair, dim=2) for pair in zip(self, more)))


class WhisperAttention(nn.Module):
    """Multi-head attention; keys have no bias."""

    #: Not made int8: what values are made of has outliers, which leave 7 bits
    #: of a scale for the whole to nothing but themselves.
    kept_exact = ("v_proj",)

    def __init__(self, width: int, n_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        self.n_heads = n_heads
        self.dropout = dropout

    def look_at(self, source: torch.Tensor) -> KeysValues:
        """Keys and values of what is attended to, [B, T, D]."""
        return KeysValues(
            self._heads(self.k_proj(source)), self._heads(self.v_proj(source))
        )

    def forward(
        self,
        x: torch.Tensor,
        source: KeysValues,
        keep: Optional[torch.Tensor] = None,
        is_causal: bool = False,
    ) -> torch.Tensor:
        """Attends, [B, T, D] -> [B, T, D].

        Arguments
        ---------
        keep : torch.Tensor, optional
            True where the source is valid, [B, 1, 1, T']; everywhere if not
            given.
        is_causal : bool
            Whether a position looks at itself and those before it alone.
        """
        rate = self.dropout if self.training else 0.0
        x = F.scaled_dot_product_attention(
            self._heads(self.q_proj(x)), *source, keep, rate, is_causal
        )
        return self.out_proj(x.transpose(1, 2).flatten(2))

    def weights(self, x: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """What each position looks at, [B, U, D] -> [B, H, U, T].

        Arguments
        ---------
        keys : torch.Tensor
            Of what is attended to, all of it valid, [B, H, T, D / H].
        """
        queries = self._heads(self.q_proj(x))
        scores = queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5
        return scores.float().softmax(-1)

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, D] -> [B, H, T, D / H]."""
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)


class WhisperLayer(nn.Module):
    """Pre-norm attention and feed-forward, with fused attention."""

    kept_exact = ("fc2",)  # not made int8, as the values of its attention

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        width, inner = config.d_model, config.encoder_ffn_dim
        self.self_attn = WhisperAttention(
            width, config.encoder_attention_heads, config.attention_dropout
        )
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.final_layer_norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(config.dropout)
        self.inner_drop = nn.Dropout(config.activation_dropout)

    def forward(
        self, x: torch.Tensor, padding: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """[B, T, D] -> [B, T, D]; `padding` [B, T], true where it is."""
        keep = None if padding is None else ~padding[:, None, None, :]
        y = self.self_attn_layer_norm(x)
        y = self.self_attn(y, self.self_attn.look_at(y), keep)
        x = x + self.drop(y)
        y = self.inner_drop(F.gelu(self.fc1(self.final_layer_norm(x))))
        return x + self.drop(self.fc2(y))
