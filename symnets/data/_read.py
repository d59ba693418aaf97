"""Reading of labelled structures from any file that ASE reads, with strict checks."""

import lzma
import os
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import ase.build
import ase.db
import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.collections import g2
from ase.data import chemical_symbols
from ase.io.extxyz import key_val_str_to_dict, per_atom_properties
from ase.io.formats import UnknownFileTypeError, filetype, ioformats
from ase.units import GPa
from ase.utils import string2index

from symnets.data._batch import has_stress
from symnets.data._read_hdf5 import read_hdf5
from symnets.data._structure_text import check_extxyz, encoding_of, open_text
from symnets.files import expanded
from symnets.names import nearest

_LABELS = ("energy", "forces", "stress")
_IN_VASP_ORDER = ([0, 1, 2, 0, 1, 2], [0, 1, 2, 1, 2, 0])
"""Rows and columns of the elements of a stress as VASP lists them: xx, yy, zz, xy, yz, zx."""


def read_structures(
    path: str | os.PathLike,
    *,
    index: str | int = ":",
    energy_key: str | None = None,
    forces_key: str | None = None,
    stress_key: str | None = None,
    virial_key: str | None = None,
    stress_convention: Literal["ase", "vasp"] = "ase",
    require: Iterable[str] | None = None,
) -> list[Atoms]:
    """Read structures from a file, with their labels in a `SinglePointCalculator`.

    A key is sought among all that a structure carries: the results that ASE recognises, `info`, `arrays`,
    and the key-value pairs and `data` of a database of ASE. Values other than the labels are kept. The label
    of a stress that does not exist is dropped, see `has_stress`.

    Args:
        path: file of any format that ASE reads; or HDF5 (.h5, .hdf5), see `read_hdf5`.
        index: frames in ASE's syntax: `":"` all, `"::10"` every tenth, `-1` the last.
        energy_key: key of the energy in the file, in eV; None for the one that ASE recognises.
        forces_key: key of the forces, eV/Å.
        stress_key: key of the stress; 6 or 9 numbers.
        virial_key: key of the virial -dE/dstrain in eV, from which the stress is computed as
            -virial / volume; 9 numbers, or 6 in the order xx, yy, zz, yz, xz, xy.
        stress_convention: convention of the file. "ase": eV/Å³, the sign of (1/V) dE/dstrain, 6 numbers are
            xx, yy, zz, yz, xz, xy. "vasp": kbar, positive under compression, 6 numbers are
            xx, yy, zz, xy, yz, zx, as VASP prints them ("in kB").
        require: labels among "energy", "forces" and "stress" that every frame must have; any frame may lack
            the others. Stress is required only of structures that are periodic along all three lattice
            vectors, and of an isolated atom (see `is_isolated_atom`) only the energy. By default no label
            is required, but each key that is given must be in some frame.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an empty, truncated or unknown file; a frame without atoms, or with positions or labels
            that are not finite numbers; a missing label, with a list of the keys present; a convention that
            the file cannot have.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; expected structures in a format ASE reads")
    if path.is_dir():
        raise ValueError(f"{path}: expected a file, got a directory")
    _check_stress_options(stress_key, virial_key, stress_convention)
    keys = {"energy": energy_key, "forces": forces_key, "stress": virial_key or stress_key}
    in_kbar = stress_convention == "vasp"
    kind, structures = _read(path, index, in_kbar=in_kbar)
    present, found = keys_present(structures), Counter()
    for frame, atoms in enumerate(structures):
        where = f"{path}, frame {frame}"
        _check_frame(where, atoms)
        recognized = atoms.calc.results if isinstance(atoms.calc, SinglePointCalculator) else {}
        results: dict[str, Any] = {}
        for name in _LABELS:
            key = keys[name] or name
            values = recognized if keys[name] is None else values_by_key(atoms, per_atom=name == "forces")
            if key not in values:
                if name in (require or ()) and _is_due(name, atoms):
                    cure = f"; in a training that needs none, set loss.{name} to 0"
                    raise ValueError(f"{where}: {_missing(name, key, keys_present([atoms]))}{cure}")
                continue
            found[name] += 1
            if name == "stress" and not has_stress(atoms.cell.array, atoms.pbc):
                continue
            value = _label(where, len(atoms), name, key, values[key])
            if name == "stress":
                if virial_key is not None:
                    value = -value / atoms.cell.volume
                elif in_kbar and key in recognized and kind != "extxyz":
                    raise ValueError(
                        f"{where}: expected a stress in VASP's convention, but ASE has converted that of the "
                        f"format {kind} to eV/Å³ and its own sign; leave stress_convention at ase"
                    )
                elif in_kbar:
                    value = _from_vasp(value)
            results[name] = float(value) if name == "energy" else value
        others = {name: value for name, value in recognized.items() if name not in _LABELS}
        atoms.calc = SinglePointCalculator(atoms, **results) if results or others else None
        if atoms.calc is not None:
            atoms.calc.results.update(others)  # some have names that its constructor does not take
    for name, key in keys.items():
        if key is not None and require is None and not found[name]:
            everywhere = f"{path}, {len(structures)} frames" if len(structures) > 1 else f"{path}"
            raise ValueError(f"{everywhere}: {_missing(name, key, present)}")
    return structures


def _check_stress_options(stress_key: str | None, virial_key: str | None, convention: str) -> None:
    if convention not in ("ase", "vasp"):
        raise ValueError(f'stress_convention: expected "ase" or "vasp", got {convention!r}')
    if stress_key is not None and "virial" in stress_key.lower() and "stress" not in stress_key.lower():
        raise ValueError(
            f"stress_key: {stress_key!r} is the name of a virial, an energy in eV; pass it as virial_key, or "
            "rename it in the file if it is a stress"
        )
    if virial_key is not None and (stress_key is not None or convention != "ase"):
        other = "stress_key" if stress_key is not None else f"stress_convention {convention}"
        raise ValueError(
            f"virial_key: expected without {other}; the stress is -virial / volume, with the virial in eV"
        )


def _read(path: Path, index: str | int, *, in_kbar: bool) -> tuple[str, list[Atoms]]:
    """Name of the format, and the structures as ASE reads them."""
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty; expected at least one structure")
    if path.suffix in (".h5", ".hdf5"):
        try:
            return "hdf5", _chosen(read_hdf5(path), index)
        except OSError as error:
            raise ValueError(f"{path}: cannot be read as HDF5: {error}") from error
    try:
        kind = filetype(str(path))
        if kind not in ioformats:
            raise UnknownFileTypeError(kind)
        form = ioformats[kind]
        is_text = form.acceptsfd and not form.isbinary and not kind.endswith("xml")
        encoding = encoding_of(path) if is_text else None
        if kind == "extxyz":
            check_extxyz(path)
    except UnknownFileTypeError as error:
        raise ValueError(
            f"{path}: unknown format; expected one that ASE reads, for example extended XYZ (.xyz)"
        ) from error
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(
            f"{path}: cannot be decompressed: {error}; the file is truncated or damaged"
        ) from error
    options: dict[str, Any] = {"properties_parser": _parse_vasp} if in_kbar and kind == "extxyz" else {}
    try:
        if kind in ("db", "json"):
            frames = _read_database(path, index)
        elif encoding is None:
            frames = ase.io.read(path, index, format=kind, do_not_split_by_at_sign=True, **options)
        else:  # ASE would open it with the encoding of the locale
            with open_text(path, encoding) as file:
                frames = ase.io.read(file, index, format=kind, **options)
    except Exception as error:  # ASE has a hundred readers with different errors
        raise ValueError(f"{path}: ASE cannot read it as {kind}: {type(error).__name__}: {error}") from error
    structures = frames if isinstance(frames, list) else [frames]
    if not structures:
        raise ValueError(f"{path}: no structure at index {index!r}")
    return kind, structures


def _read_database(path: Path, index: str | int) -> list[Atoms]:
    """Structures of a database of ASE; key-value pairs and `data`, which ASE leaves out, are in `info`."""
    if path.suffix == ".db":  # ASE would make a database of any other file
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
            if not file.execute("select 1 from sqlite_master where name = 'systems'").fetchone():
                raise ValueError("there is no table of structures in it")
    structures = []
    connection: Any = ase.db.connect(str(path), serial=True)
    with connection as database:
        for row in database.select():
            atoms = row.toatoms()
            atoms.info.update({**row.data, **row.key_value_pairs})
            structures.append(atoms)
    return _chosen(structures, index)


def _chosen(structures: list[Atoms], index: str | int) -> list[Atoms]:
    """The structures that an index in ASE's syntax selects."""
    chosen: Any = string2index(index) if isinstance(index, str) else index
    return structures[chosen] if isinstance(chosen, slice) else [structures[chosen]]


