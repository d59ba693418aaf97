"""Structures of HDF5 files with a group for each molecule, such as those of ANI, QM7-X and SPICE."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

NUMBERS = ("atomic_numbers", "numbers", "z", "species", "atNUM")
"""Names of the data set of atomic numbers or symbols."""
POSITIONS = ("positions", "coordinates", "conformations", "pos", "atXYZ")
CELL = ("cell", "lattice")
_ANGSTROM = ("angstrom", "angstroms", "ang", "å", "a")


class _Molecule(NamedTuple):
    """The frames of one group."""

    where: str
    """File and group, for error messages."""
    numbers: np.ndarray
    """Atomic numbers, (frames, atoms)."""
    positions: np.ndarray
    """(frames, atoms, 3), Å."""
    cell: np.ndarray | None
    """(frames, 3, 3), Å."""
    values: dict[str, np.ndarray]
    """Numerical data sets and attributes, by name."""


def read_hdf5(path: Path, *, per_frame: Collection[str] = ()) -> list[Atoms]:
    """Structures of an HDF5 file.

    A group is a molecule if it has atomic numbers or symbols (`NUMBERS`), of shape (atoms,) or
    (frames, atoms), and positions in Å (`POSITIONS`), of shape (frames, atoms, 3) or (atoms, 3). A cell
    (`CELL`) has the shape (3, 3) or (frames, 3, 3). Every other numerical data set of the group, with one row
    for each frame or one value for all, is stored in the `info` of the structures under its name, and so are
    numerical attributes of the group.

    If a group has as many frames as atoms, an array (frames, atoms, ...) has a row for each frame. Whether
    the rows of any other array are frames or atoms is decided by the other groups of the file, in which the
    two numbers differ.

    Args:
        path: the file.
        per_frame: names of data sets that have a row for each frame, such as the energy.

    Raises:
        ImportError: h5py is not installed.
        ValueError: no group is a molecule, an unknown chemical symbol, positions are in another unit than Å,
            shapes do not agree, or there is no telling whether rows belong to frames or to atoms.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError("h5py is needed to read HDF5: pip install 'symnets[hdf5]'") from error
    with h5py.File(path, "r") as file:
        molecules = [_molecule(f"{path}: group {name}", group) for name, group in _groups(file, "/")]
    owners = _row_owners(molecules) | {key: {"frames"} for key in per_frame}
    structures = [atoms for molecule in molecules for atoms in _frames(molecule, owners)]
    if not structures:
        raise ValueError(
            f"{path}: expected groups with {' or '.join(NUMBERS)}, and {' or '.join(POSITIONS)}; found none"
        )
    return structures


