"""Losses of a scalar output against autograd and known values."""

import math

import pytest
import torch

from symnets.training import MSE, CrossEntropy, Exponential, Hinge, QuadraticHinge, SoftHinge
from symnets.training._losses import pointwise

LOSSES = [
    QuadraticHinge(),
    QuadraticHinge(margin=0.3),
    Hinge(),
    SoftHinge(),
    SoftHinge(beta=3.0, margin=0.5),
    CrossEntropy(),
    Exponential(),
    MSE(),
]


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_derivatives_are_those_of_autograd(loss):
    f = torch.linspace(-3, 3, 50, dtype=torch.float64, requires_grad=True)  # no point on a margin
    y = torch.tensor([1.0, -1.0] * 25, dtype=torch.float64)
    value = loss(f, y)
    (slope,) = torch.autograd.grad(value.sum(), f, create_graph=True)
    torch.testing.assert_close(loss.d1(f, y), slope, rtol=1e-12, atol=1e-14)
    found = loss.d2(f.detach(), y)
    if slope.requires_grad:
        (bend,) = torch.autograd.grad(slope.sum(), f, allow_unused=True, materialize_grads=True)
    else:
        bend = torch.zeros_like(f)
    torch.testing.assert_close(found, bend.detach(), rtol=1e-10, atol=1e-14)
    assert found.dtype == torch.float64


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_members_share_labels(loss):
    f = torch.randn(3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.tensor([1.0, -1.0] * 3, dtype=torch.float64)
    for each in (loss, loss.d1, loss.d2):
        together = each(f, y)
        assert together.shape == (3, 6)
        torch.testing.assert_close(together[1], each(f[1], y))


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_finite_range_losses_vanish_beyond_the_margin(loss):
    one, far = torch.ones(1, dtype=torch.float64), torch.tensor([5.0], dtype=torch.float64)
    assert bool(loss(far, one) == 0) == loss.finite_range


def test_known_values():
    one, half = torch.ones(1, dtype=torch.float64), torch.full((1,), 0.5, dtype=torch.float64)
    assert QuadraticHinge()(half, one).item() == 0.125
    assert Hinge()(half, -one).item() == 1.5
    assert MSE()(half, one).item() == 0.125
    assert CrossEntropy()(0 * half, one).item() == pytest.approx(math.log(2))
    assert Exponential()(half, -one).item() == pytest.approx(math.exp(0.5))
    assert SoftHinge(beta=20.0)(one, one).item() == pytest.approx(math.log(2) / 20)


def test_soft_hinge_tends_to_the_hinge():
    """They differ by at most log 2 / β."""
    f = torch.linspace(-3, 3, 61, dtype=torch.float64)
    y = torch.ones_like(f)
    off = SoftHinge(beta=1000.0)(f, y) - Hinge()(f, y)
    assert 0 <= off.min() <= off.max() <= math.log(2) / 1000 * (1 + 1e-9)


def test_large_losses_stay_finite():
    f, y = torch.tensor([-800.0], dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    assert CrossEntropy()(f, y).item() == pytest.approx(800.0)
    assert SoftHinge()(f, y).item() == pytest.approx(801.0)


@pytest.mark.parametrize("loss", [SoftHinge(), CrossEntropy()], ids=str)
def test_the_second_derivative_does_not_underflow_where_the_loss_is_linear(loss):
    """With Δ the distance to the side where ℓ is a line, ℓ'' = β e^(-β Δ) to a relative e^(-β Δ)."""
    y = torch.ones(1, dtype=torch.float64)
    beta, gap = (loss.beta, 6.0) if isinstance(loss, SoftHinge) else (1.0, 60.0)
    f = y - 6.0 if isinstance(loss, SoftHinge) else -60.0 * y
    assert loss.d2(f, y).item() == pytest.approx(beta * math.exp(-beta * gap), rel=1e-12, abs=0)


@pytest.mark.parametrize("labels", [[0.0, 1.0], [1.0, 2.0], [1.0, math.nan]])
def test_losses_of_labels_refuse_other_targets(labels):
    with pytest.raises(ValueError, match=r"labels: expected \+1 and -1"):
        pointwise(QuadraticHinge(), torch.tensor(labels))
    pointwise(MSE(), torch.tensor(labels))
