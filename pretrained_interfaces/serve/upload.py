"""What came with a request, as a file that has no name."""

import io
from contextlib import suppress
from typing import BinaryIO

import soundfile

from dld_brain.audio.decode import UNKNOWN

#: What audio of so many seconds may have at most: Hz, and channels. What
#: decoding takes follows their product, and headers are free to say any.
RATE, CHANNELS = 48_000, 2


def check_size(file: BinaryIO, max_seconds: float) -> None:
    """Raises if audio has more samples than can be read in reasonable time.

    Arguments
    ---------
    file : file object
        At its beginning, where it is left.
    max_seconds : float
        Audio of this length has few enough at 48 kHz in stereo, s.

    Raises
    ------
    ValueError
        If its header says that there are more, of all channels together.
    """
    try:
        with soundfile.SoundFile(file) as sound:
            frames, n_channels, rate = (
                sound.frames,
                sound.channels,
                sound.samplerate,
            )
    except (soundfile.SoundFileError, TypeError):
        frames, n_channels, rate = 0, 0, 0  # who decodes it says what it is
    file.seek(0)
    most = int(max_seconds * RATE * CHANNELS)
    if most < frames * n_channels and frames < UNKNOWN:
        raise ValueError(
            f"the open file must have at most {most} samples "
            f"({max_seconds:g} s of stereo at {RATE} Hz), but has "
            f"{frames * n_channels} ({frames / rate:.1f} s of {n_channels} "
            f"channels at {rate} Hz): convert it, e.g. `ffmpeg -i in.wav -ac 1 "
            f"-ar 16000 out.wav`"
        )


class Upload(io.RawIOBase):
    """A file that can be read, and of which nothing else is known.

    It ends where it is closed while it is read, as it is when a client leaves:
    nobody waits for what is decoded, and soundfile's callbacks would print a
    traceback each.

    Arguments
    ---------
    file : file object
        A `SpooledTemporaryFile`, which before Python 3.11 is no `IOBase`.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.IOBase.seek`."""
        with suppress(ValueError):  # closed
            self._file.seek(offset, whence)
        return self.tell()

    def tell(self) -> int:
        """See `io.IOBase.tell`."""
        try:
            return self._file.tell()
        except ValueError:  # closed
            return 0

    def readinto(self, buffer: memoryview) -> int:
        """See `io.RawIOBase.readinto`."""
        try:
            content = self._file.read(len(buffer))
        except ValueError:  # closed
            return 0
        buffer[: len(content)] = content
        return len(content)