def _groups(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The groups of molecules, in the order of their names."""
    if _named(group, NUMBERS) and _named(group, POSITIONS):
        yield name, group
        return
    for key in sorted(group):
        if hasattr(group[key], "keys"):
            yield from _groups(group[key], f"{name}{key}/")


def _named(group: Any, names: tuple[str, ...]) -> str | None:
    lower = {key.lower(): key for key in group}
    return next((lower[name.lower()] for name in names if name.lower() in lower), None)


def _molecule(where: str, group: Any) -> _Molecule:
    """Read one group and check its shapes."""
    names = [_named(group, kind) for kind in (NUMBERS, POSITIONS, CELL)]
    numbers, dataset = _atomic_numbers(where, np.atleast_1d(group[names[0]][()])), group[names[1]]
    unit = dataset.attrs.get("units", "angstrom")
    unit = unit.decode() if isinstance(unit, bytes) else str(unit)
    if unit.lower() not in _ANGSTROM:
        raise ValueError(f"{where}: expected positions in Å, got {unit}; convert the file first")
    positions = np.asarray(dataset[()], dtype=np.float64)
    positions = positions[None] if positions.ndim == 2 else positions
    n_atoms = numbers.shape[-1]
    if positions.ndim != 3 or positions.shape[1:] != (n_atoms, 3):
        raise ValueError(
            f"{where}: expected positions (frames, atoms, 3) of {n_atoms} atoms, got {positions.shape}"
        )
    n = len(positions)
    if numbers.shape not in ((n_atoms,), (1, n_atoms), (n, n_atoms)):
        raise ValueError(
            f"{where}: expected {names[0]} of shape ({n_atoms},) or ({n}, {n_atoms}), got {numbers.shape}"
        )
    cell = None if names[2] is None else np.asarray(group[names[2]][()])
    if cell is not None and cell.shape not in ((3, 3), (1, 3, 3), (n, 3, 3)):
        raise ValueError(f"{where}: expected {names[2]} of shape (3, 3) or ({n}, 3, 3), got {cell.shape}")
    values: dict[str, np.ndarray] = {
        key: group[key][()] for key in group if key not in names and hasattr(group[key], "dtype")
    }
    values = {key: np.asarray(value) for key, value in (*group.attrs.items(), *values.items())}
    return _Molecule(
        where,
        np.broadcast_to(numbers, (n, n_atoms)),
        positions,
        None if cell is None else np.broadcast_to(cell, (n, 3, 3)),
        {key: value for key, value in values.items() if value.dtype.kind in "biuf"},
    )


def _row_owners(molecules: Iterable[_Molecule]) -> dict[str, set[str]]:
    """What the rows of each array are, "frames" or "atoms", in groups where these numbers differ."""
    owners: dict[str, set[str]] = {}
    for molecule in molecules:
        n, n_atoms = molecule.numbers.shape
        if n in (1, n_atoms):  # without an axis of frames, perhaps
            continue
        for name, value in molecule.values.items():
            if value.ndim and len(value) in (n, n_atoms):
                owners.setdefault(name, set()).add("frames" if len(value) == n else "atoms")
    return owners


def _frames(molecule: _Molecule, owners: dict[str, set[str]]) -> Iterator[Atoms]:
    """The structures of one group."""
    values, cell = molecule.values, molecule.cell
    has_rows = {key: _has_row_per_frame(molecule, key, owners.get(key, set())) for key in values}
    for frame, (numbers, positions) in enumerate(zip(molecule.numbers, molecule.positions, strict=True)):
        rows = {key: value[frame] if has_rows[key] else value for key, value in values.items()}
        yield Atoms(
            numbers=numbers,
            positions=positions,
            cell=None if cell is None else cell[frame],
            pbc=cell is not None,
            info={key: row.item() if row.ndim == 0 else row for key, row in rows.items()},
        )


def _has_row_per_frame(molecule: _Molecule, name: str, owners: set[str]) -> bool:
    """Whether an array has a row for each frame, rather than one value for all.

    Args:
        molecule: the group.
        name: name of the array.
        owners: what the rows of this array belong to in other groups.
    """
    (n, n_atoms), shape = molecule.numbers.shape, molecule.values[name].shape
    if shape[:1] != (n,) or n != n_atoms or n <= 1:
        return shape[:1] == (n,)
    if len(owners) == 1:
        return owners == {"frames"}
    # An array (3, 3) may contain a vector of each of three atoms, the same in all frames.
    if shape[1:2] == (n,) and (len(shape) > 2 or n != 3):
        return True
    raise ValueError(
        f"{molecule.where}: {name} of shape {shape}: expected rows of frames or of atoms, but there are {n} "
        f"of each; if they belong to the frames, divide the group into two; if they belong to the atoms, "
        f"store them for every frame, in the shape ({n}, {n}, components)"
    )


def _atomic_numbers(where: str, given: np.ndarray) -> np.ndarray:
    if given.dtype.kind in "iuf":
        if (wrong := given[given != np.rint(given)]).size:
            raise ValueError(f"{where}: expected whole atomic numbers, got {wrong[0]}")
        return given.astype(np.int64)
    symbols = [item.decode() if isinstance(item, bytes) else str(item) for item in given.ravel()]
    if unknown := [symbol for symbol in symbols if symbol not in atomic_numbers]:
        raise ValueError(f"{where}: expected chemical symbols or atomic numbers, got {unknown[0]!r}")
    return np.array([atomic_numbers[symbol] for symbol in symbols]).reshape(given.shape)
