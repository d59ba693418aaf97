"""Arrays that a program reads from a graph: the numbers that torch computes, and no index out of range."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from symnets.data import AtomGraph
from symnets.native import GraphReader, index_of_element
from tests.native.models import kept
from tests.native.test_force_field import graph

SPECIES = (1, 6, 8, 29)


def read(inputs: AtomGraph, species: tuple[int, ...] = SPECIES) -> GraphReader | None:
    """Arrays of a program for a graph; None if there is an index that is out of range."""
    reader = GraphReader(species, len(inputs.z), inputs.edge_index.shape[1])
    batch, shift = inputs.get("batch"), inputs.edge_shift
    return reader if reader(inputs.z, inputs.pos, inputs.cell, batch, inputs.edge_index, shift) else None


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_species_and_vectors_are_those_of_the_graph(dtype: torch.dtype) -> None:
    inputs = graph("molecule", "crystal", "slab", dtype=dtype)
    found = read(inputs)
    assert found is not None
    np.testing.assert_array_equal(np.array(SPECIES)[found.species], inputs.z)
    np.testing.assert_array_equal(np.stack([found.sender, found.receiver]), inputs.edge_index)
    exact = inputs.clone()
    for name in ("pos", "cell", "edge_shift"):
        exact[name] = exact[name].double()
    np.testing.assert_allclose(found.vectors, exact.edge_vectors(), rtol=0, atol=1e-13)


def test_edges_are_sorted_by_receiver() -> None:
    inputs = graph("molecule", "crystal")
    order = torch.randperm(inputs.edge_index.shape[1], generator=torch.Generator().manual_seed(0))
    mixed = inputs.clone()
    mixed.edge_index, mixed.edge_shift = inputs.edge_index[:, order], inputs.edge_shift[order]
    found = read(mixed)
    assert found is not None
    assert (np.diff(found.receiver) >= 0).all()
    rows, expected = (
        np.column_stack([x.receiver, x.sender, x.vectors.round(9)]) for x in (found, read(inputs))
    )
    assert sorted(map(tuple, rows)) == sorted(map(tuple, expected))


def test_fields_may_be_views() -> None:
    inputs = graph("crystal")
    views = inputs.clone()
    views.pos = torch.stack([inputs.pos, 0 * inputs.pos], dim=2)[:, :, 0]
    views.cell = inputs.cell.mT.contiguous().mT
    views.edge_index = inputs.edge_index.T.contiguous().T
    views.z = torch.stack([inputs.z, inputs.z], dim=1)[:, 0]
    assert not any(views[name].is_contiguous() for name in ("pos", "cell", "edge_index", "z"))
    found, expected = read(views), read(inputs)
    assert found is not None
    assert expected is not None
    for name in ("species", "sender", "receiver", "vectors"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


WRONG: dict[str, Callable[[AtomGraph], object]] = {
    "another element": lambda g: g.z.__setitem__(1, 7),
    "an element between": lambda g: g.z.__setitem__(1, 28),
    "no element": lambda g: g.z.__setitem__(1, 0),
    "a negative number": lambda g: g.z.__setitem__(1, -1),
    "a large number": lambda g: g.z.__setitem__(1, 2**62),
    "sender too large": lambda g: g.edge_index.__setitem__((0, 3), len(g.pos)),
    "sender negative": lambda g: g.edge_index.__setitem__((0, 3), -1),
    "receiver too large": lambda g: g.edge_index.__setitem__((1, -1), len(g.pos)),
    "receiver negative": lambda g: g.edge_index.__setitem__((1, 0), -1),
    "receiver unsorted and too large": lambda g: g.edge_index.__setitem__((1, 0), 2**62),
    "graph too large": lambda g: g.batch.__setitem__(-1, 2),
    "graph negative": lambda g: g.batch.__setitem__(0, -1),
}


@pytest.mark.parametrize("name", WRONG)
def test_indices_out_of_range_are_refused(name: str) -> None:
    inputs = graph("molecule", "crystal")
    assert read(inputs) is not None
    WRONG[name](inputs)
    assert read(inputs) is None


def test_index_of_element_counts_the_species_of_the_model() -> None:
    np.testing.assert_array_equal(index_of_element((1, 3, 6)), [-1, 0, -1, 1, -1, -1, 2])


def test_indices_of_species_follow_the_elements_of_the_model() -> None:
    inputs = graph("molecule")
    assert read(inputs, (6, 8)) is None
    found = read(inputs, tuple(range(1, 90)))
    assert found is not None
    np.testing.assert_array_equal(found.species + 1, inputs.z)


def test_successive_graphs_may_differ_in_size() -> None:
    model, names = kept("NequIP"), ("molecule", "slab", "crystal")
    alone = [model(graph(name)) for name in names]
    kept_results = [prediction.forces.clone() for prediction in alone]
    for inputs, expected in [(graph(name), a) for name, a in zip(names, alone, strict=True)] * 2:
        found = model(inputs)
        assert torch.equal(found.forces, expected.forces)
        assert torch.equal(found.node_energy, expected.node_energy)
        few = inputs.clone()
        few.edge_index, few.edge_shift = inputs.edge_index[:, :0], inputs.edge_shift[:0]
        assert not model(few).forces.any()
    assert all(torch.equal(a.forces, b) for a, b in zip(alone, kept_results, strict=True))


def test_changes_of_a_graph_by_numpy_are_noticed() -> None:
    model, inputs = kept("NequIP"), graph("molecule", "crystal")
    edges = inputs.edge_index.numpy()  # shares memory, but not the count of changes
    expected = model(inputs).forces
    inputs.pos.numpy()[...] += np.array([1.0, 2.0, 3.0])
    torch.testing.assert_close(model(inputs).forces, expected, rtol=0, atol=1e-10)
    inputs.pos.numpy()[0] += 0.1
    assert abs(model(inputs).forces - expected).max() > 1e-3
    edges[0, 0] = 10**6
    with pytest.raises(IndexError):
        model(inputs)


def test_a_negated_view_is_read_as_its_values() -> None:
    model, inputs = kept("NequIP"), graph("molecule")
    expected = model(inputs).forces
    inputs.pos = torch.complex(torch.zeros_like(inputs.pos), -inputs.pos).conj().imag
    assert inputs.pos.is_neg()
    torch.testing.assert_close(model(inputs).forces, expected, rtol=0, atol=1e-10)
