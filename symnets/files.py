"""Atomic writing of files: a file appears whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    """The umask of the process, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
