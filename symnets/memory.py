"""Memory of a process: how much is free, and reuse of what was freed."""

import ctypes
import sys
from pathlib import Path

# Options of mallopt(3), from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4


def keep_memory() -> bool:
    """Make the C library keep the memory of freed arrays for new ones, for the rest of the process.

    By default glibc returns arrays above 32 MB to the system at once, and each new one is mapped and zeroed
    page by page: filling 72 MB takes 50 ms instead of 3. Models of thousands of atoms allocate such arrays in
    every layer. The commands of symnets call this function; in your own scripts, call it once at the start.
    The memory of the process then stays at its maximum.

    Source: mallopt(3).

    Returns:
        True if the setting was made, False if the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    # Older versions of glibc reject thresholds above 32 MB; for them memory maps are switched off.
    mapped = mallopt(_MMAP_THRESHOLD, 2**30) or mallopt(_MMAP_MAX, 0)
    return bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1) and mapped)


def available_memory() -> int | None:
    """Bytes that this process can still allocate on the CPU; None where the system does not say.

    This is the smaller of two numbers: the free memory of the machine, and what the control group (of a
    container, or of a job in a queue) has left.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None
    try:
        group = Path("/sys/fs/cgroup")
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        cache = next(
            int(line.split()[1])
            for line in (group / "memory.stat").read_text().splitlines()
            if line.startswith("inactive_file")
        )
        return min(free, int(limit) - int(used) + cache)
    except (OSError, StopIteration, ValueError):  # no limit: "max"
        return free


def check_memory(what: str, n_bytes: int, instead: str) -> None:
    """Check that a number of bytes is free in the memory of the CPU, before they are allocated.

    Linux grants memory that it does not have, and later kills the process.

    Args:
        what: what needs the memory, for the message.
        n_bytes: how many bytes it needs.
        instead: what to do if fewer are free, for the message.

    Raises:
        MemoryError: fewer bytes are free.
    """
    free = available_memory()
    if free is not None and n_bytes > free:
        raise MemoryError(
            f"{what} takes {n_bytes / 2**30:,.1f} GiB, {free / 2**30:,.1f} GiB are free; {instead}"
        )
