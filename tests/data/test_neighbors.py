"""Neighbour lists against brute force, geometry, and invalid input."""

import math

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from symnets.data import from_ase, neighbors
from tests.naive.neighbors import naive_neighbors

PBC = [(False,) * 3, (True, False, False), (False, True, True), (True,) * 3]


def as_set(found) -> set[tuple[int, ...]]:
    rows = torch.cat([found.edge_index, found.edge_shift.T.to(torch.int64)])
    return {tuple(edge) for edge in rows.T.tolist()}


@st.composite
def structures(draw):
    """A few atoms, some outside the cell, in a triclinic cell that may be smaller than the cutoff."""
    seed, n_atoms = draw(st.integers(0, 10_000)), draw(st.integers(1, 6))
    size = draw(st.floats(1.2, 6.0))
    rng = np.random.default_rng(seed)
    cell = size * (np.eye(3) + 0.35 * rng.uniform(-1, 1, (3, 3)))
    pos = rng.uniform(-1.5, 1.5, (n_atoms, 3)) @ cell
    return pos, cell, draw(st.tuples(st.booleans(), st.booleans(), st.booleans()))


@settings(max_examples=60)
@given(structures(), st.floats(0.5, 4.0))
def test_equals_brute_force(structure, cutoff):
    pos, cell, pbc = structure
    expected = naive_neighbors(pos, cell, pbc, cutoff)
    shift = np.array([edge[2:] for edge in expected]).reshape(-1, 3)
    edges = np.array([edge[:2] for edge in expected], dtype=int).reshape(-1, 2)
    distances = np.linalg.norm(pos[edges[:, 0]] + shift @ cell - pos[edges[:, 1]], axis=1)
    assume((distances > 1e-3).all() and (abs(distances - cutoff) > 1e-9).all())
    found = neighbors(pos, cell, pbc, cutoff)
    assert as_set(found) == expected
    assert found.edge_index.shape[1] == len(expected)


@pytest.mark.parametrize("pbc", PBC)
def test_lattice_vectors_without_periodicity_are_ignored(pbc, rng):
    pos = rng.uniform(-3, 3, (8, 3))
    cell = np.diag([3.0, 4.0, 5.0])
    other = np.where(np.array(pbc)[:, None], cell, 0.0)
    assert as_set(neighbors(pos, cell, pbc, 3.0)) == as_set(neighbors(pos, other, pbc, 3.0))


def test_edges_are_sorted_by_receiver_and_come_in_both_directions(rng):
    cell = np.array([[4.0, 0, 0], [1.0, 4.0, 0], [0.5, 1.0, 4.0]])
    found = neighbors(rng.uniform(0, 4, (10, 3)), cell, [True] * 3, 3.5)
    edges = as_set(found)
    assert (found.edge_index[1].diff() >= 0).all()
    assert edges == {(i, j, -a, -b, -c) for j, i, a, b, c in edges}


def test_fcc_has_twelve_nearest_neighbours_in_its_one_atom_cell():
    copper = bulk("Cu", "fcc", a=3.6)
    nearest = 3.6 / math.sqrt(2)
    found = neighbors(copper.positions, copper.cell.array, copper.pbc, 1.01 * nearest)
    assert found.edge_index.tolist() == [[0] * 12, [0] * 12]
    lengths = (found.edge_shift @ torch.tensor(copper.cell.array)).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, nearest))


def test_wrapping_an_atom_changes_shifts_but_not_vectors(rng):
    atoms = bulk("Cu", cubic=True)
    atoms.positions += rng.normal(0, 0.1, (4, 3))
    moved = atoms.copy()
    moved.positions[2] += 3 * atoms.cell[0] - atoms.cell[1]
    one, other = (from_ase(a, 4.0, dtype=torch.float64).edge_vectors() for a in (atoms, moved))
    key = lambda vectors: sorted(map(tuple, vectors.round(decimals=8).tolist()))  # noqa: E731
    assert key(one) == key(other)


def test_isolated_atoms_have_no_edges():
    found = neighbors(np.array([[0.0, 0, 0], [100.0, 0, 0]]), np.zeros((3, 3)), [False] * 3, 5.0)
    assert found.edge_index.shape == (2, 0)
    assert found.edge_shift.shape == (0, 3)


