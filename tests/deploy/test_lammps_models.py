"""LAMMPS with exported potentials: the same frames as in Python, on any number of processes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk

from symnets.deploy import export
from symnets.models import MACE, Compiled, ForceField, Invariant, NequIP, SevenNet, WithZBL
from symnets.simulate import SymnetsCalculator, compile
from tests.deploy.lammps import ENERGY, Frames, Lammps

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[2] / "examples" / "lammps"
NVE = "timestep 0.001\nfix motion all nve\nrun 100\n" + ENERGY
SMALL = {"cutoff": 3.5, "channels": 4, "layers": 3, "radial_hidden": (4,), "mean_neighbors": 10.0}
MODELS: dict[str, Callable[[], torch.nn.Module]] = {
    "NequIP": lambda: NequIP(["H", "O"], lmax=2, parity=False, **SMALL),
    "NequIP, parity": lambda: NequIP(["H", "O"], lmax=1, parity=True, **SMALL),
    "MACE": lambda: MACE(["H", "O"], lmax=2, correlation=2, **{**SMALL, "layers": 2}),
    "Invariant": lambda: Invariant(["H", "O"], lmax=2, **{**SMALL, "layers": 2}),
    "SevenNet": lambda: SevenNet(
        ["H", "O"], cutoff=3.5, irreps=("4x0e", "4x0e+4x1e", "4x0e+4x1e", "4x0e"), lmax=1, radial_hidden=(4,)
    ),
    "ZBL": lambda: WithZBL(NequIP(["H", "O"], lmax=1, **SMALL)),
}


def compiled(energy_model: torch.nn.Module, dtype: torch.dtype = torch.float32) -> Compiled:
    return compile(ForceField(energy_model).eval().to(dtype))


def water(repeats: int = 2) -> Atoms:
    """Molecules of water in a triclinic cell, with velocities."""
    molecule = Atoms("OH2", [[0, 0, 0], [0.757, 0.586, 0], [-0.757, 0.586, 0]])
    molecule.set_cell(np.array([[3.1, 0, 0], [0.3, 3.1, 0], [0.4, -0.2, 3.1]]))
    molecule.pbc = True
    atoms = molecule.repeat(repeats)
    atoms.rattle(0.05, seed=1)
    momenta = (
        np.random.default_rng(2).normal(scale=0.02, size=(len(atoms), 3))
        * np.sqrt(atoms.get_masses())[:, None]
    )
    atoms.set_momenta(momenta * np.sqrt(units.kB * 300) / 0.02)
    return atoms


def in_python(model: Compiled, atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Energy, forces, energies of atoms and virial (xx, yy, zz, xy, xz, yz) of the calculator."""
    atoms = atoms.copy()
    atoms.calc = SymnetsCalculator(model)
    stress = atoms.get_stress()[[0, 1, 2, 5, 4, 3]]
    return (
        atoms.get_potential_energy(),
        atoms.get_forces(),
        atoms.get_potential_energies(),
        -stress * atoms.get_volume(),
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_frame_is_that_of_the_calculator(name, lammps: Lammps, tmp_path):
    """In float32, whose rounding is different in both."""
    torch.manual_seed(0)
    model = compiled(MODELS[name]())
    library = export(model, tmp_path / "libmodel.so")
    atoms = water()
    energy, forces, energies, virial = in_python(model, atoms)
    for ranks in (1, 2):
        got = lammps.frames(tmp_path, atoms, f"symnets {library}", "* * H O", ranks=ranks)
        assert got.energies[0] == pytest.approx(energy, rel=1e-6, abs=1e-6)
        np.testing.assert_allclose(got.forces, forces, atol=5e-6)
        np.testing.assert_allclose(got.atom_energies, energies, atol=5e-6)
        np.testing.assert_allclose(got.virials[0], virial, rtol=1e-6, atol=5e-5)


def test_float64_agrees_to_rounding(lammps: Lammps, tmp_path):
    torch.manual_seed(0)
    model = compiled(MODELS["NequIP"](), torch.float64)
    library = export(model, tmp_path / "libmodel.so")
    energy, forces, _, virial = in_python(model, water())
    got = lammps.frames(tmp_path, water(), f"symnets {library}", "* * H O", ranks=2)
    assert got.energies[0] == pytest.approx(energy, rel=1e-12)
    np.testing.assert_allclose(got.forces, forces, atol=1e-10)
    np.testing.assert_allclose(got.virials[0], virial, atol=1e-9)


def test_processes_agree_after_a_hundred_steps(lammps: Lammps, tmp_path):
    """Copper at 600 K; the difference is rounding to float32."""
    torch.manual_seed(0)
    library = export(
        compiled(WithZBL(NequIP(["Cu"], cutoff=4.0, channels=8, layers=3))), tmp_path / "libcu.so"
    )
    atoms = bulk("Cu", cubic=True).repeat(3)
    momenta = np.random.default_rng(0).normal(size=(len(atoms), 3)) * np.sqrt(63.5 * units.kB * 600)
    atoms.set_momenta(momenta - momenta.mean(0))
    runs: dict[int, Frames] = {}
    for ranks in (1, 2, 4):
        runs[ranks] = lammps.frames(
            tmp_path, atoms, f"symnets {library}", "* * Cu", NVE, ranks=ranks, every=100
        )
    for ranks in (2, 4):
        assert runs[ranks].energies[0] == pytest.approx(runs[1].energies[0], rel=1e-6)
        difference = runs[ranks].positions - runs[1].positions
        difference -= np.round(difference / atoms.cell.lengths()) * atoms.cell.lengths()
        assert np.abs(difference).max() <= 1e-6 * atoms.cell.lengths().max()


def test_example_of_copper_runs(lammps: Lammps, tmp_path):
    torch.manual_seed(0)
    export(compiled(NequIP(["Cu"], cutoff=4.0, channels=4, layers=2)), tmp_path / "libcopper.so")
    done = lammps.run(
        tmp_path, (EXAMPLES / "in.copper").read_text().replace("index 100", "index 20"), ranks=2
    )
    assert done.returncode == 0, done.stdout
    assert "ns/day" in done.stdout


def test_example_of_water_runs(lammps: Lammps, tmp_path):
    torch.manual_seed(0)
    export(compiled(WithZBL(NequIP(["H", "O"], cutoff=3.5, channels=4, layers=2))), tmp_path / "libwater.so")
    shutil.copy(EXAMPLES / "water.mol", tmp_path)
    done = lammps.run(
        tmp_path, (EXAMPLES / "in.water").read_text().replace("index 1000", "index 50"), ranks=2
    )
    assert done.returncode == 0, done.stdout
    last = done.stdout.partition("Loop time")[2].partition("Loop time")[0].strip().splitlines()[-1].split()
    assert np.isfinite(np.array(last, float)).all()
    assert float(last[-1]) != pytest.approx(1.0, abs=1e-6)  # the density changes
