"""Labels of one frame of a file: taken from their keys, checked, converted to eV, Å and ASE's signs."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols
from ase.io.extxyz import per_atom_properties
from ase.units import GPa

from symnets.data._graph import LABELS, has_stress

_OPTIONS = {"stress": "stress_key or virial_key"}
_PLURAL = {"energy": "energies"}


@dataclass(frozen=True)
class LabelKeys:
    """Keys of the labels of a file, and convention of its stress, as in `read_structures`.

    Raises:
        ValueError: an unknown convention, or keys that contradict each other.
    """

    energy_key: str | None = None
    forces_key: str | None = None
    stress_key: str | None = None
    virial_key: str | None = None
    stress_convention: Literal["ase", "vasp"] = "ase"

    def __post_init__(self) -> None:
        stress_key, convention = self.stress_key, self.stress_convention
        if convention not in ("ase", "vasp"):
            raise ValueError(f'stress_convention: expected "ase" or "vasp", got {convention!r}')
        if stress_key is not None and "virial" in stress_key.lower() and "stress" not in stress_key.lower():
            raise ValueError(
                f"stress_key: {stress_key!r} is the name of a virial, an energy in eV; pass it as "
                "virial_key, or rename it in the file if it is a stress"
            )
        if self.virial_key is not None and (stress_key is not None or convention != "ase"):
            other = "stress_key" if stress_key is not None else f"stress_convention {convention}"
            raise ValueError(
                f"virial_key: expected without {other}; the stress is -virial / volume, with the virial in eV"
            )

    @property
    def given(self) -> dict[str, str | None]:
        """Key of each label, by the name of the label; None for the key that ASE recognises."""
        return {
            "energy": self.energy_key,
            "forces": self.forces_key,
            "stress": self.virial_key or self.stress_key,
        }


def label_frame(
    atoms: Atoms, keys: LabelKeys, *, where: str, kind: str = "", require: Collection[str] = ()
) -> set[str]:
    """Check a frame as ASE read it, and give it its labels in a new `SinglePointCalculator`.

    A label whose numbers are all NaN counts as missing.

    Args:
        atoms: the frame, which is changed.
        keys: keys and convention of its labels.
        where: name of the frame for error messages.
        kind: ASE's name of the format.
        require: labels that it must have, see `read_structures`.

    Returns:
        names of the labels that the frame has, including a stress that is dropped, see `has_stress`.

    Raises:
        ValueError: see `read_structures`.
    """
    _check_frame(where, atoms)
    recognized = atoms.calc.results if isinstance(atoms.calc, SinglePointCalculator) else {}
    results: dict[str, Any] = {}
    found: set[str] = set()
    for name, given in keys.given.items():
        key = given or name
        values = recognized if given is None else values_by_key(atoms, per_atom=name == "forces")
        if name == "stress" and key in values and not has_stress(atoms.cell.array, atoms.pbc):
            found.add(name)  # its numbers are not checked, because it is dropped
            continue
        value = _label(where, len(atoms), name, key, values[key]) if key in values else None
        if value is None:
            if name in require and _is_due(name, atoms):
                reason = missing_label(name, key, keys_present([atoms]))
                if key in values:
                    reason = f"{name} ({key}): expected a number, got NaN"
                raise ValueError(f"{where}: {reason}; if the training needs none, set loss.{name} to 0")
            continue
        found.add(name)
        if name == "stress":
            if keys.virial_key is not None:
                value = -value / atoms.cell.volume
            elif keys.stress_convention == "vasp":
                if key in recognized and kind != "extxyz":
                    raise ValueError(
                        f"{where}: expected a stress in VASP's convention, but ASE has converted that of the "
                        f"format {kind} to eV/Å³ and its own sign; leave stress_convention at ase"
                    )
                value = _from_vasp(value)
        results[name] = float(value) if name == "energy" else value
    others = {name: value for name, value in recognized.items() if name not in LABELS}
    atoms.calc = SinglePointCalculator(atoms, **results) if results or others else None
    if atoms.calc is not None:
        atoms.calc.results.update(others)  # some have names that its constructor does not take
    return found


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


def _is_due(name: str, atoms: Atoms) -> bool:
    """Whether a structure must have a label that is required."""
    if is_isolated_atom(atoms):
        return name == "energy"
    # Slabs and wires have a stress too, but many codes do not print it.
    return name != "stress" or bool(atoms.pbc.all() and has_stress(atoms.cell.array, atoms.pbc))


def _label(where: str, n_atoms: int, name: str, key: str, given: Any) -> np.ndarray | None:
    """A label as an array of shape (), (atoms, 3), (6,) or (3, 3); None if all its numbers are NaN."""
    try:
        value = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {name} ({key}): expected numbers, got {given!r}") from error
    sizes = {"energy": (1,), "forces": (3 * n_atoms,), "stress": (6, 9)}[name]
    if value.size not in sizes:
        expected = " or ".join(map(str, sizes))
        raise ValueError(f"{where}: {name} ({key}): expected {expected} numbers, got shape {value.shape}")
    if np.isnan(value).all():
        return None
    _check_finite(where, f"{name} ({key})", value)
    if name == "energy":
        return value.reshape(())
    return value.reshape(6) if name == "stress" and value.size == 6 else value.reshape(-1, 3)


def _from_vasp(stress: np.ndarray) -> np.ndarray:
    """Convert a stress from VASP's convention (kbar, positive under compression) to ASE's."""
    order = [0, 1, 2, 4, 5, 3] if stress.size == 6 else slice(None)
    return -0.1 * GPa * stress[order]


def _check_finite(where: str, name: str, value: np.ndarray) -> None:
    if not np.isfinite(value).all():
        row = f" in row {int(np.argwhere(~np.isfinite(value))[0, 0])}" if value.ndim > 1 else ""
        raise ValueError(f"{where}: {name}: expected finite numbers, got NaN or infinity{row}")


def keys_present(structures: Iterable[Atoms]) -> tuple[list[str], list[str]]:
    """Keys of all data of structures: those of data per structure, and those of data per atom.

    They are the keys of `info`, of the calculator's results, and of `arrays` without numbers and positions.
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
    option = _OPTIONS.get(name, f"{name}_key")
    return f"no {name} under the key {key!r}; pass its key as {option}. {keys_in_words(present)}"


