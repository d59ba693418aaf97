"""Tools for kernels against closed forms: alignment, eigenvectors, dimensions, changes and predictors."""

import math

import pytest
import torch
from torch import Tensor

from symnets.observables.kernels import (
    alignment,
    effective_rank,
    kernel_change,
    kernel_distances,
    kernel_regression,
    kernel_svm,
    label_projections,
    mutual_information,
    twonn,
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def laplace(a: Tensor, b: Tensor) -> Tensor:
    return torch.exp(-torch.cdist(a, b))


X, Y = draw(30, 3), draw(30, 3)[:, 0].sign()


def test_the_ideal_kernel_is_aligned() -> None:
    assert float(alignment(torch.outer(Y, Y), Y)) == pytest.approx(1, abs=1e-14)
    assert float(alignment(torch.outer(Y, Y) + 3, Y - 5, centered=True)) == pytest.approx(1, abs=1e-14)
    classes = torch.nn.functional.one_hot(torch.arange(30) % 3).double()
    assert float(alignment(classes @ classes.T, classes)) == pytest.approx(1, abs=1e-14)


def test_alignment_is_the_cosine_of_matrices() -> None:
    kernel = laplace(X, X)
    ideal = torch.outer(Y, Y).flatten()
    expected = torch.nn.functional.cosine_similarity(kernel.flatten(), ideal, dim=0)
    torch.testing.assert_close(alignment(kernel, Y), expected)
    centring = torch.eye(30, dtype=torch.float64) - 1 / 30
    expected = alignment(centring @ kernel @ centring, Y - Y.mean())
    torch.testing.assert_close(alignment(kernel, Y, centered=True), expected)
    members = torch.stack([kernel, torch.outer(Y, Y)])
    torch.testing.assert_close(alignment(members, Y)[0], alignment(kernel, Y))


def test_raw_alignment_with_a_large_mean_measures_the_mean() -> None:
    kernel, labels = torch.ones(30, 30, dtype=torch.float64) + 0.01 * laplace(X, X), Y + 100
    assert float(alignment(kernel, labels)) > 0.99
    assert float(alignment(kernel, labels, centered=True)) < 0.5


def test_projections_rebuild_labels_and_kernel() -> None:
    kernel = laplace(X, X)
    found = label_projections(kernel, Y)
    assert bool((found.eigenvalues.diff() <= 0).all())
    torch.testing.assert_close(found.eigenvectors @ found.projections, Y)
    rebuilt = found.eigenvectors @ torch.diag(found.eigenvalues) @ found.eigenvectors.T
    torch.testing.assert_close(rebuilt, kernel)
    torch.testing.assert_close(found.fractions, found.projections**2 / 30)
    assert float(label_projections(kernel + 1e6 * torch.outer(Y, Y), Y).fractions[0]) > 1 - 1e-8
    several = label_projections(torch.stack([kernel, kernel]), torch.stack([Y, X[:, 1]], 1))
    assert several.projections.shape == (2, 30, 2)
    torch.testing.assert_close(several.projections[1, :, 0], found.projections)
    assert float(several.fractions.sum(-1)[0]) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["entropy", "participation"])
def test_effective_rank_counts_equal_eigenvalues(kind: str) -> None:
    vectors = torch.linalg.qr(draw(10, 4)).Q
    assert float(effective_rank(vectors @ vectors.T, kind=kind)) == pytest.approx(4)  # pyright: ignore
    assert float(effective_rank(laplace(X, X), kind="participation")) < float(effective_rank(laplace(X, X)))


def test_mutual_information_of_a_function_and_of_noise() -> None:
    """Labels that follow from a variable: log 2. Independent ones: 0 within a few 1/n, bias removed."""
    values = draw(4000, 200)
    labels = torch.where(values[:, 0] > values[:, 0].median(), 1, -1)
    found = mutual_information(values, labels, n_bins=10)
    assert float(found[0]) == pytest.approx(math.log(2), abs=1e-3)
    # The plug-in estimate of independent variables has the mean 9/(2 n) = 1.1e-3 and the standard deviation
    # sqrt(9 / 2)/n = 5e-4; its mean over 199 variables has a standard error of 4e-5.
    assert float(found[1:].mean()) == pytest.approx(0, abs=1.2e-4)
    torch.testing.assert_close(mutual_information(values[:, 0].exp(), labels, n_bins=10), found[0])


def test_mutual_information_of_a_gaussian_channel() -> None:
    """I(v; y) of v = a y + noise, a mixture of two Gaussians: h(v) - h(noise)."""
    signal, noise = draw(2, 20_000)
    labels = signal.sign()
    values = 0.7 * labels + noise
    v = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    density = sum(torch.exp(-((v - a) ** 2) / 2) for a in (-0.7, 0.7)) / math.sqrt(8 * math.pi)
    exact = float(torch.trapezoid(torch.special.entr(density), v)) - 0.5 * math.log(2 * math.pi * math.e)
    # Over seeds the standard deviation is 0.0031; 30 bins lose less than 0.001.
    assert float(mutual_information(values, labels, n_bins=30)) == pytest.approx(exact, abs=0.013)


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_two_nearest_neighbours_find_the_dimension(dimension: int) -> None:
    """Points of a Gaussian in a rotated subspace of ten dimensions."""
    points = draw(2000, dimension) @ torch.linalg.qr(draw(10, 10, seed=1)).Q[:dimension]
    found = twonn(points)
    assert found.error == pytest.approx(found.dimension / 1800**0.5)
    assert found.dimension == pytest.approx(dimension, rel=0.1)
    from_distances = twonn(distances=kernel_distances(points @ points.T))
    assert from_distances.dimension == pytest.approx(found.dimension, rel=1e-4)
    # Without censoring it is the maximum-likelihood estimate (n - 1)/sum log mu.
    nearest = torch.cdist(points, points).topk(3, largest=False).values[:, 1:]
    logs = (nearest[:, 1] / nearest[:, 0]).log()
    assert twonn(points, censored=0).dimension == pytest.approx(1999 / float(logs.sum()), rel=1e-6)


