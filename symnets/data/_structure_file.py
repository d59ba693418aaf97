"""Output files of structures, whose format is tested before a long computation."""

import bz2
import gzip
import io
import lzma
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.formats import UnknownFileTypeError, filetype, get_compression, ioformats
from ase.io.trajectory import TrajectoryWriter
from ase.spacegroup import Spacegroup

from symnets.files import claim, whole_file

_COMPRESS = {None: bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
_CORE = ("numbers", "positions")
_RESOLUTION = 0.02  # Å; GROMACS' format, the coarsest, has 0.01 Å


class StructureFile:
    """Output file of structures in the format of its name, tested with an example before a long computation.

    The example is written with ASE to a temporary folder and read back, twice for a file of several frames.
    Entries of `info` and arrays that the format cannot write are left out of the file.

    Args:
        path: the file; its name chooses the format, and the compression: `.xyz`, `.traj`, `.db`, `.cif`,
            `POSCAR`, `.xyz.gz`, ...
        example: a structure like those that will be written.
        several: whether the file is for more than one frame.
        overwrite: whether an existing file is replaced.
        option: name of the argument that chooses the path, for error messages.

    Attributes:
        path: the file.
        lost: names of the example's data that the file does not hold.

    Raises:
        ValueError: the file cannot be written, see `symnets.files.claim`; ASE has no such format, or cannot
            read and write the example in it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        example: Atoms,
        *,
        several: bool = False,
        overwrite: bool = False,
        option: str = "output",
    ) -> None:
        self.path = claim(path, overwrite=overwrite, option=option)
        self._format, self._several = _format(self.path, several), several
        self._trajectory: TrajectoryWriter | None = None
        self._begun = False
        self._left_out: list[str] = []
        names = [name for name in _carried(example) if name not in _CORE]
        again = self._trial(example)
        suspects = names if isinstance(again, str) else _changed(example, again)
        # Each suspect is tested alone: an entry that the format holds is read back unchanged.
        self._left_out = [
            name
            for name in suspects
            if isinstance(one := self._trial(_without(example, set(names) - {name})), str)
            or not _same(_carried(example)[name], _carried(one).get(name))
        ]
        if self._left_out:
            again = self._trial(_without(example, self._left_out))
        if isinstance(again, str):
            raise ValueError(
                f"{self.path}: ASE's format {self._format} does not hold "
                f"{'several frames of ' if several else ''}this structure ({again}); "
                f"{_alternatives(self.path, several)}"
            )
        self.lost = _lost(example, again)

    @property
    def note(self) -> str | None:
        """Sentence on what the file does not hold, or None."""
        if not self.lost:
            return None
        advice = "" if self._format == "extxyz" else "; extended XYZ (.xyz) holds more"
        return (
            f"{self.path}: {self._format} files do not hold {', '.join(self.lost)} of the structure{advice}"
        )

    def write(self, structures: Sequence[Atoms]) -> None:
        """Write all structures; the file appears whole or not at all."""
        prepared = [_without(atoms, self._left_out) for atoms in structures]
        with whole_file(self.path) as temporary, _without_warnings():
            ase.io.write(temporary, prepared, format=self._format)

    def append(self, atoms: Atoms) -> None:
        """Append a complete frame; the first replaces an older file."""
        if not self._begun:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)
            self._begun = True
        self._append(self.path, _without(atoms, self._left_out))

    def _append(self, path: Path, atoms: Atoms) -> None:
        kind = ioformats[self._format]
        with _without_warnings():
            if self._format == "traj":
                if self._trajectory is None:
                    self._trajectory = TrajectoryWriter(str(path), "w")
                self._trajectory.write(atoms)
            elif kind.can_append:
                ase.io.write(path, atoms, format=self._format, append=True)
            else:  # formatted first, then written in one call: never half a frame
                text = io.BytesIO() if kind.isbinary else io.StringIO()
                ase.io.write(text, atoms, format=self._format)
                content = text.getvalue()
                content = content if isinstance(content, bytes) else content.encode()
                with path.open("ab") as file:
                    file.write(_COMPRESS[get_compression(path.name)[1]](content))

    def close(self) -> None:
        """Close the file."""
        if self._trajectory is not None:
            self._trajectory.close()
            self._trajectory = None

    def __enter__(self) -> "StructureFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _reread(self, atoms: Atoms) -> list[Atoms]:
        """The frames that are read back after the structure was written once or twice."""
        with TemporaryDirectory() as folder, _without_warnings():
            path = Path(folder, self.path.name)
            if self._several:
                for _ in range(2):
                    self._append(path, atoms)
                self.close()
            else:
                ase.io.write(path, atoms, format=self._format)
            return ase.io.read(path, ":", format=self._format, do_not_split_by_at_sign=True)  # pyright: ignore

    def _trial(self, atoms: Atoms) -> Atoms | str:
        """The structure after writing and reading, or why the format does not hold its atoms and cell."""
        try:
            frames = self._reread(atoms)
        except Exception as error:  # ASE has a hundred writers with different errors
            self.close()
            return f"{type(error).__name__}: {error}".partition("\n")[0]
        if len(frames) != 1 + self._several:
            return f"{1 + self._several} frames were written, but {len(frames)} are read back"
        return _moved(atoms, frames[-1]) or frames[-1]


def _format(path: Path, several: bool) -> str:
    """ASE's format for a file name, such as "extxyz", "cif" or "vasp"."""
    try:  # an absolute path, so that ASE takes no name for the address of a database
        name = filetype(str(path.absolute()), read=False)
    except UnknownFileTypeError:
        name = ""
    if name not in ioformats or not (ioformats[name].can_write and ioformats[name].can_read):
        raise ValueError(f"{path}: expected a name with a format of ASE; {_alternatives(path, several)}")
    return name


def _alternatives(path: Path, several: bool) -> str:
    """Advice for an error message: file names whose formats hold structures."""
    stem = path.name.partition(".")[0]
    if not stem or filetype(f"/{stem}.xyz", read=False) != "extxyz":  # POSCAR.xyz is VASP's format to ASE
        stem = "structures" if several else "structure"
    endings = (".xyz", ".xyz.gz", ".traj", ".db") if several else (".xyz", ".traj", ".cif")
    return f"try {', '.join(stem + ending for ending in endings[:-1])} or {stem}{endings[-1]}"


def _without_warnings() -> warnings.catch_warnings:
    """Context without ASE's warnings on what a format leaves out; `StructureFile.note` states it once."""
    return warnings.catch_warnings(action="ignore")


def _carried(atoms: Atoms) -> dict[str, Any]:
    """Arrays of a structure by name, and its `info` by `info NAME`, without the space group of a CIF file.

    ASE's reader of CIF adds that object. No format holds it, and it is wrong once atoms have moved.
    """
    infos = {name: value for name, value in atoms.info.items() if not isinstance(value, Spacegroup)}
    return {**atoms.arrays, **{f"info {name}": value for name, value in infos.items()}}


def _changed(atoms: Atoms, again: Atoms) -> list[str]:
    """Names of arrays and `info` that were read back with another value."""
    before, after = _carried(atoms), _carried(again)
    both = [name for name in before if name not in _CORE and name in after]
    return [name for name in both if not _same(before[name], after[name])]


def _lost(atoms: Atoms, again: Atoms) -> list[str]:
    """Names of the data that a structure loses when it is written and read back."""
    lost = [name for name in _carried(atoms) if name not in _carried(again)] + _changed(atoms, again)
    if not np.array_equal(atoms.pbc, again.pbc):
        lost.append("pbc")
    if atoms.constraints and not _same_constraints(atoms, again):
        lost.append("constraints")
    return lost


def _without(atoms: Atoms, names: Sequence[str] | set[str]) -> Atoms:
    """The structure, or a copy without arrays and `info` of these names."""
    if not names:
        return atoms
    copy = atoms.copy()
    for name in names:
        if name in copy.arrays:
            del copy.arrays[name]
        copy.info.pop(name.removeprefix("info "), None)
    if atoms.calc is not None:
        copy.calc = SinglePointCalculator(copy, **atoms.calc.results)
    return copy


def _moved(atoms: Atoms, again: Atoms) -> str | None:
    """Why a structure differs from the one that was read back, up to lattice vectors and a rotation."""
    if not np.array_equal(atoms.numbers, again.numbers):
        return "the elements or their order change when the file is read back"
    if (periodic := atoms.pbc.any()) and not np.allclose(
        atoms.cell.cellpar(), again.cell.cellpar(), atol=_RESOLUTION
    ):
        return "the cell changes when the file is read back"
    shift = again.positions - atoms.positions
    if periodic and atoms.cell.rank == 3 and again.cell.rank == 3:
        fraction = again.get_scaled_positions(wrap=False) - atoms.get_scaled_positions(wrap=False)
        shift = (fraction - fraction.round()) @ atoms.cell.array
    unchanged = np.abs(shift).max(initial=0) < _RESOLUTION
    return None if unchanged else "the positions change when the file is read back"


def _same_constraints(atoms: Atoms, again: Atoms) -> bool:
    """Whether the constraints of two structures have the same effect on arbitrary forces."""
    kept = []
    for one in (atoms, again):
        kept.append(np.random.default_rng(0).standard_normal((len(atoms), 3)))
        for constraint in one.constraints:
            try:
                constraint.adjust_forces(one, kept[-1])
            except Exception:  # some of ASE's constraints need more than a structure
                return False
    return _same(*kept)


def _same(a: Any, b: Any) -> bool:
    """Whether two values are equal, up to the type of a container and rounding of numbers."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, str) or a is None:
        return type(a) is type(b) and a == b
    one, two = np.asarray(a), np.asarray(b)
    if one.size != two.size or one.dtype == object:
        return one.size == two.size and str(one.tolist()) == str(two.tolist())
    if one.dtype.kind in "US" or two.dtype.kind not in "biufc":
        return [str(x) for x in one.ravel()] == [str(x) for x in two.ravel()]
    return bool(np.allclose(one.ravel(), two.ravel(), rtol=1e-6, atol=1e-7, equal_nan=True))


def write_structures(path: str | os.PathLike[str], structures: Sequence[Atoms]) -> None:
    """Write structures and their labels in the format of the file's name.

    The file appears whole or not at all. Extended XYZ (`.xyz`) rounds positions and forces to 1e-8 Å and
    eV/Å; energies are written in full.

    Raises:
        ValueError: no structure, or a file that cannot be written, see `StructureFile`.
    """
    if not structures:
        raise ValueError(f"{path}: no structure to write")
    StructureFile(path, structures[0], several=len(structures) > 1, overwrite=True).write(structures)
