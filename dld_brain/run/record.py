"""What a run says of itself: what it was told, where, on what speech."""

import datetime
import shlex
from math import inf
from pathlib import Path
from typing import Any

from dld_brain.audio.csv_files import csv_file, read_column
from dld_brain.evaluation.report import rates_of_teacher
from dld_brain.model_folder import commit
from dld_brain.run.settings import Settings
from dld_brain.training.brain import DLDBrain
from dld_brain.training.clock import machine


def command_of(hparams_file: str, overrides: dict[str, Any]) -> str:
    """The command line that does the same again.

    Example
    -------
    >>> command_of("hparams/quickstart.yaml", {"seed": 7, "corpus": "my own"})
    "python train.py hparams/quickstart.yaml --seed=7 '--corpus=my own'"
    """
    flags = [
        f"--{key}={','.join(map(str, v)) if isinstance(v, list) else v}"
        for key, v in overrides.items()
        if v != {}
    ]
    return shlex.join(["python", "train.py", hparams_file, *flags])


def training_speech(settings: Settings, csv_folder: str) -> dict[str, Any]:
    """What the training.json of a model says of its training.

    Returns
    -------
    dict
        Of plain values; `hours`, and the `longest_utterance` in s, are those
        that training has seen; `in_chunks`, whether it has seen chunks.
    """
    told, seconds = settings.data, []
    for split in told.train_splits:
        path = csv_file(csv_folder, split)
        seconds += map(float, read_column(path, "duration"))
    longest = told.max_train_seconds or inf
    seconds = [x for x in seconds if x <= longest]
    return {
        "corpus": told.corpus or None,
        "train_splits": list(told.train_splits),
        "valid_splits": list(told.valid_splits),
        "test_splits": list(told.test_splits),
        "hours": round(sum(seconds) / 3600, 6),
        "longest_utterance": max(seconds, default=None),
        "in_chunks": settings.losses.streaming.name != "none",
        "language": told.language,
        "seed": settings.start.seed,
        "recipe": settings.title,
        "init_from": settings.start.init_from,
        "teacher": settings.start.teacher,
    }


def origin(
    settings: Settings, brain: DLDBrain, csv_folder: str
) -> dict[str, Any]:
    """What a report says of the run, beside what was scored.

    Returns
    -------
    dict
        By field; see `dld_brain.evaluation.report.Report`.
    """
    speech, told = training_speech(settings, csv_folder), settings.start
    return {
        "experiment": Path(told.output_folder).parent.name,
        "seed": told.seed,
        "recipe": settings.title,
        "commit": commit(),
        "machine": machine(brain.device),
        "date": datetime.date.today().isoformat(),
        "corpus": settings.data.corpus,
        "train_splits": speech["train_splits"],
        "train_hours": speech["hours"],
        "gates": settings.losses.gates.name,
        "starts_from_model": bool(told.init_from),
        "metric": brain.task.metric,
        "higher_is_better": brain.task.higher_is_better,
        "teacher": rates_of_teacher(told.save_folder, brain.task.metric),
        "training": brain.last_meta().get("training"),
        "gates_seen": brain.gates_seen(),
    }
