"""The settings of a run: types and ranges, read from YAML in one place.

Values by default stand in hparams/shared/; what a value may be, here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Optional, Union, get_type_hints

from dld_brain.audio.checks import HIGHEST_RATE, LOWEST_RATE
from dld_brain.audio.text import CASES
from dld_brain.audio.whisper_mel import SAMPLE_RATE
from dld_brain.encoder.conformer import ACTIVATIONS, POSITIONS
from dld_brain.gates.by_depth import FAMILIES
from dld_brain.run.blocks import BLOCKS
from dld_brain.run.checks import (
    ODD,
    Count,
    Depths,
    Natural,
    OptionalPath,
    PathName,
    Positive,
    Rule,
    Share,
    SomeWords,
    Weight,
    Words,
    at_least,
    at_most,
    checked,
    one_of,
)
from dld_brain.run.choices import Block
from dld_brain.search.choose import check_splits
from dld_brain.search.strategies import STRATEGIES, check_strategy
from dld_brain.tasks import TASKS, Seq2SeqTask
from dld_brain.training.keeping import ORDERS

Task = Annotated[str, one_of(*TASKS)]
METRICS = [name for task in TASKS.values() for name in task.METRICS]
Closed = Annotated[str, one_of("identity", "norm", "affine")]
PerDepth = Annotated[str, one_of("none", "bias", "norm", "head")]
Vocabulary = Annotated[int, at_least(2), at_most(1_000_000)]
#: Some ten times what the largest encoders have; more is a slip of the pen,
#: and would ask for all memory before it is seen.
Layers = Annotated[Count, at_most(1_000)]
Width = Annotated[Count, at_most(65_536)]
#: Hz; that of audio itself (`audio.checks`).
Rate = Annotated[int, at_least(LOWEST_RATE), at_most(HIGHEST_RATE)]
#: NumPy's generators take no larger one.
Seed = Annotated[Natural, at_most(2**32 - 1)]
Workers = Annotated[Natural, at_most(1_024)]
#: Weights of a model: 16 GB of them.
MOST_WEIGHTS = 4 * 10**9
#: SpeechBrain draws lengths from 5 to one below the most: of none from 5 to 4.
DropLength = Annotated[int, at_least(6)]


def _is_start(value: Any) -> bool:
    """Whether `init_layers` is a family or a list of layers."""
    if isinstance(value, list):
        return bool(value) and all(
            isinstance(v, int) and not isinstance(v, bool) and v >= 0
            for v in value
        )
    return isinstance(value, str) and value in FAMILIES


FAMILY_OR_LAYERS = Rule(
    f"one of {', '.join(FAMILIES)}, or a list of layers", _is_start
)


@dataclass(frozen=True)
class Data:
    """What is trained and tested on."""

    corpus: Optional[str]
    language: Optional[str]
    data_folder: PathName
    trained_on: str
    prepare: Optional[str]
    makes_itself: bool
    corpus_options: dict
    skip_prep: bool
    csv_folder: PathName
    train_splits: SomeWords
    valid_splits: SomeWords
    test_splits: SomeWords
    may_miss: Words
    transcripts: Annotated[str, one_of("corpus", "teacher")]
    text_case: Annotated[str, one_of(*CASES)]
    token_type: Annotated[str, one_of("unigram", "bpe", "char")]
    max_unspellable: Share
    max_train_seconds: Optional[Positive]
    batch_size: Count
    max_batch_seconds: Weight
    num_buckets: Count
    num_workers: Workers
    speed_perturb: bool
    feature_drops: bool
    max_time_drop: DropLength
    max_time_drops: Count
    max_freq_drop: DropLength
    max_freq_drops: Count
    no_speech: Share
    no_speech_around: Share

    @property
    def is_decoded(self) -> bool:
        """Whether the preparation reads audio to its end."""
        return bool(self.corpus_options.get("decode_audio", True))


@dataclass(frozen=True)
class Start:
    """Where a run starts from, and where it writes."""

    seed: Seed
    output_folder: PathName
    save_folder: PathName
    train_log: PathName
    init_from: OptionalPath
    new_head: bool
    init_layers: Optional[Annotated[object, FAMILY_OR_LAYERS]]
    teacher: OptionalPath
    teacher_overrides: dict
    logger: Block


@dataclass(frozen=True)
class Losses:
    """What a training step runs, and what it is judged by."""

    gates: Block
    task_weight: Weight
    distillation: Block
    intermediate_weight: Weight
    streaming: Block


@dataclass(frozen=True)
class Optimisation:
    """How long, how fast, and which checkpoints are kept."""

    number_of_epochs: Count
    lr: Positive
    head_lr_factor: Weight
    freeze_body_steps: Natural
    router_lr_factor: Weight
    weight_decay: Weight
    schedule: Block
    max_grad_norm: Positive
    ckpt_interval_minutes: Positive
    avg_checkpoints: Count
    averaged: Annotated[str, one_of(*ORDERS)]
    valid_depths: Depths
    keep_epochs: Depths


@dataclass(frozen=True)
class Evaluation:
    """How test sets are scored over depth."""

    export_only: bool
    metric: Optional[Annotated[str, one_of(*METRICS)]]
    test_depths: Depths
    random_draws: Natural
    test_batch_size: Count
    layer_importance: bool
    decoding: Block
    lm: OptionalPath
    lm_alpha: Optional[Weight]
    lm_beta: Optional[float]


@dataclass(frozen=True)
class Search:
    """How the layers of each depth are chosen."""

    selection: Block
    search_splits: Words
    search_utterances: Count
    compare_selections: tuple[Annotated[str, one_of(*STRATEGIES)], ...]


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
SECTIONS = (Data, Start, Losses, Optimisation, Evaluation, Search)
#: Type of each setting, by key.
KINDS: dict[str, Any] = {
    key: kind
    for section in (*ENCODERS.values(), *SECTIONS)
    for key, kind in get_type_hints(section, include_extras=True).items()
}


def read_section(section: type, tree: Mapping[str, Any]) -> Any:
    """Makes a section of the keys of an hparams file.

    Raises
    ------
    ValueError
        If a value is none that its key may have.
    """
    found = {}
    kinds = get_type_hints(section, include_extras=True)
    for field in fields(section):
        key = field.name
        if key in BLOCKS:
            found[key] = BLOCKS[key].read(tree[key])
        else:
            found[key] = checked(key, tree[key], kinds[key])
    return section(**found)


@dataclass(frozen=True)
class Settings:
    """All settings of a run."""

    data: Data
    start: Start
    losses: Losses
    optimisation: Optimisation
    evaluation: Evaluation
    search: Search
    encoder: Union[
        ConformerSizes, WavLMSizes, WhisperSizes, TransformerASRSizes
    ]
    hparams_file: str

    @classmethod
    def read(
        cls, tree: Mapping[str, Any], encoder: str, hparams_file: str
    ) -> "Settings":
        """Reads all of them, and what they must have in common.

        Arguments
        ---------
        tree : mapping
            Keys and values, references resolved.
        encoder : str
            Stem of the encoder's file.
        """
        sections = [read_section(section, tree) for section in SECTIONS]
        sizes = read_section(ENCODERS[encoder], tree)
        found = cls(*sections, sizes, hparams_file)
        found.check()
        return found

    @property
    def title(self) -> str:
        """What the run is called: its recipe."""
        return Path(self.hparams_file).stem

    @property
    def splits(self) -> list[str]:
        """All that are trained, judged, searched and tested on, each once."""
        told = self.data
        splits = told.train_splits + told.valid_splits + told.test_splits
        return list(dict.fromkeys(splits + self.search.search_splits))

    def check(self) -> None:
        """Raises where settings do not go together.

        Raises
        ------
        ValueError
            If an epoch is to be kept that there is not, or layers would be
            chosen on test speech.
        """
        last = self.optimisation.number_of_epochs
        for epoch in self.optimisation.keep_epochs:
            if epoch > last:
                raise ValueError(
                    f"`keep_epochs` must be between 1 and `number_of_epochs` "
                    f"({last}), but has {epoch}"
                )
        if self.start.new_head and not self.start.init_from:
            raise ValueError(
                "`new_head` must be given with `init_from`, the model whose "
                "head is made anew, but without one it is given"
            )
        self._check_transcripts()
        if self.losses.streaming.make(seed=0) and not isinstance(
            self.encoder, ConformerSizes
        ):
            raise ValueError(
                f"`streaming` must be none for an encoder that is no Conformer "
                f"of hparams/conformer_*.yaml, but is "
                f"{self.losses.streaming.name}"
            )
        self.losses.distillation.make()
        self.optimisation.schedule.make(lr=self.optimisation.lr)
        if self.data.no_speech and not TASKS[self.encoder.task].has_silence:
            raise ValueError(
                f"`no_speech` must be 0 for `task` {self.encoder.task}, which "
                f"has no answer to silence, but is {self.data.no_speech}"
            )
        check_splits(
            list(self.search.search_splits), list(self.data.test_splits)
        )
        if self.encoder.n_total is not None:
            self.check_depths(self.encoder.n_total)

    def _check_transcripts(self) -> None:
        """Raises where transcripts, or states, are none of the model's."""
        is_whole = self.encoder.task == Seq2SeqTask.name
        states_weight = self.losses.distillation["states_weight"]
        for key, value, is_asked in (
            ("transcripts", "teacher", self.data.transcripts == "teacher"),
            ("distillation.states_weight", states_weight, states_weight > 0),
        ):
            if is_asked and not (is_whole and self.start.teacher):
                raise ValueError(
                    f"`{key}` must not be {value} without a teacher that is a "
                    f"Whisper with its decoder (hparams/"
                    f"whisper_any_depth.yaml), but is"
                )

    def check_depths(self, n_total: int) -> None:
        """Raises where a depth is asked for that the model has not."""
        for key, depths in (
            ("valid_depths", self.optimisation.valid_depths),
            ("test_depths", self.evaluation.test_depths),
        ):
            for depth in depths:
                if depth > n_total:
                    raise ValueError(
                        f"`{key}` must be between 1 and {n_total}, the "
                        f"layers of the model, but has {depth}"
                    )
        for strategy in (
            self.search.selection.name,
            *self.search.compare_selections,
        ):
            check_strategy(strategy, n_total)
        if self.losses.gates.get("table") is None:  # else it is still a folder
            self.losses.gates.make(n_total=n_total, seed=self.start.seed)
