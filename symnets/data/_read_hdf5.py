"""Structures of HDF5 files with a group for each molecule, such as those of ANI, QM7-X and SPICE."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

NUMBERS = ("atomic_numbers", "numbers", "z", "species", "atNUM")
"""Names of the data set of atomic numbers or symbols."""
POSITIONS = ("positions", "coordinates", "conformations", "pos", "atXYZ")
CELL = ("cell", "lattice")
_ANGSTROM = ("angstrom", "angstroms", "ang", "å", "a")


def read_hdf5(path: Path) -> list[Atoms]:
    """Structures of an HDF5 file.

    A group is a molecule if it has atomic numbers or symbols (`NUMBERS`) and positions in Å (`POSITIONS`), of
    shape (frames, atoms, 3) or (atoms, 3). Every other numerical data set of the group, with one row for each
    frame or one value for all, is stored in the `info` of the structures under its name, and so are numerical
    attributes of the group.

    Raises:
        ImportError: h5py is not installed.
        ValueError: no group is a molecule, positions are in another unit than Å, or shapes do not agree.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError("h5py is needed to read HDF5: pip install 'symnets[hdf5]'") from error
    with h5py.File(path, "r") as file:
        structures = [
            atoms for name, group in _groups(file, "/") for atoms in _frames(f"{path}: group {name}", group)
        ]
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


def _frames(where: str, group: Any) -> Iterator[Atoms]:
    """The structures of one group."""
    names = [_named(group, kind) for kind in (NUMBERS, POSITIONS, CELL)]
    numbers, dataset = _atomic_numbers(group[names[0]][()]), group[names[1]]
    unit = dataset.attrs.get("units", "angstrom")
    unit = unit.decode() if isinstance(unit, bytes) else str(unit)
    if unit.lower() not in _ANGSTROM:
        raise ValueError(f"{where}: expected positions in Å, got {unit}; convert the file first")
    positions = np.asarray(dataset[()], dtype=np.float64)
    positions = positions[None] if positions.ndim == 2 else positions
    n = len(positions)
    numbers = np.broadcast_to(numbers, (n, numbers.shape[-1]))
    if positions.shape != (*numbers.shape, 3):
        raise ValueError(
            f"{where}: expected positions (frames, atoms, 3) of {numbers.shape[1]} atoms, got "
            f"{positions.shape}"
        )
    cell = None if names[2] is None else np.broadcast_to(group[names[2]][()], (n, 3, 3))
    values: dict[str, np.ndarray] = {
        key: group[key][()] for key in group if key not in names and hasattr(group[key], "dtype")
    }
    values = {key: np.asarray(value) for key, value in (*group.attrs.items(), *values.items())}
    values = {key: value for key, value in values.items() if value.dtype.kind in "biuf"}
    for frame in range(n):
        yield Atoms(
            numbers=numbers[frame],
            positions=positions[frame],
            cell=None if cell is None else cell[frame],
            pbc=cell is not None,
            info=_of_frame(values, frame, n),
        )


def _of_frame(values: Mapping[str, np.ndarray], frame: int, n: int) -> dict[str, Any]:
    """Values of one frame: its row of each array that has a row for every frame; other values whole."""
    rows = {k: v[frame] if v.ndim and len(v) == n else v for k, v in values.items()}
    return {key: row.item() if row.ndim == 0 else row for key, row in rows.items()}


def _atomic_numbers(given: np.ndarray) -> np.ndarray:
    if given.dtype.kind in "iuf":
        return given.astype(np.int64)
    symbols = [item.decode() if isinstance(item, bytes) else str(item) for item in given.ravel()]
    return np.array([atomic_numbers.get(symbol, 0) for symbol in symbols]).reshape(given.shape)
