"""What a process frees goes back to the system, so that its memory is flat.

Only glibc (Linux) has to be told; elsewhere nothing is done.
"""

import ctypes
from typing import Optional

#: Parameters of mallopt(3), as malloc.h of glibc has them.
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
#: Larger blocks, bytes, are mapped each by itself, and unmapped when they are
#: freed: tensors, not words. glibc would raise this to the largest block that
#: was ever freed (up to 32 MiB), and keep what lies between blocks in use.
MAPPED = 2**20
#: Heaps that threads share; glibc would have eight for each core.
N_HEAPS = 2


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


def trim() -> bool:
    """Gives back once what is free now, some 10 ms for a gigabyte.

    Returns
    -------
    bool
        Whether it can.
    """
    libc = _glibc()
    if libc is None:
        return False
    libc.malloc_trim(0)
    return True


def _glibc() -> Optional[ctypes.CDLL]:
    """The C library, where it is glibc: not on macOS, Windows, with musl."""
    try:
        return ctypes.CDLL("libc.so.6")
    except OSError:
        return None
