"""Locks on batches: only one process at a time runs a batch.

A worker holds a lock on the file `BATCH.lock` while it runs the batch (`filelock`, on Unix a `flock`). The
operating system releases the lock when the process ends, however it ends; on a network file system the server
does. The folder `BATCH` beside the lock belongs to the process that holds it: runs are written there before
they are renamed to their place, and progress is reported there. The next holder removes the files that a
killed one left.
"""

import json
import shutil
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from symnets.files import whole_file

LOCKS = ".locks"
"""Folder of the locks, beside the runs."""
REPORT_EVERY = 1.0  # s between two reports of progress


class BatchLock:
    """A lock on a batch, held by this process; the end of the context releases it.

    Attributes:
        scratch: folder for temporary files of the holder, removed when the lock is released.
    """

    def __init__(self, lock: FileLock) -> None:
        self._lock = lock
        self._path = Path(lock.lock_file)
        self.scratch = self._path.with_suffix("")
        self._reported = -float("inf")

    def __enter__(self) -> "BatchLock":
        """Makes an empty scratch folder, in place of one that a killed holder left."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Removes the scratch folder and releases the lock."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self._lock.release()

    def report(self, fraction: float, text: str) -> None:
        """Writes the progress of the batch for live views, at most once a second."""
        if time.monotonic() - self._reported >= REPORT_EVERY:
            self._reported = time.monotonic()
            with whole_file(self.scratch / "progress.json") as temporary:
                temporary.write_text(json.dumps([float(fraction), text]))

    def remove(self) -> None:
        """Removes the lock file of a batch that is done.

        A process that still has the removed file open may lock it while another one locks a new file. Both
        then find all rows written, and compute nothing.
        """
        self._path.unlink(missing_ok=True)


def try_lock(folder: Path, batch: str) -> BatchLock | None:
    """The lock on a batch, or None if another process holds it.

    The holder must check again which runs of the batch are missing: another process may have finished them
    just before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{batch}.lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    return BatchLock(lock)


def is_locked(folder: Path, batch: str) -> bool:
    """Whether another process holds the lock on a batch.

    The lock is acquired and released at once. A worker that tries to acquire it in these microseconds fails,
    and its sweep tries again later.
    """
    path = folder / f"{batch}.lock"
    if not path.exists():
        return False
    with suppress(Timeout), FileLock(path, timeout=0):
        return False
    return True


def remove_locks(folder: Path, batches: list[str]) -> None:
    """Removes lock files and scratch folders of batches that are done, except those that are locked."""
    for batch in batches:
        if (folder / f"{batch}.lock").exists() and (lock := try_lock(folder, batch)) is not None:
            with lock:
                lock.remove()


def remove_scratch(folder: Path) -> None:
    """Removes scratch folders that killed processes left."""
    for path in [path for path in folder.iterdir() if path.is_dir()]:
        if (lock := try_lock(folder, path.name)) is not None:
            with lock:
                pass


def running_batches(folder: Path) -> dict[str, tuple[float | None, str]]:
    """Batches that some process runs, each with its last report: (fraction or None, text)."""
    running: dict[str, tuple[float | None, str]] = {}
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        running[path.name] = (None, "")
        with suppress(OSError, ValueError, TypeError):  # none yet, or finished meanwhile
            fraction, text = json.loads((path / "progress.json").read_text())
            running[path.name] = (float(fraction), str(text))
    return running
