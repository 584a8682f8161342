"""The vocabulary of a run: of the models that it starts from, or made anew."""

import shutil
from pathlib import Path
from typing import Optional

from dld_brain.audio.csv_files import csv_file
from dld_brain.audio.utterances import read_references
from dld_brain.model_folder import PretrainedModel
from dld_brain.run.settings import Settings
from dld_brain.tasks import Task, find_task

#: What errors about the vocabulary of a model end with.
NEW_HEAD = (
    "--new_head=True starts from `init_from` with a head of its own for "
    "another vocabulary"
)


def of_the_vocabulary(
    settings: Settings,
    models: dict[str, PretrainedModel],
    folders: dict[str, str],
) -> dict[str, PretrainedModel]:
    """The models whose vocabulary a run has; of one whose body alone is taken
    it has none.

    Arguments
    ---------
    folders : dict of str to str
        By `teacher` and `init_from`.
    """
    if not settings.start.new_head or "init_from" not in folders:
        return models
    body = folders["init_from"]
    others = {f for role, f in folders.items() if role != "init_from"}
    return {f: m for f, m in models.items() if f != body or f in others}


def find_vocabulary(
    settings: Settings, models: dict[str, PretrainedModel]
) -> Optional[Task]:
    """Takes the task, with its vocabulary, of the models a run starts from.

    Returns
    -------
    Task
        Or None, if there is no model.

    Raises
    ------
    ValueError
        If a model is of another task, two vocabularies differ, or the size
        is not `vocab_size`.
    """
    kind = find_task(settings.encoder.task)
    tasks = {folder: model.task for folder, model in models.items()}
    for source, task in tasks.items():
        if type(task) is not kind:
            raise ValueError(
                f"the model of {source} must be one of "
                f"{settings.encoder.task}, as this run is, but is of another "
                f"task; {NEW_HEAD}"
            )
        task.check_size(settings.encoder.vocab_size, f"{source} ({NEW_HEAD})")
    first = next(iter(tasks.values()), None)
    if any(task.symbols != first.symbols for task in tasks.values()):
        raise ValueError(
            f"all models of a run must have the same {kind.symbol}s, but "
            f"those of {' and '.join(tasks)} differ; {NEW_HEAD}"
        )
    return first


def make_vocabulary(settings: Settings, csv: str) -> Task:
    """Makes the task, with a vocabulary of a CSV file of training data."""
    save_folder, told = settings.start.save_folder, settings.data
    # Of one name always: a tokenizer may name the files it is trained on.
    folder = Path(save_folder).with_name(".unfinished+vocabulary")
    shutil.rmtree(folder, ignore_errors=True)
    size = settings.encoder.vocab_size
    try:
        task = find_task(settings.encoder.task).make(
            str(folder), csv, told.token_type, size, told.text_case
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    task.check_size(size, csv)
    return task


def check_test_speech(settings: Settings, csv_folder: str, task: Task) -> None:
    """Raises before training where test sets do not fit the vocabulary."""
    for split in settings.data.test_splits:
        read_references(
            csv_file(csv_folder, split),
            settings.data.data_folder,
            task,
            settings.data.max_unspellable,
        )
