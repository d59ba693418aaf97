"""Cache on disk of machine code, so that what one process has compiled need not be compiled by the next."""

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path

from symnets.downloads import cache
from symnets.files import whole_file

FOLDER = "machine-code"
LARGEST = 256 * 2**20
"""Bytes of all files together; those that were used least recently are deleted."""


def code_key(text: str, *conditions: str) -> str:
    """Name of the machine code of a text under conditions such as the processor and the compiler's version.

    Equal names mean equal texts and conditions.
    """
    return hashlib.sha256("\0".join((*conditions, text)).encode()).hexdigest()


def read_code(key: str) -> bytes | None:
    """Machine code that was kept; None if there is none, or if its file is not whole and unaltered."""
    folder = _own_folder()
    if folder is None:
        return None
    path = folder / key
    try:
        content = path.read_bytes()
    except OSError:
        return None
    checksum, code = content[:32], content[32:]
    if checksum != _checksum(key, code):
        return None
    with suppress(OSError):
        os.utime(path)  # it was used now
    return code


def keep_code(key: str, code: bytes) -> None:
    """Keep machine code for later processes, if the cache can be written.

    Several processes may do so at once, since files are written under temporary names.
    """
    folder = _own_folder()
    if folder is None:
        return
    with suppress(OSError):
        with whole_file(folder / key) as path:
            path.write_bytes(_checksum(key, code) + code)
        _delete_oldest(folder)


def _own_folder() -> Path | None:
    """Folder `machine-code` of the cache, see `symnets.downloads.cache`; None if it cannot be used.

    It is made if it is missing. Code that another user may have written there would be executed, so that the
    folder must be this user's and closed for others.
    """
    folder = cache() / FOLDER
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022
    return folder if is_own else None


def _checksum(key: str, code: bytes) -> bytes:
    """Checksum at the beginning of a file, which is of its name, too."""
    return hashlib.sha256(key.encode() + code).digest()


def _delete_oldest(folder: Path) -> None:
    """Delete the files that were used least recently, until all together are below the limit."""
    uses = []
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):  # another process has deleted it
            status = entry.stat()
            uses.append((status.st_mtime_ns, status.st_size, entry.path))
    total = sum(size for _, size, _ in uses)
    for _, size, path in sorted(uses):
        if total <= LARGEST:
            return
        Path(path).unlink(missing_ok=True)
        total -= size
