"""`cache_last` computes a result once for equal arguments, however tensors were changed."""

import numpy as np
import pytest
import torch

from symnets.ops import TensorProductScatter, all_paths, pairs
from symnets.ops import _adjacency as adjacency
from symnets.ops._adjacency import cache_last
from tests.second_device import second_device


@pytest.fixture
def total():
    made = []

    @cache_last
    def add(tensor, sizes):
        made.append(int(tensor.sum()) + sum(sizes))
        return made[-1]

    return add, made


def test_equal_arguments_are_computed_once(total):
    add, made = total
    for one in (1, 1, 1):
        assert add(torch.arange(4), (one, 2)) == 9
    assert len(made) == 1
    assert add(torch.arange(4), (1, 3)) == 10
    assert add(torch.arange(4).double(), (1, 3)) == 10
    assert len(made) == 3


def test_writes_by_numpy_or_in_inference_mode_are_noticed(total):
    add, _ = total
    array = np.arange(4)
    tensor = torch.from_numpy(array)
    assert add(tensor, (1,)) == 7
    array[0] = 5
    assert add(tensor, (1,)) == 12
    with torch.inference_mode():
        mine = torch.arange(4)
        assert add(mine, (1,)) == 7
        mine[0] = 5
        assert add(mine, (1,)) == 12


def test_layers_share_the_adjacency(monkeypatch):
    made, compress = [], adjacency._compress
    monkeypatch.setattr(adjacency, "_compress", lambda *a: made.append(1) or compress(*a))
    slots, paths = all_paths("2x0e", "0e+1o", "0e+1o")
    layers = [TensorProductScatter("2x0e", "0e+1o", slots, paths, implementation="fused") for _ in range(3)]
    edge_index = torch.tensor([[0, 1, 2], [2, 0, 1]])
    for layer in layers:
        layer(torch.randn(3, 2), torch.randn(3, 4), torch.randn(3, layer.weight_numel), edge_index, 3)
    assert len(made) == 1


def test_pairs_cached_in_inference_mode_can_be_used_in_training():
    edge_index, shift = torch.tensor([[0, 1], [1, 0]]), torch.zeros(2, 3)
    with torch.inference_mode():
        pairs(edge_index, shift)
    x = torch.randn(2, requires_grad=True)
    x.index_select(0, pairs(edge_index, shift).pair).square().sum().backward()


def test_an_unchanged_gpu_tensor_is_not_compared_again(total, monkeypatch):
    add, made = total
    compared, equal = [], torch.equal
    monkeypatch.setattr(torch, "equal", lambda *pair: compared.append(1) or equal(*pair))
    with second_device():
        tensor = torch.arange(4).to("cuda")
        for _ in range(3):
            assert add(tensor, (1,)) == 7
        assert (len(made), len(compared)) == (1, 0)
        again = tensor.clone()
        for _ in range(3):  # another tensor of the same values is compared once
            assert add(again, (1,)) == 7
        assert (len(made), len(compared)) == (1, 1)
        again[0] = 5
        assert add(again, (1,)) == 12
        assert add(again.cpu(), (1,)) == 12
        assert len(made) == 3
