"""Fits recover known power laws, and their errors are the scatter of repeated fits."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from symnets.estimates import Estimate, PowerLaw, fit_power_law, fit_power_law_at, fit_power_law_seeds
from symnets.report import draw_power_law

X = np.geomspace(1, 100, 9)


def test_an_exact_law_is_recovered_exactly() -> None:
    fit = fit_power_law(X, 3 * X**-0.7)
    assert (fit.exponent.value, fit.prefactor.value) == pytest.approx((-0.7, 3.0), rel=1e-12)
    assert fit.exponent.error < 1e-12
    assert fit(X) == pytest.approx(3 * X**-0.7, rel=1e-12)


def test_errors_are_those_of_a_straight_line() -> None:
    """Textbook formulas for the variances of slope and intercept, the first is s^2 / sum (x - mean)^2."""
    rng = np.random.default_rng(0)
    y = 2 * X**0.5 * np.exp(0.1 * rng.standard_normal(9))
    fit, t = fit_power_law(X, y), np.log(X)
    rest = np.log(y) - np.log(fit(X))
    variance, spread = np.sum(rest**2) / 7, np.sum((t - t.mean()) ** 2)
    assert fit.exponent.error == pytest.approx(np.sqrt(variance / spread), rel=1e-10)
    level_error = np.sqrt(variance * (1 / 9 + t.mean() ** 2 / spread))
    assert fit.prefactor.error == pytest.approx(fit.prefactor.value * level_error, rel=1e-10)


def test_given_errors_weight_the_points() -> None:
    """A point of huge error changes nothing, and halving all errors halves those of the fit."""
    y = 2 * X**0.5
    y[4] *= 10
    error = 0.1 * y
    error[4] = 1e6 * y[4]
    fit = fit_power_law(X, y, error=error)
    assert fit.exponent.value == pytest.approx(0.5, abs=1e-6)
    assert fit_power_law(X, y, error=error / 2).exponent.error == pytest.approx(fit.exponent.error / 2)


@pytest.mark.parametrize("side", [1, -1])
def test_a_divergence_is_located(side: int) -> None:
    x = 5 + side * np.linspace(0.4, 10, 8)
    between = (0.0, x.min()) if side == 1 else (x.max(), 10.0)
    fit = fit_power_law_at(x, 2 / np.abs(x - 5), between=between)
    assert (fit.x_star.value, fit.exponent.value, fit.prefactor.value) == pytest.approx((5, -1, 2), abs=1e-5)
    assert fit_power_law_at(x, 2 / np.abs(x - 5), 5.0).exponent.value == pytest.approx(-1, abs=1e-12)


@pytest.mark.slow
def test_the_error_of_a_divergence_is_the_scatter_of_repeated_fits() -> None:
    """200 noisy copies; a standard deviation of 200 is known to 5 %, linear propagation costs some more."""
    rng, x = np.random.default_rng(1), np.linspace(5.3, 20, 8)
    noise = np.exp(0.05 * rng.standard_normal((200, 8)))
    fits = [fit_power_law_at(x, 2 / (x - 5) * factor, between=(3, 5.3)) for factor in noise]
    for name in ("exponent", "x_star"):
        found = np.array([getattr(fit, name).value for fit in fits])
        stated = np.median([getattr(fit, name).error for fit in fits])
        assert stated == pytest.approx(found.std(), rel=0.2)


def test_resampling_seeds_accounts_for_correlations_along_a_curve() -> None:
    """Each seed tilts its whole curve: the slope's error is that of a mean over seeds, not that of points."""
    tilt = 0.1 * np.random.default_rng(2).standard_normal(12)
    fit = fit_power_law_seeds(X, X ** (0.5 + tilt[:, None]))
    assert fit.exponent.error == pytest.approx(0.1 / np.sqrt(12), rel=0.4)
    assert fit.exponent.error > 3 * fit_power_law(X, (X ** (0.5 + tilt[:, None])).mean(0)).exponent.error


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2], [1, 2], "at least 3 points"),
        ([2, 2, 2], [1, 2, 3], "at least 3 points"),
        ([1, 2, 3], [1, 0, 3], "y above 0, got 0"),
        ([0, 1, 2], [1, 2, 3], "x above 0, got 0"),
        ([1, 2, 3], [1, np.nan, 3], "NaN"),
        ([1, 2, 3], [1, 2], "one shape"),
    ],
)
def test_points_that_cannot_be_fitted_are_refused(x: list[float], y: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_power_law(x, y)


def test_fits_about_a_point_refuse_data_that_do_not_determine_it() -> None:
    with pytest.raises(ValueError, match="at least 4 points"):
        fit_power_law_at([1, 2, 3], [1, 2, 3])
    with pytest.raises(ValueError, match="without any x"):
        fit_power_law_at([1, 2, 3, 4], [1, 2, 3, 4], between=(0, 2.5))
    with pytest.raises(ValueError, match="no x at x_star"):
        fit_power_law_at([1, 2, 3, 4], [1, 2, 3, 4], 2.0)
    with pytest.raises(ValueError, match="no x\\* inside"):  # for an exponential the best x* is -infinity
        fit_power_law_at(X, np.exp(X / 10), between=(-50, 0.9))
    with pytest.raises(ValueError, match="error above 0"):
        fit_power_law([1, 2, 3], [1, 2, 3], error=[0.1, 0.0, 0.1])
    with pytest.raises(ValueError, match="seeds >= 3"):
        fit_power_law_seeds([1, 2, 3], [[1, 2, 3], [1, 2, 3]])


def test_the_legend_states_slope_and_error() -> None:
    axes = Figure().subplots()
    fit = PowerLaw(Estimate(0.5, 0.03), Estimate(2.0, 0.1), Estimate(0.8), 0.01, (0.81, 0.9), 10)
    draw_power_law(axes, fit, "contacts")
    assert axes.get_legend_handles_labels()[1] == ["contacts: slope 0.50 ± 0.03"]
    x, y = np.asarray(axes.lines[0].get_xydata()).T
    assert (x.min(), x.max()) == pytest.approx(fit.x_range)
    assert y == pytest.approx(2 * np.sqrt(x - 0.8))
