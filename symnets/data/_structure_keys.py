"""Keys of all that ASE structures carry, and the mark of isolated atoms."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.extxyz import per_atom_properties

_OPTIONS = {"stress": "stress_key or virial_key"}


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
        # In databases, `info` contains forces, too. For three atoms an array (3, 3) may as well be a stress.
        if len(atoms) != 3:
            per_atom |= {
                str(key)
                for key, value in atoms.info.items()
                if isinstance(value, np.ndarray) and value.shape == (len(atoms), 3)
            }
    return sorted(per_structure - per_atom), sorted(per_atom - {"numbers", "positions"})


def values_by_key(atoms: Atoms, *, per_atom: bool) -> dict[str, Any]:
    """All values that a structure carries, by key.

    If `info` and `arrays` have the same key, the value is that of `arrays` if `per_atom`, else of `info`.
    """
    results = atoms.calc.results if isinstance(atoms.calc, SinglePointCalculator) else {}
    info = {str(key): value for key, value in atoms.info.items()}
    return {**info, **atoms.arrays, **results} if per_atom else {**atoms.arrays, **info, **results}


def missing_label(name: str, key: str, present: tuple[list[str], list[str]]) -> str:
    """Message that no label is under a key, with the keys that are present."""
    per_structure, per_atom = (", ".join(keys) or "none" for keys in present)
    option = _OPTIONS.get(name, f"{name}_key")
    return (
        f"no {name} under the key {key!r}; pass its key as {option}. Keys present: "
        f"per structure {per_structure}; per atom {per_atom}"
    )


def is_isolated_atom(atoms: Atoms) -> bool:
    """Whether a structure is marked as an isolated atom, by `config_type=IsolatedAtom` or `isolated_atom`."""
    kind = atoms.info.get("config_type")
    return isinstance(kind, str) and kind.replace("_", "").lower() == "isolatedatom"
