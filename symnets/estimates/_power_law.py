"""Power laws fitted to measurements, with standard errors."""

from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.stats import bootstrap

from symnets.estimates._estimate import Estimate


@dataclass(frozen=True)
class PowerLaw:
    """y = prefactor |x - x_star|^exponent, fitted by least squares on logarithmic scales.

    Attributes:
        exponent: slope of log y against log |x - x_star|.
        prefactor: y at |x - x_star| = 1, with its error to first order.
        x_star: where the law vanishes or diverges, 0 for a plain power law; no error if it was given.
        residual: root mean square of log y - log fit, the relative error of a typical point.
        x_range: smallest and largest x fitted.
        n_points: number of points fitted.
    """

    exponent: Estimate
    prefactor: Estimate
    x_star: Estimate
    residual: float
    x_range: tuple[float, float]
    n_points: int

    def __call__(self, x: ArrayLike) -> ndarray:
        """y at x."""
        distance = np.abs(np.asarray(x, dtype=float) - self.x_star.value)
        return self.prefactor.value * distance**self.exponent.value

    def __str__(self) -> str:
        value, error = self.exponent
        if error is None:
            return f"{value:.2f}"
        places = 2 if error >= 0.005 else 3
        return f"{value:.{places}f} ± {error:.{places}f}"


def fit_power_law(x: ArrayLike, y: ArrayLike, *, error: ArrayLike | None = None) -> PowerLaw:
    """Fits y = A x^a: a straight line through log y against log x.

    Args:
        x: positive, at least three different values.
        y: positive, of the shape of x.
        error: standard errors of y, positive. With them, points are weighted by (y / error)^2 and the errors
            of the fit follow from them alone. Without, all points have equal weight on the logarithmic scale
            and the errors follow from the scatter of the points about the line.

    Example:
        >>> fit_power_law([1, 2, 4], [3, 12, 48]).exponent.value
        2.0

    Raises:
        ValueError: shapes differ, fewer than three points, or a value that is not positive and finite.
    """
    x, y, spread = _checked("fit_power_law", x, y, error, n_least=3)
    if (x <= 0).any():
        raise ValueError(f"fit_power_law: expected x above 0, got {x.min():g}; leave such points out")
    return _fit(x, y, spread, x_star=0.0)


def fit_power_law_at(
    x: ArrayLike,
    y: ArrayLike,
    x_star: float | None = None,
    *,
    error: ArrayLike | None = None,
    between: tuple[float, float] | None = None,
) -> PowerLaw:
    """Fits y = A |x - x*|^a about a point x* that is given or fitted.

    If x* is fitted, the search starts from the best point of a fine grid, since the sum of squares has a
    local minimum between any two neighbouring x. The errors of a and A include the uncertainty of x*.

    Args:
        x: at least three different values, four if x* is fitted; none equal to x*.
        y: positive.
        x_star: the point x*, or None to fit it.
        error: as for `fit_power_law`.
        between: interval for a fitted x*, without any x inside; by default below all x, no farther from the
            smallest than the range of x.

    Raises:
        ValueError: as `fit_power_law`; or the best x* is at an end of `between`: the data do not determine
        it.
    """
    x, y, spread = _checked("fit_power_law_at", x, y, error, n_least=3 if x_star is not None else 4)
    if x_star is not None:
        if (x == x_star).any():
            raise ValueError(f"fit_power_law_at: expected no x at x_star={x_star:g}; leave that point out")
        return _fit(x, y, spread, x_star=float(x_star))
    low, high = between or (2 * x.min() - x.max(), x.min())
    if not low < high or ((low < x) & (x < high)).any():
        raise ValueError(
            f"fit_power_law_at: expected an interval without any x, got between=({low:g}, {high:g})"
        )
    # Dense towards both ends, where log |x - x*| changes fastest.
    grid = low + (high - low) * (1 - np.cos(np.pi * (np.arange(1000) + 0.5) / 1000)) / 2
    best = int(np.argmin([_chi2(x, y, spread, x_star=candidate) for candidate in grid]))
    if best in (0, len(grid) - 1):
        raise ValueError(
            f"fit_power_law_at: no x* inside ({low:g}, {high:g}) fits better than its ends; "
            "give x_star, or points nearer to it"
        )
    optimum = minimize_scalar(
        lambda candidate: _chi2(x, y, spread, x_star=candidate),
        bounds=(grid[best - 1], grid[best + 1]),
        method="bounded",
        options={"xatol": 1e-10 * (high - low)},
    )
    return _fit(x, y, spread, x_star=float(optimum.x), fitted=True)


