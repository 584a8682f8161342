"""What the outputs of many files are called: no two alike."""

import itertools
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from pretrained_interfaces.many.items import Item


def output_names(items: Sequence[Item]) -> list[str]:
    """Names of outputs, from the folder that they go to, without a suffix.

    The name of a file, of a folder's files with their folders; a manifest's
    `id`. Where two are the same, with the suffix of the audio; then with the
    folders that tell them apart; then with a number.

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
    found: dict[int, str] = {}
    taken: set[str] = set()
    for way in ways:
        names = {i: way(x) for i, x in enumerate(items) if i not in found}
        counts = Counter(name.casefold() for name in names.values())
        for i, name in names.items():
            if counts[name.casefold()] == 1 and name.casefold() not in taken:
                found[i] = name
                taken.add(name.casefold())
    for i, item in enumerate(items):
        if i not in found:
            found[i] = _numbered(_plain(item), taken)
    return [found[i] for i in range(len(items))]


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
    folders = {os.path.dirname(os.path.abspath(x.file)) for x in items}
    return os.path.commonpath(folders) if folders else os.sep


def _below(item: Item, folder: str) -> str:
    """A file's path from a folder."""
    path = os.path.relpath(os.path.abspath(item.file), folder)
    return _safe(Path(path).as_posix())


def _without(name: str) -> str:
    """A name without its suffix."""
    path = PurePosixPath(name)
    return path.with_suffix("").as_posix() if path.name else name


def _safe(name: str) -> str:
    """A name that stays in its folder, and is not hidden."""
    parts = [p.lstrip(".") for p in name.replace("\0", "").split("/")]
    return "/".join(filter(None, parts)) or "audio"
