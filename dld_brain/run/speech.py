"""The speech of a run: what is there of it, prepared, transcribed."""

from pathlib import Path
from typing import Optional

from dld_brain.model_folder import PretrainedModel
from dld_brain.run import belongings, own_speech
from dld_brain.run.places import find_preparation
from dld_brain.run.sections import Data
from dld_brain.run.settings import Settings
from dld_brain.run.transcripts import (
    FOLDER as TRANSCRIBED,
    transcribe_splits,
)
from speechbrain.utils.distributed import run_on_main


def absent_splits(told: Data) -> list[str]:
    """Test splits that are not there, of those that a corpus may lack."""
    return [
        split
        for split in told.may_miss
        if split in told.test_splits
        and not Path(told.data_folder, split).exists()
    ]


def prepare(settings: Settings, is_training: bool) -> str:
    """Writes the CSV files of the corpus, or finds those of one's own.

    Returns
    -------
    str
        The folder of `<split>.csv`.
    """
    told = settings.data
    if told.skip_prep:
        return told.csv_folder if told.prepare else told.data_folder
    if told.prepare:
        write = find_preparation(str(told.corpus), told.prepare)
    else:
        write = own_speech.find_own_preparation(settings)
    run_on_main(
        write,
        kwargs={
            "data_folder": told.data_folder,
            "csv_folder": told.csv_folder,
            "splits": belongings.splits_to_prepare(settings, is_training),
            **told.corpus_options,
        },
    )
    return told.csv_folder


def transcribe(
    settings: Settings,
    csv_folder: str,
    teacher: Optional[PretrainedModel],
    is_training: bool,
) -> str:
    """Has the teacher transcribe what a run learns from and is judged by.

    Returns
    -------
    str
        The folder of `<split>.csv` with its transcripts.
    """
    told = settings.data
    splits = belongings.splits_to_prepare(settings, is_training)
    target = Path(settings.start.output_folder, TRANSCRIBED)
    run_on_main(
        transcribe_splits,
        kwargs={
            "teacher": teacher,
            "csv_folder": csv_folder,
            "data_root": told.data_folder,
            "splits": {s: s in told.train_splits for s in splits},
            "target": target,
        },
    )
    return str(target)