def keys_in_words(present: tuple[list[str], list[str]]) -> str:
    """End of a message that data are missing: the keys that are present, see `keys_present`."""
    per_structure, per_atom = (", ".join(keys) or "none" for keys in present)
    return f"Keys present: per structure {per_structure}; per atom {per_atom}"


def is_isolated_atom(atoms: Atoms) -> bool:
    """Whether a structure is marked as an isolated atom, by `config_type=IsolatedAtom` or `isolated_atom`."""
    kind = atoms.info.get("config_type")
    return isinstance(kind, str) and kind.replace("_", "").lower() == "isolatedatom"


def count_labels(labelled: Iterable[Collection[str]]) -> dict[str, int]:
    """Numbers of structures with energy, forces and stress, from the names of the labels of each."""
    counts: dict[str, int] = dict.fromkeys(LABELS, 0)
    for names in labelled:
        for name in LABELS:
            counts[name] += name in names
    return counts


def counts_in_words(counts: Mapping[str, int], n_structures: int) -> str:
    """Counts of labels in words, such as "energies of 812 of 1,000 frames, forces of 640".

    Labels that no structure has are left out.
    """
    present = [(_PLURAL.get(name, name), count) for name, count in counts.items() if count]
    if not present:
        return f"none in {n_structures:,} frame{'' if n_structures == 1 else 's'}"
    (name, count), *others = present
    frames = "frame" if n_structures == 1 else "frames"
    first = f"{name} of {count:,} of {n_structures:,} {frames}"
    return ", ".join([first, *(f"{name} of {count:,}" for name, count in others)])