def test_one_atom_and_no_atom_have_no_neighbours():
    for n_atoms in (0, 1):
        assert neighbors(np.zeros((n_atoms, 3)), np.zeros((3, 3)), [False] * 3, 5.0).edge_index.shape == (
            2,
            0,
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shifts_have_the_dtype_of_positions(dtype):
    water = torch.tensor(molecule("H2O").positions, dtype=dtype, requires_grad=True)
    found = neighbors(water, torch.zeros(3, 3, dtype=dtype), torch.zeros(3, dtype=torch.bool), 3.0)
    assert found.edge_shift.dtype == dtype
    assert found.edge_index.dtype == torch.int64
    assert found.edge_index.shape == (2, 6)


def test_order_of_edges_is_reproducible(rng):
    pos, cell = rng.uniform(0, 8, (40, 3)), np.eye(3) * 8
    one, other = (neighbors(pos, cell, [True] * 3, 3.0) for _ in range(2))
    assert torch.equal(one.edge_index, other.edge_index)
    assert torch.equal(one.edge_shift, other.edge_shift)


class TestRefuses:
    def test_atoms_at_the_same_place(self):
        pos = np.array([[0.0, 0, 0], [1.0, 0, 0], [0.0, 0, 0]])
        with pytest.raises(ValueError, match=r"atoms 0 and 2 are at the same place .*remove the duplicate"):
            neighbors(pos, np.zeros((3, 3)), [False] * 3, 5.0)

    def test_an_atom_on_the_image_of_another(self):
        pos = np.array([[0.0, 0, 0], [4.0, 0, 0]])
        with pytest.raises(ValueError, match="at the same place"):
            neighbors(pos, np.eye(3) * 4, [True] * 3, 3.0)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_positions_that_are_not_finite(self, bad):
        pos = np.array([[0.0, 0, 0], [bad, 0, 1]])
        with pytest.raises(ValueError, match=r"pos: expected finite positions, got .* for atom 1"):
            neighbors(pos, np.zeros((3, 3)), [False] * 3, 5.0)

    @pytest.mark.parametrize(
        "cell",
        [np.zeros((3, 3)), np.diag([4.0, 4.0, 0.0]), np.array([[4.0, 0, 0], [0, 4.0, 0], [4.0, 4.0, 1e-7]])],
    )
    def test_a_periodic_cell_without_volume(self, cell):
        with pytest.raises(ValueError, match=r"span no volume; pass a cell, or set pbc to False"):
            neighbors(np.zeros((1, 3)), cell, [True] * 3, 5.0)

    def test_two_parallel_periodic_vectors(self):
        with pytest.raises(ValueError, match="span no volume"):
            neighbors(
                np.zeros((1, 3)), np.array([[4.0, 0, 0], [8.0, 0, 0], [0, 0, 4]]), [True, True, False], 5.0
            )

    @pytest.mark.parametrize("far", [1e8, 1e12, 1e30, 1e300])
    def test_positions_or_cells_of_enormous_size(self, far):
        pos = np.array([[0.0, 0, 0], [far, 0, 0]])
        with pytest.raises(ValueError, match="check the unit of length"):
            neighbors(pos, np.zeros((3, 3)), [False] * 3, 5.0)
        with pytest.raises(ValueError, match="check the unit of length"):
            neighbors(pos[:1], np.diag([far, 3.0, 3.0]), [True] * 3, 5.0)

    def test_a_cell_of_nan(self):
        with pytest.raises(ValueError, match="finite"):
            neighbors(np.zeros((1, 3)), np.full((3, 3), np.nan), [True] * 3, 5.0)

    def test_a_cell_a_thousand_times_thinner_than_the_cutoff(self):
        with pytest.raises(ValueError, match="too thin for a cutoff"):
            neighbors(np.zeros((1, 3)), np.eye(3) * 1e-3, [True] * 3, 5.0)

    def test_more_pairs_than_fit_in_memory(self, rng):
        crowd = rng.uniform(0, 1, (100_000, 3))
        with pytest.raises(ValueError, match=r"about 5\.2e\+12 pairs .*check the unit of length"):
            neighbors(crowd, np.eye(3), [True] * 3, 5.0)
        with pytest.raises(ValueError, match="do not fit in memory"):
            neighbors(crowd, np.zeros((3, 3)), [False] * 3, 5.0)

    def test_wrong_shapes_and_cutoffs(self):
        with pytest.raises(ValueError, match=r"cell: expected shape \(3, 3\), got \(3,\)"):
            neighbors(np.zeros((1, 3)), np.zeros(3), [True] * 3, 5.0)
        with pytest.raises(ValueError, match=r"pos: expected shape \(atoms, 3\), got \(4, 2\)"):
            neighbors(np.zeros((4, 2)), np.zeros((3, 3)), [True] * 3, 5.0)
        for cutoff in (0.0, -1.0, math.nan, math.inf):
            with pytest.raises(ValueError, match="cutoff: expected a positive length"):
                neighbors(np.zeros((1, 3)), np.zeros((3, 3)), [False] * 3, cutoff)
