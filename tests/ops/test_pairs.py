"""Pairs of an edge and its reverse, and weights shared within a pair."""

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from symnets.data import build_graphs, collate
from symnets.ops import LinearWeights, TensorProductScatter, all_paths, pairs
from symnets.ops import _linear_weights as linear_weights


def graphs(*structures):
    return collate(build_graphs(list(structures), 4.0, dtype=torch.float64)).inputs


def rattled(atoms):
    atoms.rattle(0.1, seed=0)
    return atoms


@pytest.mark.parametrize(
    "structures",
    [
        [molecule("CH3CH2OH")],
        [bulk("Cu")],  # a single atom, and its own images
        [rattled(bulk("Si", cubic=True)), molecule("H2O"), rattled(bulk("Cu") * (2, 1, 1))],
    ],
)
def test_the_edges_of_a_pair_are_opposite(structures):
    graph = graphs(*structures)
    pair, edge = pairs(graph.edge_index, graph.edge_shift)
    assert 2 * len(edge) == len(pair) == graph.edge_index.shape[1]
    assert torch.equal(pair[edge], torch.arange(len(edge)))
    vectors = graph.edge_vectors()
    sums = torch.zeros(len(edge), 3, dtype=torch.float64).index_add(0, pair, vectors)
    torch.testing.assert_close(sums, torch.zeros_like(sums), atol=1e-12, rtol=0)


def test_edges_without_reverse_and_duplicate_edges_are_single():
    edge_index = torch.tensor([[0, 1, 1, 2, 0], [1, 0, 0, 0, 2]])
    members = np.bincount(pairs(edge_index, torch.zeros(5, 3)).pair.numpy())
    assert members.tolist().count(2) == 2  # 0-1 once, 0-2
    assert members.tolist().count(1) == 1  # 1 -> 0 again
    shifted = torch.zeros(5, 3)
    shifted[3, 0] = 1
    assert len(pairs(edge_index, shifted).edge) == 4
    assert len(pairs(edge_index[:, :0], torch.zeros(0, 3)).edge) == 0


@pytest.mark.parametrize("kept", [linear_weights.MAX_KEPT_WEIGHTS, 0])
@pytest.mark.parametrize("linear", [False, True])
def test_shared_weights_equal_weights_of_each_edge(linear, kept, monkeypatch):
    monkeypatch.setattr(linear_weights, "MAX_KEPT_WEIGHTS", kept)
    irreps = "3x0e+2x1o"
    slots, paths = all_paths(irreps, "0e+1o", irreps)
    op = TensorProductScatter(irreps, "0e+1o", slots, paths, layout="ir_mul", implementation="fused")
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(5, (2, 20), generator=generator)
    pair = torch.cat([torch.arange(12), torch.randint(12, (8,), generator=generator)])
    shapes = (6, 9), (20, 4), (12, 3), (3, op.weight_numel)
    leaves = [torch.randn(s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes]

    def tensors(shared: bool) -> list[torch.Tensor]:
        x, y, hidden, matrix = leaves
        if shared:
            weights = LinearWeights(hidden, matrix) if linear else hidden @ matrix
            out = op(x, y, weights, edge_index, 6, pair)
        else:
            out = op(x, y, (hidden @ matrix)[pair], edge_index, 6)
        first = torch.autograd.grad(out.sin().sum(), leaves[:3], create_graph=True)
        return [out, *first, *torch.autograd.grad(sum((g**2).sum() for g in first), leaves)]

    for shared, own in zip(tensors(True), tensors(False), strict=True):
        torch.testing.assert_close(shared, own, rtol=1e-11, atol=1e-11)


def test_invalid_pairs_are_refused():
    op = TensorProductScatter("1x0e", "0e", "1x0e", [(0, 0, 0)])
    x, y, w = torch.ones(2, 1), torch.ones(3, 1), torch.ones(2, 1)
    edge_index = torch.zeros(2, 3, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"pair: expected shape \(3,\)"):
        op(x, y, w, edge_index, 2, torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="pair: expected rows of weights 0 to 1, got 0 to 2"):
        op(x, y, w, edge_index, 2, torch.tensor([0, 1, 2]))


def test_rows_need_not_be_contiguous():
    slots, paths = all_paths("2x0e+1x1o", "0e+1o", "2x0e+1x1o")
    op = TensorProductScatter("2x0e+1x1o", "0e+1o", slots, paths, layout="ir_mul", implementation="fused")
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(3, (2, 6), generator=generator)
    shapes = (3, 5), (6, 4), (6, 2), (2, op.weight_numel)
    rows = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]

    def tensors(arguments: list[torch.Tensor]) -> list[torch.Tensor]:
        leaves = [argument.requires_grad_() for argument in arguments]
        out = op(leaves[0], leaves[1], LinearWeights(*leaves[2:]), edge_index, 3)
        first = torch.autograd.grad(out.sin().sum(), leaves[:3], create_graph=True)
        return [out, *first, *torch.autograd.grad(sum((g**2).sum() for g in first), leaves)]

    expected = tensors([row.clone() for row in rows])
    for a, b in zip(tensors([row.clone().T.contiguous().T for row in rows]), expected, strict=True):
        torch.testing.assert_close(a, b)
