"""Conversion of ASE structures to graphs and back."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator

from symnets.data import build_graphs, collate, from_ase, has_stress, labels, to_ase


def labelled(atoms: Atoms, **results) -> Atoms:
    atoms = atoms.copy()
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


@pytest.fixture
def water() -> Atoms:
    return labelled(molecule("H2O"), energy=-9391.123456789, forces=np.arange(9.0).reshape(3, 3))


@pytest.fixture
def copper() -> Atoms:
    atoms = bulk("Cu", cubic=True)
    return labelled(atoms, energy=-1.5, forces=np.zeros((4, 3)), stress=np.arange(6.0))


def test_fields_of_a_graph(copper):
    graph = from_ase(copper, 3.0, dtype=torch.float64)
    assert graph.n_graphs == 1
    assert graph.z.tolist() == [29] * 4
    assert graph.cell.shape == (1, 3, 3)
    assert graph.pbc.tolist() == [[True] * 3]
    assert graph.edge_index.shape == (2, 4 * 12)
    torch.testing.assert_close(graph.edge_vectors().norm(dim=1), torch.full((48,), 3.61 / 2**0.5).double())
    assert graph.stress[0].tolist() == [[0.0, 5.0, 4.0], [5.0, 1.0, 3.0], [4.0, 3.0, 2.0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_round_trip(copper, dtype):
    back = to_ase(from_ase(copper, 3.0, dtype=dtype))
    assert isinstance(back, Atoms)
    tolerance = 1e-6 if dtype == torch.float32 else 0
    if dtype == torch.float64:
        np.testing.assert_array_equal(back.positions, copper.positions)
    else:  # moved to the origin
        np.testing.assert_allclose(
            back.get_all_distances(mic=True), copper.get_all_distances(mic=True), atol=tolerance
        )
    np.testing.assert_allclose(back.cell.array, copper.cell.array, atol=tolerance)
    assert (back.pbc == copper.pbc).all()
    assert (back.numbers == copper.numbers).all()
    assert back.get_potential_energy() == copper.get_potential_energy()
    np.testing.assert_allclose(back.get_forces(), copper.get_forces(), atol=tolerance)
    np.testing.assert_allclose(back.get_stress(), copper.get_stress(), atol=tolerance)


@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False), (False, False, False)])
def test_float32_loses_nothing_far_from_the_origin(pbc, copper):
    """Atoms unwrapped over 300 cells, 1,000 Å away: float32 would round positions there by 3e-5 Å."""
    copper.pbc = pbc
    far = copper.copy()
    far.positions += [1000.0, -2000.0, 500.0]
    far.positions += np.array([[0, 0, 0], [300, -7, 0], [0, 150, 9], [1, 1, -1]]) * pbc @ far.cell.array

    def vectors(atoms, dtype):
        found = from_ase(atoms, 3.0, dtype=dtype).edge_vectors().double().numpy()
        return found[np.lexsort(found.round(3).T)]

    exact = vectors(copper, torch.float64)
    assert len(exact) > 0
    np.testing.assert_allclose(vectors(far, torch.float64), exact, atol=1e-11)
    np.testing.assert_allclose(vectors(far, torch.float32), exact, atol=1e-6)  # 2^-23 of 4 Å is 5e-7 Å


def test_arrays_of_negative_stride_and_foreign_byte_order_are_taken(water):
    expected = from_ase(water, 3.0, dtype=torch.float64)
    water.arrays["positions"] = water.positions[::-1].copy()[::-1]
    water.arrays["numbers"] = water.numbers.astype(">i8")
    graph = from_ase(water, 3.0, dtype=torch.float64)
    assert torch.equal(graph.pos, expected.pos)
    assert torch.equal(graph.z, expected.z)


def test_a_periodic_cell_with_volume_has_a_stress():
    box, flat = np.diag([4.0, 5.0, 6.0]), np.diag([4.0, 5.0, 0.0])
    cells = np.stack([box, box, box, flat, 0 * box, np.array([[1.0, 2, 3], [2, 4, 6], [0, 0, 1]]), 1e7 * box])
    periodic = [(1, 1, 1), (1, 1, 0), (0, 0, 0), (1, 1, 0), (0, 0, 0), (1, 0, 1), (1, 1, 1)]
    pbc, expected = np.array(periodic, dtype=bool), [True, True, False, False, False, False, True]
    assert has_stress(cells, pbc).tolist() == expected
    assert has_stress(torch.tensor(cells).float(), torch.tensor(pbc)).tolist() == expected
    assert has_stress(box, pbc[0])


def test_only_structures_that_have_a_stress_keep_its_label(water, copper):
    stress = np.arange(6.0)
    boxed, slab, flat = water.copy(), copper.copy(), copper.copy()
    boxed.cell = np.diag([10.0] * 3)
    slab.pbc = (True, True, False)
    flat.pbc, flat.cell[2] = (True, True, False), 0.0
    structures = [labelled(atoms, energy=0.0, stress=stress) for atoms in (copper, boxed, slab, flat)]
    graphs = build_graphs(structures, 3.0)
    assert [graph.stress.isnan().all().item() for graph in graphs] == [False, True, False, True]
    graphs[1].stress = torch.zeros(1, 3, 3)  # a graph made by hand
    assert collate(graphs).targets.stress.isnan().all((1, 2)).tolist() == [False, True, False, True]


def test_a_batch_converts_to_a_list(water, copper):
    batch = collate(build_graphs([water, copper, molecule("CH4")], 3.0, dtype=torch.float64)).inputs
    one, two, three = to_ase(batch)
    assert one.get_potential_energy() == water.get_potential_energy()
    np.testing.assert_array_equal(one.get_forces(), water.get_forces())
    np.testing.assert_array_equal(two.get_stress(), copper.get_stress())
    assert three.symbols.get_chemical_formula() == "CH4"
    assert three.calc is None


def test_energy_stays_float64_in_a_float32_graph(water):
    graph = from_ase(water, 3.0, dtype=torch.float32)
    assert graph.pos.dtype == graph.forces.dtype == graph.edge_shift.dtype == torch.float32
    assert graph.energy.dtype == torch.float64
    assert graph.energy.item() == -9391.123456789


def test_default_dtype_is_that_of_torch(water):
    assert from_ase(water, 3.0).pos.dtype == torch.get_default_dtype()


def test_labels_of_a_changed_structure_are_not_read(water):
    water.positions[0, 0] += 0.1
    assert "energy" not in from_ase(water, 3.0)


def test_results_of_other_calculators_are_not_labels():
    atoms = bulk("Ar", cubic=True)
    atoms.calc = LennardJones()
    atoms.get_potential_energy()
    assert "energy" not in from_ase(atoms, 3.0)


def test_graph_and_structure_share_no_memory(water):
    graph = from_ase(water, 3.0, dtype=torch.float64)
    before = graph.pos.clone()
    water.positions += 1.0
    assert torch.equal(graph.pos, before)


def test_missing_labels_become_nan_so_that_graphs_collate(water, copper):
    batch = collate(build_graphs([water, copper, molecule("CH4")], 3.0))
    found = batch.targets
    assert found.energy.isnan().tolist() == [False, False, True]
    assert found.stress.isnan().all((1, 2)).tolist() == [True, False, True]
    assert found.forces.isnan().all(1).tolist() == [False] * 7 + [True] * 5
    assert found.n_atoms.tolist() == [3, 4, 5]


def test_without_labels_graphs_have_no_label_fields():
    graphs = build_graphs([molecule("CH4"), molecule("H2O")], 3.0)
    assert labels(graphs[0]).forces is None
    assert labels(graphs[0]).energy.isnan().all()


def test_an_empty_structure_is_refused():
    with pytest.raises(ValueError, match="expected at least one atom, got an empty structure"):
        from_ase(Atoms(), 3.0)


def test_the_error_gives_the_index_of_an_invalid_structure(water):
    with pytest.raises(ValueError, match=r"structure 1 \(H2\): pos: atoms .* at the same place"):
        build_graphs([water, Atoms("H2", positions=np.zeros((2, 3)))], 3.0)
    with pytest.raises(ValueError, match=r"structure 0 \(H\): cell: .* span no volume"):
        build_graphs([Atoms("H", pbc=True)], 3.0)
    with pytest.raises(ValueError, match="structures: expected at least one"):
        build_graphs([], 3.0)
