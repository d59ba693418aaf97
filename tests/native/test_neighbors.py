"""EdgeFilter: the edges within the cutoff, selected from a neighbour list of a larger cutoff."""

import copy

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from symnets.data import neighbors
from symnets.native import EdgeFilter


def crystal(seed: int) -> Atoms:
    """Triclinic copper, displaced at random."""
    atoms = bulk("Cu") * (2, 1, 2)
    atoms.rattle(0.2, seed=seed)
    return atoms


def candidates(structures: list[Atoms], reach: float) -> EdgeFilter:
    """Candidates closer than `reach` in several structures, for edges within 4 Å."""
    indices, shifts, first = [], [], 0
    for atoms in structures:
        edge_index, shift = neighbors(torch.tensor(atoms.positions), atoms.cell.array, atoms.pbc, reach)
        indices.append(edge_index.numpy() + first)
        shifts.append(shift.numpy())
        first += len(atoms)
    owner = np.repeat(np.arange(len(structures)), [len(atoms) for atoms in structures])
    edges = EdgeFilter(np.concatenate(indices, axis=1), np.concatenate(shifts), owner, len(structures), 4.0)
    edges.positions[...] = np.concatenate([atoms.positions for atoms in structures])
    edges.cells[...] = [atoms.cell.array for atoms in structures]
    return edges


def rows(edges: EdgeFilter, n: int) -> np.ndarray:
    """Rows (receiver, sender, vector) of the edges, sorted."""
    found = np.column_stack([edges.receiver[:n], edges.sender[:n], edges.vectors[:n]])
    return found[np.lexsort(found.T.round(6))]


def test_edges_and_vectors_equal_a_neighbor_list_of_the_cutoff() -> None:
    structures = [crystal(0), Atoms("CO", [(0, 0, 0), (0, 0, 1.1)]), crystal(1)]
    edges, exact = candidates(structures, 5.5), candidates(structures, 4.0)
    n = edges()
    assert n == exact() == len(exact.candidates[0])
    np.testing.assert_allclose(rows(edges, n), rows(exact, n), atol=1e-13)
    assert (np.diff(edges.receiver[:n]) >= 0).all()
    first = structures[0]
    inside = edges.receiver[:n] < len(first)
    lengths = np.linalg.norm(edges.vectors[:n][inside], axis=1)
    expected = first.get_all_distances(mic=True)
    np.testing.assert_allclose(lengths.min(), expected[expected > 0].min(), atol=1e-12)


def test_the_closest_candidate_is_found() -> None:
    atoms = crystal(0)
    atoms.positions[3] = atoms.positions[1] + (0.0, 0.0, 0.3)
    edges = candidates([atoms], 4.5)
    edges()
    assert edges.shortest == pytest.approx(0.3)
    assert sorted(edges.closest) == [1, 3]
    lone = candidates([Atoms("H")], 4.5)
    assert lone() == 0
    assert lone.shortest == np.inf


def test_displacement_is_relative_to_the_mean() -> None:
    edges, rng = candidates([crystal(0)], 4.5), np.random.default_rng(0)
    edges.reference[...] = edges.positions
    assert edges.displacement() == 0
    moves = rng.normal(size=edges.positions.shape)
    edges.positions += moves + 100
    expected = np.linalg.norm(moves - moves.mean(axis=0), axis=1).max()
    assert edges.displacement() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("atom", [0, 3])
def test_positions_that_are_not_finite_give_no_finite_result(value: float, atom: int) -> None:
    edges = candidates([crystal(0)], 4.5)
    edges.reference[...] = edges.positions
    edges.positions[atom, 1] = value
    assert not edges.displacement() < 1e300
    assert not np.isfinite(edges.vectors[: edges()]).all()


def test_a_copy_has_memory_of_its_own() -> None:
    edges = candidates([crystal(0)], 5.0)
    n = edges()
    before = edges.vectors[:n].copy()
    twin = copy.deepcopy(edges)
    twin.positions[...], twin.cells[...] = edges.positions + np.arange(12).reshape(4, 3), edges.cells
    twin()
    np.testing.assert_array_equal(edges.vectors[:n], before)