def _parse_vasp(comment: str) -> dict[str, Any]:
    """Second line of a frame, with a stress of 9 numbers reduced to 6 in VASP's order instead of ASE's."""
    values = key_val_str_to_dict(comment)
    if np.shape(values.get("stress")) == (3, 3):
        values["stress"] = values["stress"][_IN_VASP_ORDER]
    return values


def _check_frame(where: str, atoms: Atoms) -> None:
    if len(atoms) == 0:
        raise ValueError(f"{where}: the structure is empty; expected at least one atom")
    if len(atoms) > 1 and is_isolated_atom(atoms):
        raise ValueError(
            f"{where}: expected one atom, since config_type is {atoms.info['config_type']}, got {len(atoms)}"
        )
    highest = len(chemical_symbols) - 1
    if wrong := [int(number) for number in atoms.numbers if not 0 <= number <= highest]:
        raise ValueError(f"{where}: atomic numbers: expected 0 to {highest}, got {wrong[0]}")
    _check_finite(where, "positions", atoms.positions)
    _check_finite(where, "cell", atoms.cell.array)


def is_isolated_atom(atoms: Atoms) -> bool:
    """Whether a structure is marked as an isolated atom, by `config_type=IsolatedAtom` or `isolated_atom`."""
    kind = atoms.info.get("config_type")
    return isinstance(kind, str) and kind.replace("_", "").lower() == "isolatedatom"


