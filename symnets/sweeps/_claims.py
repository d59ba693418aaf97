"""Claims: of several processes that could run a batch, one does.

A claim is a file `BATCH.0` that says which process on which machine holds it, and whose date that process
renews as long as it lives. When the holder of `BATCH.0` is dead or silent, its successor creates `BATCH.1`,
and so on: the highest number counts. Files are created exclusively (O_EXCL) and are all removed only when
the batch is done, so that two successors can never both succeed, whatever each saw before.
"""

import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from symnets.files import whole_file
from symnets.sweeps._store import HOST, clock, is_dead

STALE_AFTER = 60.0  # s without a sign of life
HEARTBEAT = 5.0  # s between signs of life
TELL = 1.0  # s between tellings of progress


class Claim:
    """A batch that is ours. As a context it keeps the claim alive, and gives it up at the end.

    Args:
        folder: of the claims.
        batch: name of the batch.
        generation: number of the claim.
    """

    def __init__(self, folder: Path, batch: str, generation: int) -> None:
        self.folder, self.batch = folder, batch
        self.path = folder / f"{batch}.{generation}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._told = -float("inf")

    def __enter__(self) -> "Claim":
        """Starts the signs of life."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends them; others may claim the batch at once."""
        self._stop.set()
        self._thread.join()
        _progress(self.folder, self.batch).unlink(missing_ok=True)
        with suppress(FileNotFoundError):  # the batch is done
            os.utime(self.path, (0, 0))

    def tell(self, fraction: float, text: str) -> None:
        """Writes how far the batch has come, once a second at most, for whoever watches the sweep."""
        if time.monotonic() - self._told >= TELL:
            self._told = time.monotonic()
            with whole_file(_progress(self.folder, self.batch)) as temporary:
                temporary.write_text(json.dumps([float(fraction), text]))

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            try:
                os.utime(self.path)
            except OSError:  # removed: somebody else finished the batch
                return


def claim(folder: Path, batch: str) -> Claim | None:
    """The batch, or None if another process holds it.

    Whoever claims a batch looks afterwards what is left to do in it: it may have been finished just before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    newest = _newest(folder, batch)
    if newest is not None and not _is_free(folder / f"{batch}.{newest}"):
        return None
    mine = Claim(folder, batch, 0 if newest is None else newest + 1)
    try:
        descriptor = os.open(mine.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return None
    try:
        os.write(descriptor, json.dumps({"host": HOST, "pid": os.getpid()}).encode())
    finally:
        os.close(descriptor)
    return mine


def claimable(folder: Path, batch: str) -> bool:
    """Whether a claim is likely to succeed."""
    newest = _newest(folder, batch)
    return newest is None or _is_free(folder / f"{batch}.{newest}")


def settle(folder: Path, batch: str) -> None:
    """Removes all claims of a batch that is done, the highest last."""
    for generation in _generations(folder, batch):
        (folder / f"{batch}.{generation}").unlink(missing_ok=True)
    _progress(folder, batch).unlink(missing_ok=True)


def at_work(folder: Path) -> dict[str, tuple[float | None, str]]:
    """Batches that somebody holds, with what they tell of themselves: (fraction or None, text)."""
    found: dict[str, tuple[float | None, str]] = {}
    for path in sorted(folder.glob("[!.]*.[0-9]*")):
        with suppress(OSError):  # given up meanwhile
            if path.stat().st_mtime > 0:
                found[path.stem] = (None, "")
    for path in sorted(folder.glob("[!.]*.progress")):
        with suppress(OSError, ValueError, TypeError):  # finished meanwhile
            fraction, text = json.loads(path.read_text())
            if path.stem in found:
                found[path.stem] = (float(fraction), str(text))
    return found


def _progress(folder: Path, batch: str) -> Path:
    return folder / f"{batch}.progress"


def _generations(folder: Path, batch: str) -> list[int]:
    try:
        names = [name.rpartition(".") for name in os.listdir(folder)]
    except FileNotFoundError:
        return []
    return sorted(int(number) for name, _, number in names if name == batch and number.isdigit())


def _newest(folder: Path, batch: str) -> int | None:
    return max(_generations(folder, batch), default=None)


def _is_free(path: Path) -> bool:
    """Whether the holder of a claim is dead, silent, or has given it up."""
    try:
        with path.open("rb") as file:  # opening asks the server, on NFS, for the date as it is now
            date, text = os.fstat(file.fileno()).st_mtime, file.read()
    except FileNotFoundError:  # the batch is done
        return True
    if clock(path.parent) - date > STALE_AFTER:
        return True
    try:
        holder = json.loads(text)
        return is_dead(str(holder["host"]), int(holder["pid"]))
    except (ValueError, TypeError, KeyError):  # created, but not yet written
        return False
