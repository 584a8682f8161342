"""What is to be transcribed: files, folders, globs, lists and manifests."""

import glob
import os
from collections.abc import Iterable, Iterator

from dld_brain.files.console import escaped, fault_of
from pretrained_interfaces.inputs import local_path
from pretrained_interfaces.many.folders import of_folder
from pretrained_interfaces.many.item import Item, is_remote
from pretrained_interfaces.many.lists import of_list, of_manifest, of_stdin

#: Endings of text files with a path a line, and of JSON Lines with an object.
LISTS, MANIFESTS = (".list", ".lst", ".txt"), (".json", ".jsonl")


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
            found = [word]
            if _is_glob(word):
                found = _matches(word)
        except ValueError as error:
            yield Item(word, error=fault_of(word, error))
            continue
        for name in found:  # one that is wrong takes no other with it
            try:
                yield from _items_of(name)
            except (OSError, ValueError) as error:
                yield Item(name, error=fault_of(name, error))


def _items_of(word: str) -> Iterator[Item]:
    """What a word stands for that is no glob."""
    if is_remote(word):
        yield Item(word, word.partition("?")[0].rpartition("/")[2])
        return
    path = local_path(word)
    is_file = os.path.isfile(path)  # a regular one, which is read twice
    if word and os.path.isdir(path):
        yield from of_folder(path)
    elif is_file and path.suffix.lower() in LISTS:
        yield from of_list(path)
    elif is_file and path.suffix.lower() in MANIFESTS:
        yield from of_manifest(path)
    elif word == "-" and not os.path.lexists(path):
        yield from of_stdin()
    else:
        yield Item(word, path.name)


def _is_glob(word: str) -> bool:
    """Whether a word is to be matched: a file of that name is that file."""
    if is_remote(word) or not glob.has_magic(word):
        return False
    return not os.path.lexists(local_path(word))


def _matches(word: str) -> list[str]:
    """What a glob matches, in order."""
    found = sorted(glob.glob(str(local_path(word)), recursive=True))
    if not found:
        raise ValueError(f"no file matches {escaped(word, 200)}")
    return found
