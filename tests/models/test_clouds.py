"""Networks on point clouds: equivariance of features, chirality, baselines, and wrong arguments."""

import pytest
import torch
from e3nn import o3
from torch import Tensor, nn

from symnets.data import AtomGraph, Batch, Loader, point_cloud, tetris
from symnets.models import (
    EGNN,
    CloudClassifier,
    NequIP,
    PlainPointNet,
    SE3Transformer,
    TensorFieldNetwork,
    Tensors,
    architectures,
)
from symnets.models._tensor_field_network import NormNonlinearity
from symnets.ops import to_e3nn
from symnets.testing import assert_equivariant, random_rotation
from symnets.testing._layers import transform
from tests.naive.clouds import egnn_features, tensor_field_layer

RADIUS = 1.3
"""Neighbouring cubes of tetris are at a distance of 1, the next at √2."""
SMALL = {"cutoff": RADIUS, "layers": 3, "channels": 3, "n_basis": 3, "mean_neighbors": 1.5}
TENSORS = SMALL | {"lmax": 1, "radial_hidden": (4,)}
WITH_0O = TENSORS | {"parity": True, "irreps_last": "3x0e+3x0o"}


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def shapes(rotation: Tensor | None = None) -> AtomGraph:
    """The eight shapes of tetris, rotated, as one batch."""
    rotation = torch.eye(3) if rotation is None else rotation
    graphs = [point_cloud(points @ rotation.T + 0.5, RADIUS) for points in tetris().values()]
    (batch,) = Loader([(graph, torch.tensor(0)) for graph in graphs], 8)
    return batch.inputs


def rotation(*, improper: bool = False) -> Tensor:
    return torch.as_tensor(random_rotation(1, improper=improper))


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-11) -> bool:
    """Whether two tensors agree relative to the largest number."""
    return float((found - expected).abs().max()) <= tolerance * float(expected.abs().max())


FIELD_NETWORKS = {
    "O(3)": ({"irreps_last": "2x0e+2x0o+2x1o+1x1e"}, True),
    "SO(3)": ({"irreps_last": "2x0e+2x1e+1x2e", "parity": False, "lmax": 2}, False),
    "with input": ({"irreps_last": "2x0e+2x1o", "irreps_input": "1x0e+2x1o+1x1e"}, True),
}


@pytest.mark.parametrize("improper", [False, True], ids=["rotation", "reflection"])
@pytest.mark.parametrize(("options", "has_parity"), FIELD_NETWORKS.values(), ids=FIELD_NETWORKS)
def test_features_of_a_tensor_field_network_rotate_with_the_cloud(
    options: dict, has_parity: bool, improper: bool
) -> None:
    net = TensorFieldNetwork((1, 2), **TENSORS | options)
    points, kinds = torch.randn(12, 3), torch.arange(12) % 2
    matrix, given = rotation(improper=improper), None
    irreps = o3.Irreps(options.get("irreps_input", "0x0e"))
    if irreps.dim:
        given = torch.randn(12, irreps.dim)

    def features(points: Tensor, given: Tensor | None) -> Tensor:
        return net.node_features(point_cloud(points, RADIUS, kinds=kinds, features=given)).detach()

    turned = None if given is None else transform(given, irreps, matrix, "mul_ir")
    found = features(points @ matrix.T, turned)
    expected = transform(features(points, given), net.irreps_features, matrix)
    assert found.shape == (12, net.irreps_features.dim)
    assert close(found, expected) == (has_parity or not improper)
    if given is not None:  # they matter
        assert not close(features(points, 2 * given), features(points, given), 1e-3)


def test_norm_nonlinearity_is_equivariant_and_smooth_at_zero() -> None:
    irreps = o3.Irreps("3x0e+2x0o+2x1o+1x2e")
    layer = NormNonlinearity(irreps)
    for bias in layer.biases:
        nn.init.normal_(bias)
    assert_equivariant(layer, irreps, irreps)
    assert torch.autograd.gradgradcheck(layer, torch.zeros(1, irreps.dim, requires_grad=True))


def test_norm_nonlinearity_is_that_of_the_paper() -> None:
    """Thomas et al.: η(s + b) of scalars, η(|v| + b) v of vectors; here |v| is the norm over √3."""
    layer = NormNonlinearity(o3.Irreps("1x0e+1x1o"))
    for bias in layer.biases:
        nn.init.constant_(bias, 0.3)
    silu = nn.functional.silu
    s, v = torch.tensor([[-2.0]]), torch.tensor([[3.0, 0.0, 4.0]])
    expected = torch.cat([silu(s + 0.3), silu(v.norm() / 3**0.5 + 0.3) * v], dim=1)
    torch.testing.assert_close(layer(torch.cat([s, v], 1)).detach(), expected, rtol=1e-4, atol=0)  # ε