def test_points_that_coincide_are_refused() -> None:
    with pytest.raises(ValueError, match="number 0 is at distance 0"):
        twonn(torch.cat([X, X]))
    with pytest.raises(ValueError, match="expected one of the two"):
        twonn()


def test_change_splits_into_norm_and_direction() -> None:
    first, second = laplace(X, X), laplace(2 * X, 2 * X)
    change = kernel_change(torch.stack([second, 3 * first]), torch.stack([first, first]))
    ratio = 1 + change.norm
    torch.testing.assert_close(change.distance**2, change.norm**2 + 2 * ratio * change.direction)
    cosine = torch.nn.functional.cosine_similarity(first.flatten(), second.flatten(), dim=0)
    assert float(change.direction[0]) == pytest.approx(1 - float(cosine), rel=1e-10)
    assert float(change.norm[1]) == pytest.approx(2)
    assert float(change.direction[1]) == pytest.approx(0, abs=1e-30)


def test_regression_interpolates_and_ridge_shrinks() -> None:
    kernel, test_kernel = laplace(X, X), laplace(draw(5, 3, seed=1), X)
    exact = kernel_regression(kernel, Y, test_kernel)
    torch.testing.assert_close(exact.outputs, Y)
    torch.testing.assert_close(exact.test_outputs, test_kernel @ torch.linalg.solve(kernel, Y))
    ridge = kernel_regression(kernel, torch.stack([Y, 2 * Y], 1), test_kernel, ridge=0.5)
    expected = torch.linalg.solve(kernel + 0.5 * torch.eye(30), Y)
    torch.testing.assert_close(ridge.coefficients, torch.stack([expected, 2 * expected], 1))


def test_regression_on_a_singular_kernel_has_least_norm() -> None:
    found = kernel_regression(X @ X.T, Y, X @ X.T)
    assert found.rank == 3
    expected = X @ torch.linalg.lstsq(X, Y[:, None]).solution[:, 0]
    torch.testing.assert_close(found.test_outputs, expected)


def test_two_points_have_the_margin_of_half_their_distance() -> None:
    x = torch.tensor([[1.0, 2.0], [4.0, 6.0], [9.0, 14.0]], dtype=torch.float64)
    y = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    found = kernel_svm(x @ x.T, y, x @ x.T)
    assert found.margin == pytest.approx(2.5)
    assert found.support.tolist() == [0, 1]
    torch.testing.assert_close(found.outputs[:2], y[:2], atol=1e-3, rtol=0)
    torch.testing.assert_close(found.test_outputs, found.outputs)
    assert found.error(-y) == 1


def test_support_vectors_are_at_the_margin_whatever_the_scale_of_the_kernel() -> None:
    kernel = laplace(X, X)
    found, scaled = kernel_svm(kernel, Y, kernel), kernel_svm(1e-6 * kernel, Y, kernel * 1e-6)
    assert found.support.tolist() == scaled.support.tolist()
    torch.testing.assert_close(found.outputs, scaled.outputs)
    gaps = 1 - Y * found.outputs
    # The solver stops at violations of 1e-4.
    assert float(gaps.max()) < 1e-3
    assert float(gaps[found.support].abs().max()) < 1e-3
    assert found.error(Y) == 0
    assert float((found.coefficients * Y).min()) >= 0
    assert float(found.coefficients.sum()) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: alignment(torch.ones(3, 2), Y), r"kernel: expected a square matrix"),
        (lambda: alignment(laplace(X, X), Y[:3]), r"labels: expected shape \(30,\)"),
        (lambda: kernel_svm(laplace(X, X), Y.abs()), "got a single class"),
        (lambda: kernel_regression(laplace(X, X), Y, torch.ones(30, 4)), "transpose a kernel"),
        (lambda: kernel_regression(laplace(X, X), Y, ridge=-1), "ridge: expected"),
        (lambda: kernel_svm(laplace(X, X), Y).error(Y), "expected the kernel of the test patterns"),
        (lambda: mutual_information(Y, Y, n_bins=1), "n_bins: expected 2 to n=30"),
        (lambda: effective_rank(torch.eye(3), kind="other"), "kind: expected"),  # pyright: ignore
        (lambda: kernel_change(torch.eye(3), torch.eye(2)), "two kernels of one shape"),
        (lambda: alignment(torch.full((30, 30), torch.nan), Y), "expected finite real numbers"),
    ],
)
def test_errors_say_what_was_expected(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
