"""Relax a crystal and run molecular dynamics of water with a published universal potential, SevenNet-0.

    pip install 'symnets[sevennet]'
    python examples/universal_potential.py 7net-0.safetensors runs/universal

The first run converts SevenNet-0 to `7net-0.safetensors`; later runs do not need SevenNet. Then

1. the atoms and the cell of strained, rattled rock salt are relaxed;
2. 27 water molecules, on a lattice with random orientations, are relaxed for 20 steps and simulated for
   0.1 ps at 300 K.

Structures, a trajectory and a log are written to `runs/universal`. A minute or two on one core.
"""

import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from scipy.spatial.transform import Rotation

from symnets.models import from_sevennet, save
from symnets.simulate import SymnetsCalculator, relax, run_md


def salt() -> Atoms:
    """Rock salt with a lattice constant 3 % too large, sheared, and with atoms displaced by about 0.1 Å."""
    atoms = bulk("NaCl", "rocksalt", a=5.8, cubic=True)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.02 * np.eye(3, k=1)), scale_atoms=True)
    atoms.rattle(0.1, seed=0)
    return atoms


def water(n_side: int = 3, spacing: float = 3.1) -> Atoms:
    """Water molecules in random orientations on a cubic lattice, one per 3.1³ Å³: the liquid's density."""
    generator = np.random.default_rng(0)
    one = molecule("H2O").positions - molecule("H2O").get_center_of_mass()
    atoms = Atoms(cell=[n_side * spacing] * 3, pbc=True)
    turns = Rotation.from_quat(generator.normal(size=(n_side**3, 4)))
    for place, turn in zip(np.ndindex(n_side, n_side, n_side), turns, strict=True):
        atoms += Atoms("OH2", positions=turn.apply(one) + spacing * np.array(place))
    return atoms


def main(model: Path, target: Path) -> int:
    """Convert the model if needed, relax, simulate, and print the results."""
    if not model.exists():
        save(from_sevennet("7net-0"), model, extra={"source": "SevenNet-0, 11 July 2024"})
        print(f"wrote {model}")
    calculator = SymnetsCalculator(model)

    crystal = relax(salt(), calculator, cell=True, fmax=0.005, output=target / "NaCl.cif", overwrite=True)
    lengths = ", ".join(f"{length:.3f}" for length in crystal.atoms.cell.lengths())
    angles = ", ".join(f"{angle:.1f}" for angle in crystal.atoms.cell.angles())
    print(f"NaCl: {crystal.n_steps} steps, {crystal.initial_energy:.3f} -> {crystal.energy:.3f} eV")
    print(f"      cell {lengths} Å, {angles}°, {crystal.pressure:.3f} GPa")

    settled = relax(water(), calculator, steps=20).atoms
    files = {"trajectory": target / "water.xyz", "log": target / "water.csv", "overwrite": True}
    run = run_md(settled, calculator, steps=200, ensemble="nvt", temperature=300, **files)
    mean = run.log.tail(10)["temperature"].mean()
    bonds = [run.atoms.get_distance(3 * n, 3 * n + k, mic=True) for n in range(27) for k in (1, 2)]
    print(f"water: {run.n_steps} steps of 0.5 fs, at the end {mean:.0f} K, bonds of {np.mean(bonds):.3f} Å")
    return 0 if crystal.converged else 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
