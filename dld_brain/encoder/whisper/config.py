"""The sizes of a Whisper: its encoder's, and its decoder's."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Optional

#: Frames of 20 ms that Whisper has positions for: 30 s.
N_POSITIONS = 1500


@dataclass(frozen=True)
class WhisperConfig:
    """Sizes of an encoder, by Hugging Face's names.

    Example
    -------
    >>> WhisperConfig(d_model=8, encoder_attention_heads=3)
    Traceback (most recent call last):
    ...
    ValueError: `config.d_model` must be a multiple of ... (3), but is 8
    """

    num_mel_bins: int = 80
    d_model: int = 384
    encoder_layers: int = 4
    encoder_attention_heads: int = 6
    encoder_ffn_dim: int = 1536
    dropout: float = 0.0
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0

    def __post_init__(self) -> None:
        """Raises where a size is none."""
        for key, value in asdict(self).items():
            if "dropout" in key:
                rule, kinds = "a share below 1", (int, float)
                is_right = type(value) in kinds and 0 <= value < 1
            else:
                rule = "a whole number above 0"
                is_right = type(value) is int and value > 0
            if not is_right:
                raise ValueError(
                    f"`config.{key}` must be {rule}, but is {value!r}"
                )
        for divisor in (2, self.encoder_attention_heads):
            if self.d_model % divisor:
                raise ValueError(
                    f"`config.d_model` must be a multiple of 2 and of "
                    f"`encoder_attention_heads` "
                    f"({self.encoder_attention_heads}), but is {self.d_model}"
                )


KEYS = tuple(field.name for field in fields(WhisperConfig))


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of a decoder, by Hugging Face's names, and what it is told first.

    Arguments
    ---------
    prompt : list of int
        Tokens in front of every transcript: start, language, task, and that
        there are no timestamps.
    end : int
        The token behind it.
    begin_suppress_tokens : list of int
        Tokens that no transcript begins with.
    alignment_heads : list of pairs of int
        Layer and head of the attention that follows the speech, for the times
        of words; none: all heads of the upper half of the layers.
    """

    vocab_size: int = 51864
    decoder_layers: int = 4
    decoder_attention_heads: int = 6
    decoder_ffn_dim: int = 1536
    max_target_positions: int = 448
    prompt: tuple[int, ...] = (50257, 50362)
    end: int = 50256
    begin_suppress_tokens: tuple[int, ...] = (220, 50256)
    suppress_tokens: tuple[int, ...] = ()
    alignment_heads: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        """Raises where a size is none, or a token is no token."""
        for key, value in asdict(self).items():
            if key == "alignment_heads":
                continue
            if key in TOKENS:
                tokens = [value] if key == "end" else list(value)
                rule, values = f"tokens below {self.vocab_size}", tokens
                allowed = range(self.vocab_size)
                if key != "end":
                    object.__setattr__(self, key, tuple(value))
            else:
                rule, values = "a whole number above 0", [value]
                allowed = range(1, sys.maxsize)
            if any(type(v) is not int or v not in allowed for v in values):
                raise ValueError(
                    f"`decoder.{key}` must be {rule}, but is {value!r}"
                )
        if not self.prompt:
            raise ValueError("`decoder.prompt` must have a token, but has none")
        heads = _pairs(self.alignment_heads)
        if heads is None or not all(map(self._has_head, heads)):
            raise ValueError(
                f"`decoder.alignment_heads` must be pairs of a layer below "
                f"{self.decoder_layers} and a head below "
                f"{self.decoder_attention_heads}, but is "
                f"{self.alignment_heads!r:.80}"
            )
        object.__setattr__(self, "alignment_heads", heads)

    def _has_head(self, pair: tuple[int, int]) -> bool:
        """Whether there is such a layer, and in it such a head."""
        sizes = (self.decoder_layers, self.decoder_attention_heads)
        return len(pair) == 2 and all(
            type(i) is int and 0 <= i < size for i, size in zip(pair, sizes)
        )

    def heads_of(self, layers: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """The heads that times of words are found by, where these layers run.

        Arguments
        ---------
        layers : sequence of int
            Layers that run, rising.

        Returns
        -------
        tuple of pairs of int
            Layer, as the decoder counts it, and head. Where none of the
            model's own is in these layers, all of their upper half, as
            openai-whisper's default (`Whisper.__init__` of its model.py).

        Example
        -------
        >>> config = DecoderConfig(alignment_heads=[[1, 0], [3, 5]])
        >>> config.heads_of([0, 3]), len(config.heads_of([0, 2]))
        (((3, 5),), 6)
        """
        own = tuple(pair for pair in self.alignment_heads if pair[0] in layers)
        return own or tuple(
            (layer, head)
            for layer in layers[len(layers) // 2 :]
            for head in range(self.decoder_attention_heads)
        )


def _pairs(heads: Any) -> Optional[tuple[tuple[int, int], ...]]:
    """As tuples; None where they are no lists."""
    try:
        return tuple(tuple(pair) for pair in heads)
    except TypeError:
        return None


#: What of a decoder's configuration names tokens.
TOKENS = ("prompt", "end", "begin_suppress_tokens", "suppress_tokens")
DECODER_KEYS = tuple(field.name for field in fields(DecoderConfig))
