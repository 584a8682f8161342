"""The sizes of a Whisper's encoder."""

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
