"""What a process frees goes back to the system, so that its memory is flat.

glibc (Linux) keeps it for later; elsewhere nothing is done.
"""

import ctypes
import mmap
from pathlib import Path
from typing import Optional

#: What a process may grow by until what is free goes back, bytes. Batches of
#: an hour's windows left 0.7 GB of it; each time costs some 10 ms, and the
#: pages that the next batch asks for again.
ROOM = 192 * 2**20


class Trimmer:
    """Gives back what is free whenever a process has grown.

    At first, too: what loading a model has left.

    Threads may share one: at worst two of them give back at once.

    Arguments
    ---------
    room : int
        By so much above the least that it held since it last gave back,
        bytes.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._room, self._floor = room, 0

    def check(self) -> bool:
        """Looks at the process's memory; says whether it gave some back."""
        resident = _resident()
        self._floor = min(self._floor, resident)
        if resident - self._floor <= self._room:
            return False
        libc = _glibc()
        if libc is not None:
            libc.malloc_trim(0)
        self._floor = _resident()
        return libc is not None


def _resident() -> int:
    """Bytes of this process in memory; 0 where no /proc says so."""
    try:
        n_pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return n_pages * mmap.PAGESIZE


def _glibc() -> Optional[ctypes.CDLL]:
    """The C library, where it is glibc: not on macOS, Windows, with musl."""
    try:
        return ctypes.CDLL("libc.so.6")
    except OSError:
        return None
