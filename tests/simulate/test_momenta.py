"""Degrees of freedom and initial momenta."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.constraints import FixAtoms

from symnets.simulate import degrees_of_freedom, thermal_momenta


@pytest.mark.parametrize(
    ("name", "n"), [("CH3CH2OH", 21), ("CO2", 9 - 5), ("H2", 1), ("H", 0)]
)  # fmt: skip
def test_degrees_of_freedom_of_a_molecule_at_rest_are_its_vibrations(name, n):
    assert degrees_of_freedom(molecule(name), at_rest=True) == n
    assert degrees_of_freedom(molecule(name), at_rest=False) == 3 * len(molecule(name))


def test_a_crystal_at_rest_lacks_three_translations():
    assert degrees_of_freedom(bulk("Cu") * (2, 2, 2), at_rest=True) == 21


def test_fixed_atoms_do_not_count():
    atoms = molecule("CH4")
    atoms.set_constraint(FixAtoms([0]))
    assert degrees_of_freedom(atoms, at_rest=True) == 12


@pytest.mark.parametrize("name", ["CH3CH2OH", "CO2", "H2", "H"])
def test_molecules_start_at_rest_at_the_temperature(name):
    atoms = molecule(name)
    atoms.rotate(40, (1, 2, 3))
    n_dof = degrees_of_freedom(atoms, at_rest=True)
    atoms.set_momenta(thermal_momenta(atoms, 300.0, n_dof, np.random.default_rng(0)))
    np.testing.assert_allclose(atoms.get_momenta().sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(atoms.get_angular_momentum(), 0, atol=1e-12)
    assert 2 * atoms.get_kinetic_energy() == pytest.approx(n_dof * units.kB * 300)


def test_momenta_follow_maxwell_and_boltzmann():
    atoms = Atoms("H500O500", np.random.default_rng(1).normal(size=(1000, 3)) * 20)
    momenta = thermal_momenta(atoms, 500.0, 3000, np.random.default_rng(0))
    for slice_, mass in ((slice(500), 1.008), (slice(500, None), 15.999)):
        variance = momenta[slice_].var() / (mass * units.kB * 500)
        assert variance == pytest.approx(1, abs=0.12)  # four standard errors of 1500 squares


def test_momenta_are_a_function_of_the_seed():
    atoms = molecule("CH4")
    one, same, other = (thermal_momenta(atoms, 300.0, 9, np.random.default_rng(s)) for s in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1


def test_nothing_moves_at_zero_kelvin():
    np.testing.assert_array_equal(
        thermal_momenta(molecule("CH4"), temperature=0.0, n_dof=9, generator=np.random.default_rng(0)), 0
    )


def test_fixed_atoms_stay():
    atoms = molecule("CH4")
    atoms.set_constraint(FixAtoms([0]))
    momenta = thermal_momenta(atoms, 300.0, 12, np.random.default_rng(0))
    np.testing.assert_array_equal(momenta[0], 0)
    assert np.abs(momenta[1:]).min() > 0
