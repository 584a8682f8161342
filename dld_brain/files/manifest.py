"""manifest.json: SHA-256 and size of every other file of a folder."""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

FILE = "manifest.json"
#: What a folder is, as its manifest says.
MODEL, ONNX, VERSION = "dld_brain model folder", "dld_brain ONNX folder", 1
#: What a machine adds to a folder that it uses: of no manifest, and not the
#: model's.
BESIDE = ("calibration.json",)
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


def write_manifest(folder: Path, kind: str = MODEL) -> None:
    """Writes the manifest of what is in a folder."""
    files = {
        name: Entry(sha256(folder / name), (folder / name).stat().st_size)
        for name in _names(folder)
    }
    content = {
        "format": kind,
        "version": VERSION,
        "files": {name: entry._asdict() for name, entry in files.items()},
    }
    (folder / FILE).write_text(json.dumps(content, indent=2) + "\n")


def read_manifest(path: Path, kind: str = MODEL) -> dict[str, Entry]:
    """Reads a manifest.

    Raises
    ------
    ValueError
        If it is none, of another kind, or of a format that this version does
        not know.
    """
    content = read_json(path)
    try:
        if (content["format"], content["version"]) != (kind, VERSION):
            raise ValueError(
                f"{path} must be of {kind!r} version {VERSION}, but is of "
                f"{str(content['format'])[:40]!r} version "
                f"{str(content['version'])[:40]}"
            )
        files = {
            name: Entry(entry["sha256"], entry["size"])
            for name, entry in content["files"].items()
        }
    except (KeyError, TypeError, AttributeError):
        raise ValueError(
            f"{path} must be a manifest, with `format`, `version` and `files` "
            f"of `sha256` and `size`, but is not"
        ) from None
    for name, (digest, size) in files.items():
        is_hash = isinstance(digest, str) and _HASH.fullmatch(digest)
        if not (_NAME.fullmatch(name) and is_hash and type(size) is int):
            raise ValueError(
                f"{path} is no manifest: {name[:100]!r} is no file with a "
                f"SHA-256 and a size"
            )
    return files


def check_manifest(
    folder: Path,
    needed: Sequence[str] = (),
    kind: str = MODEL,
    is_alone: bool = True,
) -> dict[str, Entry]:
    """Raises unless every file is there as it was written, and no other.

    All of each file is read: neither the size nor what a format checks of
    itself tells of a bit that flipped.

    Arguments
    ---------
    needed : sequence of str
        Files that the manifest must name.
    is_alone : bool
        Whether a file that it does not name is an error. Hidden ones and
        folders are none; nor is one of `BESIDE`.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    PermissionError
        If one cannot be read.
    ValueError
        If a file is another one, changed, or added.
    """
    files = read_manifest(folder / FILE, kind)
    for name in needed:
        if name not in files:
            raise ValueError(f"{folder / FILE} must name {name}, but does not")
    for name, entry in files.items():
        _check_file(folder / name, entry)
    added = [name for name in _names(folder) if name not in files]
    if is_alone and added:
        raise ValueError(
            f"{folder} must hold what its {FILE} names alone, but has "
            f"{', '.join(added[:3])[:200]!r}"
            + (f" and {len(added) - 3} more" if len(added) > 3 else "")
            + ": take what was added away"
        )
    return files


def _check_file(path: Path, entry: Entry) -> None:
    """Raises unless a file is there as it was written."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} must be there, as {FILE} says, but is not: copy the "
            f"whole folder"
        )
    size = path.stat().st_size
    if size != entry.size:
        found = f"has {size} bytes for {entry.size}"
    elif _readable(path) and sha256(path) != entry.sha256:
        found = "has another SHA-256"
    else:
        return
    raise ValueError(
        f"{path} must be as it was written with this model, but {found}: "
        f"it was changed, or is of another model; copy the whole folder"
    )


def _readable(path: Path) -> bool:
    """True; raises if permission is missing, which no `open` says in words."""
    if not os.access(path, os.R_OK):
        raise PermissionError(
            f"{path} must be readable, but permission is denied"
        )
    return True


def _names(folder: Path) -> list[str]:
    """Files of a folder that belong to what it holds."""
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.is_file()
        and not path.name.startswith(".")
        and path.name not in (FILE, *BESIDE)
    )


def read_json(path: Path) -> Any:
    """Reads a file of JSON, of at most 16 MiB, without a name twice.

    Raises
    ------
    ValueError
        If it is larger, or no JSON.
    """
    _readable(path)
    if path.stat().st_size > MAX_TEXT:
        raise ValueError(f"{path} must have at most {MAX_TEXT} bytes")
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be JSON, but is not: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs, no name of which may come twice."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name[:100]!r} is there twice")
        found[name] = value
    return found
