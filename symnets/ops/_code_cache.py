"""Cache of machine code on disk, so that later processes need not compile the same code again."""

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path

from symnets.downloads import cache
from symnets.files import whole_file

FOLDER = "machine-code"
LARGEST = 256 * 2**20
"""Largest size in bytes of all files together; beyond it, the least recently used ones are deleted."""


def code_key(text: str, *conditions: str) -> str:
    """File name for the machine code of an LLVM text, compiled under conditions such as the processor.

    Equal names mean equal texts and equal conditions.
    """
    return hashlib.sha256("\0".join((*conditions, text)).encode()).hexdigest()


def read_code(key: str) -> bytes | None:
    """Machine code from the cache; None if there is none, or if its file is incomplete or altered."""
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
        os.utime(path)  # the time of the last use, for `_delete_oldest`
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

    It is made if it is missing. Code in the folder is executed. The folder must therefore belong to this
    user, and no other user may have permission to write to it.
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
    """Checksum of a file's name and code, which is stored at the beginning of the file."""
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
