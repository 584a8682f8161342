"""Lists, a path a line, and manifests, a JSON object a line."""

import codecs
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from numbers import Real
from pathlib import Path
from typing import Any, Optional

from dld_brain.files.console import escaped, fault_of
from pretrained_interfaces.inputs import local_path
from pretrained_interfaces.many.item import REMOTE, Item

#: Keys of a manifest that hold the path: NeMo's, and a plain one.
PATHS = ("audio_filepath", "path")


def of_list(path: Path) -> Iterator[Item]:
    """The audio that a list names, from its folder or the working folder.

    Raises
    ------
    ValueError
        If it is UTF-16.
    """
    for _, line in _lines(path.read_bytes(), str(path)):
        yield _answered(line, path.parent)


def of_stdin() -> Iterator[Item]:
    """The audio that a list on stdin names, from the working folder."""
    stream = getattr(sys.stdin, "buffer", None)  # a StringIO has none
    content = stream.read() if stream else sys.stdin.read().encode()
    for _, line in _lines(content, "stdin"):
        yield _answered(line, Path())


def of_manifest(path: Path) -> Iterator[Item]:
    """The audio of a JSON Lines manifest.

    Raises
    ------
    ValueError
        If it is UTF-16.
    """
    for number, line in _lines(path.read_bytes(), str(path)):
        place = f"{path}:{number}"
        try:
            yield item_of(json.loads(line), path.parent)
        except ValueError as error:  # also of JSON
            yield Item(place, error=fault_of(place, error))
        except RecursionError:
            deep = ValueError("a manifest's line is nested too deeply")
            yield Item(place, error=fault_of(place, deep))


def _lines(content: bytes, name: str) -> Iterator[tuple[int, str]]:
    """Lines that hold something, with their numbers from 1.

    Names of files are bytes, and need not be UTF-8: those of a list are
    kept as those of a folder are.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError(
            f"{escaped(name, 200)} must be UTF-8, but is UTF-16: save it as "
            f"UTF-8"
        )
    text = content.removeprefix(codecs.BOM_UTF8).decode(
        "utf-8", "surrogateescape"
    )
    text = text.replace("\r\n", "\n")
    text = text.replace("\r", " " if "\n" in text else "\n")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.strip()


def _answered(line: str, folder: Path) -> Item:
    """What a line of a list names; an item, too, where it names nothing."""
    try:
        return _named(line, folder)
    except (OSError, ValueError) as error:
        return Item(line, error=fault_of(line, error))


def item_of(row: Any, folder: Path) -> Item:
    """What a line of a manifest stands for.

    Arguments
    ---------
    row : mapping
        `audio_filepath` or `path`, from the manifest's folder; and where it
        has them `offset` and `duration`, s, and `id`.

    Raises
    ------
    ValueError
        If it is none.

    Example
    -------
    >>> item_of({"audio_filepath": "/a/b.wav", "duration": 2}, Path())
    Item(file='/a/b.wav', name='b.wav', offset=None, duration=2.0, ...)
    >>> item_of({"audio": "a.wav"}, Path())
    Traceback (most recent call last):
    ...
    ValueError: a manifest's line must have audio_filepath or path, but has audio
    """
    if not isinstance(row, Mapping):
        raise ValueError("a manifest's line must be a JSON object, but is none")
    keys = [key for key in PATHS if row.get(key)]
    if not keys or not isinstance(row[keys[0]], str):
        raise ValueError(
            f"a manifest's line must have {' or '.join(PATHS)}, but has "
            f"{escaped(', '.join(map(str, row)), 80) or 'nothing'}"
        )
    item = _named(row[keys[0]], folder)
    number = row.get("id")
    return Item(
        item.file,
        item.name,
        _seconds(row, "offset", 0.0),
        _seconds(row, "duration", math.ulp(0.0)),
        None if number is None else str(number),
    )


def _seconds(row: Mapping[str, Any], key: str, least: float) -> Optional[float]:
    """A time of a manifest's line."""
    value = row.get(key)
    if value is None:
        return None
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    # Whole numbers of JSON have any size, which no float has.
    if not is_number or not least <= value <= sys.float_info.max:
        raise ValueError(
            f"`{key}` must be {'at least' if not least else 'more than'} 0 "
            f"seconds, but is {escaped(repr(value), 40)}"
        )
    return float(value)


def _named(text: str, folder: Path) -> Item:
    """What a list names: from its folder, or else from the working folder."""
    if text.lower().startswith((*REMOTE, "file://")):
        return Item(text, text.partition("?")[0].rpartition("/")[2])
    path = local_path(text)
    beside = folder / path
    is_here = os.path.isfile(path) and not os.path.isfile(beside)
    return Item(str(path if is_here else beside), path.name)
