"""Processes, here and on other machines, and whether they are dead."""

import os
import platform
import re
import tempfile
from pathlib import Path


def _host() -> str:
    """This machine's name and its table of processes: a container has one of its own."""
    try:
        table = f"-{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:  # not Linux
        table = ""
    return re.sub(r"[^A-Za-z0-9-]", "-", platform.node() or "host") + table


HOST = _host()


def is_dead(host: str, pid: int) -> bool:
    """Whether a process is known not to run; of another machine nothing is known."""
    if host != HOST:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is another user's
        return False
    try:  # killed, but not yet buried by its parent
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


def clock(folder: Path) -> float:
    """The time by the clock that stamps files in a folder: of the server, if that is another machine."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime
