"""Speech of one's own: CSV files, or recordings that nobody transcribed."""

from collections.abc import Callable
from functools import partial
from typing import Optional

from dld_brain.audio.csv_files import csv_file
from dld_brain.audio.own_csv import prepare_own
from dld_brain.audio.recordings import are_recordings, prepare_recordings
from dld_brain.audio.whisper_mel import MAX_SECONDS
from dld_brain.run.settings import Data, Settings
from dld_brain.run.transcripts import n_without_reference
from dld_brain.tasks import find_task

#: Who writes transcripts where nobody has.
TEACHER = "teacher"


def preparation_of_own(
    settings: Settings, splits: list[str]
) -> Callable[..., None]:
    """What checks speech of one's own, and writes its CSV files.

    Raises
    ------
    ValueError
        If there are recordings alone, and nobody to transcribe them.
    """
    told = settings.data
    is_transcribed_here = told.transcripts == TEACHER
    if not are_recordings(told.data_folder, splits):
        return partial(
            prepare_own,
            column=find_task(settings.encoder.task).column,
            needs_text=not is_transcribed_here,
        )
    if not is_transcribed_here:
        raise ValueError(
            f"`data_folder` must hold CSV files ({', '.join(splits)}) with "
            f"transcripts, but {told.data_folder} holds recordings alone: "
            f"train a model that needs none, "
            f"hparams/whisper_any_depth.yaml"
        )
    return partial(
        prepare_recordings,
        roles={
            "train": told.train_splits,
            "valid": told.valid_splits,
            "test": told.test_splits,
        },
        longest=told.max_train_seconds or MAX_SECONDS,
    )


def without_reference(settings: Settings, column: str) -> Optional[dict]:
    """By test set, utterances that the teacher's transcripts judge."""
    told: Data = settings.data
    if told.transcripts != TEACHER:
        return None
    folder = told.csv_folder
    if told.skip_prep and not told.prepare:
        folder = told.data_folder
    found = {
        split: n_without_reference(csv_file(str(folder), split), column)
        for split in told.test_splits
    }
    return {split: n for split, n in found.items() if n} or None
