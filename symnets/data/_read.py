"""Reading of labelled structures from any file that ASE reads, with strict checks."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import ase.build
import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.collections import g2
from ase.io.formats import UnknownFileTypeError, filetype, ioformats, open_with_compression
from ase.units import GPa

from symnets.names import nearest

_MAX_COLUMNS = 1000


def check_extxyz(path: str | os.PathLike) -> int:
    """Check that all frames of an extended XYZ file are complete, and return their number.

    ASE's reader stops silently at the first blank line, takes hours for a header with 10¹¹ atoms, and
    allocates memory for any `Properties`. These are errors here.

    Raises:
        ValueError: an incomplete or implausible frame; the message gives the frame and the line.
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


def read_structures(
    path: str | os.PathLike,
    *,
    index: str | int = ":",
    energy_key: str | None = None,
    forces_key: str | None = None,
    stress_key: str | None = None,
    stress_convention: Literal["ase", "vasp"] = "ase",
    require: Iterable[str] = (),
) -> list[Atoms]:
    """Read structures from a file, with their labels in a `SinglePointCalculator`.

    A key that is given must be present in every frame.

    Args:
        path: file of any format that ASE reads.
        index: frames in ASE's syntax: `":"` all, `"::10"` every tenth, `-1` the last.
        energy_key: key of the energy in the file, in eV; None for the one that ASE recognises.
        forces_key: key of the forces, eV/Å.
        stress_key: key of the stress; 6 or 9 numbers.
        stress_convention: convention of the file. "ase": eV/Å³, the sign of (1/V) dE/dstrain, 6 numbers are
            xx, yy, zz, yz, xz, xy. "vasp": kbar, positive under compression, 6 numbers are
            xx, yy, zz, xy, yz, zx, as VASP prints them ("in kB").
        require: labels that every frame must have, among "energy", "forces" and "stress".

    Raises:
        FileNotFoundError: no such file.
        ValueError: an empty, truncated or unknown file; a frame without atoms, or with positions or labels
            that are not finite numbers; a missing key, with a list of those present.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; expected structures in a format ASE reads")
    if path.is_dir():
        raise ValueError(f"{path}: expected a file, got a directory")
    if stress_convention not in ("ase", "vasp"):
        raise ValueError(f'stress_convention: expected "ase" or "vasp", got {stress_convention!r}')
    keys = {"energy": energy_key, "forces": forces_key, "stress": stress_key}
    required = {*require, *(name for name, key in keys.items() if key)}
    structures = []
    for frame, atoms in enumerate(_read(path, index)):
        where = f"{path}, frame {frame}"
        if len(atoms) == 0:
            raise ValueError(f"{where}: the structure is empty; expected at least one atom")
        _check_finite(where, "positions", atoms.positions)
        _check_finite(where, "cell", atoms.cell.array)
        recognized = atoms.calc.results if isinstance(atoms.calc, SinglePointCalculator) else {}
        names = [name for name in keys if name in required or name in recognized]
        results = {name: _label(where, atoms, recognized, name, keys[name] or name) for name in names}
        if "stress" in results and stress_convention == "vasp":
            results["stress"] = _from_vasp(np.asarray(results["stress"]))
        atoms.calc = SinglePointCalculator(atoms, **results) if results else None
        structures.append(atoms)
    return structures


def _read(path: Path, index: str | int) -> Sequence[Atoms]:
    try:
        kind = filetype(str(path))
    except UnknownFileTypeError:
        kind = "unknown"
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty; expected at least one structure")
    if kind not in ioformats:
        raise ValueError(
            f"{path}: unknown format; expected one that ASE reads, for example extended XYZ (.xyz)"
        )
    if kind == "extxyz":
        check_extxyz(path)
    try:
        frames = ase.io.read(path, index, format=kind, do_not_split_by_at_sign=True)
    except Exception as error:  # ASE has a hundred readers with different errors
        raise ValueError(f"{path}: ASE cannot read it as {kind}: {type(error).__name__}: {error}") from error
    structures = frames if isinstance(frames, list) else [frames]
    if not structures:
        raise ValueError(f"{path}: no structure at index {index!r}")
    return structures


def _label(
    where: str, atoms: Atoms, recognized: Mapping[str, Any], name: str, key: str
) -> float | np.ndarray:
    """A label of one frame, among those that ASE recognised, and its info and arrays."""
    per_atom = atoms.arrays | {k: v for k, v in recognized.items() if len(np.shape(v)) > 1}
    per_structure = atoms.info | {k: v for k, v in recognized.items() if k not in per_atom}
    source = per_atom if name == "forces" else per_structure
    if key not in source:
        raise ValueError(
            f"{where}: no {name} under the key {key!r}; pass its key as {name}_key. Keys present: "
            f"per structure {_listed(per_structure)}; per atom {_listed(per_atom)}"
        )
    try:
        value = np.asarray(source[key], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {name} ({key}): expected numbers, got {source[key]!r}") from error
    sizes = {"energy": (1,), "forces": (3 * len(atoms),), "stress": (6, 9)}[name]
    if value.size not in sizes:
        expected = " or ".join(map(str, sizes))
        raise ValueError(f"{where}: {name} ({key}): expected {expected} numbers, got shape {value.shape}")
    _check_finite(where, f"{name} ({key})", value)
    if name == "energy":
        return float(value.reshape(()))
    return value.reshape(6) if name == "stress" and value.size == 6 else value.reshape(-1, 3)


def _from_vasp(stress: np.ndarray) -> np.ndarray:
    """Convert VASP's stress to ASE's unit, sign and order."""
    order = [0, 1, 2, 4, 5, 3] if stress.size == 6 else slice(None)
    return -0.1 * GPa * stress[order]


def _listed(keys: Iterable[str]) -> str:
    return ", ".join(sorted(set(keys) - {"numbers", "positions"})) or "none"


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

    Raises:
        FileNotFoundError: the file is in neither.
    """
    places = [Path(path), Path(os.environ.get("SYMNETS_DATA", ".")) / path]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(f"{path}: no such file here or in SYMNETS_DATA ({places[1].parent})")
