"""Structures in files: a structure written atomically, a trajectory that grows."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ase.io
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.formats import UnknownFileTypeError, filetype, ioformats

from symnets.files import whole_file


def snapshot(atoms: Atoms, **info: int | float) -> Atoms:
    """Copy of a structure with momenta and the results of its calculator, without other arrays and info."""
    frame = Atoms(
        numbers=atoms.numbers,
        positions=atoms.positions,
        momenta=atoms.get_momenta() if atoms.has("momenta") else None,
        masses=atoms.get_masses() if atoms.has("masses") else None,
        cell=atoms.cell,
        pbc=atoms.pbc,
        constraint=atoms.constraints,
        info=info,
    )
    if atoms.calc is not None:
        kept = ("energy", "forces", "stress")
        results = {name: value for name, value in atoms.calc.results.items() if name in kept}
        frame.calc = SinglePointCalculator(frame, **results)
    return frame


def claim(path: str | os.PathLike[str] | None, *, overwrite: bool) -> Path | None:
    """Path of a file to be written, with its folder made.

    Raises:
        ValueError: the file exists, and not `overwrite`.
    """
    if path is None:
        return None
    path = Path(path)
    if path.exists() and not overwrite:
        raise ValueError(f"{path}: the file exists; choose another name, or pass overwrite")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_structure(atoms: Atoms, path: Path) -> None:
    """Write a structure in the format of its file name, atomically.

    Raises:
        ValueError: no format of ASE has such a name.
    """
    file_format = structure_format(path)
    with whole_file(path) as temporary:
        ase.io.write(temporary, atoms, format=file_format)


def structure_format(path: Path) -> str:
    """ASE's format for a file name, such as "extxyz", "cif" or "vasp".

    Raises:
        ValueError: no format of ASE has such a name.
    """
    try:
        name = filetype(path.name, read=False)
    except UnknownFileTypeError:
        name = ""
    if name not in ioformats or not ioformats[name].can_write:
        raise ValueError(f"{path}: expected a name with a format of ASE; try {path.stem}.xyz")
    return name


@contextmanager
def trajectory_writer(path: Path | None) -> Iterator[Callable[[Atoms], None]]:
    """Yield `write(frame)`, which appends a frame to an extended XYZ file; without a path it does nothing.

    A frame is formatted, then written in one call and flushed, so that frames are complete however a run
    ends.
    """
    if path is None:
        yield lambda frame: None
        return
    with path.open("w", encoding="utf-8") as file:

        def write(frame: Atoms) -> None:
            text = io.StringIO()
            ase.io.write(text, frame, format="extxyz")
            file.write(text.getvalue())
            file.flush()

        yield write
