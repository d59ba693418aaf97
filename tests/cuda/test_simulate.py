"""Simulations on a GPU: calculator, molecular dynamics, relaxation and compiled models."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from symnets.cli import main
from symnets.data import build_graphs, collate
from symnets.models import MACE, Compiled, ForceField, NequIP, WithZBL, load, save
from symnets.simulate import SymnetsCalculator, compile, compile_error, relax, run_md
from symnets.testing import assert_inputs_untouched, random_crystal, random_molecule

SPECIES = ["H", "C", "O", "Cu"]
SMALL = {"cutoff": 3.5, "channels": 4, "layers": 2, "lmax": 1, "radial_hidden": (8,), "scale": 0.05}


def nequip() -> ForceField:
    """A random network with a short-range repulsion, on the CPU in float64."""
    torch.manual_seed(0)
    return ForceField(WithZBL(NequIP(SPECIES, **SMALL))).double().eval()


def mace() -> ForceField:
    torch.manual_seed(0)
    return ForceField(MACE(SPECIES, **SMALL)).double().eval()


def fast() -> ForceField:
    return compile(nequip())


def ethanol() -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.02, seed=1)
    return atoms


def copper() -> Atoms:
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.rattle(0.05, seed=1)
    return atoms


@pytest.mark.parametrize("atoms", [ethanol, copper])
@pytest.mark.parametrize("model", [nequip, mace, fast])
def test_a_calculator_agrees_with_the_cpu(
    model: Callable[[], ForceField], atoms: Callable[[], Atoms], device: torch.device
) -> None:
    there, here = SymnetsCalculator(model(), device=device), SymnetsCalculator(model())
    moving = atoms()
    for step in range(3):  # the second uses the neighbour list of the first, the third needs a new one
        moving.rattle(0.05 * (1 + 10 * (step == 2)), seed=step)
        assert there.get_potential_energy(moving) == pytest.approx(
            here.get_potential_energy(moving), abs=1e-9
        )
        np.testing.assert_allclose(there.get_forces(moving), here.get_forces(moving), rtol=1e-9, atol=1e-9)
        if moving.pbc.all():
            np.testing.assert_allclose(
                there.get_stress(moving), here.get_stress(moving), rtol=1e-9, atol=1e-9
            )
    assert there.device.type == there.neighbors.device.type == device.type
    assert there.neighbors.n_builds == here.neighbors.n_builds > 1


def test_a_calculator_stays_on_the_device_of_its_force_field(device: torch.device, tmp_path: Path) -> None:
    model = nequip().to(device)
    assert SymnetsCalculator(model).device.type == device.type
    assert SymnetsCalculator(model, device="cpu").device.type == "cpu"
    save(model, tmp_path / "model.safetensors")
    assert SymnetsCalculator(tmp_path / "model.safetensors").device.type == "cpu"
    there = SymnetsCalculator(tmp_path / "model.safetensors", device=device, dtype=torch.float32)
    expected = SymnetsCalculator(nequip()).get_forces(ethanol())
    np.testing.assert_allclose(there.get_forces(ethanol()), expected, rtol=1e-4, atol=1e-4)


def test_dynamics_conserves_the_energy_and_follows_the_cpu(device: torch.device) -> None:
    runs = [
        run_md(ethanol(), SymnetsCalculator(nequip(), device=place), steps=40, timestep=0.25, log_every=5)
        for place in (device, "cpu")
    ]
    there, here = runs
    assert there.log["kinetic_energy"].std() > 1e-3  # the atoms move
    assert there.drift.max_deviation < 2e-4  # eV per atom, the error of velocity Verlet, as on the CPU
    pd.testing.assert_frame_equal(there.log, here.log, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(there.atoms.positions, here.atoms.positions, atol=1e-8)


def test_relaxation_finds_the_minimum_of_the_cpu(device: torch.device) -> None:
    there, here = (
        relax(ethanol(), SymnetsCalculator(nequip(), device=place), fmax=0.05, steps=100)
        for place in (device, "cpu")
    )
    assert there.energy < there.initial_energy
    assert (there.converged, there.n_steps) == (here.converged, here.n_steps)
    assert there.energy == pytest.approx(here.energy, abs=1e-6)


@pytest.mark.parametrize("model", [nequip, mace])
def test_a_model_on_the_device_is_compiled_there(
    model: Callable[[], ForceField], device: torch.device, tmp_path: Path
) -> None:
    exact = model().to(device)
    compiled = compile(exact, tolerance=1e-4)
    assert isinstance(compiled, Compiled)
    assert {t.device.type for t in (*compiled.parameters(), *compiled.buffers())} == {device.type}
    assert next(exact.parameters()).device.type == device.type  # the model is not moved
    graph = collate(build_graphs([ethanol(), copper()], 3.5, dtype=torch.float64)).inputs
    assert compile_error(exact, compiled, graph).forces < 1e-4
    assert graph.pos.device.type == "cpu"
    save(compiled, tmp_path / "fast.safetensors")
    here, there = load(tmp_path / "fast.safetensors"), load(tmp_path / "fast.safetensors", device=device)
    forces = there(copy.copy(graph).to(str(device))).forces
    torch.testing.assert_close(forces.cpu(), here(graph).forces, rtol=1e-9, atol=1e-9)


def test_commands_take_the_device(
    device: torch.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(nequip(), "model.safetensors")
    place = ["--device", str(device)]
    assert main(["compile", "model.safetensors"]) == 0
    assert main(["md", "model-compiled.safetensors", "CH3CH2OH", "--steps", "3", *place]) == 0
    assert main(["relax", "model.safetensors", "CH3CH2OH", "--steps", "3", *place]) == 1  # three are too few
    assert Path("md.xyz").exists()
    assert Path("relaxed.xyz").exists()


def test_inputs_and_generators_are_left_as_found(device: torch.device) -> None:
    force_field = nequip().to(device)
    for atoms in (random_molecule((1, 6), 4), random_crystal((29,), 2)):
        assert_inputs_untouched(force_field, atoms)
