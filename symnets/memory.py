"""Memory that a process keeps for its next arrays."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3), from glibc's malloc.h


def keep_memory() -> bool:
    """Lets the C library keep the memory of arrays that are freed, for the next ones, in this process.

    By default glibc gives arrays above 32 MB back to the system at once, and every new one is mapped and
    zeroed page by page: filling 72 MB takes 50 ms in place of 3. Models of thousands of atoms make such
    arrays in every layer. The commands of symnets call this; in a script of your own, call it once at the
    start. Up to 2 GB that are free stay with the process.

    Source: mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.

    Returns:
        whether the C library is one that can be told, glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library, such as musl
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 2**30) and mallopt(_TRIM_THRESHOLD, 2**31 - 1))
