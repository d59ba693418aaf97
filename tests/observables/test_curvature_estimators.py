"""Estimators against matrices whose spectrum is known."""

import numpy as np
import pytest
import torch
from numpy import ndarray
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from symnets.data import Batch
from symnets.models import Dense
from symnets.observables.curvature import (
    GaussNewtonOperator,
    HessianOperator,
    hessian_split,
    lanczos_density,
    spectrum,
    top_eigenpairs,
    trace,
)
from symnets.training import CrossEntropy


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def with_eigenvalues(values: ndarray) -> LinearOperator:
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((len(values), len(values))))
    return aslinearoperator(q @ np.diag(values) @ q.T)


SEMICIRCLE = np.cos(np.pi * (np.arange(200) + 0.5) / 200)  # between -1 and 1, dense at the ends


def test_all_steps_give_the_exact_moments_of_the_probe() -> None:
    operator = with_eigenvalues(np.array([-1.0, 0, 0, 0, 2, 5]))
    density = lanczos_density(operator, n_probes=3, n_steps=6, generator=generator())
    np.testing.assert_allclose(density.weights.sum(1), 1)
    # Four different eigenvalues: the iteration ends after four steps, and finds them.
    assert (density.weights[:, 4:] < 1e-12).all()
    for nodes, weights in zip(density.nodes, density.weights, strict=True):
        np.testing.assert_allclose(np.sort(nodes[weights > 1e-9]), [-1, 0, 2, 5], atol=1e-12)


def test_gauss_quadrature_is_exact_for_low_moments() -> None:
    """K steps integrate polynomials of degree 2 K - 1 weighted with the probe z: zᵀAᵏz / N."""
    operator = with_eigenvalues(SEMICIRCLE)
    density = lanczos_density(operator, n_probes=1, n_steps=5, generator=generator(3))
    z = 2.0 * torch.randint(0, 2, (1, 200), generator=generator(3)).numpy()[0] - 1
    power = z.copy()
    for order in range(10):
        assert density.moment(order) == pytest.approx(z @ power / 200, abs=1e-13)
        power = operator @ power


def test_density_of_many_probes_is_that_of_the_spectrum() -> None:
    density = lanczos_density(with_eigenvalues(SEMICIRCLE), n_probes=40, n_steps=30, generator=generator())
    # A probe of N = 200 signs is off by about N^(-1/2) = 0.07 in a fraction; 40 of them by 0.01.
    for level in (-0.9, -0.5, 0, 0.4, 0.95):
        assert density.fraction_below(level) == pytest.approx((level > SEMICIRCLE).mean(), abs=0.04)
    grid = np.linspace(-2, 2, 401)
    smooth = density.smooth(grid, 0.1)
    assert np.trapezoid(smooth, grid) == pytest.approx(1, abs=1e-6)
    bells = np.exp(-0.5 * ((grid[:, None] - SEMICIRCLE) / 0.1) ** 2) / (0.1 * (2 * np.pi) ** 0.5)
    np.testing.assert_allclose(smooth, bells.mean(1), atol=0.06)


def test_vectors_stay_orthogonal() -> None:
    """Without re-orthogonalisation an isolated large eigenvalue would have spurious copies."""
    values = np.append(SEMICIRCLE, 100.0)
    density = lanczos_density(with_eigenvalues(values), n_probes=1, n_steps=150, generator=generator())
    assert (density.nodes > 2).sum() == 1


def test_low_rank_has_its_trace_exactly() -> None:
    """A sketch of 10 vectors contains a range of dimension 4."""
    values = np.zeros(100)
    values[:4] = [3, 5, 7, -2]
    found = trace(with_eigenvalues(values), n_matvecs=30, generator=generator())
    assert found.value == pytest.approx(13, abs=1e-11)
    assert found.error < 1e-11
    assert found.n_matvecs == 30


def test_trace_is_unbiased_with_the_reported_error() -> None:
    values = 1.0 / np.arange(1, 151)
    operator = with_eigenvalues(values)
    found = [trace(operator, n_matvecs=24, generator=generator(seed)) for seed in range(60)]
    deviations = np.array([t.value for t in found]) - values.sum()
    assert abs(deviations.mean()) < 3 * deviations.std() / 60**0.5
    honest = np.mean([t.error**2 for t in found]) ** 0.5
    assert 0.7 < deviations.std() / honest < 1.4  # 60 samples give a standard deviation to 10 %


def test_hutch_plus_plus_beats_hutchinson() -> None:
    values = 1.0 / np.arange(1, 151) ** 2
    operator = with_eigenvalues(values)
    ours = [trace(operator, n_matvecs=30, generator=generator(s)).value for s in range(20)]
    rng = np.random.default_rng(0)
    plain = []
    for _ in range(20):
        z = rng.choice([-1.0, 1.0], (150, 30))
        plain.append(np.mean(np.sum(z * (operator @ z), axis=0)))
    assert np.std(ours) < 0.2 * np.std(plain)


def test_small_operators_have_their_trace_exactly() -> None:
    found = trace(with_eigenvalues(np.array([1.0, 2, -4])), generator=generator())
    assert (round(found.value, 12), found.error, found.n_matvecs) == (-1, 0, 3)


