"""Statistics recover the parameters from which the data were made."""

import math

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import GPa

from symnets.data import build_graphs, collate, isolated_atoms, statistics

REFERENCE = {1: -13.5, 6: -1027.25, 8: -2041.125}


def with_energy(atoms: Atoms, energy: float, **results) -> Atoms:
    atoms.calc = SinglePointCalculator(atoms, energy=energy, **results)
    return atoms


def from_reference(name: str) -> Atoms:
    atoms = molecule(name)
    return with_energy(atoms, sum(REFERENCE[int(z)] for z in atoms.numbers))


def test_least_squares_recovers_energies_of_species():
    graphs = build_graphs([from_reference(name) for name in ("H2O", "CH4", "CO2", "C6H6")], 3.0)
    summary = statistics(graphs)
    assert summary.species == (1, 6, 8)
    np.testing.assert_allclose(summary.energies, list(REFERENCE.values()), rtol=1e-12)
    assert (summary.rank, summary.source) == (3, "least squares")
    assert (summary.n_structures, summary.n_atoms) == (4, 3 + 5 + 3 + 12)


def test_one_formula_determines_only_a_combination():
    summary = statistics(build_graphs([from_reference("H2O") for _ in range(5)], 3.0))
    assert (summary.rank, summary.species) == (1, (1, 8))
    total = 2 * REFERENCE[1] + REFERENCE[8]
    # The smallest e with 2 e_H + e_O = total is total (2, 1) / 5.
    np.testing.assert_allclose(summary.energies, [total * 2 / 5, total / 5], rtol=1e-12)


def test_reference_energy_is_subtracted_in_float64():
    graphs = build_graphs([from_reference("H2O"), from_reference("CO2")], 3.0, dtype=torch.float32)
    summary = statistics(graphs, isolated=REFERENCE)
    batch = collate(graphs)
    residual = batch.targets.energy - summary.reference_energy(batch.inputs)
    assert residual.dtype == torch.float64
    assert residual.abs().max() < 1e-9


def test_isolated_atoms():
    atoms = [with_energy(Atoms(numbers=[z], positions=np.zeros((1, 3))), e) for z, e in REFERENCE.items()]
    energies = isolated_atoms([*atoms, from_reference("H2O")])
    assert energies == REFERENCE
    summary = statistics(build_graphs([from_reference("H2O")], 3.0), isolated=energies)
    assert summary.energies == (REFERENCE[1], REFERENCE[8])
    assert summary.source == "isolated atoms"
    with pytest.raises(ValueError, match=r"two energies for an isolated H atom: -13\.5 and -12\.0 eV"):
        isolated_atoms([*atoms, with_energy(Atoms("H"), -12.0)])


def test_an_atom_in_a_box_is_isolated_if_it_does_not_see_its_images():
    """Plane-wave codes put an atom into a periodic box, and print a stress."""
    box, slab, crystal = (
        with_energy(Atoms(symbol, cell=[[edge, 0, 0], [0, 12.0, 0], [0, 0, height]], pbc=pbc), energy)
        for symbol, edge, height, pbc, energy in (
            ("H", 12.0, 12.0, True, -13.5),
            ("C", 12.0, 0.0, (True, True, False), -1027.25),
            ("O", 3.0, 12.0, True, -2041.125),
        )
    )
    assert isolated_atoms([box, slab, crystal]) == {1: -13.5, 6: -1027.25}
    assert isolated_atoms([box, slab, crystal], cutoff=2.9) == REFERENCE
    assert isolated_atoms([box], cutoff=12.5) == {}
    crystal.info["config_type"] = "IsolatedAtom"
    assert isolated_atoms([box, slab, crystal]) == REFERENCE


def test_labels_in_another_unit_are_suspicious():
    """Forces and stress of copper in kbar; energies of water, all-electron, in kcal/mol."""
    copper = with_energy(
        bulk("Cu"), -4.0, forces=np.full((1, 3), 5.0), stress=[-0.2, -0.2, -0.2, 0.0, 0.0, 0.0]
    )
    water = with_energy(molecule("H2O"), -76.4 * 27.2114)
    assert statistics(build_graphs([copper, water], 3.0)).suspicious == ()
    copper.calc.results["stress"] /= 0.1 * GPa
    copper.calc.results["forces"] *= 100
    water.calc.results["energy"] *= 23.06
    found = statistics(build_graphs([copper, water], 3.0)).suspicious
    assert [sentence.split(" of implausible size in 1 of 2 structures, up to ")[0] for sentence in found] == [
        "energy",
        "forces",
        "stress",
    ]
    copper.calc.results["stress"] /= 5 * 1602.18**2
    copper.calc.results["forces"] /= 100
    (twice,) = statistics(build_graphs([copper], 3.0)).suspicious
    assert "stress below 5e-05 eV/Å³ in all structures, though forces are not small" in twice
    assert "up to 320.4 eV/Å³: it may be in kbar or GPa, or a virial in eV" in found[2]


def test_a_species_without_isolated_atom_is_an_error():
    with pytest.raises(ValueError, match="no energy for O, which the structures contain"):
        statistics(build_graphs([from_reference("H2O")], 3.0), isolated={1: -13.5})


def test_force_rms_and_neighbours():
    atoms = bulk("Cu", cubic=True)
    copper = with_energy(atoms, 0.0, forces=np.tile([3.0, 0.0, 4.0], (4, 1)))
    summary = statistics(build_graphs([copper, from_reference("H2O")], 3.0))  # the second has no forces
    assert summary.force_rms == pytest.approx(5 / math.sqrt(3))
    assert summary.mean_neighbors == pytest.approx((4 * 12 + 3 * 2) / 7)


def test_structures_without_energy_are_not_counted():
    known = [from_reference(name) for name in ("H2O", "CH4", "CO2")]
    summary = statistics(build_graphs([*known, molecule("C6H6")], 3.0))
    np.testing.assert_allclose(summary.energies, list(REFERENCE.values()), rtol=1e-12)
    assert math.isnan(summary.force_rms)
    nothing = statistics(build_graphs([molecule("H2O")], 3.0))
    assert (nothing.energies, nothing.cohesion, nothing.source) == ((0.0, 0.0), 0.0, "no energies")
    assert summary.labelled == {"energy": 3, "forces": 0, "stress": 0}


def test_cohesion_is_the_energy_per_atom_relative_to_isolated_atoms():
    atoms = [from_reference("H2O"), from_reference("H2O")]
    for bonded, bond in zip(atoms, (-3.0, -6.0), strict=True):
        bonded.calc.results["energy"] += bond
    graphs = build_graphs(atoms, 3.0)
    assert statistics(graphs, isolated=REFERENCE).cohesion == pytest.approx(-1.5)
    assert statistics(graphs).cohesion == pytest.approx(0.0, abs=1e-9)
