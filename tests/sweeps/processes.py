"""Processes for tests: one that is dead, whether one is dead, and one that holds a lock."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def is_dead(pid: int) -> bool:
    """Whether a process has ended; a zombie has."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


def ends(pid: int) -> bool:
    """Whether a process ends within a minute; usually at once, but machines may stand still for seconds."""
    deadline = time.monotonic() + 60
    while not is_dead(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return is_dead(pid)


@contextmanager
def lock_holder(folder: Path, batch: str) -> Iterator[subprocess.Popen]:
    """Another process that holds the lock on a batch, and has written into its scratch folder."""
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from symnets.sweeps._locks import try_lock\n"
        "with try_lock(Path(sys.argv[1]), sys.argv[2]) as lock:\n"
        "    (lock.scratch / 'half-written').mkdir()\n"
        "    print('locked', flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(folder), batch]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()
