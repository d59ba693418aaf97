"""Activations: unit second moment, and two derivatives."""

import numpy as np
import pytest
import torch

from symnets.models import find_activation
from symnets.models._activation import ACTIVATIONS


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_second_moment_is_one_by_quadrature(name):
    """Gauss-Hermite quadrature with 200 points."""
    z, w = np.polynomial.hermite_e.hermegauss(200)
    phi = find_activation(name)(torch.tensor(z)).numpy()
    if name == "relu":  # ReLU² of z and -z add up to z², a polynomial
        phi = np.sqrt((phi**2 + phi[::-1] ** 2) / 2)
    assert (w * phi**2).sum() / np.sqrt(2 * np.pi) == pytest.approx(1.0, abs=1e-8)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_second_moment_is_one_by_sampling(name):
    """A million samples: a standard error of at most √5 / 1000 (ReLU: E φ⁴ = 6)."""
    z = torch.randn(10**6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert (find_activation(name)(z) ** 2).mean().item() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_slope_and_curvature_are_derivatives(name):
    phi = ACTIVATIONS[name]
    z = torch.linspace(-4, 4, 81, dtype=torch.float64, requires_grad=True)  # 0 included: ReLU's slope there
    (slope,) = torch.autograd.grad(phi.value(z).sum(), z, create_graph=True)
    torch.testing.assert_close(phi.slope(z.detach()), slope.detach(), rtol=1e-12, atol=1e-14)
    if phi.curvature is None:
        away = z.detach()[z.detach().abs() > 0.05]
        assert torch.equal(phi.slope(away + 0.01), phi.slope(away))
    else:
        (curvature,) = torch.autograd.grad(slope.sum(), z)
        torch.testing.assert_close(phi.curvature(z.detach()), curvature, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_homogeneous_activations_commute_with_positive_factors(name):
    phi = ACTIVATIONS[name]
    z = torch.linspace(-3, 3, 13, dtype=torch.float64)
    assert torch.allclose(phi.value(2.5 * z), 2.5 * phi.value(z)) == phi.homogeneous


def test_unknown_activations_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'tanh'"):
        find_activation("tahn")
