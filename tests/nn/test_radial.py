"""Radial bases and envelopes: closed forms, e3nn's Gaussians, smoothness, and tables made of them."""

from functools import partial

import numpy as np
import pytest
import torch
from e3nn.math import soft_one_hot_linspace

from symnets.models import ForceField, NequIP
from symnets.nn import (
    BesselBasis,
    ChebyshevBasis,
    EdgeGeometry,
    GaussianBasis,
    cosine_envelope,
    polynomial_envelope,
)
from symnets.simulate import compile
from symnets.testing import LAWS

BASES = {
    "Bessel": BesselBasis,
    "Gaussian": GaussianBasis,
    "Chebyshev": ChebyshevBasis,
    "Bessel, cosine": partial(BesselBasis, envelope=cosine_envelope),
    "Gaussian, cosine": partial(GaussianBasis, envelope=cosine_envelope),
    "Chebyshev, p = 3": partial(ChebyshevBasis, envelope=partial(polynomial_envelope, p=3)),
}


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def ones(x: torch.Tensor) -> torch.Tensor:
    """No envelope."""
    return torch.ones_like(x)


def test_gaussians_are_those_of_e3nn():
    r = torch.linspace(0.1, 4.9, 30)
    expected = soft_one_hot_linspace(r, 0.0, 5.0, 6, basis="gaussian", cutoff=True)
    torch.testing.assert_close(GaussianBasis(5.0, 6, envelope=ones)(r), expected)
    torch.testing.assert_close(GaussianBasis(5.0, 6)(r), expected * polynomial_envelope(r / 5)[:, None])


@pytest.mark.parametrize("n_basis", [1, 2, 7])
def test_chebyshev_functions_are_those_of_numpy(n_basis):
    r = torch.linspace(0.1, 3.9, 30)
    expected = np.polynomial.chebyshev.chebvander(2 * r.numpy() / 4 - 1, n_basis - 1)
    torch.testing.assert_close(ChebyshevBasis(4.0, n_basis, envelope=ones)(r), torch.from_numpy(expected))


@pytest.mark.parametrize("p", [2, 3, 4.5, 8])
def test_polynomial_envelope_of_any_order_is_flat_at_the_cutoff(p):
    """u, u' and u'' vanish at 1, and u''' = -p (p+1) (p+2) does not."""
    x = torch.tensor(1.0 - 1e-13, requires_grad=True)
    value, derivatives = polynomial_envelope(x, p), []
    for _ in range(3):
        (value,) = torch.autograd.grad(value, x, create_graph=True)
        derivatives.append(value.item())
    assert derivatives == pytest.approx([0, 0, -p * (p + 1) * (p + 2)], abs=1e-8)
    assert polynomial_envelope(torch.tensor([0.0, 1.0, 2.0]), p).tolist() == pytest.approx(
        [1, 0, 0], abs=1e-12
    )


def test_cosine_envelope_is_a_half_wave():
    x = torch.tensor([0.0, 0.5, 1.0, 1.5], requires_grad=True)
    assert cosine_envelope(x).tolist() == pytest.approx([1, 0.5, 0, 0], abs=1e-15)
    (slope,) = torch.autograd.grad(cosine_envelope(x).sum(), x)
    assert slope.tolist() == pytest.approx([0, -torch.pi / 2, 0, 0], abs=1e-15)


@pytest.mark.parametrize("name", BASES)
def test_bases_vanish_with_their_slope_at_the_cutoff(name):
    r = torch.tensor([4.0 - 1e-9, 4.0, 5.0], requires_grad=True)
    values = BASES[name](4.0, 5)(r)
    assert values.shape == (3, 5)
    (slope,) = torch.autograd.grad(values.sum(), r)
    assert values.abs().max() < 1e-13  # coefficients of the envelope are up to 48
    assert slope.abs().max() < 1e-6


def small_net(name: str) -> ForceField:
    """A NequIP with another basis."""
    net = NequIP((1, 8), cutoff=3.0, lmax=1, channels=4, layers=2, n_basis=5, radial_hidden=(8,))
    net.edges = EdgeGeometry(3.0, 1, 5, basis=BASES[name](3.0, 5))
    return ForceField(net)


@pytest.mark.parametrize("name", ["Gaussian, cosine", "Chebyshev"])
def test_networks_of_new_bases_are_smooth_and_compile_to_tables(name):
    """`compile` measures the difference of forces itself and raises where it is above the tolerance."""
    force_field = small_net(name)
    next(law for law in LAWS if law.name == "cutoff")(force_field)
    assert compile(force_field, tolerance=1e-3).n_knots <= 1000
