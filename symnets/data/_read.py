"""Labelled structures from any file that ASE reads: the search for files, and reading with strict checks."""

import glob
import lzma
import os
import zlib
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import ase.build
import ase.io
import numpy as np
from ase import Atoms
from ase.collections import g2
from ase.io.extxyz import key_val_str_to_dict
from ase.io.formats import UnknownFileTypeError, filetype, ioformats
from ase.utils import string2index

from symnets.data._frame_labels import LabelKeys, keys_present, label_frame, missing_label
from symnets.data._read_database import DATABASES, check_database, read_database
from symnets.data._read_hdf5 import read_hdf5
from symnets.data._structure_text import check_extxyz, encoding_of, open_text
from symnets.files import expanded
from symnets.names import nearest

_IN_VASP_ORDER = ([0, 1, 2, 0, 1, 2], [0, 1, 2, 1, 2, 0])
"""Row indices and column indices of stress components in VASP's order: xx, yy, zz, xy, yz, zx."""
_ENDINGS = (".xyz", ".extxyz", ".traj", ".db", ".aselmdb", ".json", ".h5", ".hdf5")
_COMPRESSED = (".gz", ".bz2", ".xz")


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

    A key is searched for among all that a structure carries: the results that ASE recognises, `info`,
    `arrays`, and the key-value pairs and `data` of a database of ASE. Values other than the labels are kept.
    The stress label of a structure that has no stress, such as a molecule, is dropped, see `has_stress`.

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
    keys = LabelKeys(energy_key, forces_key, stress_key, virial_key, stress_convention)
    return [atoms for _, atoms in _read_files([path], index, keys, require)]


def read_files(
    paths: Sequence[Path],
    *,
    energy_key: str | None = None,
    forces_key: str | None = None,
    stress_key: str | None = None,
    virial_key: str | None = None,
    stress_convention: Literal["ase", "vasp"] = "ase",
    require: Iterable[str] | None = None,
) -> list[tuple[str, Atoms]]:
    """All structures of several files, see `find_data_files`, with names such as "data.xyz, frame 3".

    Options and errors are those of `read_structures`; a key that is given must be in some frame of some file.
    """
    keys = LabelKeys(energy_key, forces_key, stress_key, virial_key, stress_convention)
    return _read_files(paths, ":", keys, require)


def _read_files(
    paths: Sequence[Path], index: str | int, keys: LabelKeys, require: Iterable[str] | None
) -> list[tuple[str, Atoms]]:
    """Structures of files with their names, labelled and checked."""
    required = tuple(require or ())
    structures: list[tuple[str, Atoms]] = []
    found, present = set[str](), (set[str](), set[str]())
    per_frame = [key for key in keys.given.values() if key is not None]
    for path in paths:
        in_kbar = keys.stress_convention == "vasp"
        kind, frames = read_frames(path, index, in_kbar=in_kbar, per_frame=per_frame)
        for known, new in zip(present, keys_present(frames), strict=True):
            known.update(new)
        for frame, atoms in enumerate(frames):
            name = f"{path}, frame {frame}"
            found |= label_frame(atoms, keys, where=name, kind=kind, require=required)
            structures.append((name, atoms))
    for name, key in keys.given.items():
        if key is not None and require is None and name not in found:
            frames = f", {len(structures)} frames" if len(structures) > 1 else ""
            per_structure, per_atom = map(sorted, present)
            reason = missing_label(name, key, (per_structure, per_atom))
            raise ValueError(f"{', '.join(map(str, paths))}{frames}: {reason}")
    return structures


def read_frames(
    path: Path, index: str | int, *, in_kbar: bool, per_frame: Collection[str] = ()
) -> tuple[str, list[Atoms]]:
    """Name of the format of a file, and its structures as ASE reads them, with unchecked labels.

    Args:
        path: file of any format that `read_structures` reads.
        index: frames in ASE's syntax.
        in_kbar: whether the stress is in VASP's convention, see `extxyz_options`.
        per_frame: names of data with a row for each frame, see `read_hdf5`.
    """
    kind = format_of(path)
    if kind == "hdf5":
        try:
            return kind, _chosen(read_hdf5(path, per_frame=per_frame), index)
        except OSError as error:
            raise ValueError(f"{path}: cannot be read as HDF5: {error}") from error
    try:
        form = None if kind in DATABASES else ioformats[kind]
        is_text = form is not None and form.acceptsfd and not form.isbinary and not kind.endswith("xml")
        encoding = encoding_of(path) if is_text else None
        if kind == "extxyz":
            check_extxyz(path)
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise _damaged(path, error) from error
    options = extxyz_options(in_kbar=in_kbar) if kind == "extxyz" else {}
    try:
        if kind in DATABASES:
            frames = _chosen(read_database(path), index)
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


