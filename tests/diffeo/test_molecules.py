"""Deformed molecules: new positions, the same atoms, new neighbour lists."""

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

from symnets.data import AtomGraph, collate, from_ase, neighbors
from symnets.diffeo import deform_atoms, deform_graph


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_zero_displacement_is_identity_bit_for_bit():
    atoms = molecule("CH3CH2OH")
    for copy in deform_atoms(atoms, delta=0.0, n=2, generator=seeded()):
        assert np.array_equal(copy.positions, atoms.positions)
        assert copy is not atoms


def test_copies_differ_and_a_seed_reproduces_them():
    atoms = molecule("C6H6")
    first, second = deform_atoms(atoms, delta=0.1, n=2, generator=seeded())
    again = deform_atoms(atoms, delta=0.1, n=2, generator=seeded())
    assert np.array_equal(first.positions, again[0].positions)
    assert np.abs(first.positions - second.positions).max() > 0.01
    assert (first.numbers == atoms.numbers).all()


def test_translation_of_the_molecule_does_not_matter():
    atoms, far = molecule("CH3CH2OH"), molecule("CH3CH2OH")
    far.translate([5.0, -3.0, 11.0])
    here = deform_atoms(atoms, delta=0.1, generator=seeded())[0]
    there = deform_atoms(far, delta=0.1, generator=seeded())[0]
    np.testing.assert_allclose(there.positions - [5.0, -3.0, 11.0], here.positions, atol=1e-9)


def test_smooth_maps_stretch_bonds_less_than_noise_does():
    """Neighbours move together: the typical change of a bond is well below that of two far atoms."""
    atoms = molecule("C6H6")
    moved = deform_atoms(atoms, delta=0.1, cutoff=2.5, n=40, generator=seeded())
    steps = np.stack([copy.positions - atoms.positions for copy in moved])
    apart = steps[:, :, None] - steps[:, None]
    squared = (apart**2).sum(-1).mean(0)
    distance = atoms.get_all_distances()
    bonded = (distance > 0) & (distance < 1.6)
    assert squared[bonded].mean() < 0.5 * squared[distance > 4].mean()


def test_a_single_atom_and_a_flat_molecule_have_a_box():
    assert len(deform_atoms(molecule("H"), delta=0.1, generator=seeded())[0]) == 1
    flat = deform_atoms(molecule("C6H6"), delta=0.1, generator=seeded())[0]
    assert np.ptp(flat.positions[:, 2]) > 0


def test_copies_have_no_labels_and_ignore_constraints():
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0)
    atoms.set_constraint(FixAtoms([0, 1, 2]))
    copy = deform_atoms(atoms, delta=0.1, generator=seeded())[0]
    assert copy.calc is None
    assert np.abs(copy.positions - atoms.positions).max() > 0
    assert atoms.calc.results["energy"] == -1.0


def test_periodic_structures_are_an_error_by_default():
    crystal = bulk("Ge", cubic=True)
    with pytest.raises(ValueError, match="periodic=True"):
        deform_atoms(crystal, delta=0.1, generator=seeded())
    with pytest.raises(ValueError, match="periodic=True"):
        deform_graph(from_ase(crystal, 3.0), 3.0, delta=0.1, generator=seeded())
    copy = deform_atoms(crystal, delta=0.1, periodic=True, generator=seeded())[0]
    assert (copy.cell.array == crystal.cell.array).all()
    assert copy.pbc.all()


def edges(graph: AtomGraph) -> set[tuple[int, ...]]:
    return {tuple(edge) for edge in graph.edge_index.T.tolist()}


def test_graph_moves_as_its_molecule_does():
    atoms, cutoff = molecule("CH3CH2OH"), 2.0
    graph = deform_graph(from_ase(atoms, cutoff, dtype=torch.float64), cutoff, delta=0.5, generator=seeded())
    expected = from_ase(deform_atoms(atoms, delta=0.5, generator=seeded())[0], cutoff, dtype=torch.float64)
    torch.testing.assert_close(graph.pos, expected.pos)
    assert edges(graph) == edges(expected)
    assert edges(graph) != edges(from_ase(atoms, cutoff))  # else the law above says nothing
    assert graph.batch is None


def test_batch_of_graphs_has_the_neighbours_of_each():
    cutoff = 2.0
    graphs = [from_ase(molecule(name), cutoff, dtype=torch.float64) for name in ("H2O", "CH4", "C6H6")]
    batch = collate(graphs).inputs
    moved = deform_graph(batch, cutoff, delta=0.3, generator=seeded())
    assert torch.equal(moved.owner, batch.owner)
    assert torch.equal(moved.z, batch.z)
    offset = 0
    for index, graph in enumerate(graphs):
        pos = moved.pos[moved.owner == index]
        expected = neighbors(pos, graph.cell[0], graph.pbc[0], cutoff).edge_index + offset
        mine = (moved.edge_index[0] >= offset) & (moved.edge_index[0] < offset + len(pos))
        assert torch.equal(moved.edge_index[:, mine], expected)
        offset += len(pos)


def test_labels_of_the_original_positions_are_dropped():
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.zeros((3, 3)))
    graph = from_ase(atoms, 2.0)
    assert "energy" in graph
    moved = deform_graph(graph, 2.0, delta=0.1, generator=seeded())
    assert "energy" not in moved
    assert "forces" not in moved


def test_an_empty_structure_is_an_error():
    with pytest.raises(ValueError, match="at least one atom"):
        deform_atoms(molecule("H2O")[:0], delta=0.1, generator=seeded())
