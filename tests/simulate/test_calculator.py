"""The calculator against ASE's Lennard-Jones potential, finite differences, and its errors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

import symnets.models
from symnets.simulate import SymnetsCalculator


@pytest.mark.parametrize("pbc", [False, True, (True, True, False)])
def test_agrees_with_another_implementation(field, twin, crystal, pbc):
    atoms = crystal(3)
    atoms.pbc = pbc
    atoms.calc, other = SymnetsCalculator(field), atoms.copy()
    other.calc = twin
    assert atoms.get_potential_energy() == pytest.approx(other.get_potential_energy(), abs=1e-10)
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    np.testing.assert_allclose(atoms.get_potential_energies(), other.get_potential_energies(), atol=1e-10)
    np.testing.assert_allclose(atoms.get_forces(), other.get_forces(), atol=1e-10)
    if np.any(pbc):
        np.testing.assert_allclose(atoms.get_stress(), other.get_stress(), atol=1e-10)


def test_forces_are_minus_the_gradient(field, cluster):
    cluster.calc = SymnetsCalculator(field)
    np.testing.assert_allclose(
        cluster.get_forces(), calculate_numerical_forces(cluster, eps=1e-5), atol=1e-8
    )  # fmt: skip


def test_stress_is_the_strain_derivative(field, crystal):
    atoms = crystal(2)
    atoms.calc = SymnetsCalculator(field)
    np.testing.assert_allclose(atoms.get_stress(), calculate_numerical_stress(atoms, eps=1e-5), atol=1e-8)


def test_energy_of_two_cells_is_twice_the_energy(field, crystal):
    atoms = crystal(2)
    double = atoms * (1, 2, 1)
    atoms.calc = double.calc = SymnetsCalculator(field)
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    assert double.get_potential_energy() == pytest.approx(2 * energy, abs=1e-11)
    np.testing.assert_allclose(double.get_forces(), np.tile(forces, (2, 1)), atol=1e-11)


def test_a_molecule_has_no_stress(field, cluster):
    cluster.calc = SymnetsCalculator(field)
    cluster.get_potential_energy()
    with pytest.raises(PropertyNotImplementedError):
        cluster.get_stress()
    cluster.center(vacuum=5)
    with pytest.raises(PropertyNotImplementedError):
        cluster.get_stress()


def test_force_on_a_single_atom_is_zero(field):
    atoms = Atoms("Ar", calculator=SymnetsCalculator(field))
    assert atoms.get_potential_energy() == 0
    np.testing.assert_array_equal(atoms.get_forces(), np.zeros((1, 3)))


def test_the_atoms_are_not_changed(field, crystal):
    atoms = crystal(2)
    atoms.positions += 30  # outside the cell
    before = atoms.copy()
    atoms.positions.flags.writeable = False
    atoms.calc = SymnetsCalculator(field)
    atoms.get_forces()
    atoms.get_stress()
    assert atoms == before
    assert set(atoms.arrays) == set(before.arrays)
    assert atoms.info == before.info


@pytest.mark.parametrize("periodic", [False, True])
def test_float32_survives_atoms_far_from_the_origin(field, cluster, crystal, periodic):
    atoms = crystal(3) if periodic else cluster
    exact = SymnetsCalculator(field).get_forces(atoms)
    single = SymnetsCalculator(field, dtype=torch.float32)
    far = atoms.copy()
    if periodic:  # each atom in another image
        images = np.random.default_rng(0).integers(-10_000, 10_000, (len(far), 3))
        far.positions += images @ far.cell.array
    else:
        far.positions += (1e5, -2e5, 3e5)
    # Each coordinate keeps 2^-24 of some 5 Å; the stiffest bond turns this into 1e-5 eV/Å.
    np.testing.assert_allclose(single.get_forces(far), exact, atol=2e-5)
    np.testing.assert_allclose(single.get_forces(atoms), single.get_forces(far), atol=2e-5)


def test_dtype_is_that_of_the_model_by_default(field):
    assert SymnetsCalculator(field).dtype == torch.float64
    assert SymnetsCalculator(field.float()).dtype == torch.float32
    assert SymnetsCalculator(field.float(), dtype=torch.float64).dtype == torch.float64


def test_the_calculator_is_a_snapshot_of_the_model(field, cluster):
    field.train()
    calculator = SymnetsCalculator(field, dtype=torch.float32)
    energy = calculator.get_potential_energy(cluster)
    assert field.training
    assert field.energy_model.epsilon.requires_grad
    assert field.energy_model.epsilon.dtype == torch.float64
    with torch.no_grad():
        field.energy_model.epsilon.mul_(2)
    moved = cluster.copy()
    moved.rotate(90, "x")
    assert calculator.get_potential_energy(moved) == pytest.approx(energy, rel=1e-5)


def test_a_path_is_loaded(field, cluster, monkeypatch):
    calls = []

    def load(path, *, device, dtype):
        calls.append((Path(path), device, dtype))
        return field

    monkeypatch.setattr(symnets.models, "load", load, raising=False)
    SymnetsCalculator("model.safetensors", dtype=torch.float64).get_potential_energy(cluster)
    assert calls == [(Path("model.safetensors"), "cpu", torch.float64)]


def test_other_models_are_refused_by_name(unchecked, field):
    with pytest.raises(ValueError, match=r"got PairEnergy; wrap .* ForceField\(model\)"):
        SymnetsCalculator(field.energy_model)


def test_unknown_elements_are_named_with_those_of_the_model(field):
    calculator = SymnetsCalculator(field)
    with pytest.raises(ValueError, match=r"trained on Ne, Ar, not on O \(atom 1\), H \(atom 2\)"):
        calculator.get_forces(Atoms("ArOH", np.eye(3) * 3))


def test_an_empty_structure_is_refused(field):
    with pytest.raises(ValueError, match="got an empty structure"):
        SymnetsCalculator(field).get_potential_energy(Atoms())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_positions_that_are_not_finite_are_refused(field, cluster, value):
    cluster.positions[3, 1] = value
    with pytest.raises(ValueError, match=r"positions: expected finite numbers, those of Ne \(atom 3\)"):
        SymnetsCalculator(field).get_potential_energy(cluster)


def test_two_atoms_at_the_same_place_are_refused(field, cluster):
    calculator = SymnetsCalculator(field, skin=20.0)
    calculator.get_forces(cluster)
    for source in (calculator, SymnetsCalculator(field)):  # met on the way, and at the start
        cluster.positions[3] = cluster.positions[1]
        with pytest.raises(ValueError, match="atoms 1 and 3 are at the same place"):
            source.get_forces(cluster)


def test_a_periodic_cell_without_volume_is_refused(field, cluster):
    cluster.pbc = True
    with pytest.raises(ValueError, match="span no volume"):
        SymnetsCalculator(field).get_forces(cluster)


def test_a_cell_that_is_not_finite_is_refused(field, crystal):
    atoms = crystal(2)
    atoms.cell[0, 0] = np.nan
    with pytest.raises(ValueError, match="cell: expected finite numbers, got"):
        SymnetsCalculator(field).get_forces(atoms)
