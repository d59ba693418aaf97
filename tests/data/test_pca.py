"""Principal components against numpy's singular values and scikit-learn's PCA."""

import inspect
from importlib import import_module

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from symnets.data import pca, to_sphere


@pytest.fixture
def x() -> torch.Tensor:
    """60 points in 6 dimensions, of different variances, correlated, off centre."""
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(6, 6, dtype=torch.float64, generator=generator)
    return torch.randn(60, 6, dtype=torch.float64, generator=generator) @ mix + 3


def twin(points: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates, unit components and eigenvalues from a singular value decomposition."""
    centred = points - points.mean(0)
    _, singular, vectors = np.linalg.svd(centred, full_matrices=False)
    vectors = vectors[:n] * np.sign(vectors[np.arange(n), np.abs(vectors[:n]).argmax(1)])[:, None]
    return centred @ vectors.T, vectors, singular[:n] ** 2 / len(points)


def test_whitened_coordinates(x):
    fitted = pca(x, 4, convention="whitened")
    coordinates, vectors, eigenvalues = twin(x.numpy(), 4)
    # The covariance is less accurate than the points by their condition number, about 1e3.
    np.testing.assert_allclose(fitted.eigenvalues.numpy(), eigenvalues, rtol=1e-11)
    np.testing.assert_allclose(fitted.components.numpy(), vectors, atol=1e-11)
    np.testing.assert_allclose(fitted.transform(x).numpy(), coordinates / np.sqrt(eigenvalues), atol=1e-10)


def test_common_scale_coordinates(x):
    centred = x.numpy() - x.numpy().mean(0)
    projected = np.sqrt(6) * centred / np.linalg.norm(centred, axis=1, keepdims=True)
    coordinates, vectors, eigenvalues = twin(projected, 3)
    fitted = pca(x, 3, convention="common_scale")
    np.testing.assert_allclose(fitted.components.numpy(), vectors, atol=1e-11)
    np.testing.assert_allclose(
        fitted.transform(x).numpy(), coordinates / np.sqrt(eigenvalues.mean()), atol=1e-10
    )


def test_agrees_with_scikit_learn(x):
    """Up to signs, and to the denominator n - 1 of scikit-learn's variance instead of n."""
    theirs = PCA(3, whiten=True).fit_transform(x.numpy()) * np.sqrt(60 / 59)
    ours = pca(x, 3, convention="whitened").transform(x).numpy()
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-10)


@pytest.mark.parametrize("convention", ["whitened", "common_scale"])
def test_coordinates_are_centred_and_uncorrelated_and_their_variances_add_up_to_n(x, convention):
    z = pca(x, 4, convention=convention).transform(x)
    covariance = z.T @ z / len(z)
    assert z.mean(0).abs().max() < 1e-12
    assert (covariance - covariance.diag().diag()).abs().max() < 1e-12
    assert covariance.trace().item() == pytest.approx(4, abs=1e-11)
    relative = covariance.diag() / covariance.diag().max()
    if convention == "whitened":
        torch.testing.assert_close(relative, torch.ones_like(relative))
    else:
        assert relative.min() < 0.5


@pytest.mark.parametrize("convention", ["whitened", "common_scale"])
def test_a_common_factor_of_the_pixels_does_not_matter(convention):
    pixels = torch.randint(0, 256, (50, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    whole = pca(pixels, 3, convention=convention).transform(pixels)
    fractions = pixels.double() / 255
    scaled = pca(fractions, 3, convention=convention).transform(fractions)
    torch.testing.assert_close(whole, scaled, atol=1e-11, rtol=0)


def test_the_map_of_a_point_does_not_depend_on_the_batch(x):
    for convention in ("whitened", "common_scale"):
        fitted = pca(x, 2, convention=convention)
        torch.testing.assert_close(fitted.transform(x[7:9]), fitted.transform(x)[7:9])


def test_the_chunk_size_does_not_matter(x, monkeypatch):
    whole = pca(x, 3, convention="common_scale").transform(x)
    monkeypatch.setattr(import_module("symnets.data._pca"), "CHUNK", 7)
    torch.testing.assert_close(pca(x, 3, convention="common_scale").transform(x), whole)


def test_signs_do_not_depend_on_the_order_of_the_points(x):
    fitted = pca(x, 6).components
    torch.testing.assert_close(pca(x.flip(0), 6).components, fitted)
    assert (fitted.gather(1, fitted.abs().argmax(1, keepdim=True)) > 0).all()


def test_directions_without_variance_are_refused(x):
    flat = torch.cat([x[:, :2], x[:, :1] + x[:, 1:2], torch.ones(60, 1, dtype=x.dtype)], dim=1)
    assert pca(flat, 2).eigenvalues.min() > 0
    with pytest.raises(ValueError, match="vary in 2 directions only, got n=3"):
        pca(flat, 3)


@pytest.mark.parametrize(("n", "points"), [(0, 60), (7, 60), (1, 1)])
def test_impossible_sizes_are_refused(x, n, points):
    with pytest.raises(ValueError, match=f"n={n} and x of shape"):
        pca(x[:points], n)


def test_bad_input_is_refused(x):
    with pytest.raises(ValueError, match="convention"):  # unwrap: without the type checks of the tests
        inspect.unwrap(pca)(x, 2, convention="white")
    with pytest.raises(ValueError, match="6 features"):
        pca(x, 2).transform(x[:, :5])
    x[3, 2] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        pca(x, 2)


def test_common_scale_refuses_points_at_the_mean():
    x = torch.tensor([[1.0, 2.0], [3.0, 2.0], [2.0, 2.0]], dtype=torch.float64)
    with pytest.raises(ValueError, match="row 2 is zero"):
        pca(x, 1, convention="common_scale")
    assert torch.isfinite(to_sphere(pca(x[:2], 1).transform(x[:2]))).all()
