"""What a process frees goes back to the system, so that its memory is flat."""

import ctypes

#: Parameters of mallopt(3), as malloc.h of glibc has them.
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
#: Larger blocks, bytes, are mapped each by itself, and unmapped when they are
#: freed: tensors, not words. glibc would raise this to the largest block that
#: was ever freed (up to 32 MiB), and keep what lies between blocks in use.
MAPPED = 2**20
#: Heaps that threads share; glibc would have eight for each core.
N_HEAPS = 2


def give_back() -> bool:
    """Has glibc do so; call it before other threads begin.

    Returns
    -------
    bool
        Whether it does: elsewhere than on Linux with glibc nothing is done.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:  # macOS, Windows, musl
        return False
    wanted = ((M_MMAP_THRESHOLD, MAPPED), (M_ARENA_MAX, N_HEAPS))
    return all(libc.mallopt(*pair) for pair in wanted)
