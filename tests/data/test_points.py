"""Moments of random points, and balance of random labels."""

import math

import pytest
import torch

from symnets.data import gaussian_cloud, random_labels, sphere_points, uniform_cloud

N = 4000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_gaussian_cloud_has_unit_covariance():
    x = gaussian_cloud(N, 3, generator=generator())
    assert x.dtype == torch.float64
    # The entries of the empirical covariance have a standard error of at most sqrt(2/N) = 0.022.
    torch.testing.assert_close(x.T @ x / N, torch.eye(3, dtype=x.dtype), atol=0.1, rtol=0)


def test_uniform_cloud_fills_the_cube():
    x = uniform_cloud(N, 2, generator=generator(), low=-2.0, high=1.0)
    assert x.min() >= -2
    assert x.max() < 1
    # Variance of a uniform number is length²/12; the smallest of N is 3/N from the wall on average.
    torch.testing.assert_close(x.var(0), torch.full((2,), 9 / 12, dtype=x.dtype), atol=0.05, rtol=0)
    assert x.min(0).values.max() < -2 + 30 / N


def test_points_on_the_sphere_are_uniform():
    """|x|² = d, mean zero, and a coordinate's fourth moment 3 d/(d + 2), not the Gaussian's 3."""
    dim = 4
    x = sphere_points(N, dim, generator=generator())
    torch.testing.assert_close(x.norm(dim=1), torch.full((N,), math.sqrt(dim), dtype=x.dtype))
    assert x.mean(0).abs().max() < 5 / math.sqrt(N)
    # Standard error of the fourth moment: about 2.4/sqrt(4 N) = 0.02.
    assert x.pow(4).mean().item() == pytest.approx(3 * dim / (dim + 2), abs=0.1)


def test_float32_points_are_rounded_float64_points():
    double = sphere_points(20, 5, generator=generator(3))
    single = sphere_points(20, 5, generator=generator(3), dtype=torch.float32)
    assert single.dtype == torch.float32
    assert torch.equal(single, double.float())


@pytest.mark.parametrize(("n", "total"), [(0, 0), (1, 1), (2, 0), (101, 1), (500, 0)])
def test_random_labels_are_balanced(n, total):
    y = random_labels(n, generator=generator())
    assert len(y) == n
    assert (y.abs() == 1).all()
    assert y.sum() == total


def test_random_labels_are_shuffled_by_the_generator():
    first, again, other = (random_labels(64, generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    # A random sequence has 63/2 ± 4 changes of sign.
    assert 15 < (first[1:] != first[:-1]).sum() < 48


@pytest.mark.parametrize("make", [gaussian_cloud, uniform_cloud, sphere_points])
def test_impossible_sizes_are_refused(make):
    with pytest.raises(ValueError, match="n >= 0 points in dim >= 1"):
        make(-1, 2, generator=generator())
    with pytest.raises(ValueError, match="got 3 and 0"):
        make(3, 0, generator=generator())


def test_an_empty_cube_is_refused():
    with pytest.raises(ValueError, match="low < high"):
        uniform_cloud(3, 2, generator=generator(), low=1.0, high=1.0)
