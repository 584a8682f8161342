"""The sizes of an encoder: types and ranges of hparams/shared/<encoder>.yml."""

from dataclasses import dataclass
from typing import Annotated, Optional

from dld_brain.audio.checks import HIGHEST_RATE, LOWEST_RATE
from dld_brain.audio.whisper_mel import SAMPLE_RATE
from dld_brain.encoder.conformer import ACTIVATIONS, POSITIONS
from dld_brain.run.checks import (
    ODD,
    Count,
    Depths,
    OptionalPath,
    Positive,
    Share,
    at_least,
    at_most,
    one_of,
)
from dld_brain.run.choices import Block
from dld_brain.tasks import TASKS

Task = Annotated[str, one_of(*TASKS)]
Closed = Annotated[str, one_of("identity", "norm", "affine")]
PerDepth = Annotated[str, one_of("none", "bias", "norm", "head")]
Vocabulary = Annotated[int, at_least(2), at_most(1_000_000)]
#: Some ten times what the largest encoders have; more is a slip of the pen,
#: and would ask for all memory before it is seen.
Layers = Annotated[Count, at_most(1_000)]
Width = Annotated[Count, at_most(65_536)]
#: Hz; that of audio itself (`audio.checks`).
Rate = Annotated[int, at_least(LOWEST_RATE), at_most(HIGHEST_RATE)]
#: Weights of a model: 16 GB of them.
MOST_WEIGHTS = 4 * 10**9


@dataclass(frozen=True)
class ConformerSizes:
    """Sizes of hparams/shared/conformer.yml."""

    sample_rate: Rate
    n_mels: Annotated[Count, at_most(512)]
    n_fft: Annotated[Count, at_most(16_384)]
    window_ms: Annotated[Positive, at_most(1_000)]
    hop_ms: Annotated[Positive, at_most(1_000)]
    top_db: Optional[Positive]
    n_total: Layers
    d_model: Width
    d_ffn: Width
    n_heads: Count
    kernel_size: Annotated[int, ODD, at_most(4_095)]
    dropout: Share
    stem_activation: Annotated[str, one_of(*ACTIVATIONS)]
    positions: Annotated[str, one_of(*POSITIONS)]
    closed: Closed
    per_depth: PerDepth
    router: Block
    task: Task
    vocab_size: Vocabulary

    def __post_init__(self) -> None:
        """Raises where sizes do not go together."""
        if self.d_model % self.n_heads:
            raise ValueError(
                f"`d_model` must be a multiple of `n_heads` ({self.n_heads}), "
                f"but is {self.d_model}"
            )
        self._check_features()
        # Attention 4 + 1 d^2 (with positions), convolutions 3 d^2; two FFNs.
        layer = self.d_model * (8 * self.d_model + 4 * self.d_ffn)
        n_weights = self.n_total * layer + self.vocab_size * self.d_model
        if n_weights > MOST_WEIGHTS:
            raise ValueError(
                f"`n_total`, `d_model`, `d_ffn` and `vocab_size` must give at "
                f"most {MOST_WEIGHTS:,} weights, but give {n_weights:,}"
            )

    def _check_features(self) -> None:
        """Raises where there is no such spectrum."""
        window = round(self.sample_rate * self.window_ms / 1000)
        if not 1 <= window <= self.n_fft:
            raise ValueError(
                f"`window_ms` must give between 1 and `n_fft` ({self.n_fft}) "
                f"samples of {self.sample_rate} Hz, but is {self.window_ms:g}, "
                f"which gives {window}"
            )
        if round(self.sample_rate * self.hop_ms / 1000) < 1:
            raise ValueError(
                f"`hop_ms` must give a sample of {self.sample_rate} Hz at "
                f"least, but is {self.hop_ms:g}"
            )


@dataclass(frozen=True)
class WavLMSizes:
    """Sizes of hparams/shared/wavlm.yml."""

    sample_rate: Rate
    normalize_wav: bool
    source: Optional[str]
    config: dict
    n_total: Optional[Layers]
    closed: Closed
    per_depth: PerDepth
    router: Block
    freeze_stem: bool
    task: Task
    vocab_size: Vocabulary


@dataclass(frozen=True)
class WhisperSizes:
    """Sizes of hparams/shared/whisper.yml."""

    sample_rate: Count
    n_mels: Count
    source: Optional[str]
    config: dict
    n_total: Optional[Count]
    closed: Closed
    per_depth: PerDepth
    router: Block
    freeze_stem: bool
    task: Task
    vocab_size: Vocabulary
    decoder: Optional[dict]

    def __post_init__(self) -> None:
        """Raises where Whisper would not be what it is."""
        if self.sample_rate != SAMPLE_RATE:
            raise ValueError(
                f"`sample_rate` must be {SAMPLE_RATE} for Whisper, but is "
                f"{self.sample_rate}"
            )
        if self.closed != "identity":
            raise ValueError(
                f"`closed` must be identity for Whisper, whose layers do not "
                f"end with a norm, but is {self.closed!r}"
            )


@dataclass(frozen=True)
class TransformerASRSizes:
    """Sizes of hparams/shared/transformer_asr.yml, most of them the model's."""

    model: OptionalPath
    sample_rate: Rate
    n_mels: Annotated[Count, at_most(512)]
    n_fft: Annotated[Count, at_most(16_384)]
    window_ms: Annotated[Positive, at_most(1_000)]
    hop_ms: Annotated[Positive, at_most(1_000)]
    config: dict
    n_total: Optional[Layers]
    closed: Annotated[str, one_of("identity")]
    per_depth: PerDepth
    router: Block
    freeze_stem: bool
    task: Task
    vocab_size: Vocabulary


@dataclass(frozen=True)
class WholeWhisperSizes(WhisperSizes):
    """Those of hparams/shared/whole_whisper.yml, most of them the model's."""

    model: OptionalPath
    decoder_gates: Block
    test_decoder_depths: Depths


@dataclass(frozen=True)
class PretrainedSizes(WavLMSizes):
    """Those of hparams/shared/pretrained.yml, most of them the model's."""

    model: OptionalPath
    architecture: Annotated[str, one_of("wavlm", "wav2vec2_bert", "parakeet")]
    n_mels: Annotated[Count, at_most(512)]
    n_stacked: Annotated[Count, at_most(16)]
    n_fft: Annotated[Count, at_most(16_384)]
    window_ms: Annotated[Positive, at_most(1_000)]
    hop_ms: Annotated[Positive, at_most(1_000)]
    preemphasis: Share


#: By the stem of the encoder's file.
ENCODERS: dict[str, type] = {
    "conformer": ConformerSizes,
    "pretrained": PretrainedSizes,
    "transformer_asr": TransformerASRSizes,
    "wavlm": WavLMSizes,
    "whisper": WhisperSizes,
    "whole_whisper": WholeWhisperSizes,
}
