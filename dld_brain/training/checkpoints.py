"""Checkpoints that are whole and finite, or are not there."""

import contextlib
import errno
import math
import shutil
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Optional

import torch

from dld_brain.files.finite import check_finite, check_finite_file, state_of
from dld_brain.files.lock import FolderInUse, FolderLock
from dld_brain.files.whole import named, newest, sync, whole_file
from speechbrain.utils.checkpoints import (
    Checkpoint,
    Checkpointer,
    average_checkpoints,
)
from speechbrain.utils.distributed import ddp_barrier, if_main_process
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

#: What a checkpoint is worth: the higher, the better.
Order = Callable[[Checkpoint], Any]
#: What ranks the checkpoints that are kept and averaged, by the metric that
#: models are compared by. No two are equal: else which are kept would be a
#: matter of how a folder lists its files.
ORDERS: dict[str, Callable[[str], Order]] = {
    "best": lambda metric: partial(_success, metric),
    "last": lambda metric: _progress,
}


def _success(metric: str, checkpoint: Checkpoint) -> tuple[float, ...]:
    """How few errors validation had; of equal ones, the last is the best."""
    error = checkpoint.meta.get(f"error {metric}", math.inf)
    return -error, *_progress(checkpoint)


def _progress(checkpoint: Checkpoint) -> tuple[int, int]:
    """Steps and epochs; -1 of a checkpoint within an epoch."""
    meta = checkpoint.meta
    return meta.get("steps", -1), meta.get("epoch", -1)


