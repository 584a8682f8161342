"""Files that are made of others: whether they still belong to those.

Beside such a file lies a hidden record, `.<name>.made`: what it was made of
(a fingerprint a source or setting, by its name in messages), what was
written, and the folders whose checkpoints were trained with it.
"""

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

from dld_brain.files.lock import FILE as LOCK
from dld_brain.files.whole import whole_file, write_text

logger = logging.getLogger(__name__)

#: By its name, the fingerprint of each source and setting.
Sources = Mapping[str, str]
#: Suffixes of files whose content counts, beside their size.
TEXT = (".csv", ".fileids", ".json", ".stm", ".transcription", ".tsv", ".txt")
#: What a file may be to its record.
MISSING, CURRENT, STALE = "missing", "current", "stale"
CHANGED, UNKNOWN = "changed", "unknown"


@dataclass(frozen=True)
class Record:
    """What a file was made of.

    Arguments
    ---------
    content : str
        SHA-256 of the file.
    before : str, optional
        Of the one that it replaces: a process may die between the two.
    users : tuple of str
        Folders of checkpoints, from the folder of the file.
    """

    made_of: dict[str, str]
    content: str
    before: Optional[str] = None
    users: tuple[str, ...] = ()


def digest(*parts: Any) -> str:
    """A fingerprint of plain values.

    Example
    -------
    >>> digest("a", 1) == digest("a", 1), digest("a", 1) == digest("a", 2)
    (True, False)
    """
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256 of what a file holds."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def digest_of_folder(folder: Path) -> str:
    """A fingerprint of names and sizes, and of what text files hold.

    Audio is not read. What is hidden, was made here (has a record) or is in
    a folder that a run holds counts for nothing.

    Example
    -------
    >>> folder = Path(getfixture("tmpdir"))
    >>> _ = (folder / "a.wav").write_bytes(b"..")
    >>> first = digest_of_folder(folder)
    >>> _ = (folder / "a.wav").write_bytes(b"...")
    >>> digest_of_folder(folder) == first
    False
    """
    found = []
    for entry in _files(folder, {os.path.realpath(folder)}):
        name, size = os.path.relpath(entry.path, folder), entry.stat().st_size
        is_text = os.path.splitext(name)[1].lower() in TEXT
        text = digest_of_file(Path(entry.path)) if is_text else ""
        found.append([name, size, text])
    return digest(sorted(found))


def _files(folder: Any, seen: set[str]) -> Iterator[os.DirEntry]:
    """Files below a folder; those that a link leads back to are left out."""
    with os.scandir(folder) as scan:
        entries = {entry.name: entry for entry in scan}
    if LOCK in entries:
        return
    for name, entry in entries.items():
        if name.startswith(".") or _record_of(Path(name)).name in entries:
            continue
        if entry.is_file():
            yield entry
        elif entry.is_dir():
            real = os.path.realpath(entry.path)
            if real not in seen:
                yield from _files(entry.path, {*seen, real})


def state_of(path: Path, made_of: Sources) -> str:
    """What a file is to its record.

    Returns
    -------
    str
        MISSING; CURRENT, made of these sources; STALE, of others; CHANGED
        since it was written; or UNKNOWN, without a record.
    """
    if not path.is_file():
        return MISSING
    record = read_record(path)
    if record is None:
        return UNKNOWN
    content = digest_of_file(path)
    if content == record.content:
        return CURRENT if record.made_of == dict(made_of) else STALE
    return STALE if content == record.before else CHANGED


@contextlib.contextmanager
def remade(path: Path, made_of: Sources) -> Iterator[Path]:
    """Gives a path to write a file anew; see `whole_file`.

    What is written takes the place of the old one where that is safe, which
    is said in a line of the log.

    Raises
    ------
    ValueError
        If it differs from the old one, and that is none of ours, or
        checkpoints were trained with it; the old one stays.

    Example
    -------
    >>> path = Path(getfixture("tmpdir"), "a.txt")
    >>> with remade(path, {"settings": "1"}) as unfinished:
    ...     _ = unfinished.write_text("a")
    >>> state_of(path, {"settings": "1"}), state_of(path, {"settings": "2"})
    ('current', 'stale')
    """
    with whole_file(path) as unfinished:
        yield unfinished
        content = digest_of_file(unfinished)
        _admit(path, content, made_of)
        old = read_record(path)
        before = digest_of_file(path) if path.is_file() else None
        users = old.users if old else ()
        write_record(path, Record(dict(made_of), content, before, users))


def _admit(path: Path, content: str, made_of: Sources) -> None:
    """Says what becomes of the old file; raises where it must stay."""
    state, record = state_of(path, made_of), read_record(path)
    if state in (MISSING, CURRENT) or digest_of_file(path) == content:
        return
    why = reason(path, made_of)
    if state == UNKNOWN:
        raise ValueError(
            f"{path} must be what is made here, but is something else, and "
            f"{why}: move it away to have it made (of a CSV file, or give "
            f"--skip_prep=True to take it as it is)"
        )
    if content == record.content:
        logger.warning("%s is written again as it was: %s", path, why)
        return
    for folder in users_of(path):
        raise ValueError(
            f"{path} must stay as it is, because the checkpoints of {folder} "
            f"were trained with it, but {why}: bring that back, or give "
            f"another `output_folder`"
        )
    logger.warning("%s is made anew: %s", path, why)


def reason(path: Path, made_of: Sources) -> str:
    """Why a file no longer is what its sources give."""
    state, record = state_of(path, made_of), read_record(path)
    if record is None:
        return "there is no record of what it was made of"
    if state == CHANGED:
        return "it is not what was written (changed by hand, or not whole)"
    return differences(record.made_of, made_of)


def differences(before: Sources, now: Sources) -> str:
    """What has changed, in words.

    Example
    -------
    >>> differences({"a": "1", "b": "1"}, {"a": "2", "b": "1"})
    'a changed since it was made'
    """
    names = {*before, *now}
    found = sorted(n for n in names if before.get(n) != now.get(n))
    return f"{' and '.join(found) or 'nothing'} changed since it was made"


def users_of(path: Path) -> Sequence[Path]:
    """Folders whose checkpoints were trained with a file."""
    record = read_record(path)
    folders = [path.parent / user for user in (record.users if record else ())]
    return [f.resolve() for f in folders if any(f.glob("CKPT+*"))]


def add_user(path: Path, folder: Path) -> None:
    """Notes that checkpoints are trained with a file that has a record."""
    record = read_record(path)
    user = os.path.relpath(folder, path.parent)
    if record is not None and user not in record.users:
        changed = {**asdict(record), "users": (*record.users, user)}
        write_record(path, Record(**changed))


def read_record(path: Path) -> Optional[Record]:
    """What was noted of a file; None where nothing was."""
    try:
        content = json.loads(_record_of(path).read_text(encoding="utf-8"))
        return Record(**{**content, "users": tuple(content["users"])})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def write_record(path: Path, record: Record) -> None:
    """Notes what a file is made of."""
    text = json.dumps(asdict(record), indent=1)
    write_text(_record_of(path), text + "\n")


def _record_of(path: Path) -> Path:
    """Where a file's record lies."""
    return path.with_name(f".{path.name}.made")
