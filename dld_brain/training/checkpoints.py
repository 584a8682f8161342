"""Checkpoints that are whole and finite, or are not there."""

import contextlib
import errno
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

from dld_brain.files.finite import check_finite, check_finite_file, state_of
from dld_brain.files.lock import FolderInUse, FolderLock
from dld_brain.files.whole import named, newest, sync
from speechbrain.utils.checkpoints import Checkpoint, Checkpointer
from speechbrain.utils.distributed import ddp_barrier, if_main_process
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)


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
    >>> import torch
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
            with disk_errors(self.checkpoints_dir):
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
        self, importance_key: Optional[Callable] = None, **choice: Any
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
def disk_errors(path: Path) -> Iterator[None]:
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