class AtomicCheckpointer(Checkpointer):
    """SpeechBrain's Checkpointer, safe against a death while it writes.

    SpeechBrain writes the meta file first, so that a folder half written
    (a killed job, a full disk) is its newest checkpoint, and recovery dies
    of it. Here a checkpoint is written under another name, synced, and
    renamed in one atomic step, once it is whole; while it is written it is
    locked, so that another process that saves here leaves it alone. What is
    not finite is not written, and is passed over when a training is resumed.

    Example
    -------
    >>> tmpdir = getfixture("tmpdir")
    >>> model = torch.nn.Linear(1, 1)
    >>> checkpointer = AtomicCheckpointer(tmpdir, {"model": model})
    >>> checkpoint = checkpointer.save_checkpoint()
    >>> checkpointer.find_checkpoint().path == checkpoint.path
    True
    """

    #: Folders of this prefix are no checkpoints to `Checkpointer`.
    PREFIX = "unfinished+"
    #: Of the checkpoint that is being written.
    _lock: Optional[FolderLock] = None

    def save_checkpoint(self, *args, **kwargs) -> Optional[Checkpoint]:
        """Saves a checkpoint; see `Checkpointer.save_checkpoint`.

        Returns
        -------
        Checkpoint
            Or None on any process but the main one.

        Raises
        ------
        OSError
            If it cannot be written; what was written of it is deleted.
        ValueError
            If weights, statistics or what the optimizer keeps are not
            finite; nothing is written.
        """
        for name, thing in self.recoverables.items():
            check_finite(state_of(thing), f"`{name}` of a checkpoint")
        self._sweep()
        try:
            with _disk_errors(self.checkpoints_dir):
                checkpoint = super().save_checkpoint(*args, **kwargs)
            if checkpoint is None:  # the main process renames it meanwhile
                ddp_barrier()
                return None
            sync(checkpoint.path)
            path = self._final(checkpoint.path)
            checkpoint.path.rename(path)
        except BaseException:
            self._release()
            self._sweep()
            raise
        self._lock.follow(path)
        self._release()
        ddp_barrier()  # all ranks list the same checkpoints from here on
        files = {k: path / f.name for k, f in checkpoint.paramfiles.items()}
        return Checkpoint(path, checkpoint.meta, files)

    def recover_if_possible(
        self, importance_key: Optional[Order] = None, **choice: Any
    ) -> Optional[Checkpoint]:
        """Loads the first checkpoint that is finite: by default, the newest.

        Arguments
        ---------
        **choice : dict
            See `Checkpointer.find_checkpoints`.

        Returns
        -------
        Checkpoint
            Or None where there is none.

        Raises
        ------
        ValueError
            If there are some, and none is finite.
        """
        found = self.find_checkpoints(importance_key, **choice)
        for checkpoint in self.finite(found):
            if checkpoint != found[0]:
                logger.warning(
                    "resumes from %s, the newest that is finite",
                    checkpoint.path,
                )
            self.load_checkpoint(checkpoint)
            return checkpoint
        if found:
            raise ValueError(
                f"{self.checkpoints_dir} must hold a finite checkpoint, but "
                f"none of its {len(found)} is: delete it to train anew"
            )
        return None

    def finite(self, checkpoints: list[Checkpoint]) -> Iterator[Checkpoint]:
        """Those of some checkpoints that can be read and are finite."""
        names = [n for n, x in self.recoverables.items() if state_of(x)]
        for checkpoint in checkpoints:
            try:
                for name in names:
                    if name in checkpoint.paramfiles:
                        check_finite_file(checkpoint.paramfiles[name])
            except ValueError as error:
                logger.warning("a checkpoint is passed over: %s", error)
            else:
                yield checkpoint

    def _sweep(self) -> None:
        """Deletes what an interrupted save has left behind."""
        if not if_main_process():
            return
        for path in self.checkpoints_dir.glob(f"{self.PREFIX}*"):
            with contextlib.suppress(FolderInUse):
                lock = FolderLock(path)
                shutil.rmtree(path, ignore_errors=True)
                lock.release()

    def _release(self) -> None:
        """Ends the writing of a checkpoint."""
        if self._lock is not None:
            self._lock.release()
        self._lock = None

    def _new_checkpoint_dirpath(self) -> Path:
        return self._unfinished(super()._new_checkpoint_dirpath())

    def _custom_checkpoint_dirpath(self, name: str) -> Path:
        return self._unfinished(super()._custom_checkpoint_dirpath(name))

    def _unfinished(self, path: Path) -> Path:
        """Makes and locks a folder, of no one else, to write into."""
        name = f"{self.PREFIX}{uuid.uuid4().hex[:8]}+{path.name}"
        self._lock = FolderLock(path.with_name(name))
        return self._lock.folder

    def _final(self, unfinished: Path) -> Path:
        """The name of a checkpoint; another where that is taken meanwhile."""
        name = unfinished.name.removeprefix(self.PREFIX).partition("+")[2]
        path = unfinished.with_name(name)
        return super()._new_checkpoint_dirpath() if path.exists() else path


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Names the file that could not be written, also where torch.save failed.

    Which says no more than that a position is unexpected.
    """
    try:
        with named(path):
            yield
    except OSError as error:
        if error.filename == str(path):
            error.filename = str(path / newest(path))
        raise
    except RuntimeError as error:
        if "inline_container" not in str(error):
            raise
        reason = "the disk is full, or files may be no larger (ulimit -f)"
        name = str(path / newest(path))
        raise OSError(errno.ENOSPC, reason, name) from error


def epoch_file(save_folder: str, epoch: int) -> Path:
    """Where the weights of an epoch are kept.

    Arguments
    ---------
    epoch : int
        The epoch, from 1.

    Example
    -------
    >>> epoch_file("save", 25).as_posix()
    'save/epochs/25.ckpt'
    """
    return Path(save_folder, "epochs", f"{epoch}.ckpt")


def keep_epoch(save_folder: str, epoch: int, model: torch.nn.Module) -> None:
    """Keeps the weights of an epoch, whatever becomes of its checkpoint.

    Arguments
    ---------
    epoch : int
        The epoch, from 1.
    """
    if not if_main_process():
        return
    check_finite(model.state_dict(), f"the model of epoch {epoch}")
    path = epoch_file(save_folder, epoch)
    with whole_file(path) as unfinished, _disk_errors(path):
        torch.save(model.state_dict(), unfinished)


def average_weights(
    checkpointer: AtomicCheckpointer, name: str, n: int, order: Order
) -> dict[str, torch.Tensor]:
    """Averages the weights of the first checkpoints of epochs.

    Raises
    ------
    ValueError
        If there is none that is finite.
    """
    of_epochs = checkpointer.find_checkpoints(order, ckpt_predicate=is_scored)
    checkpoints = list(islice(checkpointer.finite(of_epochs), n))
    if not checkpoints:
        raise ValueError(
            f"{checkpointer.checkpoints_dir} must hold the finite checkpoint "
            f"of an epoch, but has none: train first, without --test_only"
        )
    average = average_checkpoints(checkpoints, name)
    check_finite(average, f"the mean of {len(checkpoints)} checkpoints")
    return average


def is_scored(checkpoint: Checkpoint) -> bool:
    """Whether it is of the end of an epoch, behind validation."""
    return "steps" in checkpoint.meta
