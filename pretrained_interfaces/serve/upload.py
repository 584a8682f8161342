"""What came with a request, as a file that has no name."""

import io
from typing import BinaryIO


class Upload(io.RawIOBase):
    """A file that can be read, and of which nothing else is known.

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
        self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        """See `io.IOBase.tell`."""
        return self._file.tell()

    def readinto(self, buffer: memoryview) -> int:
        """See `io.RawIOBase.readinto`."""
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)
