"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name in the folder of `path` (made if need be), renamed to `path` at the end.

    The content is on the disk before the rename, so that not even a power cut leaves half a file.
    After an error the temporary file is removed, and what was at `path` stays.

    Raises:
        ValueError: the path is a directory.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: expected a file name, got a directory")
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name ends as before: ASE takes format and compression from it.
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
