"""The sizes of a Whisper: its encoder's, and its decoder's."""

import sys
from dataclasses import asdict, dataclass, fields

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

    def __post_init__(self) -> None:
        """Raises where a size is none, or a token is no token."""
        for key, value in asdict(self).items():
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


#: What of a decoder's configuration names tokens.
TOKENS = ("prompt", "end", "begin_suppress_tokens", "suppress_tokens")
DECODER_KEYS = tuple(field.name for field in fields(DecoderConfig))
