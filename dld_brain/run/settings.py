"""The settings of a run: read from YAML in one place, and what goes together.

What a single value may be stands in dld_brain.run.sections, and for encoders
in dld_brain.run.encoder_sizes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Union, get_type_hints

from dld_brain.run.blocks import BLOCKS
from dld_brain.run.checks import checked
from dld_brain.run.encoder_sizes import (
    ENCODERS,
    ConformerSizes,
    TransformerASRSizes,
    WavLMSizes,
    WhisperSizes,
)
from dld_brain.run.sections import (
    SECTIONS,
    Data,
    Evaluation,
    Losses,
    Optimisation,
    Search,
    Start,
)
from dld_brain.search.choose import check_splits
from dld_brain.search.strategies import check_strategy
from dld_brain.tasks import TASKS, Seq2SeqTask

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
        self._check_epochs()
        if self.start.new_head and not self.start.init_from:
            raise ValueError(
                "`new_head` must be given with `init_from`, the model whose "
                "head is made anew, but without one it is given"
            )
        self._check_transcripts()
        self._check_streaming()
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

    def _check_epochs(self) -> None:
        """Raises where an epoch is to be kept that there is not."""
        last = self.optimisation.number_of_epochs
        for epoch in self.optimisation.keep_epochs:
            if epoch > last:
                raise ValueError(
                    f"`keep_epochs` must be between 1 and `number_of_epochs` "
                    f"({last}), but has {epoch}"
                )

    def _check_streaming(self) -> None:
        """Raises where an encoder is to be trained in chunks that cannot."""
        if self.losses.streaming.make(seed=0) and not isinstance(
            self.encoder, ConformerSizes
        ):
            raise ValueError(
                f"`streaming` must be none for an encoder that is no Conformer "
                f"of hparams/conformer_*.yaml, but is "
                f"{self.losses.streaming.name}"
            )

    def _check_transcripts(self) -> None:
        """Raises where transcripts, or states, are none of the model's."""
        is_whole = self.encoder.task == Seq2SeqTask.name
        states_weight = self.losses.distillation["states_weight"]
        keeps_answers = self.losses.distillation["keep_answers"]
        for key, value, is_asked in (
            ("transcripts", "teacher", self.data.transcripts == "teacher"),
            ("distillation.states_weight", states_weight, states_weight > 0),
            ("distillation.keep_answers", True, keeps_answers),
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
