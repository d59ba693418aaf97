"""Kernels of infinitely wide nets with biases, on inputs with compressed irrelevant directions."""

import pytest
import torch

from symnets.models import Dense
from symnets.observables import tangent_kernel
from symnets.setups import bias_kernel, compressed


def points(n: int, d: int = 3) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_only_irrelevant_components_are_divided() -> None:
    x, relevant = points(4), torch.eye(3, dtype=torch.float64)[:, :1]
    expected = torch.stack([x[:, 0], x[:, 1] / 4, x[:, 2] / 4], 1)
    torch.testing.assert_close(compressed(x, relevant, 4.0), expected)
    torch.testing.assert_close(compressed(x, relevant, 1.0), x)
    turned, _ = torch.linalg.qr(points(3))
    torch.testing.assert_close(compressed(x @ turned.T, turned @ relevant, 4.0), expected @ turned.T)


def test_the_kernel_is_the_limit_of_wide_nets_with_random_biases() -> None:
    """Up to a factor: mean kernel of 40 nets of 500 units; entries fluctuate by some (40 · 500)^(-1/2)."""
    x = points(6)
    net = Dense(3, 500, 1, bias=True, members=40, generator=torch.Generator().manual_seed(1)).double()
    net.biases[0].data.normal_(generator=torch.Generator().manual_seed(2))
    net.biases[1].requires_grad_(False)
    mean = tangent_kernel(net, x).detach().mean(0)
    limit = bias_kernel(x) * 4 / 3  # (ω · x/√d + b) has the variance |x|²/d + 1, of d + 1 = 4 inputs
    assert ((mean - limit).norm() / limit.norm()).item() == pytest.approx(0, abs=0.05)
    torch.testing.assert_close(bias_kernel(x, x[:2]), bias_kernel(x)[:, :2], rtol=1e-7, atol=1e-7)
