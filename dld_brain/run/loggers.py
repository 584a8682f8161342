"""Where a training is logged, beside train_log.txt."""

import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

from dld_brain.files.whole import named
from speechbrain.utils.distributed import main_process_only
from speechbrain.utils.train_logger import (
    FileTrainLogger,
    TensorboardLogger,
    TrainLogger,
    WandBLogger,
)


class LogFile(logging.FileHandler):
    """The log of a run; one that can no longer be written ends no run."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Says so, once."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif self.level <= logging.CRITICAL:
            self.setLevel(logging.CRITICAL + 1)
            text = f"warning: {self.baseFilename} is not continued: {error}"
            print(text, file=sys.stderr)


class TrainLog(FileTrainLogger):
    """Writes train_log.txt; a line that a full disk has cut is ended."""

    @main_process_only
    def log_stats(self, *args: Any, **kwargs: Any) -> None:
        """Adds a line."""
        path = Path(self.save_file)
        with named(path):
            before = path.read_bytes() if path.is_file() else b""
            if before and not before.endswith(b"\n"):
                with open(path, "a", encoding="utf-8") as file:
                    file.write("\n")
            super().log_stats(*args, **kwargs)


def _check_installed(package: str) -> None:
    """Raises where the package of a logger is not installed."""
    if importlib.util.find_spec(package) is None:
        raise ValueError(
            f"`logger.kind` must be one whose package is installed, but "
            f"{package} is not: pip install -e '.[{package}]'"
        )


def tensorboard(folder: str) -> TrainLogger:
    """Writes <folder>/tensorboard."""
    _check_installed("tensorboard")
    return TensorboardLogger(str(Path(folder, "tensorboard")))


def wandb(
    folder: str, project: str = "dld_brain", mode: str = "offline"
) -> TrainLogger:
    """Writes <folder>/wandb; `wandb sync` uploads it.

    Arguments
    ---------
    mode : str
        offline needs neither a network nor an account; online uploads.
    """
    _check_installed("wandb")
    start: Any = importlib.import_module("wandb").init
    Path(folder).mkdir(parents=True, exist_ok=True)
    return WandBLogger(
        start, project=project, mode=mode, dir=folder, resume="allow"
    )


#: By the name that an hparams file gives them; of `file` there is no other.
LOGGERS: dict[str, Optional[Callable[..., TrainLogger]]] = {
    "file": None,
    "tensorboard": tensorboard,
    "wandb": wandb,
}
