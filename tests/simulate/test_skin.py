"""Neighbour lists with a skin equal new lists at every step."""

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet

from symnets.data import neighbors
from symnets.simulate import SkinnedNeighbors, SymnetsCalculator


def edge_vectors(placement, atoms: Atoms) -> np.ndarray:
    """Rows (receiver, sender, vector) of all edges, sorted."""
    pos, (sender, receiver), shift = placement
    vector = pos[sender] - pos[receiver] + shift @ torch.tensor(atoms.cell.array)
    rows = torch.cat([receiver[:, None], sender[:, None], vector], dim=1).numpy()
    return rows[np.lexsort(rows.T.round(6))]


def fresh(atoms: Atoms, cutoff: float) -> np.ndarray:
    pos = torch.tensor(atoms.positions)
    return edge_vectors((pos, *neighbors(pos, atoms.cell.array, atoms.pbc, cutoff)), atoms)


@pytest.mark.parametrize("pbc", [False, True, (True, False, True)])
def test_edges_equal_those_of_a_new_list_at_every_step(crystal, pbc):
    atoms, rng = crystal(2), np.random.default_rng(0)
    atoms.pbc = pbc
    skinned = SkinnedNeighbors(5.0, 0.6)
    for _ in range(40):
        atoms.positions += rng.normal(scale=0.05, size=(len(atoms), 3))
        atoms.positions += 0.3  # all together, through the cell: no reason to rebuild
        placement = skinned(atoms)
        np.testing.assert_allclose(edge_vectors(placement, atoms), fresh(atoms, 5.0), atol=1e-10)
        assert (placement.edge_index[1].diff() >= 0).all(), "sorted by receiver"
    assert 1 < skinned.n_builds < 20


def test_edges_equal_those_of_a_new_list_while_the_cell_changes(crystal):
    atoms, rng = crystal(2), np.random.default_rng(0)
    skinned = SkinnedNeighbors(5.0, 0.6)
    for _ in range(40):
        strain = np.eye(3) + rng.normal(scale=0.006, size=(3, 3))
        atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        atoms.positions += rng.normal(scale=0.03, size=(len(atoms), 3))
        np.testing.assert_allclose(edge_vectors(skinned(atoms), atoms), fresh(atoms, 5.0), atol=1e-10)
    assert 1 < skinned.n_builds < 20


def test_a_list_is_rebuilt_when_an_atom_moved_more_than_half_the_skin():
    atoms = Atoms("Ar4", np.eye(4)[:, :3] * 4)
    skinned = SkinnedNeighbors(5.0, 0.5)
    skinned(atoms)
    # Movement counts from the mean, which moves a quarter as far as one atom of four does.
    atoms.positions[0, 0] += 0.24 / 0.75
    skinned(atoms)
    assert skinned.n_builds == 1
    atoms.positions[0, 0] += 0.02 / 0.75
    skinned(atoms)
    assert skinned.n_builds == 2


@pytest.mark.parametrize("change", ["species", "pbc", "number of atoms", "large strain"])
def test_a_list_is_rebuilt_when_the_system_changes(crystal, change):
    atoms, skinned = crystal(2), SkinnedNeighbors(5.0, 0.5)
    skinned(atoms)
    if change == "species":
        atoms.symbols[0] = "Ne"
    elif change == "pbc":
        atoms.pbc = (True, True, False)
    elif change == "number of atoms":
        del atoms[0]
    else:
        atoms.set_cell(atoms.cell.array * 0.85, scale_atoms=True)
    skinned(atoms)
    assert skinned.n_builds == 2


@pytest.mark.parametrize("periodic", [False, True])
def test_a_trajectory_does_not_depend_on_the_skin(field, cluster, crystal, periodic):
    ends, builds = [], []
    for skin in (0.0, 0.4):
        atoms = crystal(2) if periodic else cluster.copy()
        calculator = atoms.calc = SymnetsCalculator(field, skin=skin)
        atoms.set_momenta(np.random.default_rng(0).normal(size=(len(atoms), 3)))
        VelocityVerlet(atoms, 2 * units.fs).run(100)
        ends.append(atoms.positions)
        builds.append(calculator.neighbors.n_builds)
    np.testing.assert_allclose(ends[0], ends[1], rtol=0, atol=1e-12)
    assert builds[0] == 101
    assert builds[1] < 40


def test_without_skin_the_list_is_kept_for_unchanged_positions(crystal):
    atoms, skinned = crystal(2), SkinnedNeighbors(5.0, 0.0)
    skinned(atoms)
    skinned(atoms)
    assert skinned.n_builds == 1


@pytest.mark.parametrize("skin", [-0.1, np.nan, np.inf])
def test_a_negative_skin_is_refused(skin):
    with pytest.raises(ValueError, match="skin: expected a length"):
        SkinnedNeighbors(5.0, skin)
