"""Speech of one's own: CSV files, or recordings that nobody transcribed."""

from collections.abc import Callable
from functools import partial
from math import inf
from pathlib import Path
from typing import Optional

from dld_brain.audio.csv_files import csv_file, lacks_references
from dld_brain.audio.decode import ENDINGS
from dld_brain.audio.own_csv import prepare_own
from dld_brain.audio.recordings import find_recordings, prepare_recordings
from dld_brain.audio.text_files import visible_files
from dld_brain.audio.whisper_mel import MAX_SECONDS
from dld_brain.run.sections import Data
from dld_brain.run.settings import Settings
from dld_brain.tasks import find_task
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

#: What goes without transcripts.
WITHOUT = (
    "hparams/whisper_any_depth.yaml with --transcripts=teacher needs no "
    "transcripts"
)


def _is_own(told: Data) -> bool:
    """Whether it is speech of one's own that is to be prepared."""
    return not (told.corpus or told.prepare or told.skip_prep)


def is_of_recordings(settings: Settings) -> bool:
    """Whether the data are audio files and no CSV file of any split."""
    told = settings.data
    if not _is_own(told):
        return False
    folder = Path(told.data_folder)
    return not visible_files(folder, "*.csv") and bool(find_recordings(folder))


def check_data_folder(settings: Settings) -> None:
    """Raises, before any model is read, where there is no speech to take.

    Raises
    ------
    FileNotFoundError
        If the folder is not there, or holds no speech of one's own.
    ValueError
        If the data are recordings, and the transcripts are to be the
        corpus's.
    """
    told = settings.data
    if not told.makes_itself and not Path(told.data_folder).is_dir():
        raise FileNotFoundError(
            f"`data_folder` must be a folder, but {told.data_folder} is none"
        )
    if not _is_own(told) or visible_files(Path(told.data_folder), "*.csv"):
        return
    if not find_recordings(told.data_folder):
        raise FileNotFoundError(
            f"`data_folder` must hold <split>.csv, or recordings "
            f"({', '.join(ENDINGS)}), but {told.data_folder} has neither"
        )
    if told.transcripts != "teacher":
        raise ValueError(
            f"`data_folder` must hold <split>.csv with transcripts, but "
            f"{told.data_folder} has audio alone: {WITHOUT}"
        )


def find_own_preparation(settings: Settings) -> Callable[..., None]:
    """What writes the CSV files of speech of one's own."""
    told = settings.data
    if is_of_recordings(settings):
        roles = (told.train_splits, told.valid_splits, told.test_splits)
        return partial(
            prepare_recordings,
            max_seconds=min(told.max_train_seconds or inf, MAX_SECONDS),
            roles=roles,
        )
    return partial(
        prepare_own,
        column=find_task(settings.encoder.task).column,
        needs_text=told.transcripts != "teacher",
    )


def judged_by_teacher(settings: Settings, csv_folder: str) -> list[str]:
    """Splits, not trained on, that have no transcripts; says so in the log.

    Arguments
    ---------
    csv_folder : str
        Of the CSV files before the teacher transcribes.
    """
    told = settings.data
    column = find_task(settings.encoder.task).column
    splits = (*told.valid_splits, *told.test_splits)
    found = [
        split
        for split in dict.fromkeys(splits)
        if lacks_references(csv_file(csv_folder, split), column)
    ]
    if found:
        logger.warning(
            "%s: without transcripts, and scored against the teacher's "
            "transcripts: the rates say how far a depth is from the teacher, "
            "not how often it is right",
            ", ".join(found),
        )
    return found


def most_tokens(settings: Settings) -> Optional[int]:
    """Tokens that a decoder has positions for; None without a decoder."""
    decoder = getattr(settings.encoder, "decoder", None)
    if not decoder:
        return None
    return decoder["max_target_positions"] - len(decoder["prompt"])
