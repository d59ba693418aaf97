"""Structures written whole or not at all."""

import os
from collections.abc import Sequence

import ase.io
from ase import Atoms

from symnets.data.whole_file import whole_file


def write_structures(path: str | os.PathLike[str], structures: Sequence[Atoms]) -> None:
    """Write structures and their labels as extended XYZ, under a temporary name and then renamed.

    Positions and forces are rounded to 1e-8 Å and eV/Å; energies are written in full.

    Raises:
        ValueError: no structure, or the path is a directory.
    """
    if not structures:
        raise ValueError(f"{path}: no structure to write")
    with whole_file(path) as temporary:
        ase.io.write(temporary, list(structures), format="extxyz")
