"""Where a training is logged, beside train_log.txt."""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

from speechbrain.utils.train_logger import (
    TensorboardLogger,
    TrainLogger,
    WandBLogger,
)


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
