"""An audio file, or a part of one, that is to be transcribed."""

import math
import os
from dataclasses import dataclass
from typing import Any, Optional

import soundfile

from dld_brain.audio.decode import regular_file
from pretrained_interfaces.inputs import local_path

#: Words that name what is not on this machine, or say themselves where it is.
REMOTE = ("http://", "https://", "hub:")


def is_remote(word: str) -> bool:
    """Whether a word names what is not on this machine: a URL, or hub:...

    Example
    -------
    >>> is_remote("HTTPS://a/b.wav"), is_remote("file:///a/b.wav")
    (True, False)
    """
    return word.lower().startswith(REMOTE)


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

    @property
    def start(self) -> float:
        """Where it begins in its file, s."""
        return self.offset or 0.0

    @property
    def is_part(self) -> bool:
        """Whether a manifest says where in its file it lies."""
        return self.offset is not None or self.duration is not None

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
        return found.duration - self.start if found else math.inf

    def path(self) -> Optional[str]:
        """Where it is on this machine, as it is called; None of a URL."""
        if is_remote(self.file):
            return None
        try:
            return os.path.abspath(local_path(self.file))
        except (OSError, ValueError):  # file:// of another machine
            return None

    def location(self) -> str:
        """Where the file is, however it was named: a path, or the URL.

        Links of folders are followed; a link that is the file itself has a
        name of its own, and so has outputs of its own.
        """
        path = self.path()
        if path is None:
            return self.file
        folder, name = os.path.split(path)
        try:
            return os.path.join(os.path.realpath(folder), name)
        except (OSError, ValueError):  # no path
            return self.file


def header(file: str) -> Optional[Any]:
    """What the header of a file of this machine says.

    Returns
    -------
    soundfile._SoundFileInfo, optional
        None where reading the file will say why not.
    """
    if is_remote(file):
        return None
    try:
        return soundfile.info(regular_file(local_path(file)))
    except (OSError, ValueError, TypeError, soundfile.SoundFileError):
        return None
