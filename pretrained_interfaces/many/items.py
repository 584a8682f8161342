"""What is to be transcribed: files, folders, globs, lists and manifests."""

import glob
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Optional

import soundfile

from dld_brain.audio.decode import ENDINGS, regular_file
from dld_brain.audio.text_files import read_lines, visible_files
from dld_brain.files.console import escaped, fault_of
from pretrained_interfaces.inputs import local_path

#: Endings of text files with a path a line, and of JSON Lines with an object.
LISTS, MANIFESTS = (".list", ".lst", ".txt"), (".json", ".jsonl")
#: Keys of a manifest that hold the path: NeMo's, and a plain one.
PATHS = ("audio_filepath", "path")
#: Words that name what is not on this machine, or say themselves where it is.
REMOTE = ("http://", "https://", "hub:")


@dataclass(frozen=True)
class Item:
    """An audio file, or a part of one, that is to be transcribed.

    Arguments
    ---------
    file : str
        A path, a URL, or hub:owner/name/file.
    name : str
        What its outputs are called, from the folder that was named.
    offset, duration : float, optional
        Where the part begins and how long it is, s.
    id : str, optional
        What a manifest calls it.
    error : str
        Why it cannot be transcribed, if that is known.
    """

    file: str
    name: str = ""
    offset: Optional[float] = None
    duration: Optional[float] = None
    id: Optional[str] = None
    error: str = ""

    def seconds(self) -> float:
        """Length, s, by the manifest or the file's header.

        Returns
        -------
        float
            Infinite where neither says it.
        """
        if self.duration is not None:
            return self.duration
        found = None if self.error else header(self.file)
        return found.duration - (self.offset or 0.0) if found else math.inf


def header(file: str) -> Optional[Any]:
    """What the header of a file of this machine says.

    Returns
    -------
    soundfile._SoundFileInfo, optional
        None where reading the file will say why not.
    """
    if file.lower().startswith(REMOTE):
        return None
    try:
        return soundfile.info(regular_file(local_path(file)))
    except (OSError, ValueError, TypeError, soundfile.SoundFileError):
        return None


def find_items(words: Iterable[str]) -> Iterator[Item]:
    """What the words of a command line stand for, in their order.

    A word is an audio file, URL or hub:owner/name/file; a folder, of which
    every audio file is meant; a glob that the shell left alone; a list
    (`LISTS`: a path a line), a JSON Lines manifest (`MANIFESTS`), or `-` for
    a list on stdin. What cannot be found is an item, too: it is answered.

    Example
    -------
    >>> [item.file for item in find_items(["tests/samples/AN4/wav"])][:1]
    ['tests/samples/AN4/wav/an4_clstk/...
    """
    for word in words:
        try:
            yield from _items_of(word)
        except (OSError, ValueError) as error:
            yield Item(word, error=fault_of(word, error))


def _items_of(word: str) -> Iterator[Item]:
    """What a word stands for."""
    if word.lower().startswith(REMOTE):
        yield Item(word, word.partition("?")[0].rpartition("/")[2])
        return
    path = local_path(word)
    if word and os.path.isdir(path):
        yield from _of_folder(path)
    elif _is_file(path) and path.suffix.lower() in LISTS:
        lines = read_lines(path)
        yield from (_found(line, path.parent) for _, line in lines)
    elif _is_file(path) and path.suffix.lower() in MANIFESTS:
        yield from _of_manifest(path)
    elif os.path.lexists(path) or not (word == "-" or glob.has_magic(word)):
        yield Item(word, path.name)
    elif word == "-":
        lines = filter(None, map(str.strip, sys.stdin))
        yield from (_found(line, Path()) for line in lines)
    else:
        found = sorted(glob.glob(str(path), recursive=True))
        if not found:
            raise ValueError(f"no file matches {escaped(word, 200)}")
        for name in found:
            yield from _items_of(name)


def _of_folder(folder: Path) -> Iterator[Item]:
    """The audio files below a folder."""
    found = [
        path
        for path in visible_files(folder, "**/*")
        if path.suffix.lower() in ENDINGS and path.is_file()
    ]
    if not found:
        raise ValueError(
            f"the directory {escaped(folder, 200)} must hold audio files "
            f"({' '.join(ENDINGS)}), but has none"
        )
    for path in found:
        yield Item(str(path), path.relative_to(folder).as_posix())


def _of_manifest(path: Path) -> Iterator[Item]:
    """The audio of a JSON Lines manifest."""
    for number, line in read_lines(path):
        try:
            yield item_of(json.loads(line), path.parent)
        except ValueError as error:  # also of JSON
            place = f"{path}:{number}"
            yield Item(place, error=fault_of(place, error))


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
    item = _found(row[keys[0]], folder)
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
    if not is_number or not least <= value < math.inf:
        raise ValueError(
            f"`{key}` must be {'at least' if not least else 'more than'} 0 "
            f"seconds, but is {escaped(repr(value), 40)}"
        )
    return float(value)


def _found(text: str, folder: Path) -> Item:
    """What a list names: from its folder, or else from the working folder."""
    if text.lower().startswith((*REMOTE, "file://")):
        return Item(text, text.partition("?")[0].rpartition("/")[2])
    path = local_path(text)
    beside = folder / path
    found = beside if _is_file(beside) or not _is_file(path) else path
    return Item(str(found), path.name)


def _is_file(path: Path) -> bool:
    """Whether there is a regular file, which can be read twice."""
    return os.path.isfile(path)
