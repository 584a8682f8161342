"""manifest.json: SHA-256 and size of every other file of a model folder."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

FILE = "manifest.json"
FORMAT, VERSION = "dld_brain model folder", 1
#: Large files are read by so many bytes, and files of text have no more.
CHUNK, MAX_TEXT = 2**20, 2**24
#: A plain name: no folder, nothing hidden.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}")
_HASH = re.compile(r"[0-9a-f]{64}")


class Entry(NamedTuple):
    """One file.

    Arguments
    ---------
    size : int
        Bytes.
    """

    sha256: str
    size: int


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_manifest(folder: Path) -> None:
    """Writes the manifest of what is in a folder."""
    files = {
        path.name: Entry(sha256(path), path.stat().st_size)._asdict()
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != FILE
    }
    content = {"format": FORMAT, "version": VERSION, "files": files}
    (folder / FILE).write_text(json.dumps(content, indent=2) + "\n")


def read_manifest(path: Path) -> dict[str, Entry]:
    """Reads a manifest.

    Raises
    ------
    ValueError
        If it is none, or of a format that this version does not know.
    """
    content = read_json(path)
    try:
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise ValueError(
                f"{path} must be of {FORMAT!r} version {VERSION}, but is of "
                f"{content['format']!r} version {content['version']!r}"
            )
        files = {
            name: Entry(str(entry["sha256"]), int(entry["size"]))
            for name, entry in content["files"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no manifest: {error!r}") from None
    for name, entry in files.items():
        if not _NAME.fullmatch(name) or not _HASH.fullmatch(entry.sha256):
            raise ValueError(
                f"{path} is no manifest: {name!r} is no file with a SHA-256"
            )
    return files


def check_manifest(folder: Path, needed: tuple[str, ...]) -> dict[str, Entry]:
    """Raises unless every file is there as it was written.

    Arguments
    ---------
    needed : tuple of str
        Files that the manifest must name.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is another one, or changed.
    """
    files = read_manifest(folder / FILE)
    for name in needed:
        if name not in files:
            raise ValueError(f"{folder / FILE} must name {name}, but does not")
    for name, entry in files.items():
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} must be there, as {FILE} says, but is not: copy the "
                f"whole folder"
            )
        size = path.stat().st_size
        if size != entry.size:
            found = f"has {size} bytes for {entry.size}"
        elif sha256(path) != entry.sha256:
            found = "has another SHA-256"
        else:
            continue
        raise ValueError(
            f"{path} must be as it was written with this model, but {found}: "
            f"it was changed, or is of another model; copy the whole folder"
        )
    return files


def read_json(path: Path) -> Any:
    """Reads a file of JSON, of at most 16 MiB.

    Raises
    ------
    ValueError
        If it is larger, or no JSON.
    """
    if path.stat().st_size > MAX_TEXT:
        raise ValueError(f"{path} must have at most {MAX_TEXT} bytes")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be JSON, but is not: {error}") from None
