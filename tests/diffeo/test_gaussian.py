"""Gaussian fields against white noise that is smoothed numerically."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from symnets.diffeo import GaussianField


def covariance(field: GaussianField, points: Tensor) -> Tensor:
    """Exact covariance E u_a(p) u_a(q) of one component at δ = 1, as a sum over waves."""
    alone = torch.zeros(field.n_modes, field.dim, field.n_modes, dtype=torch.float64)
    alone[:, 0] = torch.diag(field.amplitudes)
    waves = field.expansion(alone).at(points)[..., 0]
    return waves.T @ waves


@pytest.mark.parametrize("sigma", [1.5, 4.0])
def test_correlations_are_gaussian(sigma: float) -> None:
    # Noise smoothed by exp(-r² / 2σ²) is correlated as exp(-r² / 4σ²).
    field = GaussianField((41, 47), sigma=sigma)
    points = torch.tensor([[20, 23], [20, 25], [17, 23], [22.5, 22], [14, 28]], dtype=torch.float64)
    found = covariance(field, points)
    squared = (points[:, None] - points).square().sum(-1)
    expected = found[0, 0] * (-squared / (4 * sigma**2)).exp()
    # Its mirror images are 28 pixels away or more; at σ = 1.5 waves above what pixels show are missing.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(found[0, 0]))


def test_covariance_near_the_border_is_that_of_mirror_images() -> None:
    # Heat that flows from a cold wall: the free correlation minus that with the mirror image.
    field, sigma = GaussianField((60, 60), sigma=3.0), 3.0
    points = torch.tensor([[1.0, 30.0], [3.0, 30.0], [4.0, 31.0], [9.0, 28.0]], dtype=torch.float64)
    mirrored = points * torch.tensor([-1.0, 1.0])
    distance = lambda a, b: (a[:, None] - b).square().sum(-1)  # noqa: E731
    free = covariance(field, torch.tensor([[30.0, 30.0]], dtype=torch.float64))
    expected = (-distance(points, points) / 36).exp() - (-distance(points, mirrored) / 36).exp()
    torch.testing.assert_close(covariance(field, points), free * expected, rtol=0, atol=1e-7)
    assert sigma == field.sigma


def test_alpha_of_other_libraries() -> None:
    # Noise uniform in (-α, α), smoothed with weights of sum 1: variance α²/3 times Σ weights² = 1 / (4πσ²)
    # for each of two components.
    alpha, sigma, n = 30.0, 3.0, 3000
    noise = np.random.default_rng(0).uniform(-alpha, alpha, (n, 2, 25, 25))
    smooth = gaussian_filter(noise, (0, 0, sigma, sigma), truncate=4.0)
    squared = (smooth[:, :, 12, 12] ** 2).sum(1)
    delta = alpha / (sigma * math.sqrt(6 * math.pi))
    assert squared.mean() == pytest.approx(delta**2, abs=5 * squared.std() / math.sqrt(n))


def test_a_wide_gaussian_leaves_the_longest_wave_only() -> None:
    field = GaussianField((12, 15), sigma=500.0)
    assert field.modes.tolist() == [[1, 1]]
    assert float(field.amplitudes[0]) == pytest.approx(math.sqrt(2))


def test_a_narrow_gaussian_is_white_noise() -> None:
    # All waves of equal amplitude: at the pixels, independent displacements of equal size.
    field = GaussianField((8, 9), sigma=1e-3)
    assert field.n_modes == 6 * 7
    pixels = torch.cartesian_prod(torch.arange(1.0, 7), torch.arange(1.0, 8)).double()
    found = covariance(field, pixels)
    torch.testing.assert_close(found, found[0, 0] * torch.eye(42, dtype=torch.float64), rtol=0, atol=1e-5)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="sigma: expected a positive number of pixels, got 0"):
        GaussianField((8, 8), sigma=0)
    with pytest.raises(ValueError, match="at least 3 pixels"):
        GaussianField((8, 2), sigma=1)
    with pytest.raises(ValueError, match="GaussianField has no temperature; pass delta, in pixels"):
        GaussianField((8, 8), sigma=2).sample(1, temperature=1e-3, generator=None)
    assert repr(GaussianField((8, 8), sigma=2)) == "GaussianField((8, 8), sigma=2)"