def format_of(path: Path) -> str:
    """ASE's name of the format of a file, or "hdf5"; databases are checked, see `check_database`.

    Raises:
        ValueError: an empty file, an unknown format, or a damaged or locked file.
    """
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty; expected at least one structure")
    if path.suffix in (".h5", ".hdf5"):
        return "hdf5"
    try:
        kind = "aselmdb" if path.suffix == ".aselmdb" else filetype(str(path))
        if kind in DATABASES:
            check_database(path)
        elif kind not in ioformats:
            raise UnknownFileTypeError(kind)
    except UnknownFileTypeError as error:
        raise ValueError(
            f"{path}: unknown format; expected one that ASE reads, for example extended XYZ (.xyz)"
        ) from error
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise _damaged(path, error) from error
    return kind


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path}: cannot be decompressed: {error}; the file is truncated or damaged")


def _chosen(structures: list[Atoms], index: str | int) -> list[Atoms]:
    """The structures that an index in ASE's syntax selects."""
    chosen: Any = string2index(index) if isinstance(index, str) else index
    return structures[chosen] if isinstance(chosen, slice) else [structures[chosen]]


def extxyz_options(*, in_kbar: bool) -> dict[str, Any]:
    """Options of ASE's reader of extended XYZ; with `in_kbar` a stress is in VASP's convention."""
    return {"properties_parser": _parse_vasp} if in_kbar else {}


def _parse_vasp(comment: str) -> dict[str, Any]:
    """Values of the second line of a frame, with a stress of 9 numbers reduced to 6 in VASP's order."""
    values = key_val_str_to_dict(comment)
    if np.shape(values.get("stress")) == (3, 3):
        values["stress"] = values["stress"][_IN_VASP_ORDER]
    return values


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

    The latter is the folder that the environment variable SYMNETS_DATA names, if it is set. `~` and
    environment variables in the path are replaced, see `symnets.files.expanded`.

    Raises:
        FileNotFoundError: the file is in neither.
        ValueError: an environment variable in the path is not set.
    """
    if expanded(path).is_dir():
        raise FileNotFoundError(f"{path}: expected a file, got a folder")
    for place in _places(path):
        if place.is_file():
            return place
    raise FileNotFoundError(f"{path}: there is no such file{_searched_places(path)}")


def find_data_files(paths: str | Sequence[str]) -> list[Path]:
    """Files of structures, given by paths, by globs such as `runs/*/OUTCAR`, or by their folders.

    A relative path is searched for as in `find_data`. In a glob, `**` stands for any folders. A folder stands
    for the files in it, not in folders below, whose names end with .xyz, .extxyz, .traj, .db, .aselmdb,
    .json, .h5 or .hdf5, compressed or not. The files of a glob or a folder are in alphabetical order, without
    hidden ones. A file that occurs several times is returned once.

    Raises:
        FileNotFoundError: there is no such file, no file matches a glob, or a folder contains none.
        ValueError: no path, or an environment variable in a path is not set.
    """
    if not paths:
        raise ValueError("paths: expected at least one file, folder or glob, got none")
    files: dict[Path, Path] = {}
    for path in [paths] if isinstance(paths, str) else paths:
        for file in _files(path):
            files.setdefault(file.resolve(), file)
    return list(files.values())


def _files(path: str) -> list[Path]:
    """Files that one path, glob or folder stands for."""
    for place in _places(path):
        if place.is_file():
            return [place]
        if place.is_dir():
            if files := sorted(file for file in place.iterdir() if _has_structures(file)):
                return files
            raise FileNotFoundError(
                f"{path}: the folder has no file that ends with {', '.join(_ENDINGS)}, compressed or not; "
                f"name its files by a glob such as {Path(path) / '*'}"
            )
        if glob.has_magic(path):
            matches = map(Path, sorted(glob.glob(str(place), recursive=True)))
            # LMDB has a file of locks beside each database.
            if files := [file for file in matches if file.is_file() and file.suffix != ".aselmdb-lock"]:
                return files
    what = "no file matches it" if glob.has_magic(path) else "there is no such file or folder"
    raise FileNotFoundError(f"{path}: {what}{_searched_places(path)}")


def _has_structures(file: Path) -> bool:
    """Whether a file in a folder has the name of a file of structures."""
    name = file.name.lower()
    for ending in _COMPRESSED:
        name = name.removesuffix(ending)
    return name.endswith(_ENDINGS) and not name.startswith(".") and file.is_file()


def _places(path: str) -> list[Path]:
    """Places where a path may be: here, and in the folder SYMNETS_DATA."""
    place, root = expanded(path), os.environ.get("SYMNETS_DATA")
    return [place] if place.is_absolute() or not root else [place, expanded(root) / place]


def _searched_places(path: str) -> str:
    """End of the message that a path was not found: where it was searched for."""
    if expanded(path).is_absolute():
        return ""
    root = os.environ.get("SYMNETS_DATA")
    return f" in the current folder, {Path.cwd()}" + (f", or in SYMNETS_DATA, {root}" if root else "")
