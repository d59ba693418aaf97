"""Graphs and points on a second device."""

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from symnets.data import (
    Loader,
    balanced_subset,
    build_graphs,
    collate,
    gaussian_cloud,
    labels,
    neighbors,
    pca,
    random_labels,
    sphere_points,
    statistics,
    to_ase,
    uniform_cloud,
)
from symnets.testing import random_crystal, random_molecule
from tests.second_device import on_device, second_device


@pytest.fixture(autouse=True)
def _device() -> Iterator[None]:
    with second_device():
        yield


def graphs():
    made = build_graphs([random_molecule((1, 6), 4), random_crystal((1, 6), 2)], 4.0, dtype=torch.float64)
    for n, graph in enumerate(made):
        graph.energy = torch.tensor([float(n)], dtype=torch.float64)
        graph.forces = torch.ones_like(graph.pos)
    return made


def test_neighbours_are_on_the_device_of_the_positions():
    atoms = random_crystal((6,), 3)
    here = neighbors(torch.as_tensor(atoms.positions), torch.as_tensor(atoms.cell.array), atoms.pbc, 4.0)
    pos, cell, pbc = (torch.as_tensor(a).to("cuda") for a in (atoms.positions, atoms.cell.array, atoms.pbc))
    for there in (neighbors(pos, cell, pbc, 4.0), neighbors(pos, atoms.cell.array, atoms.pbc, 4.0)):
        for mine, theirs in zip(here, there, strict=True):
            assert on_device(theirs)
            assert torch.equal(theirs.cpu(), mine)


def test_all_fields_of_a_batch_move_to_the_device():
    here = collate(graphs())
    there = copy.deepcopy(here).to("cuda")
    assert all(map(on_device, there.inputs.to_dict().values()))
    assert all(on_device(field) for field in there.targets if field is not None)
    vectors = there.inputs.edge_vectors()
    assert on_device(vectors)
    assert torch.equal(vectors.cpu(), here.inputs.edge_vectors())
    for mine, theirs in zip(here.targets, labels(there.inputs), strict=True):
        if mine is not None:
            assert torch.equal(theirs.cpu(), mine)


def test_missing_labels_are_created_on_the_device():
    graph = build_graphs([random_molecule((1, 6), 3)], 4.0)[0].to("cuda")
    found = labels(graph)
    assert on_device(found.energy)
    assert found.energy.isnan().all()
    assert on_device(found.owner)
    assert on_device(found.n_atoms)


def test_batches_of_graphs_on_the_device_are_on_the_device():
    (batch,) = Loader([graph.to("cuda") for graph in graphs()], 2)
    assert all(map(on_device, batch.inputs.to_dict().values()))


def test_reference_energies_are_on_the_device_of_the_graph():
    found = statistics(graphs())
    there = collate(graphs()).inputs.to("cuda")
    reference = found.reference_energy(there)
    assert on_device(reference)
    assert torch.equal(reference.cpu(), found.reference_energy(collate(graphs()).inputs))


def test_graphs_on_the_device_convert_to_ase():
    for mine, theirs in zip(
        to_ase(collate(graphs()).inputs), to_ase(collate(graphs()).inputs.to("cuda")), strict=True
    ):
        assert np.array_equal(mine.positions, theirs.positions)
        assert mine.get_potential_energy() == theirs.get_potential_energy()


@pytest.mark.parametrize("cloud", [gaussian_cloud, uniform_cloud, sphere_points])
def test_points_are_on_the_device_of_the_generator(cloud):
    assert on_device(cloud(5, 3, generator=torch.Generator("cuda").manual_seed(0)))
    assert not on_device(cloud(5, 3, generator=torch.Generator().manual_seed(0)))


def test_random_labels_are_on_the_device_of_the_generator():
    found = random_labels(6, generator=torch.Generator("cuda").manual_seed(0))
    assert on_device(found)
    assert found.sum().item() == 0


@pytest.mark.parametrize("convention", ["whitened", "common_scale"])
def test_principal_components_are_on_the_device_of_the_points(convention):
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    here, there = (pca(points, 2, convention=convention) for points in (x, x.to("cuda")))
    assert on_device(there.components)
    torch.testing.assert_close(there.transform(x.to("cuda")).cpu(), here.transform(x))


def test_a_subset_is_on_the_device_of_the_labels():
    values = torch.tensor([0, 1, 0, 1, 1])
    found = balanced_subset(values.to("cuda"), 4, 0)
    assert on_device(found)
    assert torch.equal(found.cpu(), balanced_subset(values, 4, 0))
