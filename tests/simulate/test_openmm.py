"""Molecular dynamics by OpenMM with a symnets potential, as docs/how-to/openmm.md describes it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulate.programs import code_blocks, install, save_potential

pytestmark = pytest.mark.slow
OPENMM = "openmm==8.6.1"
CHECK = """
import numpy as np
from ase.build import bulk, molecule
from openmm import Platform, VerletIntegrator, unit
from openmm.openmm import Context, MonteCarloBarostat
from openmm_force import EV, reduce_cell, system_of

from symnets.models import ForceField, NequIP
from symnets.simulate import SymnetsCalculator

def context_of(atoms, system):
    integrator = VerletIntegrator(0.5 * unit.femtosecond)
    context = Context(system, integrator, Platform.getPlatformByName("Reference"))
    context.setPositions(atoms.positions * unit.angstrom)
    context.setVelocitiesToTemperature(50 * unit.kelvin, 1)
    return context, integrator

# A crystal in left-handed vectors that are sheared by more than half of others.
sheared = bulk("C")
sheared.rattle(0.05)
sheared.calc = SymnetsCalculator("fast.safetensors")
energy, sizes = sheared.get_potential_energy(), np.linalg.norm(sheared.get_forces(), axis=1)
sheared.set_cell(np.array([[1, 0, 0], [-3, 1, 0], [2, 5, -1]]) @ sheared.cell.array)
sheared.set_cell(sheared.cell.standard_form()[0], scale_atoms=True)
try:
    system_of(sheared)
except Exception as error:
    assert "Periodic box vectors must be in reduced form" in str(error), error
else:
    raise AssertionError("OpenMM accepts the sheared cell")
reduce_cell(sheared)
assert abs(sheared.get_potential_energy() - energy) < 1e-5
assert np.allclose(np.linalg.norm(sheared.get_forces(), axis=1), sizes, atol=1e-5)

crystal = bulk("C", cubic=True)
crystal.rattle(0.05)
for atoms, calculator in (
    (molecule("CH3CH2OH"), SymnetsCalculator("fast.safetensors")),
    (sheared, SymnetsCalculator("fast.safetensors")),
    (crystal, SymnetsCalculator("fast.safetensors")),
):
    own = atoms.copy()
    atoms.calc = own.calc = calculator
    system = system_of(atoms)
    context, integrator = context_of(atoms, system)
    state = context.getState(energy=True, forces=True)
    forces = state.getForces(asNumpy=True) / (EV / unit.angstrom)
    assert abs(state.getPotentialEnergy() / EV - own.get_potential_energy()) < 1e-5
    # OpenMM's reference platform computes in float64, the potential in float32.
    assert np.allclose(forces, own.get_forces(), atol=1e-5), abs(forces - own.get_forces()).max()
    total = []
    for _ in range(20):
        integrator.step(1)
        state = context.getState(energy=True)
        total.append((state.getPotentialEnergy() + state.getKineticEnergy()) / EV)
    assert np.ptp(total) < 1e-2, total

system.addForce(MonteCarloBarostat(1 * unit.bar, 50 * unit.kelvin, 1))
context, integrator = context_of(own, system)
before = context.getState().getPeriodicBoxVolume()
integrator.step(10)
assert context.getState().getPeriodicBoxVolume() != before
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return install(tmp_path_factory.mktemp("openmm"), OPENMM)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder with a potential and the files of the page."""
    save_potential(tmp_path / "fast.safetensors")
    force, run = code_blocks("openmm.md", "python")
    (tmp_path / "openmm_force.py").write_text(force)
    (tmp_path / "run_openmm.py").write_text(run.replace("step(100)", "step(2)"))
    (tmp_path / "check.py").write_text(CHECK)
    return tmp_path


@pytest.mark.parametrize("script", ["run_openmm.py", "check.py"])
def test_energy_and_forces_are_those_of_the_calculator(
    script: str, folder: Path, environment: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