def fit_power_law_seeds(x: ArrayLike, y: ArrayLike, *, n_resamples: int = 500, seed: int = 0) -> PowerLaw:
    """Fits y = A x^a to the mean over seeds; the errors come from resampling whole seeds (bootstrap).

    Use it if there is one curve for each seed: the values along a curve are correlated, and a fit that treats
    them as independent would underestimate the errors.

    Args:
        x: shape (points,), positive.
        y: shape (seeds, points), mean over seeds positive; at least three seeds.
        n_resamples: number of resamples of the seeds.
        seed: seed of the resampling.

    Raises:
        ValueError: as `fit_power_law`; fewer than three seeds.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if y.ndim != 2 or y.shape[1:] != x.shape or len(y) < 3:
        raise ValueError(
            f"fit_power_law_seeds: expected y of shape (seeds >= 3, points={x.shape}), got {y.shape}"
        )
    fit = fit_power_law(x, y.mean(0))

    solve = np.linalg.pinv(np.stack((np.ones_like(x), np.log(x)), axis=1))

    def parameters(chosen: ndarray, axis: int) -> ndarray:
        """Exponents and prefactors of all resamples at once, as `fit_power_law` of each of them."""
        means = y[np.moveaxis(chosen, axis, -1)].mean(-2)
        for mean in means[(means <= 0).any(-1)]:
            fit_power_law(x, mean)  # raises the error
        level, slope = np.moveaxis(np.log(means) @ solve.T, -1, 0)
        return np.stack((slope, np.exp(level)))

    resampled = bootstrap(
        (np.arange(len(y)),),
        parameters,
        n_resamples=n_resamples,
        vectorized=True,
        method="percentile",
        rng=seed,
    )
    errors = np.asarray(resampled.standard_error).tolist()
    return replace(
        fit,
        exponent=Estimate(fit.exponent.value, errors[0]),
        prefactor=Estimate(fit.prefactor.value, errors[1]),
    )


def _line(
    x: ndarray, y: ndarray, spread: ndarray | None, *, x_star: float
) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """(log A, a) at a given x*, residuals of log y, columns of the linear problem, weights of the points."""
    columns = np.stack((np.ones_like(x), np.log(np.abs(x - x_star))), axis=1)
    weights = np.ones_like(x) if spread is None else 1 / spread
    parameters = np.linalg.lstsq(columns * weights[:, None], np.log(y) * weights)[0]
    return parameters, np.log(y) - columns @ parameters, columns, weights


def _chi2(x: ndarray, y: ndarray, spread: ndarray | None, *, x_star: float) -> float:
    _, residuals, _, weights = _line(x, y, spread, x_star=x_star)
    return float(np.sum((residuals * weights) ** 2))


def _fit(x: ndarray, y: ndarray, spread: ndarray | None, *, x_star: float, fitted: bool = False) -> PowerLaw:
    """The best law at x*; if x* was fitted too, the covariance includes the derivative with respect to it."""
    (level, slope), residuals, columns, weights = _line(x, y, spread, x_star=x_star)
    if fitted:
        columns = np.column_stack((columns, -slope / (x - x_star)))
    covariance = np.linalg.pinv(columns * weights[:, None])
    covariance = covariance @ covariance.T
    if spread is None:
        covariance *= np.sum(residuals**2) / (len(x) - columns.shape[1])
    errors = np.sqrt(np.diag(covariance))
    prefactor = float(np.exp(level))
    return PowerLaw(
        exponent=Estimate(float(slope), float(errors[1])),
        prefactor=Estimate(prefactor, float(prefactor * errors[0])),
        x_star=Estimate(x_star, float(errors[2]) if fitted else None),
        residual=float(np.sqrt(np.mean(residuals**2))),
        x_range=(float(x.min()), float(x.max())),
        n_points=len(x),
    )


def _checked(
    where: str, x: ArrayLike, y: ArrayLike, error: ArrayLike | None, *, n_least: int
) -> tuple[ndarray, ndarray, ndarray | None]:
    """x, y and the standard errors of log y as arrays, checked."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"{where}: expected x and y of one shape (points,), got {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(f"{where}: expected finite numbers, got NaN or infinity; leave such points out")
    if (n_different := len(np.unique(x))) < n_least:
        raise ValueError(f"{where}: expected at least {n_least} points of different x, got {n_different}")
    if (y <= 0).any():
        raise ValueError(f"{where}: expected y above 0, got {y.min():g}; leave such points out")
    if error is None:
        return x, y, None
    error = np.asarray(error, dtype=float)
    if error.shape != y.shape or not (np.isfinite(error) & (error > 0)).all():
        raise ValueError(f"{where}: expected an error above 0 for each of {len(y)} points, got {error}")
    return x, y, error / y
