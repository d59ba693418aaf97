"""Memory that a process keeps for its next arrays."""

import ctypes
import sys

# Options of mallopt(3), from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4


def keep_memory() -> bool:
    """Lets the C library keep the memory of arrays that are freed, for the next ones, in this process.

    By default glibc gives arrays above 32 MB back to the system at once, and every new one is mapped and
    zeroed page by page: filling 72 MB takes 50 ms in place of 3. Models of thousands of atoms make such
    arrays in every layer. The commands of symnets call this; in a script of your own, call it once at the
    start. The process then stays about as large as it was at its largest.

    Source: mallopt(3).

    Returns:
        whether the C library was told: it is glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    # Older versions refuse thresholds above 32 MB; they can do without maps at all.
    mapped = mallopt(_MMAP_THRESHOLD, 2**30) or mallopt(_MMAP_MAX, 0)
    return bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1) and mapped)
