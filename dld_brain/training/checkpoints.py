"""Checkpoints that are whole or are not there."""

import contextlib
import errno
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import torch

from dld_brain.files.lock import FolderInUse, FolderLock
from dld_brain.files.whole import named, newest, sync, whole_file
from speechbrain.utils.checkpoints import (
    Checkpoint,
    Checkpointer,
    average_checkpoints,
)
from speechbrain.utils.distributed import if_main_process


class AtomicCheckpointer(Checkpointer):
    """SpeechBrain's Checkpointer, safe against a death while it writes.

    SpeechBrain writes the meta file first, so that a folder half written
    (a killed job, a full disk) is its newest checkpoint, and recovery dies
    of it. Here a checkpoint is written under another name, synced, and
    renamed in one atomic step, once it is whole; while it is written it is
    locked, so that another process that saves here leaves it alone.

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
        """
        self._sweep()
        try:
            with _disk_errors(self.checkpoints_dir):
                checkpoint = super().save_checkpoint(*args, **kwargs)
            if checkpoint is None:
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
        files = {k: path / f.name for k, f in checkpoint.paramfiles.items()}
        return Checkpoint(path, checkpoint.meta, files)

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
    path = epoch_file(save_folder, epoch)
    with whole_file(path) as unfinished, _disk_errors(path):
        torch.save(model.state_dict(), unfinished)


def average_weights(
    checkpointer: Checkpointer, name: str, n: int, **order: str
) -> dict[str, torch.Tensor]:
    """Averages the weights of some checkpoints.

    Arguments
    ---------
    **order : str
        min_key or max_key: the meta key that ranks them.
    """
    checkpoints = checkpointer.find_checkpoints(max_num_checkpoints=n, **order)
    if not checkpoints:
        (key,) = order.values()
        raise ValueError(
            f"{checkpointer.checkpoints_dir} must hold a checkpoint with "
            f"{key}, but has none: train first, without --test_only"
        )
    return average_checkpoints(checkpoints, name)