def _is_due(name: str, atoms: Atoms) -> bool:
    """Whether a structure must have a label that is required."""
    if is_isolated_atom(atoms):
        return name == "energy"
    # Slabs and wires have a stress too, but many codes do not print it.
    return name != "stress" or bool(atoms.pbc.all() and has_stress(atoms.cell.array, atoms.pbc))


def keys_present(structures: Iterable[Atoms]) -> tuple[list[str], list[str]]:
    """Keys of all that structures carry, per structure and per atom, apart from numbers and positions.

    They are the keys of `info`, of the calculator's results, and of `arrays`.
    """
    per_structure: set[str] = set()
    per_atom = {"numbers", "positions"}
    for atoms in structures:
        results = atoms.calc.results if isinstance(atoms.calc, SinglePointCalculator) else {}
        per_structure |= {*map(str, atoms.info), *results}
        per_atom |= {*atoms.arrays, *(set(results) & set(per_atom_properties))}
        if len(atoms) != 3:  # databases have forces beside energies; of three atoms they may be a stress
            per_atom |= {
                str(key)
                for key, value in atoms.info.items()
                if isinstance(value, np.ndarray) and value.shape == (len(atoms), 3)
            }
    return sorted(per_structure - per_atom), sorted(per_atom - {"numbers", "positions"})


def values_by_key(atoms: Atoms, *, per_atom: bool) -> dict[str, Any]:
    """All that a structure carries by its keys; of equal keys that of an array wins if `per_atom`."""
    results = atoms.calc.results if isinstance(atoms.calc, SinglePointCalculator) else {}
    info = {str(key): value for key, value in atoms.info.items()}
    return {**info, **atoms.arrays, **results} if per_atom else {**atoms.arrays, **info, **results}


def _missing(name: str, key: str, present: tuple[list[str], list[str]]) -> str:
    per_structure, per_atom = (", ".join(keys) or "none" for keys in present)
    options = "stress_key or virial_key" if name == "stress" else f"{name}_key"
    return (
        f"no {name} under the key {key!r}; pass its key as {options}. Keys present: "
        f"per structure {per_structure}; per atom {per_atom}"
    )


def _label(where: str, n_atoms: int, name: str, key: str, given: Any) -> np.ndarray:
    """A label as an array of shape (), (atoms, 3), (6,) or (3, 3)."""
    try:
        value = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {name} ({key}): expected numbers, got {given!r}") from error
    sizes = {"energy": (1,), "forces": (3 * n_atoms,), "stress": (6, 9)}[name]
    if value.size not in sizes:
        expected = " or ".join(map(str, sizes))
        raise ValueError(f"{where}: {name} ({key}): expected {expected} numbers, got shape {value.shape}")
    _check_finite(where, f"{name} ({key})", value)
    if name == "energy":
        return value.reshape(())
    return value.reshape(6) if name == "stress" and value.size == 6 else value.reshape(-1, 3)


def _from_vasp(stress: np.ndarray) -> np.ndarray:
    """Convert VASP's stress to ASE's unit, sign and order."""
    order = [0, 1, 2, 4, 5, 3] if stress.size == 6 else slice(None)
    return -0.1 * GPa * stress[order]


def _check_finite(where: str, name: str, value: np.ndarray) -> None:
    if not np.isfinite(value).all():
        row = f" in row {int(np.argwhere(~np.isfinite(value))[0, 0])}" if value.ndim > 1 else ""
        raise ValueError(f"{where}: {name}: expected finite numbers, got NaN or infinity{row}")


def find_structure(name: str | os.PathLike[str]) -> Atoms:
    """Last structure of a file, or a molecule by its name in `ase.build.molecule`.

    Raises:
        FileNotFoundError: neither a file nor a molecule; the message gives the nearest names.
        ValueError: a file that cannot be read.
    """
    if Path(name).exists():
        return read_structures(name, index="-1")[0]
    try:
        return ase.build.molecule(str(name))
    except KeyError:
        raise FileNotFoundError(
            f"structure: {name} is neither a file nor a molecule of ase.build.molecule; "
            f"the nearest molecules are {', '.join(nearest(name, g2.names, n=3))}"
        ) from None


def find_data(path: str) -> Path:
    """Path of a file in the current folder or in the folder SYMNETS_DATA.

    `~` and environment variables in it are replaced, see `symnets.files.expanded`. The folder is that which
    the environment variable SYMNETS_DATA names, if it is set.

    Raises:
        FileNotFoundError: the file is in neither.
        ValueError: an environment variable in the path is not set.
    """
    place, root = expanded(path), os.environ.get("SYMNETS_DATA")
    if place.is_dir():
        raise FileNotFoundError(f"{path}: expected a file, got a folder")
    if place.is_file():
        return place
    if place.is_absolute():
        raise FileNotFoundError(f"{path}: there is no such file")
    if root and (other := expanded(root) / place).is_file():
        return other
    folders = f"the current folder, {Path.cwd()}" + (f", or in SYMNETS_DATA, {root}" if root else "")
    raise FileNotFoundError(f"{path}: there is no such file in {folders}")