def test_as_many_products_as_columns_give_the_exact_trace() -> None:
    """A third of the products as a sketch would not do: its range has 10 dimensions, the matrix 30."""
    values = np.random.default_rng(1).standard_normal(30)
    found = trace(with_eigenvalues(values), n_matvecs=30, generator=generator())
    assert found.value == pytest.approx(values.sum(), abs=1e-12)
    assert (found.error, found.n_matvecs) == (0, 30)
    assert trace(with_eigenvalues(values), n_matvecs=29, generator=generator()).error > 0


@pytest.mark.parametrize(
    ("which", "expected"), [("largest", [9, 8]), ("smallest", [-9, -20]), ("magnitude", [9, -20])]
)
def test_extreme_eigenpairs(which: str, expected: list) -> None:
    values = np.concatenate([[-20.0, -9], np.arange(10.0)])
    operator = with_eigenvalues(values)
    found = top_eigenpairs(operator, 2, which=which)  # pyright: ignore
    if which == "magnitude":  # 9 and -9 are tied
        assert -20 in np.round(found.values, 9)
    else:
        np.testing.assert_allclose(found.values, expected, atol=1e-10)
    np.testing.assert_allclose(operator @ found.vectors, found.vectors * found.values, atol=1e-9)


def test_estimators_of_a_net_agree_with_its_matrix() -> None:
    net = Dense(4, 10, 2, activation="tanh", generator=generator(), dtype=torch.float64)
    x = torch.randn(50, 4, generator=generator(1), dtype=torch.float64)
    batch = Batch(x, torch.randn(50, generator=generator(2), dtype=torch.float64).sign())
    split = hessian_split(net, CrossEntropy(), batch)
    h, h0 = HessianOperator(net, CrossEntropy(), batch), GaussNewtonOperator(net, CrossEntropy(), batch)
    largest = spectrum(split.h).eigenvalues[-3:].flip(0).numpy()
    np.testing.assert_allclose(top_eigenpairs(h, 3).values, largest, rtol=1e-9)
    found = trace(h0, n_matvecs=60, generator=generator())
    assert found.value == pytest.approx(float(split.h0.trace()), rel=0.02)
    density = lanczos_density(h, n_probes=20, n_steps=40, generator=generator())
    assert density.moment(2) == pytest.approx(float((split.h**2).sum()) / split.n_params, rel=0.2)


def test_equal_generators_give_equal_estimates() -> None:
    operator = with_eigenvalues(SEMICIRCLE)
    once, again = (trace(operator, n_matvecs=9, generator=generator(5)) for _ in range(2))
    assert once == again


def test_bad_input_is_refused() -> None:
    operator = with_eigenvalues(np.arange(5.0))
    with pytest.raises(ValueError, match="expected a square LinearOperator, got Tensor"):
        trace(torch.eye(3), generator=generator())  # pyright: ignore
    with pytest.raises(ValueError, match=r"of shape \(3, 2\)"):
        lanczos_density(aslinearoperator(np.ones((3, 2))), generator=generator())
    with pytest.raises(ValueError, match="k: expected 1 to 5 for an operator of size 5, got 6"):
        top_eigenpairs(operator, 6)
    with pytest.raises(ValueError, match="n_matvecs: expected at least 6"):
        trace(operator, n_matvecs=2, generator=generator())
    with pytest.raises(ValueError, match="expected at least 1, got 0, 80"):
        lanczos_density(operator, n_probes=0, generator=generator())
    with pytest.raises(ValueError, match="width: expected a number > 0"):
        lanczos_density(operator, generator=generator()).smooth(np.zeros(1), 0)
    with pytest.raises(ValueError, match="largest, smallest, magnitude"):
        top_eigenpairs(operator, 2, which="LA")  # pyright: ignore


@pytest.mark.parametrize("n", [1, 4, 50])
def test_eigenvalues_of_zero_are_zero(n) -> None:
    for k in {1, n}:
        pairs = top_eigenpairs(aslinearoperator(np.zeros((n, n))), k)
        assert pairs.values.tolist() == [0.0] * k
        np.testing.assert_array_equal(pairs.vectors.T @ pairs.vectors, np.eye(k))
    assert trace(aslinearoperator(np.zeros((n, n))), generator=generator()).value == 0


def test_all_eigenpairs_and_those_of_a_matrix_of_rank_one() -> None:
    operator = with_eigenvalues(np.array([-5.0, 0.0, 1.0, 3.0]))
    np.testing.assert_allclose(top_eigenpairs(operator, 4).values, [3, 1, 0, -5], atol=1e-12)
    np.testing.assert_allclose(top_eigenpairs(operator, 2, which="magnitude").values, [3, -5], atol=1e-12)
    one = np.zeros((60, 60))
    one[0, 0] = 7
    for k in (3, 60):
        np.testing.assert_allclose(
            top_eigenpairs(aslinearoperator(one), k).values, [7] + [0] * (k - 1), atol=1e-12
        )


def test_products_that_are_not_finite_are_refused() -> None:
    operator = aslinearoperator(np.full((50, 50), np.nan))
    for estimate in (
        lambda: top_eigenpairs(operator, 2),
        lambda: trace(operator, n_matvecs=12, generator=generator()),
        lambda: lanczos_density(operator, generator=generator()),
    ):
        with pytest.raises(ValueError, match="expected finite products, got NaN"):
            estimate()
