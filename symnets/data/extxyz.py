"""A check of extended XYZ files, stricter than the reader: nothing may be silently lost."""

import os
from pathlib import Path

from ase.io.formats import open_with_compression

_MAX_COLUMNS = 1000


def check_extxyz(path: str | os.PathLike) -> int:
    """Number of frames of an extended XYZ file in which every frame is whole.

    ASE's reader stops in silence at the first blank line, spends hours on a header that announces 10¹¹
    atoms, and allocates what a hostile `Properties` asks for; these are errors here.

    Raises:
        ValueError: with the frame and the line.
    """
    path = Path(path)
    frames, line_number = 0, 0
    with open_with_compression(str(path), "rt") as file:
        try:
            while header := file.readline():
                line_number += 1
                if header.lstrip().startswith("VEC") and frames:
                    continue
                if not header.strip():
                    if rest := file.read(1000).strip():
                        raise ValueError(
                            f"{path}: line {line_number} is blank where frame {frames} should begin, "
                            f"and more follows ({rest[:30]!r}); remove the blank line"
                        )
                    break
                if not header.strip().isdecimal():
                    raise ValueError(
                        f"{path}: expected the number of atoms of frame {frames} on line {line_number}, "
                        f"got {header.strip()[:40]!r}; the file is cut or not extended XYZ"
                    )
                n_atoms = int(header)
                comment = file.readline()
                columns = _columns(path, comment, frames)
                got = 0
                while got < n_atoms and len(file.readline().split()) >= columns:
                    got += 1
                if got < n_atoms or not comment:
                    raise ValueError(
                        f"{path}: frame {frames} announces {n_atoms} atoms but {got} whole rows follow; "
                        "the file is cut short"
                    )
                line_number += 1 + n_atoms
                frames += 1
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not a text file: {error}") from error
    if frames == 0:
        raise ValueError(f"{path}: the file is empty; expected at least one structure")
    return frames


def _columns(path: Path, comment: str, frame: int) -> int:
    """Number of columns that the second line of a frame announces; 4 for a symbol and a position."""
    _, found, properties = comment.partition("Properties=")
    if not found:
        return 4
    words = properties.strip('"').split()
    counts = words[0].strip('"').split(":")[2::3] if words else []
    if not all(count.isdecimal() and 0 < int(count) <= _MAX_COLUMNS for count in counts):
        raise ValueError(
            f"{path}: frame {frame}: expected Properties=name:type:columns:..., each with 1 to "
            f"{_MAX_COLUMNS} columns, got {words[:1]}"
        )
    return sum(map(int, counts))
