"""Observables of networks on point clouds, called as for nets on tensors."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from symnets.data import Batch, Loader, point_cloud, tetris
from symnets.diffeo import PointField
from symnets.models import EGNN, CloudClassifier, OnClouds, PlainPointNet, TensorFieldNetwork
from symnets.observables import (
    classification_error,
    margins,
    sensitivity,
    stability,
    take_points,
    tangent_kernel,
)
from symnets.observables.curvature import h0_spectrum, hessian_split
from symnets.training import QuadraticHinge

TINY = {"cutoff": 1.1, "layers": 2, "channels": 2, "n_basis": 2, "mean_neighbors": 1.5}


def field_network(n_classes: int) -> nn.Module:
    network = TensorFieldNetwork(("H",), lmax=1, parity=False, radial_hidden=(2,), **TINY)
    return CloudClassifier(network, n_classes, hidden=2)


def egnn(n_classes: int) -> nn.Module:
    return CloudClassifier(EGNN(("H",), **TINY), n_classes, hidden=2)


def plain(n_classes: int) -> nn.Module:
    return PlainPointNet(n_classes, channels=3)


NETS = {"TensorFieldNetwork": field_network, "EGNN": egnn, "plain": plain}


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def clouds(targets: torch.Tensor) -> Batch:
    graphs = [point_cloud(points, 1.1) for points in tetris().values()]
    (batch,) = Loader(list(zip(graphs, targets, strict=False)), 8)
    return batch


def signs(n: int = 8) -> torch.Tensor:
    return 1 - 2 * (torch.arange(n) % 2).double()


def gradient(net: nn.Module, output: torch.Tensor) -> torch.Tensor:
    trained = [p for p in net.parameters() if p.requires_grad]
    parts = torch.autograd.grad(output, trained, retain_graph=True, allow_unused=True, materialize_grads=True)
    return torch.cat([part.reshape(-1) for part in parts])


@pytest.mark.parametrize("build", NETS.values(), ids=NETS)
def test_margins_are_those_of_the_outputs(build: Callable[[int], nn.Module]) -> None:
    net, batch = build(1), clouds(signs())
    found = margins(net, batch, margin=0.5)
    expected = 0.5 - batch.targets * net(batch.inputs)[:, 0].detach()
    torch.testing.assert_close(found.gaps, expected, rtol=0, atol=1e-12)
    assert int(found.n_unsatisfied) == int((expected > 1e-6).sum())


@pytest.mark.parametrize("build", NETS.values(), ids=NETS)
def test_tangent_kernel_is_the_gram_matrix_of_gradients(build: Callable[[int], nn.Module]) -> None:
    net, batch = build(2), clouds(signs(3))
    kernel = tangent_kernel(net, batch.inputs)
    assert kernel.shape == (3, 3, 2, 2)
    gradients = torch.stack([gradient(net, f) for f in net(batch.inputs).flatten()]).view(3, 2, -1)
    expected = torch.einsum("acn,bdn->abcd", gradients, gradients)
    # rounding: the kernel takes one cloud after another
    torch.testing.assert_close(kernel, expected, rtol=0, atol=1e-10 * float(expected.abs().max()))


@pytest.mark.parametrize("build", NETS.values(), ids=NETS)
def test_h0_is_made_of_gradients_and_h_is_the_derivative_of_the_gradient(
    build: Callable[[int], nn.Module],
) -> None:
    net, batch = build(1), clouds(signs(3))
    for name, p in net.named_parameters():  # rows for the last layers alone, which is faster
        p.requires_grad_("even" in name or "of_cloud" in name or "layers.1.after" in name)
    trained = [p for p in net.parameters() if p.requires_grad]
    loss = QuadraticHinge(margin=10.0)  # all patterns are unsatisfied
    split = hessian_split(net, loss, batch)
    outputs = net(batch.inputs)[:, 0]
    rows = torch.stack(
        [
            torch.cat([g.reshape(-1) for g in torch.autograd.grad(f, trained, retain_graph=True)])
            for f in outputs
        ]
    )
    torch.testing.assert_close(
        split.h0, rows.T @ rows / 3, rtol=1e-9, atol=1e-10 * float(split.h0.abs().max())
    )
    direction = [torch.randn_like(p) for p in trained]

    def gradients(step: float) -> torch.Tensor:
        with torch.no_grad():
            for p, v in zip(trained, direction, strict=True):
                p.add_(v, alpha=step)
        value = loss(net(batch.inputs)[:, 0], batch.targets).mean()
        return torch.cat([g.reshape(-1) for g in torch.autograd.grad(value, trained)])

    h = 1e-5
    expected = (gradients(h) - gradients(-2 * h)) / (2 * h)  # at +h, then at -h
    found = split.h @ torch.cat([v.reshape(-1) for v in direction])
    # central differences are exact to h², here 1e-10, times a third derivative
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 * float(expected.abs().max()))


def test_spectrum_of_h0_of_some_unsatisfied_clouds() -> None:
    net, batch = plain(1), clouds(signs())
    with torch.no_grad():
        gaps = batch.targets * net(batch.inputs)[:, 0]
    loss = QuadraticHinge(margin=float(gaps.median()) + 1e-3)  # half of the clouds are satisfied
    n_unsatisfied = int((gaps < loss.margin).sum())
    assert 0 < n_unsatisfied < 8
    eigenvalues = h0_spectrum(net, loss, batch).eigenvalues
    dense = torch.linalg.eigvalsh(hessian_split(net, loss, batch).h0)
    assert len(eigenvalues) == n_unsatisfied
    torch.testing.assert_close(eigenvalues, dense[-n_unsatisfied:], rtol=1e-8, atol=1e-12)


def test_any_graphs_of_a_batch_can_be_taken() -> None:
    batch = clouds(signs()).inputs
    batch.features, batch.energy = torch.arange(32.0)[:, None], torch.arange(8.0)
    few = take_points(batch, torch.tensor([1, 4, 6]))
    assert few.n_graphs == 3
    assert few.ptr.tolist() == [0, 4, 8, 12]
    assert few.owner.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert few.energy.tolist() == [1, 4, 6]
    assert few.features[:, 0].tolist() == [*range(4, 8), *range(16, 20), *range(24, 28)]
    singles = [take_points(batch, slice(k, k + 1)).edge_vectors() for k in (1, 4, 6)]
    assert torch.equal(few.edge_vectors(), torch.cat(singles))


def test_classification_error_counts_clouds() -> None:
    net, batch = plain(8), clouds(torch.arange(8))
    expected = float((net(batch.inputs).argmax(1) != batch.targets).double().mean())
    for batch_size in (3, 100):
        found = classification_error(net, batch.inputs, batch.targets, batch_size=batch_size)
        assert (found.error, found.n) == (expected, 8)
    with pytest.raises(ValueError, match="expected equal numbers, at least one of each, got 8 and 7"):
        classification_error(net, batch.inputs, batch.targets[:7])


def test_a_network_on_positions_is_the_network_on_graphs() -> None:
    network = TensorFieldNetwork((1, 2), lmax=1, radial_hidden=(2,), **TINY)
    net = CloudClassifier(network, 3)
    positions = torch.stack(list(tetris().values())).requires_grad_()
    found = OnClouds(net, 1.1, kinds=[0, 1, 0, 1])(positions)
    graphs = [point_cloud(points, 1.1, kinds=[0, 1, 0, 1]) for points in tetris().values()]
    (batch,) = Loader([(graph, torch.tensor(0)) for graph in graphs], 8)
    torch.testing.assert_close(found, net(batch.inputs), rtol=0, atol=1e-12)
    (slope,) = torch.autograd.grad(found[:, 0].sum(), positions)
    # an invariant does not change when a cloud is translated
    torch.testing.assert_close(slope.sum(1), torch.zeros(8, 3), rtol=0, atol=1e-10 * float(slope.abs().max()))


class Coordinates(nn.Module):
    """f(x) = x for clouds."""

    def forward(self, positions: torch.Tensor) -> torch.Tensor:
        return positions


def test_stability_of_the_identity_is_one() -> None:
    positions = torch.randn(30, 5, 3)
    found = stability(
        Coordinates(), positions, PointField(), delta=0.1, generator=torch.Generator().manual_seed(0)
    )
    assert found.R.value[-1] == pytest.approx(1, rel=1e-12)
    # the noise has the norm of the deformation, √5 delta for five points, up to fluctuations of 30 clouds
    assert found.noise_norm == pytest.approx(0.1 * 5**0.5, rel=0.2)


def test_stability_and_sensitivity_of_a_cloud_classifier() -> None:
    net = OnClouds(egnn(4), 1.1)
    positions = torch.stack(list(tetris().values()))
    found = stability(
        net,
        positions,
        PointField(),
        delta=0.02,
        layers=["model.hidden"],
        generator=torch.Generator().manual_seed(0),
    )
    assert found.layers == ("model.hidden", "output")
    assert bool(torch.as_tensor(found.R.value > 0).all())
    turned = positions @ torch.linalg.qr(torch.randn(3, 3)).Q.T
    invariant, other = (sensitivity(f, positions, turned).output for f in (net, OnClouds(plain(4), 1.1)))
    assert invariant < 1e-20  # squares of rounding errors
    assert other > 1e-3


def test_images_without_channels_are_no_clouds() -> None:
    with pytest.raises(ValueError, match=r"expected shape \(n, channels, 3\)"):
        stability(Coordinates(), torch.rand(4, 5, 2), PointField(), delta=0.1, generator=None)


def test_deformations_of_a_point_field_are_sampled_once() -> None:
    positions, field = torch.randn(3, 5, 3), PointField(cutoff=2, margin=1.0)
    maps = field.sample(3, delta=0.1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(maps.warp(positions), maps.warp(positions))
    assert not torch.equal(maps.warp(positions), positions)
    with pytest.raises(ValueError, match="clouds: expected 3, as many as maps, got 2"):
        maps.warp(positions[:2])
