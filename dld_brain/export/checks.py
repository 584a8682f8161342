"""Where exports go, and what they are compared on: checked before any work."""

import os
from collections.abc import Sequence
from pathlib import Path

from dld_brain.files.console import escaped


def check_new(path: str) -> Path:
    """Raises if a folder is there.

    Example
    -------
    >>> check_new("dld_brain")
    Traceback (most recent call last):
    ...
    FileExistsError: `--output` must be a new folder, but dld_brain exists
    """
    if os.path.lexists(path):
        raise FileExistsError(
            f"`--output` must be a new folder, but {path} exists"
        )
    parents = Path(path).absolute().parents
    there = next(p for p in parents if os.path.lexists(p))
    if not path or "\0" in path or not os.path.isdir(there):
        raise ValueError(
            f"`--output` must be a new folder in one that can be, but is "
            f"{escaped(path, 200)}"
        )
    return Path(path)


def check_files(paths: Sequence[str]) -> None:
    """Raises unless every audio file is there; before a model is exported."""
    for path in paths:
        if not os.path.isfile(path):
            raise FileNotFoundError(
                f"audio file {path} does not exist: looked for "
                f"{os.path.abspath(path)}"
            )
