"""What lies in the folder of a run: whether it still belongs to it.

A run goes on where it was stopped with what it finds: CSV files, vocabulary,
checkpoints. What its sources no longer give is made anew, or, where weights
were trained with it, refused; a line says which.
"""

import logging
from pathlib import Path
from typing import Any, Optional

from dld_brain.audio.csv_files import csv_file
from dld_brain.audio.dataset import merged_csv
from dld_brain.audio.text_files import read_table
from dld_brain.files import fingerprint
from dld_brain.files.lock import FolderLock
from dld_brain.files.whole import write_text
from dld_brain.model_folder import PretrainedModel, weights_hash
from dld_brain.run.config import Composed
from dld_brain.run.settings import Settings
from dld_brain.run.vocabulary import NEW_HEAD, make_vocabulary
from dld_brain.tasks import Task, find_task
from dld_brain.tasks.metric import with_default_metric
from speechbrain.utils.distributed import if_main_process, run_on_main

logger = logging.getLogger(__name__)


class Folders:
    """Holds the folders that a run writes into, while it does."""

    def __init__(self) -> None:
        self.locks: list[FolderLock] = []

    def hold(self, settings: Settings) -> None:
        """Takes the output folder, and the checkpoints' where it is outside.

        Raises
        ------
        FolderInUse
            If another run has it.
        """
        output = Path(settings.start.output_folder).absolute()
        save = Path(settings.start.save_folder).absolute()
        folders = [output] if output in save.parents else [output, save]
        if if_main_process():
            for folder in dict.fromkeys(folders):
                self.locks.append(FolderLock(folder))

    def release(self) -> None:
        """Gives them back."""
        while self.locks:
            self.locks.pop().release()


def keep_settings(composed: Composed, folder: str) -> None:
    """Writes the settings of a training into its folder."""
    if if_main_process():
        head = f"# Generated from {composed.hparams_file}\n"
        text = head + "# yamllint disable\n" + composed.text()
        write_text(Path(folder, "hyperparams.yaml"), text)


def splits_to_prepare(settings: Settings, is_training: bool) -> list[str]:
    """Splits whose CSV files are looked at: an evaluation trains on none.

    What a model was trained on may be gone when it is evaluated.
    """
    told = settings.data
    train = list(told.train_splits)
    if not is_training:
        folder = Path(told.csv_folder)
        train = [s for s in train if not (folder / f"{s}.csv").is_file()]
    splits = (*train, *told.valid_splits, *told.test_splits)
    return list(dict.fromkeys(splits))


def kept_vocabulary(
    settings: Settings,
    found: Optional[Task],
    csv_folder: str,
    is_training: bool,
) -> Task:
    """The vocabulary beside the checkpoints; made where it is not there.

    Arguments
    ---------
    found : Task, optional
        With the vocabulary of the models that the run starts from; that of
        its training speech if not given.

    Raises
    ------
    ValueError
        If it is not whole, has another size, or other tokens than the
        checkpoints were trained with.
    """
    kind = find_task(settings.encoder.task)
    path = Path(settings.start.save_folder, kind.file)
    if is_training or not path.is_file():
        made_of = _vocabulary_sources(settings, found, csv_folder)
        splits, folder = settings.data.train_splits, settings.start.save_folder
        speech = merged_csv(csv_folder, splits, folder)
        run_on_main(_keep, args=[path, made_of, found, settings, speech])
    elif fingerprint.state_of(path, {}) == fingerprint.CHANGED:
        raise ValueError(
            f"{path} must be what training wrote, but is not (changed by "
            f"hand, or not whole): copy it from the folder of the model, or "
            f"start without --test_only, which makes it again"
        )
    task = kind.load(path)
    task.check_size(settings.encoder.vocab_size, str(path))
    if found is not None and found.symbols != task.symbols:
        raise ValueError(
            f"all models of a run must have the same {kind.symbol}s, but "
            f"those of {path} differ from those that it starts from; "
            f"{NEW_HEAD}"
        )
    return task


def _vocabulary_sources(
    settings: Settings, found: Optional[Task], csv_folder: str
) -> dict[str, str]:
    """What the vocabulary is made of."""
    if found is not None:
        symbols = fingerprint.digest(found.symbols)
        return {"the vocabulary of the model that it starts from": symbols}
    return {
        **_speech(settings, csv_folder),
        "`token_type`": settings.data.token_type,
        "`vocab_size`": str(settings.encoder.vocab_size),
        "`text_case`": settings.data.text_case,
    }


def _keep(
    path: Path,
    made_of: fingerprint.Sources,
    found: Optional[Task],
    settings: Settings,
    speech: str,
) -> None:
    """Writes the vocabulary, unless the one that is there will do."""
    state = fingerprint.state_of(path, made_of)
    if state == fingerprint.UNKNOWN:
        logger.warning("%s was not made here, and is taken as it is", path)
    elif state != fingerprint.CURRENT:
        with fingerprint.remade(path, made_of) as unfinished:
            task = found or make_vocabulary(settings, speech)
            task.save(unfinished)
    fingerprint.add_user(path, Path(settings.start.save_folder))


def compared_by(settings: Settings, task: Task) -> Task:
    """The task with the metric of a run."""
    metric = settings.evaluation.metric
    if metric is not None:
        return task.with_metric(metric)
    task, reason = with_default_metric(task, settings.data.language)
    if reason and if_main_process():
        logger.warning(
            "compared by %s, because %s (--metric=... says otherwise)",
            task.metric,
            reason,
        )
    return task


def check_checkpoints(
    settings: Settings, csv_folder: str, teacher: Optional[PretrainedModel]
) -> None:
    """Notes what the checkpoints are trained with.

    Raises
    ------
    ValueError
        If some are there that were trained with something else.
    """
    if not if_main_process():
        return
    folder = Path(settings.start.save_folder)
    made_of = _speech(settings, csv_folder)
    if teacher is not None:
        weights = weights_hash(teacher.modules["model"])
        made_of["the teacher's weights"] = weights
    path = folder / "checkpoints"
    record = fingerprint.read_record(path)
    if any(folder.glob("CKPT+*")) and record is not None:
        if record.made_of != made_of:
            raise ValueError(
                f"the checkpoints of {folder} must be of this training, but "
                f"{fingerprint.differences(record.made_of, made_of)}: bring "
                f"that back, or give another `output_folder` (--init_from "
                f"goes on from a model that was trained with something else)"
            )
    else:
        fingerprint.write_record(path, fingerprint.Record(made_of, ""))
    for split in settings.data.train_splits:
        fingerprint.add_user(csv_file(csv_folder, split), folder)


def _speech(settings: Settings, csv_folder: str) -> dict[str, str]:
    """Fingerprints of the training speech, wherever its audio lies."""
    return {
        f"the training speech {split}.csv": fingerprint.digest(
            _rows(csv_file(csv_folder, split))
        )
        for split in settings.data.train_splits
    }


def _rows(path: Path) -> list[list[Any]]:
    """The lines of a CSV file but for the paths of its audio."""
    table = read_table(path)
    return [
        sorted(
            pair for pair in zip(table.columns, row.cells) if pair[0] != "wav"
        )
        for row in table.rows
    ]
