"""Memory of hessian_split."""

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from symnets.data import Batch
from symnets.models import Dense
from symnets.observables.curvature import _dense_split as dense_split
from symnets.observables.curvature import _split as split
from symnets.observables.curvature import hessian_split
from symnets.training import MSE


class Held(TorchDispatchMode):
    """Counts the bytes of all live storages that operations have allocated."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        inputs = {t.untyped_storage().data_ptr() for t in given}
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in inputs:
                size = tensor.untyped_storage().nbytes()
                self.now += size
                self.peak = max(self.peak, self.now)
                weakref.finalize(tensor.untyped_storage(), self._free, size)
        return out

    def _free(self, size: int) -> None:
        self.now -= size


@pytest.mark.parametrize(
    ("activation", "depth", "width"), [("tanh", 1, 40), ("relu", 2, 20), ("tanh", 3, 16), ("tanh", 5, 12)]
)
def test_split_takes_less_than_three_matrices_of_memory(
    activation: str, depth: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense_split, "SMALL", 0)
    generator = torch.Generator().manual_seed(0)
    net = Dense(10, width, depth, activation=activation, bias=True, generator=generator, dtype=torch.float64)
    n = sum(p.numel() for p in net.parameters())
    x = torch.randn(n, 10, generator=generator, dtype=torch.float64)
    y = torch.ones(n, dtype=torch.float64)
    with Held() as held:
        split = hessian_split(net, MSE(), Batch(x, y))
    words = held.peak / 8 / n**2
    assert 2 < words < 3
    assert split.h0.any()


def test_members_are_written_into_one_pair_of_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    """S members take 2 S matrices and the temporaries of one member; a copy at the end would add 2 S."""
    monkeypatch.setattr(dense_split, "SMALL", 0)
    generator = torch.Generator().manual_seed(0)
    net = Dense(10, 16, 2, members=4, generator=generator, dtype=torch.float64)
    n = sum(p.numel() for p in net.parameters()) // 4
    x = torch.randn(n, 10, generator=generator, dtype=torch.float64)
    with Held() as held:
        split = hessian_split(net, MSE(), Batch(x, torch.ones(n, dtype=torch.float64)))
    assert split.h0.shape == (4, n, n)
    assert 8 < held.peak / 8 / n**2 < 10


def test_members_need_two_matrices_each_and_share_one_temporary(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = []
    monkeypatch.setattr(split, "check_memory", lambda what, size, instead: needed.append(size))
    nets = Dense(3, 4, 1, members=5, dtype=torch.float64)
    hessian_split(nets, MSE(), Batch(torch.randn(6, 3).double(), torch.randn(6).double()))
    n = sum(p[0].numel() for p in nets.parameters())
    assert needed == [(2 * 5 + 1) * n**2 * 8] * 2
