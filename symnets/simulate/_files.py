"""Structures on their way to files: one written whole, or a trajectory as it grows."""

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
    """A structure as it is now, with momenta and results but without its labels of other origin."""
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
    """The path of a file to be written, its folder made; one that exists is refused unless `overwrite`."""
    if path is None:
        return None
    path = Path(path)
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists; choose another name, or pass overwrite")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_structure(atoms: Atoms, path: Path) -> None:
    """Write a structure in the format its file name asks for, whole or not at all.

    Raises:
        ValueError: a name that asks for no format of ASE's.
    """
    file_format = structure_format(path)
    with whole_file(path) as temporary:
        ase.io.write(temporary, atoms, format=file_format)


def structure_format(path: Path) -> str:
    """ASE's format for a file name, e.g. "extxyz", "cif" or "vasp"; ValueError if there is none."""
    try:
        name = filetype(path.name, read=False)
    except UnknownFileTypeError:
        name = ""
    if name not in ioformats or not ioformats[name].can_write:
        raise ValueError(f"{path}: no format of ASE's has this name; try {path.stem}.xyz")
    return name


@contextmanager
def trajectory_writer(path: Path | None) -> Iterator[Callable[[Atoms], None]]:
    """Yields `write(frame)`, which appends to an extended XYZ file; without a path it does nothing.

    A frame is formatted first, then written at once and flushed: however a run ends, frames are whole.
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
