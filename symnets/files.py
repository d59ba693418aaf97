"""Output files: checked before a computation, locked during it, then written whole or not at all."""

import itertools
import json
import os
import platform
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout


def expanded(path: str | os.PathLike[str]) -> Path:
    """Path with `~` replaced by the home folder, and `$NAME` or `${NAME}` by environment variables.

    Raises:
        ValueError: an environment variable is not set.
    """
    text = os.path.expandvars(os.path.expanduser(path))
    if unset := re.search(r"\$(?:\{([^}]*)\}|([A-Za-z_]\w*))", text):
        raise ValueError(f"{path}: the environment variable {unset[1] or unset[2]} is not set")
    return Path(text)


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Context that yields a temporary path to write to, and renames it to `path` at the end.

    The temporary file is in the folder of `path`, which is created if it does not exist. The content is
    flushed to the disk before the rename, so that even a power failure leaves no partial file. After an error
    the temporary file is removed and an older file at `path` is kept.

    Raises:
        ValueError: the path is a directory.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: expected a file name, got a directory")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Unique on every machine; the suffix is kept, because ASE derives the compression from it.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=f".{path.name}")
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is not None and error.filename in (None, name):
            error.filename = str(path)  # such as for a full disk
        raise
    finally:
        temporary.unlink(missing_ok=True)


def claim(path: str | os.PathLike[str], *, overwrite: bool = False, option: str = "output") -> Path:
    """Path of a file that is written at the end of a computation, checked before the computation begins.

    The nearest existing folder above the path must accept a new file of this name. Nothing is left behind.

    Args:
        path: the file; a leading `~` is the home folder.
        overwrite: whether the file may exist already, and is replaced.
        option: name of the argument that chooses the path, for messages. For an option of a command, such as
            "--output", the message on an existing file says `--overwrite` instead of `overwrite`.

    Raises:
        ValueError: the file exists (unless `overwrite`), is a folder or a device, is read-only, or cannot be
            written in its folder.
    """
    path = Path(os.path.expanduser(path))  # Path.expanduser raises where there is no such user
    try:
        if path.is_dir():
            raise ValueError(f"{path}: expected a file name, got a directory")
        if path.exists():
            if not overwrite:
                dashes = "--" if option.startswith("--") else ""
                raise ValueError(
                    f"{path}: the file exists; choose another {option}, or pass {dashes}overwrite"
                )
            if not path.is_file():
                raise ValueError(f"{path}: expected the name of a regular file, got a device or pipe")
            if not os.access(path, os.W_OK):
                raise ValueError(f"{path}: the file is read-only; choose another {option}")
        folder = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
        descriptor, probe = tempfile.mkstemp(dir=folder, prefix=".", suffix=f".{path.name}")
    except OSError as error:
        raise ValueError(f"{path}: cannot be written: {error.strerror}; choose another {option}") from error
    os.close(descriptor)
    os.unlink(probe)
    return path


def own_folder(folder: str | os.PathLike[str], is_own: Callable[[Path], bool], *, make: bool = True) -> Path:
    """The first of the folders NAME, NAME-2, NAME-3, ... that is new, or that `is_own` accepts.

    Thus the results of other inputs under the same name are not replaced. A new folder is created at once
    (unless `make` is False), so that two processes never get the same one.
    """
    for number in itertools.count(1):
        place = Path(folder) if number == 1 else Path(f"{folder}-{number}")
        if place.exists():
            if is_own(place):
                return place
            continue
        with suppress(FileExistsError):  # another process has just made it
            if make:
                place.mkdir(parents=True)
            return place
    raise AssertionError


def read_report(path: Path) -> dict[str, Any]:
    """Content of a JSON file of results; empty if there is no such file, or if it has no JSON object."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


@contextmanager
def locked(output: str | os.PathLike[str], *, file: bool = False, option: str = "--output") -> Iterator[None]:
    """Context in which no other process can lock the same output folder, or output file.

    Lock before checking what exists: if two processes start together, one continues and the other raises an
    error. The operating system releases the lock when the process ends, even if it is killed. A folder that
    does not exist is created, and removed at the end if it is still empty.

    Args:
        output: the folder, in which the lock is `.lock`, or the file, beside which it is `.NAME.lock`.
        file: whether `output` is a file.
        option: name of the argument that chooses the path, for error messages.

    Raises:
        FileExistsError: another process has locked it; the message has its number and host.
        ValueError: nothing can be written there, see `claim`.
    """
    output = Path(output)
    folder = output.parent if file else output
    claim(output if file else output / ".lock", overwrite=True, option=option)  # for its messages
    created = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (f".{output.name}.lock" if file else ".lock")
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise FileExistsError(
            f"{output}: {_holder(path)} is writing there; wait until it ends, or choose another {option}"
        ) from None
    try:
        path.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        yield
    finally:
        path.unlink(missing_ok=True)  # before the release, so that nobody locks a file that is then removed
        lock.release()
        for place in created:
            with suppress(OSError):  # not empty, as after most runs
                place.rmdir()


def _holder(lock: Path) -> str:
    """Process and host in a lock file, as `locked` writes them."""
    try:
        return lock.read_text(encoding="utf-8") or "another process"
    except OSError:  # the holder has just removed it
        return "another process"


def _umask() -> int:
    """The umask of the process, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
