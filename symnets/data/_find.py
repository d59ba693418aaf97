"""Search for structures: files, globs and folders by path, and molecules by name."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

import ase.build
from ase import Atoms
from ase.collections import g2

from symnets.data._read import read_structures
from symnets.files import expanded
from symnets.names import nearest

_ENDINGS = (".xyz", ".extxyz", ".traj", ".db", ".aselmdb", ".json", ".h5", ".hdf5")
_COMPRESSED = (".gz", ".bz2", ".xz")


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
    raise FileNotFoundError(f"{path}: there is no such file{_sought(path)}")


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
    raise FileNotFoundError(f"{path}: {what}{_sought(path)}")


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


def _sought(path: str) -> str:
    """End of the message that a path was not found: where it was searched for."""
    if expanded(path).is_absolute():
        return ""
    root = os.environ.get("SYMNETS_DATA")
    return f" in the current folder, {Path.cwd()}" + (f", or in SYMNETS_DATA, {root}" if root else "")
