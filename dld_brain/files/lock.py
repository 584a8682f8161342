"""A folder belongs to one process at a time."""

import datetime
import errno
import fcntl
import io
import logging
import os
import shlex
import socket
import sys
import weakref
from pathlib import Path
from typing import Optional

logger = logging.getLogger(__name__)

FILE = ".lock"
#: What a file system says that has no locks: Lustre by default, some of NFS.
NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


class FolderInUse(OSError):
    """Another process works in a folder; its text says which."""


class FolderLock:
    """What a process holds while it writes into a folder.

    The system takes it back when the process dies, however it dies: nothing
    is left that somebody would have to delete. It is of the process alone;
    its children (the workers of a loader) do not keep it.

    Arguments
    ---------
    folder : Path
        Made if it is not there; where nothing else came into it, it goes
        again with the lock.

    Raises
    ------
    FolderInUse
        If another process, or another lock of this one, holds it.

    Example
    -------
    >>> folder = Path(getfixture("tmpdir"), "run")
    >>> lock = FolderLock(folder)
    >>> FolderLock(folder)
    Traceback (most recent call last):
    ...
    dld_brain.files.lock.FolderInUse: ...run must be used by one run at ...
    >>> lock.release()
    >>> folder.exists()
    False
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / FILE
        self._made = _make(folder)
        found = self._take()
        while found is None:  # its holder let it go meanwhile
            found = self._take()
        self._file: io.FileIO = found
        self._file.truncate(0)
        self._file.write(f"{_this_process()}\n".encode())
        own = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forget(own()))

    def release(self) -> None:
        """Gives the folder back; nothing happens the second time."""
        if self._file.closed:
            return
        self.path.unlink(missing_ok=True)
        self._file.close()
        for folder in self._made:
            if not folder.exists() or any(folder.iterdir()):
                break
            folder.rmdir()

    def follow(self, folder: Path) -> None:
        """Takes note that the folder was renamed."""
        self.folder, self.path = folder, folder / FILE

    def _take(self) -> Optional[io.FileIO]:
        """The locked file; None if it was deleted before it was locked."""
        file = io.FileIO(self.path, "a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), self.path.stat()):
                return file
        except BlockingIOError:
            raise FolderInUse(
                f"{self.folder} must be used by one run at a time, but is in "
                f"use by {_holder(file)}; wait for its end, stop it, or give "
                f"another folder"
            ) from None
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            logger.warning("%s has no locks: start one run in it", self.folder)
            return file
        file.close()
        return None


def _make(folder: Path) -> list[Path]:
    """Makes a folder; gives what was made, the innermost first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
    return missing


def _forget(lock: Optional[FolderLock]) -> None:
    """Closes a child's copy of the file, which would keep the lock alive."""
    if lock is not None:
        lock._file.close()


def _holder(file: io.FileIO) -> str:
    """What the holder of a lock wrote of itself."""
    file.seek(0)
    text = file.read().decode(errors="replace").strip()
    file.close()
    return text or "a run that begins just now"


def _this_process() -> str:
    """What others are told of it."""
    since = datetime.datetime.now().isoformat(" ", "seconds")
    return (
        f"process {os.getpid()} on {socket.gethostname()} since {since} "
        f"({shlex.join(sys.argv)})"
    )
