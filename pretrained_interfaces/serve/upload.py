"""What came with a request, as a file that has no name."""

import io
from contextlib import suppress
from typing import BinaryIO


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
