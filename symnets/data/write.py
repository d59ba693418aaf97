"""Structures written whole or not at all."""

import os
from collections.abc import Sequence
from pathlib import Path

import ase.io
from ase import Atoms


def write_structures(path: str | os.PathLike[str], structures: Sequence[Atoms]) -> None:
    """Write structures and their labels as extended XYZ, under a temporary name and then renamed.

    Positions and forces are rounded to 1e-8 Å and eV/Å; energies are written in full.

    Raises:
        ValueError: no structure, or the path is a directory.
    """
    path = Path(path)
    if not structures:
        raise ValueError(f"{path}: no structure to write")
    if path.is_dir():
        raise ValueError(f"{path}: expected a file name, got a directory")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        ase.io.write(temporary, list(structures), format="extxyz")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
