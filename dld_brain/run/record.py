"""What a run says of itself: what it was told, where, on what speech."""

import shlex
from math import inf
from typing import Any

from dld_brain.audio.csv_files import csv_file, read_column
from dld_brain.run.settings import Settings


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
        that training has seen.
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
        "language": told.language,
        "seed": settings.start.seed,
        "recipe": settings.title,
        "init_from": settings.start.init_from,
        "teacher": settings.start.teacher,
    }
