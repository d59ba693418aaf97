"""Sensitivity to exchanged inputs: closed forms, layers, and hierarchies."""

import pytest
import torch
from torch import Generator, Tensor, nn

from symnets.data import RandomHierarchy, SparseHierarchy
from symnets.observables import sensitivity


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def normal(n: int, dim: int, seed: int) -> Tensor:
    return torch.randn(n, dim, generator=generator(seed), dtype=torch.float64)


@torch.no_grad()
def by_hand(f: Tensor, exchanged: Tensor) -> float:
    """S from the matrix of all distances."""
    n = len(f)
    pairs = (f[:, None] - f).square().sum(-1).sum() / (n * (n - 1))
    return float((exchanged - f).square().sum(-1).mean() / pairs)


def test_layers_and_output_are_as_by_hand() -> None:
    net = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double().requires_grad_(False)
    x, other = normal(30, 5, 1), normal(30, 5, 2)
    found = sensitivity(net, x, other, layers="all", batch_size=7)
    assert found.layers == ("0", "1", "2", "output")
    assert found.n == 30
    for k, name in enumerate(("0", "1", "2")):
        layer = net[: k + 1]
        assert found.layer(name) == pytest.approx(by_hand(layer(x), layer(other)), rel=1e-12)
    assert found.output == pytest.approx(found.layer("2"), rel=1e-12)


def test_independent_inputs_have_sensitivity_one_and_the_interval_covers_it() -> None:
    found = sensitivity(nn.Identity(), normal(4000, 3, 1), normal(4000, 3, 2))
    assert found.S.low[0] < 1 < found.S.high[0]
    assert found.S.high[0] / found.S.low[0] < 1.2


def test_invariant_layers_have_sensitivity_zero() -> None:
    """A net that reads the sum of two coordinates is invariant under their exchange, its first layer not."""
    net = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 1)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, 2.0]]))
        net[1].weight.copy_(torch.ones(1, 4))
    x = normal(50, 2, 1)
    found = sensitivity(net, x, x.flip(1), layers="0")
    assert found.output == pytest.approx(0, abs=1e-25)
    assert found.layer("0") == pytest.approx(by_hand(net[0](x), net[0](x.flip(1))), rel=1e-12)
    assert found.layer("0") > 0.1


def test_net_that_inverts_the_lowest_rules_is_insensitive_to_the_lowest_synonyms() -> None:
    """The net looks up symbols of level 2: S_1 = 0, S_2 > 0, and 0 for deformations of level 1."""
    task = SparseHierarchy(4, 4, 4, depth=2, n_empty=1, seed=1)
    sample = task.sample(200, generator())

    class FirstLevel(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            dense = x.transpose(1, 2)[x.sum(1) > 0].argmax(-1).reshape(len(x), -1, 2)
            numbers = task.rules[1] @ torch.tensor([4, 1])
            symbols = (numbers.flatten() == (dense @ torch.tensor([4, 1]))[..., None]).double().argmax(-1)
            return nn.functional.one_hot(symbols // 4, 4).double().flatten(1)

    def changed(other: Tensor) -> float:
        return sensitivity(FirstLevel(), x, other).output

    x = task.inputs(sample, dtype=torch.float64)
    moved, exchanged = (change(sample, 1, generator(2)) for change in (task.deformed, task.exchanged))
    assert changed(task.inputs(moved, dtype=torch.float64)) == 0
    assert changed(task.inputs(exchanged, dtype=torch.float64)) == 0
    higher = task.exchanged(sample, 2, generator(3))
    assert changed(task.inputs(higher, dtype=torch.float64)) > 0.5


def test_one_hot_inputs_change_as_counted() -> None:
    """S_1 of the input itself: each symbol that differs adds 2 to a squared distance, also in pairs."""
    task = RandomHierarchy(4, 4, 4, depth=2)
    sample = task.sample(100, generator())
    exchanged = task.exchanged(sample, 1, generator(1))
    before, after = task.symbols(sample), task.symbols(exchanged)
    changed = (before != after).sum(1).double().mean()
    pairs = (before[:, None] != before).sum().double() / (100 * 99)
    found = sensitivity(nn.Flatten(), *(task.inputs(s, dtype=torch.float64) for s in (sample, exchanged)))
    assert found.output == pytest.approx(float(changed / pairs), rel=1e-12)


def test_constant_outputs_are_undefined() -> None:
    net = nn.Linear(2, 1).double()
    nn.init.zeros_(net.weight)
    assert sensitivity(net, normal(9, 2, 0), normal(9, 2, 1)).S.defined.tolist() == [False]


def test_errors_name_the_argument() -> None:
    net, x = nn.Identity(), normal(4, 2, 0)
    with pytest.raises(
        ValueError, match=r"inputs, exchanged: expected equal shapes .* \(4, 2\) and \(3, 2\)"
    ):
        sensitivity(net, x, x[:3])
    with pytest.raises(ValueError, match="at least two inputs"):
        sensitivity(net, x[:1], x[:1])
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
        sensitivity(net, x, x, batch_size=0)
    with pytest.raises(ValueError, match="confidence"):
        sensitivity(net, x, x, confidence=1.0)
    with pytest.raises(ValueError, match="name: expected one of output, got '0'"):
        sensitivity(net, x, x).layer("0")
