"""Audio files below a folder, those behind links too; nothing is left out
without a line."""

import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

from dld_brain.audio.checks import AudioWarning
from dld_brain.audio.decode import ENDINGS
from dld_brain.files.console import escaped, fault_of, reason
from pretrained_interfaces.many.item import Item


def of_folder(folder: Path) -> Iterator[Item]:
    """The audio files below a folder, in the order of their paths.

    Hidden ones are left out. Folders behind links are looked into once each,
    however many links lead there. What has the ending of audio and cannot be
    read is an item with an error, as is a folder that cannot be looked into;
    other links that lead nowhere are a warning.

    Raises
    ------
    ValueError
        If there is no audio file.
    """
    found = sorted(_found(folder), key=lambda pair: pair[0])
    if not found:
        raise ValueError(
            f"the directory {escaped(folder, 200)} must hold audio files "
            f"({' '.join(ENDINGS)}), but has none"
        )
    for path, error in found:
        name = path.relative_to(folder).as_posix()
        error = error and fault_of(str(path), ValueError(error))
        yield Item(str(path), name, error=error)


def _found(folder: Path) -> Iterator[tuple[Path, str]]:
    """Audio files, and what may be some, each with what is wrong with it.

    Links of folders wait until the folders themselves are seen: a folder that
    is there twice goes by its own name.
    """
    seen = {os.path.realpath(folder)}
    folders, links = [folder], []
    while folders or links:
        place = folders.pop() if folders else links.pop(0)
        real = os.path.realpath(place)
        if place != folder and (real in seen or _holds(real, folder)):
            continue
        seen.add(real)
        try:
            with os.scandir(place) as scan:
                entries = [e for e in scan if not e.name.startswith(".")]
        except OSError as error:
            yield place, reason(error)
            continue
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = Path(entry.path)
            if os.path.isdir(path):  # False of what links go round to
                (links if entry.is_symlink() else folders).append(path)
            else:
                yield from _file(path)


def _holds(real: str, folder: Path) -> bool:
    """Whether a link leads out of a folder, to one that the folder is in."""
    if not os.path.realpath(folder).startswith(os.path.join(real, "")):
        return False
    warnings.warn(
        f"{escaped(real, 200)} is left out: {escaped(folder, 200)} has a link "
        f"to it, and lies in it",
        AudioWarning,
        stacklevel=2,
    )
    return True


def _file(path: Path) -> Iterator[tuple[Path, str]]:
    """A file, if it is audio or may have been."""
    is_audio = path.suffix.lower() in ENDINGS
    try:
        kind = os.stat(path).st_mode
    except OSError:  # a link that leads nowhere, or in a circle
        target = escaped(os.readlink(path), 120)
        error = f"the link must lead to a file, but {target} cannot be opened"
        if is_audio:
            yield path, error
        else:  # a folder of audio may have been there
            name = escaped(path, 200)
            warnings.warn(
                f"{name} is left out: {error}", AudioWarning, stacklevel=2
            )
        return
    if is_audio and not stat.S_ISREG(kind):
        yield path, "it must be an audio file, but is no regular file"
    elif is_audio:
        yield path, ""