def test_chiral_shapes_have_the_same_outputs_without_a_pseudoscalar() -> None:
    """O(3) and outputs from 0e: equal for mirror images, whatever the weights."""
    for network in (TensorFieldNetwork(("H",), **TENSORS), EGNN(("H",), **SMALL)):
        net = CloudClassifier(network, 8)
        outputs = net(shapes()).detach()
        assert close(outputs[0], outputs[1], 1e-12)
        assert not close(outputs[0], outputs[2], 1e-3)
        assert close(net(shapes(rotation())).detach(), outputs)


def test_so3_separates_chiral_shapes() -> None:
    net = CloudClassifier(TensorFieldNetwork(("H",), parity=False, **TENSORS), 8)
    outputs = net(shapes()).detach()
    assert not close(outputs[0], outputs[1], 1e-8)
    assert close(net(shapes(rotation())).detach(), outputs)
    mirrored = net(shapes(rotation(improper=True))).detach()
    assert close(mirrored[[1, 0]], outputs[:2])  # the mirror image of one is the other, rotated
    assert close(mirrored[2:], outputs[2:])


NETWORKS = {
    "TensorFieldNetwork": TensorFieldNetwork,
    "SE3Transformer": SE3Transformer,
    "NequIP": NequIP,
}


@pytest.mark.parametrize("architecture", NETWORKS.values(), ids=NETWORKS)
def test_a_pseudoscalar_separates_chiral_shapes(architecture: type[nn.Module]) -> None:
    options = WITH_0O | (
        {"channels": 4, "irreps_last": "4x0e+4x0o"} if architecture is SE3Transformer else {}
    )
    net = CloudClassifier(architecture(("H",), **options), 8, mirror_images=[(0, 1)])
    outputs = net(shapes()).detach()
    assert not close(outputs[0], outputs[1], 1e-8)
    assert close(net(shapes(rotation())).detach(), outputs)
    # A reflection exchanges the outputs of the two classes for every shape.
    mirrored = net(shapes(rotation(improper=True))).detach()
    assert close(mirrored, outputs[:, [1, 0, 2, 3, 4, 5, 6, 7]])
    # The other shapes are their own mirror images: both outputs are equal.
    assert close(outputs[2:, 0], outputs[2:, 1], 1e-10)


def test_tensors_of_a_cloud_are_a_vector_and_a_pseudoscalar() -> None:
    net = Tensors(TensorFieldNetwork(("H",), **TENSORS | {"irreps_last": "3x0e+2x0o+2x1o"}), "1x1o+1x0o")
    matrix = rotation(improper=True)
    before, after = net(shapes()).detach(), net(shapes(matrix)).detach()
    assert close(after[:, :3], before[:, :3] @ matrix.T)
    assert close(after[:, 3], -before[:, 3])


def test_egnn_moves_points_by_a_vector() -> None:
    net = EGNN(("H",), **SMALL | {"irreps_last": "3x0e+1x1o"})
    matrix = rotation(improper=True)
    before, after = net.node_features(shapes()).detach(), net.node_features(shapes(matrix)).detach()
    assert close(after[:, :3], before[:, :3])
    assert close(after[:, 3:], before[:, 3:] @ matrix.T)
    assert bool(before[:, 3:].any())
    assert "layers.2.step" not in str(list(EGNN(("H",), **SMALL).state_dict()))  # energies need no last step


def test_egnn_is_that_of_the_paper() -> None:
    net = EGNN((1, 2), **SMALL | {"irreps_last": "3x0e+1x1o"})
    graph = point_cloud(torch.randn(6, 3), RADIUS, kinds=[0, 1, 1, 0, 1, 0])
    assert 0 < graph.edge_index.shape[1] < 30  # some pairs are beyond the radius
    found = net.node_features(graph).detach()
    h, u = egnn_features(net, graph)
    assert close(found, torch.cat([h, u], dim=1).detach(), 1e-12)


