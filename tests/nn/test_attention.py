"""Equivariant attention: the softmax over neighbours, the cutoff, heads, and a version in plain e3nn."""

import math

import pytest
import torch
from e3nn import o3
from torch import Tensor

from symnets.data import point_cloud
from symnets.nn import Attention, EdgeGeometry
from symnets.nn._attention import softmax_over_neighbors
from symnets.ops import AttentionProduct, from_e3nn, to_e3nn
from symnets.testing import assert_equivariant
from tests.naive.attention import attention

IRREPS = o3.Irreps("4x0e+4x1o+2x1e")


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def block(heads: int = 2, targets: str = "3x0e+5x1o") -> Attention:
    return Attention(IRREPS, "0e+1o", targets, heads=heads, n_basis=3, radial_hidden=(6,), mean_neighbors=4.0)


def edges_of(positions: Tensor, geometry: EdgeGeometry):
    graph = point_cloud(positions, 2.0)
    return geometry(graph), graph.edge_index


def test_attention_and_two_derivatives_are_those_of_e3nn():
    layer, geometry = block(), EdgeGeometry(2.0, 1, 3, envelope=True)
    positions = torch.randn(6, 3, requires_grad=True)
    x = torch.randn(6, IRREPS.dim, requires_grad=True)

    def ours() -> Tensor:
        edges, edge_index = edges_of(positions, geometry)
        return to_e3nn(layer(from_e3nn(x, IRREPS), edges, edge_index), layer.irreps_out)

    def theirs() -> Tensor:
        edges, edge_index = edges_of(positions, geometry)
        assert edges.pair is not None
        return attention(layer, x, edges.basis[edges.pair], edges.filters, edges.envelope, edge_index)  # pyright: ignore

    results = []
    for function in (ours, theirs):
        out = function()
        leaves = [positions, x, *layer.parameters()]
        first = torch.autograd.grad((out**2).sum(), leaves, create_graph=True)
        second = torch.autograd.grad((first[0] ** 2).sum() + (first[1] ** 2).sum(), leaves)
        results.append([out, *first, *second])
    for a, b in zip(*results, strict=True):
        assert (a - b).abs().max() < 1e-12 * b.abs().max()


@pytest.mark.parametrize("heads", [1, 2])
def test_attention_is_equivariant(heads):
    layer, geometry = block(heads, "3x0e+5x1o+2x1e"), EdgeGeometry(2.0, 1, 3, envelope=True)

    def of_positions(x: Tensor, positions: Tensor) -> Tensor:
        return layer(x, *edges_of(positions, geometry))

    assert_equivariant(of_positions, [IRREPS, "1o"], layer.irreps_out, tolerance=1e-11)


def test_softmax_is_torch_softmax_with_one_more_logit_of_zero():
    logits, receiver = torch.randn(6, 2), torch.tensor([0, 0, 0, 2, 2, 2])
    weights = softmax_over_neighbors(logits, torch.ones(6), receiver, 3)
    for rows in (slice(0, 3), slice(3, 6)):
        expected = torch.cat([logits[rows], torch.zeros(1, 2)]).softmax(0)[:-1]
        torch.testing.assert_close(weights[rows], expected)


def test_large_logits_do_not_overflow():
    weights = softmax_over_neighbors(
        torch.tensor([[1e4], [1e4], [-1e4]]), torch.ones(3), torch.tensor([0, 0, 1]), 2
    )
    assert weights.flatten().tolist() == [0.5, 0.5, 0.0]


def test_a_lone_neighbour_loses_its_attention_at_the_cutoff():
    receiver, logits = torch.zeros(1, dtype=torch.int64), torch.full((1, 1), 0.7)
    for envelope in (1e-3, 1e-6, 0.0):
        weight = softmax_over_neighbors(logits, torch.full((1,), envelope), receiver, 1)
        assert math.isclose(weight.item(), math.exp(0.7) * envelope, rel_tol=3e-3, abs_tol=0)


def test_nodes_without_neighbours_receive_zeros():
    layer, geometry = block(), EdgeGeometry(2.0, 1, 3, envelope=True)
    positions = torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 0, 9]], requires_grad=True)
    out = layer(torch.randn(3, IRREPS.dim), *edges_of(positions, geometry))
    assert out[:2].any()
    assert not out[2].any()
    (gradient,) = torch.autograd.grad(out.sum(), positions)
    assert gradient.isfinite().all()


def test_heads_attend_separately():
    layer, geometry = block(), EdgeGeometry(2.0, 1, 3, envelope=True)
    edges, edge_index = edges_of(torch.randn(5, 3) / 2, geometry)
    x = torch.randn(5, IRREPS.dim)
    sums = []
    layer.sum.register_forward_hook(lambda module, args, out: sums.append(out))
    layer(x, edges, edge_index)
    paths = [mul for mul, ir in layer.logits.plan.slots if ir.l == 0 and ir.p == 1]
    first_head = torch.cat([torch.arange(mul) < mul // 2 for mul in paths])
    with torch.no_grad():
        layer.query.weights[0][:, first_head] *= -1
    layer(x, edges, edge_index)
    before, after = (to_e3nn(s, layer.sum.irreps_out)[:, :4] for s in sums)  # path 0e ⊗ 0e -> 0e
    assert (before - after)[:, :2].abs().max() > 1e-3
    torch.testing.assert_close(before[:, 2:], after[:, 2:])


def test_plain_torch_gives_the_same():
    layer, geometry = block(), EdgeGeometry(2.0, 1, 3, envelope=True)
    edges, edge_index = edges_of(torch.randn(6, 3), geometry)
    x = torch.randn(6, IRREPS.dim)
    expected = layer(x, edges, edge_index)
    for module in layer.modules():
        if isinstance(module, AttentionProduct):
            module.implementation = "plain"
    torch.testing.assert_close(layer(x, edges, edge_index), expected, rtol=0, atol=1e-12)


def test_invalid_heads_targets_and_edges_are_an_error():
    with pytest.raises(ValueError, match="heads: expected a number that divides"):
        block(heads=3)
    with pytest.raises(ValueError, match="no path leads from 4x0e"):
        Attention("4x0e", "0e", "4x1o", heads=2, n_basis=3, radial_hidden=(), mean_neighbors=1.0)
    edges, edge_index = edges_of(torch.randn(4, 3), EdgeGeometry(2.0, 1, 3))
    with pytest.raises(ValueError, match="envelope=True"):
        block()(torch.randn(4, IRREPS.dim), edges, edge_index)
