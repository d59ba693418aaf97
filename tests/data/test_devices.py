"""Graphs and points on a second device."""

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from symnets.data import (
    Loader,
    RandomHierarchy,
    SparseHierarchy,
    TensorColumn,
    add_tensor_labels,
    balanced_subset,
    build_graphs,
    collate,
    decision_rule,
    gaussian_cloud,
    gaussian_field,
    labels,
    mark_missing,
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


def test_labels_that_are_added_are_on_the_device_of_the_graph():
    atoms = random_molecule((1, 6), 3)
    graph = build_graphs([atoms], 4.0)[0].to("cuda")
    mark_missing([graph])
    atoms.info["dipole"] = [0.0, 1.0, 2.0]
    add_tensor_labels([graph], [atoms], {"dipole": TensorColumn("dipole", (3,), False)})
    assert all(map(on_device, graph.to_dict().values()))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_gaussian_field_is_on_the_device_of_the_points(device):
    x = torch.randn(30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    here = gaussian_field(x, generator=torch.Generator().manual_seed(1))
    there = gaussian_field(x.to("cuda"), generator=torch.Generator(device).manual_seed(1))
    assert on_device(there)
    assert torch.equal(there.cpu(), here)


@pytest.mark.parametrize("name", ["stripe", "interfaces", "xor", "cylinder", "sphere", "teacher"])
def test_labels_of_a_rule_are_on_the_device_of_the_points(name):
    x = gaussian_cloud(50, 4, generator=torch.Generator().manual_seed(0))
    rule = decision_rule(name, 4)
    there = rule.labels(x.to("cuda"))
    assert on_device(there)
    assert torch.equal(there.cpu(), rule.labels(x))


@pytest.mark.parametrize(
    "task",
    [RandomHierarchy(4, 4, 4), RandomHierarchy(10, 10, 10, depth=3), SparseHierarchy(3, 3, 2)],
    ids=repr,
)
def test_inputs_of_a_hierarchy_are_on_the_device_of_the_generator(task):
    here, there = (task.sample(20, torch.Generator(name).manual_seed(0)) for name in ("cpu", "cuda"))
    assert all(map(on_device, (there.labels, *there.choices, *there.positions)))
    assert torch.equal(there.labels.cpu(), here.labels)
    inputs = task.inputs(there)
    assert on_device(inputs)
    assert torch.equal(inputs.cpu(), task.inputs(here))
    classes = task.classify(task.symbols(there))
    assert on_device(classes)
    assert torch.equal(classes.cpu(), here.labels)
    for change in (task.exchanged, getattr(task, "deformed", task.exchanged)):
        here_changed, *there_changed = (
            task.inputs(change(sample, 1, torch.Generator(name).manual_seed(1)))
            for sample, name in ((here, "cpu"), (there, "cpu"), (there, "cuda"))
        )
        for changed in there_changed:
            assert on_device(changed)
            assert torch.equal(changed.cpu(), here_changed)
