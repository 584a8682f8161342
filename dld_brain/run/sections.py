"""The sections of the settings: types and ranges of hparams/shared/recipe.yml.

Values by default stand in hparams/shared/; what a value may be, here.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Optional

from dld_brain.audio.text import CASES
from dld_brain.gates.by_depth import FAMILIES
from dld_brain.run.checks import (
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
    one_of,
)
from dld_brain.run.choices import Block
from dld_brain.search.strategies import STRATEGIES
from dld_brain.tasks import TASKS
from dld_brain.training.keeping import ORDERS

METRICS = [name for task in TASKS.values() for name in task.METRICS]
#: NumPy's generators take no larger one.
Seed = Annotated[Natural, at_most(2**32 - 1)]
Workers = Annotated[Natural, at_most(1_024)]
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
    layer_lr_decay: Annotated[Positive, at_most(1)]
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


SECTIONS = (Data, Start, Losses, Optimisation, Evaluation, Search)
