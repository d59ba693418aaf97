"""Files and structures by the names a user gives them."""

import difflib
import os
from pathlib import Path

import ase.build
from ase import Atoms
from ase.collections import g2

from symnets.data.read import read_structures


def find_structure(name: str | os.PathLike[str]) -> Atoms:
    """The last structure of a file that ASE reads, or a molecule by its name in `ase.build.molecule`.

    Raises:
        FileNotFoundError: neither; the message gives the nearest names.
        ValueError: a file that cannot be read.
    """
    if Path(name).exists():
        return read_structures(name, index="-1")[0]
    try:
        return ase.build.molecule(str(name))
    except KeyError:
        near = difflib.get_close_matches(str(name), g2.names)
        hint = f"; the nearest molecules are {', '.join(near)}" if near else " such as CH3CH2OH or C6H6"
        raise FileNotFoundError(
            f"structure: {name} is neither a file nor a molecule of ase.build.molecule{hint}"
        ) from None


def find_data(path: str) -> Path:
    """A file here, or in the folder SYMNETS_DATA."""
    places = [Path(path), Path(os.environ.get("SYMNETS_DATA", ".")) / path]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(f"{path}: no such file here or in SYMNETS_DATA ({places[1].parent})")
