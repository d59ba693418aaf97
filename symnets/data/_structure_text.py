"""Text of structure files: its encoding, and a check that extended XYZ is complete."""

import codecs
import io
import os
from pathlib import Path
from typing import Any

from ase.io.formats import open_with_compression

_MAX_COLUMNS = 1000


def encoding_of(path: str | os.PathLike) -> str | None:
    """Encoding of a text file, compressed or not: by its byte-order mark, else UTF-8, else Latin-1.

    Numbers, symbols and most keys are ASCII, so that Latin-1 can change at most the accents of a comment.
    None means that the file is plain ASCII.

    Raises:
        ValueError: the file is not text.
    """
    ascii_only, decoder = True, codecs.getincrementaldecoder("utf-8")()
    file: Any
    with open_with_compression(str(path), "rb") as file:
        block = file.read(1 << 20)
        if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if b"\0" in block:
            raise ValueError(f"{path}: not a text file: it has null bytes")
        try:
            while block:
                ascii_only = ascii_only and block.isascii()
                decoder.decode(block)
                block = file.read(1 << 20)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "latin-1"
    return None if ascii_only else "utf-8-sig"


def open_text(path: str | os.PathLike, encoding: str) -> io.TextIOWrapper:
    """A text file, compressed or not, opened to read."""
    binary: Any = open_with_compression(str(path), "rb")
    return io.TextIOWrapper(binary, encoding=encoding)


def check_extxyz(path: str | os.PathLike) -> int:
    """Check that all frames of an extended XYZ file are complete, and return their number.

    ASE's reader stops silently at the first blank line, takes hours for a header with 10¹¹ atoms, and
    allocates memory for any `Properties`. These are errors here.

    Raises:
        ValueError: an incomplete or implausible frame; the message gives the frame and the line.
    """
    path = Path(path)
    frames, line_number = 0, 0
    with open_text(path, encoding_of(path) or "ascii") as file:
        try:
            while header := file.readline():
                line_number += 1
                if header.lstrip().startswith("VEC") and frames:
                    continue
                if not header.strip():
                    if rest := file.read(1000).strip():
                        raise ValueError(
                            f"{path}: line {line_number} is blank where frame {frames} should begin, "
                            f"and is followed by more text ({rest[:30]!r}); remove the blank line"
                        )
                    break
                if not header.strip().isdecimal():
                    raise ValueError(
                        f"{path}: expected the number of atoms of frame {frames} on line {line_number}, "
                        f"got {header.strip()[:40]!r}; the file is truncated or not extended XYZ"
                    )
                n_atoms = int(header)
                comment = file.readline()
                columns = _columns(path, comment, frames)
                rows = 0
                while rows < n_atoms and len(file.readline().split()) >= columns:
                    rows += 1
                if rows < n_atoms or not comment:
                    raise ValueError(
                        f"{path}: frame {frames} has {rows} complete rows for the {n_atoms} atoms of its "
                        "header; the file is truncated"
                    )
                line_number += 1 + n_atoms
                frames += 1
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not a text file: {error}") from error
    if frames == 0:
        raise ValueError(f"{path}: the file is empty; expected at least one structure")
    return frames


def _columns(path: Path, comment: str, frame: int) -> int:
    """Number of columns in the second line of a frame; by default 4, for a symbol and a position."""
    _, separator, properties = comment.partition("Properties=")
    if not separator:
        return 4
    words = properties.strip('"').split()
    counts = words[0].strip('"').split(":")[2::3] if words else []
    if not all(count.isdecimal() and 0 < int(count) <= _MAX_COLUMNS for count in counts):
        raise ValueError(
            f"{path}: frame {frame}: expected Properties=name:type:columns:..., each with 1 to "
            f"{_MAX_COLUMNS} columns, got {words[:1]}"
        )
    return sum(map(int, counts))
