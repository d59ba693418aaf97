"""Structures as a simulation writes them: with all data they had before, except old labels."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

_SETTINGS = {"weight", "weights", "cutoff", "unit", "units", "tolerance", "threshold", "initial"}
_RESULTS = {"dipole", "magmom", "magmoms", "polarization"}


def different(**files: str | os.PathLike[str] | None) -> dict[str, Path]:
    """Paths of those files that are not None, by name of the option; they must be different.

    Raises:
        ValueError: two of them are the same.
    """
    paths = {name: Path(path).expanduser() for name, path in files.items() if path is not None}
    if len({path.absolute() for path in paths.values()}) < len(paths):
        raise ValueError(
            f"{', '.join(paths)}: expected two files, got {' and '.join(map(str, paths.values()))}"
        )
    return paths


def without_labels(atoms: Atoms) -> Atoms:
    """Copy of a structure without calculator, and without old labels among its `info` and arrays.

    A label is an entry whose key contains "energy", "forces", "stress" or "virial", such as `REF_energy` or
    `dft_forces`, and whose size fits that quantity. Results of ASE's calculators such as `dipole` are labels,
    too.
    """
    copy = atoms.copy()
    n = len(atoms)
    copy.info = _without_labels(copy.info, n)
    for name in [name for name, value in copy.arrays.items() if _is_label(name, value, n)]:
        del copy.arrays[name]
    return copy


def _without_labels(info: dict[str, Any], n_atoms: int) -> dict[str, Any]:
    """A dictionary without labels, at any level: ASE's databases give nested dictionaries."""
    return {
        name: _without_labels(value, n_atoms) if isinstance(value, dict) else value
        for name, value in info.items()
        if not _is_label(name, value, n_atoms)
    }


def _is_label(name: str, value: Any, n_atoms: int) -> bool:
    words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", str(name)).lower())
    if _SETTINGS & set(words):
        return False
    try:
        array = np.asarray(value)
    except ValueError:  # a ragged list
        return False
    if array.dtype.kind not in "iuf":
        return False
    sizes = {
        "energy": {1},
        "energies": {1, n_atoms},
        "force": {3 * n_atoms},
        "forces": {3 * n_atoms},
        "stress": {6, 9},
        "stresses": {6 * n_atoms, 9 * n_atoms},
        "virial": {6, 9},
        "virials": {6, 9, 6 * n_atoms, 9 * n_atoms},
    }
    if any(array.size in sizes[word] for word in words if word in sizes):
        return True
    return name == "charges" or bool(words and words[-1] in _RESULTS)


def snapshot(atoms: Atoms, tensors: Mapping[str, np.ndarray] | None = None, **info: int | float) -> Atoms:
    """Copy of a structure with energy, forces and stress of its calculator, and additional `info`.

    A `dipole` among the tensors becomes a result of the calculator, as in ASE; the others go to `info`.
    """
    frame, tensors = atoms.copy(), dict(tensors or {})
    dipole = {name: tensors.pop(name) for name in ("dipole",) if name in tensors}
    frame.info.update(info | tensors)
    if atoms.calc is not None:
        kept = ("energy", "forces", "stress")
        results = {name: value for name, value in atoms.calc.results.items() if name in kept} | dipole
        frame.calc = SinglePointCalculator(frame, **results)
    return frame
