"""Point clouds are graphs of neighbours; loaders join them, with targets of clouds and of points."""

import numpy as np
import pytest
import torch

from symnets.data import AtomGraph, Loader, point_cloud, tetris


def pairs(graph: AtomGraph) -> set[tuple[int, int]]:
    return {(int(j), int(i)) for j, i in graph.edge_index.T}


def test_edges_are_the_pairs_closer_than_the_radius():
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    graph = point_cloud(points, 1.0)
    distances = torch.cdist(points, points)
    close = (distances < 1.0) & ~torch.eye(20, dtype=torch.bool)
    sender, receiver = graph.edge_index
    assert pairs(graph) == {(int(j), int(i)) for j, i in close.nonzero()}
    assert bool((receiver.diff() >= 0).all())  # sorted by receiver
    torch.testing.assert_close(graph.edge_vectors().norm(dim=1), distances[receiver, sender])
    assert not graph.pbc.any()
    assert not graph.edge_shift.any()


def test_kinds_are_atomic_numbers_from_one():
    points = np.eye(3)
    assert point_cloud(points, 2.0).z.tolist() == [1, 1, 1]
    assert point_cloud(points, 2.0, kinds=[0, 2, 1]).z.tolist() == [1, 3, 2]


def test_dtype_is_that_of_a_tensor_else_the_default():
    assert point_cloud(torch.eye(3, dtype=torch.float64), 2.0).pos.dtype == torch.float64
    assert point_cloud(np.eye(3), 2.0).pos.dtype == torch.float32
    graph = point_cloud(torch.eye(3), 2.0, features=np.ones((3, 2)), dtype=torch.float64)
    assert graph.pos.dtype == graph.features.dtype == graph.edge_shift.dtype == torch.float64


def test_positions_keep_their_gradients():
    points = torch.eye(3, dtype=torch.float64, requires_grad=True)
    point_cloud(points, 2.0).edge_vectors().square().sum().backward()
    assert points.grad is not None
    assert bool(points.grad.any())


def test_the_unit_of_length_is_free():
    points = torch.randn(30, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tiny = point_cloud(1e-4 * points, 1e-4)  # as numbers, these points are closer than atoms ever are
    assert pairs(tiny) == pairs(point_cloud(points, 1.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"positions": torch.zeros(2, 4, 3)}, r"positions: expected shape \(points, 3\)"),
        ({"positions": torch.zeros(0, 3)}, "at least one point"),
        ({"positions": torch.zeros(2, 3)}, "at the same place"),
        ({"positions": torch.full((2, 3), torch.nan)}, "expected finite positions"),
        ({"features": torch.zeros(2, 4)}, r"features: expected finite numbers of shape \(3, dim\)"),
        ({"features": torch.full((3, 1), torch.inf)}, "features: expected finite"),
        ({"kinds": [0, 1]}, "kinds: expected 3 integers"),
        ({"kinds": [0, 1, -1]}, "kinds: expected 3 integers"),
        ({"kinds": [0.0, 1.0, 2.0]}, "kinds: expected 3 integers"),
    ],
)
def test_input_that_is_no_cloud(arguments, message):
    with pytest.raises(ValueError, match=message):
        point_cloud(**{"positions": torch.eye(3), "radius": 2.0} | arguments)


def clouds():
    return [point_cloud(points, 1.1, features=points[:, :1]) for points in tetris().values()]


def test_a_loader_stacks_classes_and_rows():
    graphs = clouds()
    (batch,) = Loader([(graph, torch.tensor(n)) for n, graph in enumerate(graphs)], 8)
    assert batch.targets.tolist() == list(range(8))
    assert batch.inputs.n_graphs == 8
    assert batch.inputs.features.shape == (32, 1)
    (batch,) = Loader([(graph, graph.pos.sum(0)) for graph in graphs], 8)
    assert batch.targets.shape == (8, 3)


def test_a_loader_concatenates_targets_of_points():
    graphs = [point_cloud(torch.eye(3), 2.0), point_cloud(torch.eye(3)[:2], 2.0)]
    (batch,) = Loader([(graph, 2 * graph.pos) for graph in graphs], 2)
    assert torch.equal(batch.targets, 2 * batch.inputs.pos)
    assert batch.to("meta").targets.device.type == "meta"
    with pytest.raises(ValueError, match=r"points=3, got \(2, 3\)"):
        list(Loader([(graphs[0], torch.zeros(2, 3))], 1))


def test_examples_that_are_no_pairs():
    with pytest.raises(ValueError, match=r"expected pairs .*got \(Data, int\)|got \(AtomGraph, int\)"):
        list(Loader([(clouds()[0], 1)], 1))  # pyright: ignore


def invariants(points: torch.Tensor) -> torch.Tensor:
    """Sorted distances, by which the shapes differ except for the mirror images."""
    return torch.pdist(points).sort().values


def test_two_shapes_of_tetris_are_mirror_images():
    shapes = tetris()
    mirror = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
    assert torch.equal(mirror * shapes["chiral 1"], shapes["chiral 2"])
    found = {tuple(invariants(points).tolist()) for points in shapes.values()}
    assert len(found) == 7
    # The signed volume of three of the edges is a pseudoscalar.
    volumes = [torch.linalg.det(shapes[f"chiral {k}"][1:] - shapes[f"chiral {k}"][0]) for k in (1, 2)]
    assert volumes[0] == -volumes[1] != 0
