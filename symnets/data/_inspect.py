"""Summary of a data set of structures, with suspicious structures listed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms

from symnets.data._duplicates import duplicates
from symnets.data._frame_labels import count_labels, is_isolated_atom, keys_present
from symnets.data._graph import has_stress, read_labels
from symnets.data._neighbors import neighbors
from symnets.data._statistics import suspicious_labels


@dataclass(frozen=True)
class DatasetSummary:
    """Summary of a list of structures; suspicious structures are listed by their indices."""

    n_structures: int
    n_atoms: tuple[int, int]
    """Numbers of atoms of the smallest and the largest structure."""
    species: dict[str, int]
    """Number of atoms of each species."""
    formulas: dict[str, int]
    """Number of structures of each formula, the most frequent first."""
    periodic: dict[str, int]
    """Number of structures by periodic lattice vectors: "abc", "ab", ..., "none"."""
    labelled: dict[str, int]
    """Numbers of structures with energy, forces and stress."""
    config_types: dict[str, int]
    """Number of structures by the entry `config_type` of their `info`; "none" without it."""
    n_with_stress: int
    """Number of structures that have a stress, labelled or not, see `has_stress`."""
    isolated: dict[str, int]
    """Number of structures marked as isolated atoms by their symbol, see `is_isolated_atom`."""
    structure_keys: tuple[str, ...]
    """Keys of data per structure that at least one structure has."""
    atom_keys: tuple[str, ...]
    """Keys of data per atom that at least one structure has."""
    energy_per_atom: tuple[float, float]
    """Smallest and largest energy per atom, eV; NaN without energies."""
    force_rms: float
    """Root mean square of the force components, eV/Å; NaN without forces."""
    force_max: float
    """Largest magnitude of a force component, eV/Å; NaN without forces."""
    stress_rms: float
    """Root mean square of the stress components, eV/Å³; NaN without stress."""
    stress_max: float
    """Largest magnitude of a stress component, eV/Å³; NaN without stress."""
    neighbors: tuple[float, int, int]
    """Mean, minimum and maximum number of neighbours of an atom."""
    shortest: float
    """Shortest distance between neighbours, Å; infinite if there are none."""
    duplicates: list[tuple[int, int]] = field(default_factory=list)
    """Pairs (structure, earlier structure that it equals), see `symnets.data.duplicates`."""
    too_close: list[int] = field(default_factory=list)
    """Structures with a pair of atoms closer than the distance `too_close` of `summarize`."""
    disconnected: list[int] = field(default_factory=list)
    """Structures of several atoms in which some atom has no neighbour."""
    refused: list[int] = field(default_factory=list)
    """Structures that `neighbors` does not accept."""
    first_refusal: str = ""
    """Error message of `neighbors` for the first structure in `refused`."""
    suspicious: list[str] = field(default_factory=list)
    """Sentences on labels whose size suggests a wrong unit, see `suspicious_labels`."""


def summarize(
    structures: Sequence[Atoms],
    cutoff: float,
    *,
    too_close: float = 0.5,
    names: Sequence[str] | None = None,
) -> DatasetSummary:
    """Summarise structures, including those that `neighbors` does not accept.

    Args:
        structures: as returned by `read_structures`.
        cutoff: cutoff of neighbours, Å.
        too_close: distance in Å below which two atoms are suspicious.
        names: names of the structures in the sentences of `suspicious`; by default their indices.

    Raises:
        ValueError: no structure.
    """
    if not structures:
        raise ValueError("structures: expected at least one, got none")
    labels = [read_labels(atoms) for atoms in structures]
    per_structure, per_atom = keys_present(structures)
    energies = [
        found["energy"].item() / len(atoms)
        for atoms, found in zip(structures, labels, strict=True)
        if "energy" in found
    ]
    forces, stress = (
        np.concatenate([found[name].ravel() for found in labels if name in found] or [np.full(1, np.nan)])
        for name in ("forces", "stress")
    )
    suspects: dict[str, list[int]] = {"too_close": [], "disconnected": [], "refused": []}
    counts, shortest, first_refusal = [], np.inf, ""
    for index, atoms in enumerate(structures):
        try:
            (sender, receiver), shift = neighbors(atoms.positions, atoms.cell.array, atoms.pbc, cutoff)
        except ValueError as error:
            suspects["refused"].append(index)
            first_refusal = first_refusal or str(error)
            continue
        count = np.bincount(receiver, minlength=len(atoms))
        counts.append(count)
        if len(atoms) > 1 and count.min() == 0:
            suspects["disconnected"].append(index)
        if len(receiver):
            vectors = atoms.positions[sender] - atoms.positions[receiver] + shift.numpy() @ atoms.cell.array
            closest = float(np.linalg.norm(vectors, axis=1).min())
            shortest = min(shortest, closest)
            if closest < too_close:
                suspects["too_close"].append(index)
    all_counts = np.concatenate(counts or [np.zeros(1, dtype=int)])
    sizes = [len(atoms) for atoms in structures]
    return DatasetSummary(
        n_structures=len(structures),
        n_atoms=(min(sizes), max(sizes)),
        species=dict(sorted(Counter(symbol for atoms in structures for symbol in atoms.symbols).items())),
        formulas=dict(Counter(atoms.get_chemical_formula() for atoms in structures).most_common()),
        periodic=dict(Counter(_axes(atoms) for atoms in structures).most_common()),
        labelled=count_labels(labels),
        config_types=dict(Counter(str(atoms.info.get("config_type", "none")) for atoms in structures)),
        n_with_stress=sum(bool(has_stress(atoms.cell.array, atoms.pbc)) for atoms in structures),
        isolated=dict(
            sorted(Counter(str(atoms.symbols[0]) for atoms in structures if is_isolated_atom(atoms)).items())
        ),
        structure_keys=tuple(per_structure),
        atom_keys=tuple(per_atom),
        energy_per_atom=(min(energies, default=np.nan), max(energies, default=np.nan)),
        force_rms=float(np.sqrt(np.mean(forces**2))),
        force_max=float(np.abs(forces).max()),
        stress_rms=float(np.sqrt(np.mean(stress**2))),
        stress_max=float(np.abs(stress).max()),
        neighbors=(float(all_counts.mean()), int(all_counts.min()), int(all_counts.max())),
        shortest=shortest,
        first_refusal=first_refusal,
        duplicates=duplicates(structures),
        suspicious=suspicious_labels(structures, names),
        **suspects,
    )


def _axes(atoms: Atoms) -> str:
    return "".join(axis for axis, periodic in zip("abc", atoms.pbc, strict=True) if periodic) or "none"
