"""Files that may be compressed."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

GZIP = b"\x1f\x8b"


@contextmanager
def opened(path: Path) -> Iterator[BufferedIOBase]:
    """A file to read bytes from, decompressed on the way if it begins as gzip does, whatever its name.

    Raises:
        FileNotFoundError: no such file.
        ValueError: within the `with`, where the compressed data are damaged or cut short.
    """
    with path.open("rb") as raw:
        compressed = raw.read(2) == GZIP
        raw.seek(0)
        if not compressed:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as file:
            try:
                yield file
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise ValueError(f"{path}: the gzip file is damaged or cut short: {error}") from error
