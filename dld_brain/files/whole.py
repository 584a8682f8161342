"""Files and folders that are whole, old or new, whenever the process dies.

A file is written beside, synced and renamed. A folder is written beside, synced, and takes the old one's place by two renames.
A kill before the first leaves the old folder; behind the second, the new
one; between them, none under its name, and the old one beside it, which
`recover` brings back: every read and every write begins with that. What a
dead process left unfinished goes when the folder is next written.
"""

import contextlib
import glob
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

UNFINISHED, REPLACED = ".unfinished+", ".replaced+"


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Gives a path to write a file to, which becomes `target` at the end.

    If anything is raised, `target` stays as it is, and what was written
    beside it is deleted; what a dead process left there goes, too. The path
    has the suffix of `target`.

    Example
    -------
    >>> target = Path(getfixture("tmpdir"), "report.json")
    >>> with whole_file(target) as path:
    ...     _ = path.write_text("{}")
    ...     target.exists()
    False
    >>> target.read_text()
    '{}'
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f"{UNFINISHED}*+{glob.escape(target.name)}"):
        if not is_alive(left.name.split("+")[1]):
            left.unlink(missing_ok=True)
    path = target.with_name(f"{UNFINISHED}{os.getpid()}+{target.name}")
    try:
        with named(target):
            yield path
            with open(path, "rb") as file:
                os.fsync(file.fileno())
            os.replace(path, target)
            _sync_folder(target.parent)
    finally:
        path.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Writes a text file, whole, in UTF-8; see `whole_file`."""
    with whole_file(target) as path:
        path.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def whole_folder(target: Path, keep: bool = False) -> Iterator[Path]:
    """Gives a folder to write into, which becomes `target` at the end.

    If anything is raised, `target` stays as it is.

    Arguments
    ---------
    keep : bool
        Whether it starts with what is in `target`.

    Example
    -------
    >>> target = Path(getfixture("tmpdir"), "model")
    >>> with whole_folder(target) as folder:
    ...     _ = (folder / "a.txt").write_text("a")
    ...     target.exists()
    False
    >>> [path.name for path in target.iterdir()]
    ['a.txt']
    """
    recover(target)
    for left in _beside(target, UNFINISHED):
        if not is_alive(left.name.rpartition("+")[2]):
            shutil.rmtree(left)
    folder = target.with_name(f"{target.name}{UNFINISHED}{os.getpid()}")
    try:
        if keep and target.is_dir():
            shutil.copytree(target, folder)
        else:
            folder.mkdir(parents=True)
        with named(folder):
            yield folder
            sync(folder)
            _swap(folder, target)
    except OSError as error:
        if error.filename == str(folder):  # the one that was written last
            error.filename = str(target / newest(folder))
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Says which file it was, where the system does not: on a full disk.

    Example
    -------
    >>> with named(Path("model.bin")):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
    ...
    OSError: [Errno 28] No space left on device: 'model.bin'
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def newest(folder: Path) -> Path:
    """The file of a folder that was written last, from there."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    newest = max(
        files, key=lambda path: path.stat().st_mtime_ns, default=folder
    )
    return newest.relative_to(folder)


def recover(target: Path) -> None:
    """Brings back a folder whose replacement was killed between renames."""
    for left in _beside(target, REPLACED):
        if is_alive(left.name.rpartition("+")[2]):
            continue
        if target.exists():  # the new one had come
            shutil.rmtree(left)
        else:
            left.rename(target)


def _swap(folder: Path, target: Path) -> None:
    """Puts a folder into the place of another."""
    old = target.with_name(f"{target.name}{REPLACED}{os.getpid()}")
    if target.exists():
        target.rename(old)
    folder.rename(target)
    _sync_folder(target.parent)
    if old.exists():
        shutil.rmtree(old)


def _beside(target: Path, mark: str) -> list[Path]:
    """What processes left beside a folder, newest first."""
    if not target.parent.is_dir():
        return []
    found = [
        path
        for path in target.parent.iterdir()
        if path.name.startswith(target.name + mark)
    ]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def is_alive(number: str) -> bool:
    """Whether another process of this number runs, on this machine."""
    if not number.isdigit() or int(number) == os.getpid():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sync(folder: Path) -> None:
    """Makes sure that all of a folder is on the disk."""
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            _sync_folder(path)
        else:
            with open(path, "rb") as file:
                os.fsync(file.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Makes sure that the names in a folder are on the disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
