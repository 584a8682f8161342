"""What the outputs of many files are called: no two alike."""

import hashlib
import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from pretrained_interfaces.many.item import Item
from pretrained_interfaces.times.formats import FORMATS

#: Bytes of a name: file systems take 255, of which what a file is called
#: while it is written takes `.unfinished+<number>+.<name>.json.made`.
LONGEST = 220
#: What no file system can write: halves of characters that are no bytes.
_HALVES = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def output_names(items: Sequence[Item]) -> list[str]:
    """Names of outputs, from the folder that they go to, without a suffix.

    The name of a file, of a folder's files with their folders; a manifest's
    `id`. Where two are the same, with the suffix of the audio; then with the
    folders that tell them apart; then with a number. What is longer than
    `LONGEST` bytes is cut, and ends with a fingerprint of the whole.

    Example
    -------
    >>> output_names([Item("a.wav", "a.wav"), Item("b.wav", "b.wav")])
    ['a', 'b']
    >>> output_names([Item("x/a.wav", "a.wav"), Item("y/a.wav", "a.wav")])
    ['x/a', 'y/a']
    >>> output_names([Item("a.wav", "a.wav"), Item("a.mp3", "a.mp3")])
    ['a.wav', 'a.mp3']
    """
    shared = _shared_folder(items)
    ways: list[Callable[[Item], str]] = [
        _plain,
        lambda item: _with_part(item, _safe(item.name)),
        lambda item: _with_part(item, _without(_below(item, shared))),
        lambda item: _with_part(item, _below(item, shared)),
    ]
    wanted = [[_short(way(item)).casefold() for item in items] for way in ways]
    folders = _folders(itertools.chain(*wanted))
    found: dict[int, str] = {}
    taken: set[str] = set()
    for way, folded in zip(ways, wanted):
        rest = [i for i in range(len(items)) if i not in found]
        counts = Counter(folded[i] for i in rest)
        for i in rest:
            name = folded[i]
            is_alone = counts[name] == 1 and name not in taken
            if is_alone and not _is_folder(name, folders):
                found[i] = _short(way(items[i]))
                taken.add(name)
    for i, item in enumerate(items):
        if i not in found:
            found[i] = _numbered(_short(_plain(item)), taken)
    return [found[i] for i in range(len(items))]


def recordings(items: Sequence[Item]) -> list[str]:
    """What the recording of each item is called, as CTM files name it.

    The name of its outputs; parts of one file share one, so that their times
    go on.

    Example
    -------
    >>> recordings([Item("a.wav", "a.wav", t, 1.0) for t in (0.0, 1.0)])
    ['a', 'a']
    """
    files: dict[str, Item] = {}
    for item in items:
        is_other = files.setdefault(item.location(), item) != item
        if is_other or item.is_part:  # the file, which no id is of
            plain = replace(item, offset=None, duration=None, id=None)
            files[item.location()] = plain
    names: dict[str, str] = {}
    taken: set[str] = set()
    for file, name in zip(files, output_names([*files.values()])):
        name = "_".join(name.split())  # blanks part the fields of CTM
        is_taken = name.casefold() in taken
        names[file] = _numbered(name, taken) if is_taken else name
        taken.add(name.casefold())
    return [names[item.location()] for item in items]


def _folders(names: Iterable[str]) -> set[str]:
    """Folders that outputs of some names may lie in."""
    return {str(p) for name in names for p in PurePosixPath(name).parents}


def _is_folder(name: str, folders: set[str]) -> bool:
    """Whether an output of a name would be where others have a folder."""
    return any(f"{name}.{suffix}" in folders for suffix in FORMATS)


def _plain(item: Item) -> str:
    """The name that is wanted."""
    if item.id is not None:
        return _safe(item.id.replace("/", "_"))
    return _with_part(item, _without(_safe(item.name)))


def _with_part(item: Item, name: str) -> str:
    """A name with where a part of a file begins and ends."""
    if item.offset is None:
        return name
    if item.duration is None:
        return f"{name}_{item.offset:g}"
    return f"{name}_{item.offset:g}-{item.offset + item.duration:g}"


def _numbered(name: str, taken: set[str]) -> str:
    """The first of name-2, name-3, ... that is free."""
    for number in itertools.count(2):
        found = f"{name}-{number}"
        if found.casefold() not in taken:
            taken.add(found.casefold())
            return found
    raise AssertionError  # there is always one more number


def _shared_folder(items: Sequence[Item]) -> str:
    """The deepest folder that all files of this machine are in."""
    folders = {os.path.dirname(_absolute(x)) for x in items}
    return os.path.commonpath(folders) if folders else os.sep


def _below(item: Item, folder: str) -> str:
    """A file's path from a folder."""
    path = os.path.relpath(_absolute(item), folder)
    return _safe(Path(path).as_posix())


def _absolute(item: Item) -> str:
    """Where a file is, as it is called; a URL as if it were a path."""
    return item.path() or os.path.abspath(item.file)


def _without(name: str) -> str:
    """A name without its suffix."""
    path = PurePosixPath(name)
    return path.with_suffix("").as_posix() if path.name else name


def _safe(name: str) -> str:
    """A name that can be written, stays in its folder, and is not hidden."""
    name = _HALVES.sub("_", name.replace("\0", ""))
    parts = [p.lstrip(".") for p in name.split("/")]
    return "/".join(filter(None, parts)) or "audio"


def _short(name: str) -> str:
    """A name that file systems take, with all that is put around it."""
    return "/".join(map(_short_part, name.split("/")))


def _short_part(part: str) -> str:
    """A folder or a file of a name."""
    content = part.encode("utf-8", "surrogateescape")
    if len(content) <= LONGEST:
        return part
    mark = f"-{hashlib.sha256(content).hexdigest()[:8]}"
    return content[: LONGEST - len(mark)].decode("utf-8", "ignore") + mark
