"""The example that determines the sign convention of a stress from energies."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress

from symnets.data import from_ase
from tests import scripts


@pytest.fixture(scope="module")
def example():
    return scripts.example("germanium_stress")


def repulsion(atoms: Atoms, cutoff: float = 6.0) -> dict:
    """Energy Σ_pairs (1 - r / cutoff)⁴ and its stress, (1/V) Σ_pairs φ'(r) r⊗r / r."""
    vectors = from_ase(atoms, cutoff, dtype=torch.float64).edge_vectors().numpy()
    r = np.linalg.norm(vectors, axis=1)
    slope = -4 / cutoff * (1 - r / cutoff) ** 3
    virial = np.einsum("e,ea,eb->ab", slope / r, vectors, vectors) / 2
    stress = full_3x3_to_voigt_6_stress(virial / atoms.get_volume())
    return {"energy": ((1 - r / cutoff) ** 4).sum() / 2, "stress": stress}


@pytest.fixture(scope="module")
def crystals() -> list[Atoms]:
    """Argon in the shapes of the germanium data: stretched along an axis, or sheared."""
    structures = []
    for row, column in ((0, 0), (1, 1), (2, 2), (1, 0), (2, 1), (2, 0)):
        for amount in (-0.06, -0.03, 0.0, 0.03, 0.06):
            if amount == 0 and (row, column) != (0, 0):
                continue
            atoms = bulk("Ar", cubic=True, a=5.3)
            deformation = np.eye(3)
            deformation[row, column] += amount
            if row != column:
                deformation[row, row] = np.sqrt(1 - amount**2)
            atoms.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
            atoms.calc = SinglePointCalculator(atoms, **repulsion(atoms))
            atoms.info["group"] = "Elastic"
            structures.append(atoms)
    return structures


def ratios(example, structures: list[Atoms]) -> np.ndarray:
    found = [example.work_and_energy(path) for path in example.strain_paths(structures).values()]
    return np.array([work @ energy / (energy @ energy) for work, energy in found])


def test_each_path_has_all_its_strains(example, crystals):
    assert [len(path) for path in example.strain_paths(crystals).values()] == [5] * 6


def test_the_work_of_the_stress_is_the_difference_of_energy(example, crystals):
    np.testing.assert_allclose(ratios(example, crystals), 1, atol=0.02)


@pytest.mark.parametrize(
    "mistake",
    [lambda s: -s, lambda s: 2 * s, lambda s: s[[0, 1, 2, 5, 3, 4]]],
    ids=["sign", "unit", "order"],
)
def test_a_wrong_convention_gives_another_work(example, crystals, mistake):
    wrong = []
    for atoms in crystals:
        other = atoms.copy()
        results = {"energy": atoms.get_potential_energy(), "stress": mistake(atoms.get_stress())}
        other.calc = SinglePointCalculator(other, **results)
        wrong.append(other)
    assert abs(ratios(example, wrong) - 1).max() > 0.25
