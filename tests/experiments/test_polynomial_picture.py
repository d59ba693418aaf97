"""The polynomial picture: a cusp where parameters equal points, and a second descent past it."""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import polynomial_picture as picture
from symnets.experiments.polynomial_picture import Config
from symnets.sweeps import grid


def table_of(configs: tuple[Config, ...]) -> tuple[pd.DataFrame, dict[str, Mapping[str, np.ndarray]]]:
    results = picture.run(configs)
    names = [f"run{k}" for k in range(len(configs))]
    lines = [{**asdict(config), **result.row} for config, result in zip(configs, results, strict=True)]
    return pd.DataFrame(lines, index=names), {
        name: result.arrays for name, result in zip(names, results, strict=True)
    }


def test_fits_below_the_cusp_are_the_least_squares_of_numpy() -> None:
    """Up to as many parameters as points the fit is unique, in any basis and norm."""
    config = Config(n_params=8, smoothness=2.0)
    (result,) = picture.run([config])
    x, y = result.arrays["x"], result.arrays["y"]
    fit = np.polynomial.Polynomial.fit(x, y, 7)
    assert result.arrays["prediction"] == pytest.approx(fit(result.arrays["grid"]), abs=1e-9)
    assert result.row["train_error"] == pytest.approx(np.mean((fit(x) - y) ** 2))


def test_past_the_cusp_the_fit_is_the_kernel_interpolation() -> None:
    """Least norm among all interpolations is K(x, X) K(X, X)^-1 y, K the kernel of the weighted basis."""
    config = Config(n_params=60)
    (result,) = picture.run([config])
    x, y, at = (result.arrays[name] for name in ("x", "y", "grid"))
    degree = np.arange(60)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """sum_k (1 + k)^-2 c_k cos(k arccos a) cos(k arccos b), c_0 = 1, else 2: T_k(cos t) = cos(k t)."""
        waves = [np.cos(np.outer(np.arccos(p), degree)) for p in (a, b)]
        return (waves[0] * np.where(degree == 0, 1, 2) * (1.0 + degree) ** -2) @ waves[1].T

    expected = kernel(at, x) @ np.linalg.solve(kernel(x, x), y)
    assert result.arrays["prediction"] == pytest.approx(expected, abs=1e-7)
    assert result.row["verdict"] == "SAT"
    norm = result.row["norm"]
    assert isinstance(norm, float)
    assert norm**2 == pytest.approx(y @ np.linalg.solve(kernel(x, x), y), rel=1e-8)


def test_interpolation_begins_when_parameters_equal_points() -> None:
    fewer, equal = picture.run([Config(n_points=9, n_params=8), Config(n_points=9, n_params=9)])
    assert (fewer.row["verdict"], equal.row["verdict"]) == ("UNSAT", "SAT")
    assert equal.row["n_unsatisfied"] == 0
    assert equal.row["train_error"] == pytest.approx(0, abs=1e-15)


def test_the_quick_preset_shows_the_cusp() -> None:
    table, arrays = table_of(picture.PRESETS["quick"])
    results = picture.findings(table, arrays.__getitem__)
    assert [finding.measured.value for finding in results[:2]] == [20, 20]
    assert all(finding.agrees for finding in results)
    titles = [axes.get_title(loc="left") for axes in picture.figure(table, arrays.__getitem__).axes]
    assert titles == ["Errors", "Norm of the coefficients", "Fits of one data set"]


def test_a_run_does_not_depend_on_its_batch() -> None:
    configs = grid(Config, n_params=(3, 20, 40), seed=range(2))
    one_batch = picture.run(configs)
    for config, result in zip(configs, one_batch, strict=True):
        assert picture.run([config])[0].row == result.row


def test_invalid_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match="n_params: expected 1 to 10000, got 0"):
        Config(n_params=0)
    with pytest.raises(ValueError, match="noise"):
        Config(noise=float("nan"))
