"""Output of commands: characters that any terminal can print, and errors in one line."""

import codecs
import errno
import io
import json
import os
import sys
import unicodedata
from contextlib import suppress

_SPELLED = {"→": "->", "≤": "<=", "≥": ">=", "×": "x", "·": "*", "−": "-", "ß": "ss"}
BROKEN_PIPE = 141
"""Exit status when standard output is closed early, as by `head`: that of a program ended by SIGPIPE."""

ADVICE = {
    errno.ENOSPC: "free some space there, or write elsewhere (--output)",
    errno.EDQUOT: "free some space there, or write elsewhere (--output)",
    errno.EROFS: "write elsewhere (--output)",
    errno.EACCES: "change its permissions, or choose another path",
    errno.EPERM: "change its permissions, or choose another path",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a part of this path is a file; choose another one",
    errno.EEXIST: "a file of this name is in the way; choose another path",
    errno.EISDIR: "name a file, not a folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "close other programs that keep many files open",
    errno.EIO: "the disk or the network file system fails; copy the files elsewhere",
    errno.ESTALE: "the network file system has lost this file; run the command again",
    errno.ENOTEMPTY: "another process writes there; choose another path",
    errno.ETXTBSY: "another process uses this file; choose another path",
}
"""What to do, by the number of an error of the operating system."""


def prepare_streams() -> None:
    """Let standard output and error print any character: those that they cannot encode are spelled."""
    codecs.register_error("symnets", _replace_characters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="symnets")


def flush_streams(*, discard: bool = False) -> None:
    """Write buffered output while errors can still be reported.

    Args:
        discard: whether output that nobody reads, or that the disk has no space for, is dropped without an
            error.

    Raises:
        OSError: the disk is full, or the reader of a pipe has closed it.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except OSError:
                _discard(stream)
                if not discard:
                    raise


def error_line(error: BaseException) -> str:
    """The message of an error in one line; for errors of the operating system with advice."""
    if isinstance(error, UnicodeEncodeError):  # of a path: other text is written as UTF-8
        return (
            f"{error.object!a}: the locale of this process has no such characters in names of files; "
            "set LC_ALL=C.UTF-8 or PYTHONUTF8=1"
        )
    if isinstance(error, OSError) and error.errno in ADVICE and error.strerror:
        place = " or ".join(f"{name}" for name in (error.filename, error.filename2) if name is not None)
        reason = error.strerror[:1].lower() + error.strerror[1:]
        return f"{place or 'output'}: {reason}; {ADVICE[error.errno]}"
    return " ".join(str(error).split()) if str(error).count("\n") else str(error)


def _discard(stream: object) -> None:
    with suppress(OSError, ValueError, AttributeError):  # ValueError: a stream without a file, in tests
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())  # pyright: ignore[reportAttributeAccessIssue]
        os.close(null)


def _replace_characters(error: UnicodeError) -> tuple[str, int]:
    """Handler of characters that a stream cannot encode, for `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_ascii, error.object[error.start : error.end])), error.end


def _ascii(character: str) -> str:
    """A character in ASCII: Å as A, δ as delta, ² as 2, lines as - and |, others as JSON escapes them."""
    if character in _SPELLED:
        return _SPELLED[character]
    name = unicodedata.name(character, "")
    if name.startswith("GREEK") and "LETTER" in name:
        return name.split()[3].lower()
    if "BOX DRAWINGS" in name:
        return "|" if "VERTICAL" in name else "-"
    if unicodedata.category(character) == "Pd":
        return "-"
    parts = unicodedata.normalize("NFKD", character)
    if parts == character:
        return character if character.isascii() else json.dumps(character)[1:-1]
    return "".join(_ascii(part) for part in parts if not unicodedata.combining(part))
