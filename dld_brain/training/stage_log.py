"""The log of the epochs: each is there once, whenever the process dies."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.train_logger import FileTrainLogger, TrainLogger


class StageLog:
    """Logs an epoch behind its checkpoint, which holds what is logged.

    A kill between the two leaves an epoch that is done and not logged; it
    is logged when the training is resumed.

    Arguments
    ---------
    loggers : sequence of TrainLogger
        That of a file says which epochs are logged.
    """

    def __init__(self, loggers: Sequence[TrainLogger]) -> None:
        # The file is last: others show an epoch that is there twice once.
        self.loggers = sorted(
            loggers, key=lambda x: isinstance(x, FileTrainLogger)
        )

    def write(self, entry: Mapping[str, Mapping[str, Any]]) -> None:
        """Logs an epoch.

        Arguments
        ---------
        entry : mapping
            `meta`, with the epoch first, and what `train` and `valid` gave.
        """
        for each in self.loggers:
            each.log_stats(entry["meta"], entry["train"], entry["valid"])

    def complete(self, entry: Mapping[str, Mapping[str, Any]]) -> None:
        """Logs an epoch that a checkpoint is of, unless the file has it."""
        head = f"epoch: {entry['meta']['epoch']}, "
        for each in self.loggers:
            if isinstance(each, FileTrainLogger) and if_main_process():
                path = Path(each.save_file)
                text = path.read_text("utf-8") if path.is_file() else ""
                if not any(x.startswith(head) for x in text.splitlines()):
                    self.write(entry)
