"""Stress of mlearn's germanium: find its sign, unit and order, then write extended XYZ.

    python examples/germanium_stress.py $SYMNETS_DATA/mlearn_Ge runs/germanium

The data have `virial_stress_raw`, six numbers without unit. Their group "Elastic" consists of 64-atom
crystals strained along six paths at fixed fractional coordinates. Along such a path the energy changes by the
work of the stress,

    dE = V Σ_ab σ_ab (F⁻¹ dF)_ab,   cell = cell of the unstrained crystal · F,

so energies alone, without any model, determine sign, unit and order. The script assumes VASP's
convention (kbar, positive under compression, xx yy zz xy yz zx), compares the work of every step with the
difference of energy, and writes nothing if they disagree.
"""

import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from ase import Atoms
from rich.console import Console
from rich.table import Table

from symnets.data import read_structures, write_structures

PATHS = {"xx": (0, 0), "yy": (1, 1), "zz": (2, 2), "xy": (1, 0), "yz": (2, 1), "zx": (2, 0)}


def strain_paths(structures: Sequence[Atoms]) -> dict[str, list[Atoms]]:
    """The strained crystals of each path, ordered by strain, with the unstrained one among them."""
    elastic = [atoms for atoms in structures if atoms.info.get("group") == "Elastic"]
    edge = np.median([atoms.cell.lengths() for atoms in elastic])
    paths: dict[str, list[Atoms]] = {name: [] for name in PATHS}
    for atoms in elastic:
        strain = atoms.cell.array / edge - np.eye(3)
        largest = np.unravel_index(abs(strain).argmax(), (3, 3))
        for name, element in PATHS.items():
            if element == largest or abs(strain).max() < 1e-4:
                paths[name].append(atoms)
    for name, element in PATHS.items():
        paths[name].sort(key=lambda atoms, element=element: atoms.cell.array[element])
    return paths


def work_and_energy(path: Sequence[Atoms]) -> tuple[np.ndarray, np.ndarray]:
    """Work of the stress and difference of energy in eV for each step of a path.

    The work is the trapezoidal rule between neighbours; the increment F⁻¹ dF is taken at their middle.
    """
    work, energy = [], []
    for first, last in pairwise(path):
        middle = (first.cell.array + last.cell.array) / 2
        step = np.linalg.solve(middle, last.cell.array - first.cell.array)
        force = sum(atoms.get_volume() * atoms.get_stress(voigt=False) for atoms in (first, last)) / 2
        work.append(float((force * step).sum()))
        energy.append(last.get_potential_energy() - first.get_potential_energy())
    return np.array(work), np.array(energy)


def main(source: Path, target: Path) -> int:
    """Check, print the comparison, and write `train.xyz` and `test.xyz`."""
    stress = {"stress_key": "virial_stress_raw", "stress_convention": "vasp"}
    files = {name: read_structures(source / name, **stress) for name in ("train.xyz", "test.xyz")}
    table = Table("path", "steps", "energy, eV", "work / energy", "largest error of a step, eV")
    ratios = []
    for name, path in strain_paths([atoms for structures in files.values() for atoms in structures]).items():
        work, energy = work_and_energy(path)
        ratios.append(float(work @ energy / (energy @ energy)))
        numbers = (f"{np.ptp(np.cumsum(energy)):.2f}", f"{ratios[-1]:.4f}", f"{abs(work - energy).max():.3f}")
        table.add_row(name, str(len(work)), *numbers)
    Console().print(table)
    if max(abs(ratio - 1) for ratio in ratios) > 0.05:
        raise SystemExit("the work of the stress differs from the energy differences; nothing was written")
    for name, structures in files.items():
        for atoms in structures:
            del atoms.info["virial_stress_raw"]
        write_structures(target / name, structures)
        print(f"wrote {target / name}: {len(structures)} structures with energy, forces and stress")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