def test_tensor_field_layers_are_sums_of_tensor_products_of_e3nn() -> None:
    net = TensorFieldNetwork((1, 2), **TENSORS | {"layers": 2, "irreps_last": "2x0e+2x1o+1x1e"})
    graph = point_cloud(torch.randn(6, 3), RADIUS, kinds=[0, 1, 1, 0, 1, 0])
    species, edges = net.species_index(graph.z), net.edges(graph)
    features = net.embedding[species]
    for layer in net.layers:
        for bias in layer.nonlinearity.biases:
            nn.init.normal_(bias)
        found = layer(features, edges, graph.edge_index, species)
        expected = tensor_field_layer(layer, features, edges, graph.edge_index, species)
        assert close(to_e3nn(found, layer.irreps_out).detach(), expected.detach(), 1e-12)
        features = found


def test_plain_net_is_invariant_under_permutations_and_translations_alone() -> None:
    net = PlainPointNet(4, kinds=2)
    points, kinds = torch.randn(7, 3), torch.tensor([0, 1, 0, 0, 1, 1, 0])

    def outputs(points: Tensor, kinds: Tensor) -> Tensor:
        return net(point_cloud(points, 1.0, kinds=kinds)).detach()

    expected, order = outputs(points, kinds), torch.randperm(7)
    assert expected.shape == (1, 4)
    assert close(outputs(points[order], kinds[order]), expected)
    assert close(outputs(points + torch.tensor([1.0, -2.0, 3.0]), kinds), expected)
    assert not close(outputs(points @ rotation().T, kinds), expected, 1e-3)
    assert not close(outputs(points, 1 - kinds), expected, 1e-3)
    assert "PlainPointNet" not in architectures()  # no energies, which would have to obey the laws


def test_clouds_of_a_batch_do_not_interact() -> None:
    graphs = [point_cloud(torch.randn(n, 3), RADIUS) for n in (3, 5, 1)]
    (batch,) = Loader([(graph, torch.tensor(0)) for graph in graphs], 3)
    for net in (PlainPointNet(4), CloudClassifier(TensorFieldNetwork(("H",), **TENSORS), 4)):
        assert close(net(batch.inputs).detach(), torch.cat([net(graph) for graph in graphs]).detach())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: CloudClassifier(TensorFieldNetwork(("H",), **TENSORS), 8, mirror_images=[(0, 1)]),
            "odd scalars",
        ),
        (
            lambda: CloudClassifier(TensorFieldNetwork(("H",), **WITH_0O), 2, mirror_images=[(0, 2)]),
            "pairs of different classes below 2",
        ),
        (
            lambda: CloudClassifier(TensorFieldNetwork(("H",), **WITH_0O), 3, mirror_images=[(0, 1), (1, 2)]),
            "each class at most once",
        ),
        (
            lambda: TensorFieldNetwork(("H",), **WITH_0O | {"layers": 1}),
            "no path leads to some of .* increase layers=1, or leave out",
        ),
        (lambda: EGNN(("H",), **SMALL | {"irreps_last": "3x0e+2x1o"}), r"expected 3x0e or 3x0e\+1x1o"),
        (
            lambda: PlainPointNet(2)(point_cloud(torch.eye(3), 1.0, kinds=[0, 0, 1])),
            "kinds: expected numbers below 1",
        ),
        (
            lambda: TensorFieldNetwork(("H",), **TENSORS | {"irreps_input": "1x0e"})(
                point_cloud(torch.eye(3), 2.0)
            ),
            r"features: expected shape \(3, 1\)",
        ),
    ],
)
def test_arguments_that_do_not_fit(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_batches_of_clouds_train_with_any_loss() -> None:
    """One step on vectors of points lowers the loss."""
    net = Tensors(TensorFieldNetwork(("H",), **TENSORS | {"irreps_last": "3x0e+2x1o"}), "1x1o", per="atom")
    graphs = [point_cloud(points, RADIUS) for points in tetris().values()]
    batch: Batch = next(iter(Loader([(graph, graph.pos - graph.pos.mean(0)) for graph in graphs], 8)))

    def loss() -> Tensor:
        return nn.functional.mse_loss(net(batch.inputs), batch.targets)

    before = loss()
    gradients = torch.autograd.grad(
        before, [p for p in net.parameters() if p.requires_grad], allow_unused=True
    )
    size = sum(float(g.square().sum()) for g in gradients if g is not None) ** 0.5
    with torch.no_grad():
        for p, g in zip([p for p in net.parameters() if p.requires_grad], gradients, strict=True):
            if g is not None:
                p.sub_(g, alpha=1e-4 / size)
    assert loss() < before
