"""What a process frees goes back to the system, so that its memory is flat.

Only glibc (Linux) has to be told; elsewhere nothing is done.
"""

import ctypes
import mmap
from pathlib import Path
from typing import Optional

#: Parameters of mallopt(3), as malloc.h of glibc has them.
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
#: Larger blocks, bytes, are mapped each by itself, and unmapped when they are
#: freed: tensors, not words. glibc would raise this to the largest block that
#: was ever freed (up to 32 MiB), and keep what lies between blocks in use.
MAPPED = 2**20
#: Heaps that threads share; glibc would have eight for each core.
N_HEAPS = 2
#: What a process may grow by until what is free goes back, bytes. Batches of
#: an hour's windows left 0.7 GB of it; each time costs some 10 ms, and the
#: pages that the next batch asks for again.
ROOM = 192 * 2**20


def give_back() -> bool:
    """Has a process do so from now on; call it before other threads begin.

    For processes that run for days: each large tensor is mapped anew.

    Returns
    -------
    bool
        Whether it does.
    """
    libc = _glibc()
    wanted = ((M_MMAP_THRESHOLD, MAPPED), (M_ARENA_MAX, N_HEAPS))
    return libc is not None and all(libc.mallopt(*pair) for pair in wanted)


class Trimmer:
    """Gives back what is free whenever a process has grown.

    Arguments
    ---------
    room : int
        By so much, bytes.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._room, self._floor = room, _resident()

    def check(self) -> bool:
        """Looks at the process's memory; says whether it gave some back."""
        if _resident() - self._floor <= self._room:
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
