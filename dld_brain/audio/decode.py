"""Decodes audio files with soundfile: no torch; one line for every failure."""

import io
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Optional, Union

import numpy as np
import soundfile

from dld_brain.audio import checks
from dld_brain.files.console import escaped

#: Of files that are taken as audio, in lower case; soundfile reads all of them.
ENDINGS = (".flac", ".mp3", ".oga", ".ogg", ".opus", ".sph", ".wav")
#: Samples of all channels that are decoded at once: 16 MiB.
BLOCK = 2**22
#: What libsndfile gives for the length of a FLAC stream that has none.
UNKNOWN = 2**62
#: Bytes that a stream announces whose writer did not know: no announcement.
STREAM = 0x7FFF_0000
#: libsndfile's log where a file is shorter than a chunk of its says.
_CUT = re.compile(r"(?:data|SSND|Data Size|riff)\s*: (\d+) \(should be (\d+)\)")


def decode(
    file: Union[str, Path, BinaryIO],
    start: int = 0,
    stop: Optional[int] = None,
    max_seconds: float = checks.LONGEST,
    convert: Callable[[int], checks.Convert] = lambda rate: iter,
) -> tuple[np.ndarray, int]:
    """Decodes a file, or a segment of it, as mono, and checks it.

    Memory is asked for as samples are found, never because a header says so.

    Arguments
    ---------
    start, stop : int
        First sample, and the one behind the last; to its end if not given.
    max_seconds : float
        The longest that is read, s.
    convert : callable
        By the rate, what is done to pieces of the mix: resampling.

    Returns
    -------
    tuple
        Samples [S], floats in [-1, 1], and the file's rate, Hz.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no audio, is cut, is longer, or `checks` refuses it.
    """
    is_path = isinstance(file, (str, Path))
    name = f"audio file {escaped(file, 200)}" if is_path else "the open file"
    source = regular_file(file) if is_path else _seekable(file)
    try:
        with soundfile.SoundFile(source) as sound:
            return _read(sound, name, start, stop, max_seconds, convert)
    except (soundfile.SoundFileError, TypeError) as error:
        # TypeError: headerless files (.raw), whose rate it is not told.
        if is_path:
            check_opens(source, name)
        raise ValueError(
            f"{name} must be audio that soundfile reads (wav, flac, ogg, "
            f"mp3, ...), but is not ({_reason(error)}): convert it, e.g. `ffmpeg -i "
            f"in.m4a out.wav`"
        ) from None


def check_opens(path: Union[str, bytes], name: str) -> None:
    """Raises with the system's reason, which libsndfile does not give."""
    try:
        open(path, "rb").close()
    except PermissionError:
        raise PermissionError(
            f"{name} must be readable, but permission is denied"
        ) from None
    except OSError as error:  # too many open files, a disk that fails
        raise ValueError(f"{name} cannot be opened: {error.strerror}") from None


def _reason(error: Exception) -> str:
    """What soundfile says, without where."""
    return str(error).split(": ", 1)[-1].rstrip(".").lower()


def regular_file(path: Union[str, Path]) -> Union[str, bytes]:
    """The path of a file that is there and holds something."""
    file, name = str(path), escaped(path, 120)
    try:
        file = str(Path(path).expanduser())
        status = os.stat(file)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"audio file {name} does not exist: looked for "
            f"{escaped(os.path.abspath(file), 240)}"
        ) from None
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"audio file {name} cannot be opened: {reason}"
        ) from None
    if stat.S_ISDIR(status.st_mode):
        raise ValueError(f"{name} must be an audio file, but is a directory")
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(
            f"{name} must be an audio file, but is no regular file"
        )
    if status.st_size == 0:
        raise ValueError(f"audio file {name} is empty")
    # Absolute: libsndfile reads stdin for "-". Bytes: soundfile encodes
    # strictly, and a name need not be text, but on Windows.
    file = os.path.abspath(file)
    return os.fsencode(file) if os.name == "posix" else file


def _seekable(file: BinaryIO) -> BinaryIO:
    """An open file that soundfile can go about in."""
    if file.closed or not file.readable():
        state = "closed" if file.closed else "open for writing"
        raise ValueError(f"the open file must be readable, but is {state}")
    if isinstance(file, io.TextIOBase):
        raise ValueError(
            "the open file must be binary, but is text: open it with 'rb'"
        )
    return file if file.seekable() else io.BytesIO(file.read())


def _read(
    sound: soundfile.SoundFile,
    name: str,
    start: int,
    stop: Optional[int],
    max_seconds: float,
    convert: Callable[[int], checks.Convert],
) -> tuple[np.ndarray, int]:
    """Checks a header, then decodes."""
    rate, n_told = sound.samplerate, sound.frames
    checks.check_rate(rate, name)
    if n_told >= UNKNOWN:
        raise ValueError(
            f"{name} must say how long it is, but its header does not: write "
            f"it anew, e.g. `ffmpeg -i in.flac out.flac`"
        )
    n_wanted = (_announced(sound) if stop is None else stop) - start
    checks.check_seconds(n_wanted / rate, max_seconds, name)
    blocks = _Blocks(sound, name, start, n_wanted)
    samples = checks.checked(blocks, name, convert(rate))
    checks.check_whole(start + blocks.done, start + n_wanted, rate, name)
    if samples is None:
        raise ValueError(f"{name} holds no samples")
    return samples, rate


def _announced(sound: soundfile.SoundFile) -> int:
    """Samples that the header says there are.

    libsndfile's `frames` are those that fit into the file, where samples have
    a fixed size; what was announced stands in its log.
    """
    cut = _CUT.search(sound.extra_info)
    if cut is None:
        return sound.frames
    told, found = (int(n) for n in cut.groups())
    is_stream = told >= STREAM or found == 0
    return sound.frames if is_stream else sound.frames * told // found


class _Blocks:
    """Decodes piece by piece, [s, channels], from the start at each call."""

    def __init__(
        self, sound: soundfile.SoundFile, name: str, start: int, n_wanted: int
    ) -> None:
        self.sound, self.name = sound, name
        self.start, self.n_wanted = start, n_wanted
        self.done = 0

    def __call__(self) -> Iterator[np.ndarray]:
        sound, self.done = self.sound, 0
        if self.start > sound.frames:
            return
        sound.seek(self.start)
        size = max(1, BLOCK // sound.channels)
        while self.done < self.n_wanted:
            block = self._read(min(size, self.n_wanted - self.done))
            if len(block) == 0:
                return
            first = self.start + self.done
            checks.check_finite(block, sound.samplerate, self.name, first)
            self.done += len(block)
            yield block

    def _read(self, n: int) -> Any:
        """Decodes n samples, or as many as there are."""
        try:
            return self.sound.read(n, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise ValueError(
                f"{self.name} cannot be decoded to its end "
                f"({_reason(error)}): it is cut or damaged; copy it anew, or "
                f"keep what is there with `ffmpeg -i in.flac out.wav`"
            ) from None
