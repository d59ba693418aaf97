"""Double descent: findings on tables of known curves, and tiny nets on digits."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from symnets.estimates import SizeCurves, cusp_fall, cusp_rise
from symnets.experiments import double_descent
from symnets.experiments.double_descent import Config, peak
from symnets.sweeps import grid

SIZES = np.array([10, 50, 99, 110, 150, 200, 400, 900])


def no_arrays(name: str) -> Mapping[str, np.ndarray]:
    raise AssertionError(f"{name}: this experiment has no arrays")


def table_of(
    error: Callable[[np.ndarray], np.ndarray], early: Callable[[np.ndarray], np.ndarray]
) -> pd.DataFrame:
    """Three seeds of nets that jam at N* = 100, where |f| = 5 |N - 99.5|^-1 peaks at N = 99."""
    lines = [
        {
            "n_train": 300,
            "n_weights": n,
            "seed": seed,
            "unsatisfied_per_weight": 0.2 if n < 100 else 0.0,
            "norm": 5 / abs(n - 99.0 + 1e-3),
            "early_norm": 1.0,
            "test_error": float(error(n)) + 1e-4 * seed,
            "early_error": float(early(n)) + 1e-4 * seed,
        }
        for n in SIZES
        for seed in range(3)
    ]
    return pd.DataFrame(lines, index=[f"run{k}" for k in range(len(lines))])


def cusp(n: np.ndarray) -> np.ndarray:
    """0.2 at N = 50, 0.25 at the cusp, and a plateau of 0.1."""
    return np.interp(np.log(n), np.log([10, 50, 100, 900]), [0.3, 0.2, 0.25, 0.1])


def decay(n: np.ndarray) -> np.ndarray:
    return 0.5 * np.asarray(n) ** -0.25


def test_a_cusp_that_early_stopping_removes_agrees_with_the_publications() -> None:
    results = double_descent.findings(table_of(cusp, decay), no_arrays)
    assert all(finding.agrees for finding in results)
    ratio, _, fallen, risen, twin, exponent = [finding.measured.value for finding in results]
    # N* is halfway from 99 to 110 in log N, where 0.2 becomes 0; the peak is at exactly 99.
    assert ratio == pytest.approx(99 / np.sqrt(99 * 110))
    highest = cusp(SIZES).max(initial=0, where=np.abs(SIZES - 100) < 20)
    assert fallen == pytest.approx(highest - 0.1)
    assert risen == pytest.approx(highest - 0.2)
    assert twin < 0
    assert exponent == pytest.approx(-1, abs=0.01)


def test_a_seed_with_a_diverged_net_is_left_out_at_all_sizes() -> None:
    """The norm of a diverged net is NaN, which np.argmax would select as the largest."""
    table = table_of(cusp, decay)
    lost = (table["n_weights"] == 900) & (table["seed"] == 1)
    table.loc[lost, ["norm", "test_error", "unsatisfied_per_weight"]] = np.nan
    results = double_descent.findings(table, no_arrays)
    assert all(finding.agrees for finding in results)
    assert all("1 of 3 seeds left out" in finding.quantity for finding in results)


def test_a_peak_at_the_smallest_net_is_not_at_jamming() -> None:
    """At P = 500 the smallest net of the preset is at 0.4 N*."""
    table = table_of(cusp, decay)
    table = table.assign(norm=1.0 / table["n_weights"], n_weights=table["n_weights"].replace(10, 35))
    ratio, *_ = double_descent.findings(table, no_arrays)
    assert ratio.measured.value == pytest.approx(35 / np.sqrt(99 * 110))
    assert not ratio.agrees


def test_an_error_that_only_falls_has_no_cusp() -> None:
    results = double_descent.findings(table_of(decay, cusp), no_arrays)
    assert not results[3].agrees
    assert not results[4].agrees


def test_without_a_transition_no_finding_agrees() -> None:
    table = table_of(cusp, decay).assign(unsatisfied_per_weight=0.5)
    curves = SizeCurves.from_table(table, "unsatisfied_per_weight", "test_error", "norm")
    assert np.isnan(cusp_rise(curves, "test_error"))
    assert np.isnan(cusp_fall(curves, "test_error"))
    assert peak(curves) == 99
    assert not any(finding.agrees for finding in double_descent.findings(table, no_arrays)[2:5])
    double_descent.figure(table, no_arrays).canvas.draw()


def test_the_figure_has_errors_norm_and_unsatisfied_patterns() -> None:
    made = double_descent.figure(table_of(cusp, decay), no_arrays)
    assert [axes.get_xlabel() for axes in made.axes] == ["weights N", "N / N*", "N / N*", "N / N*"]
    assert "Norm of the predictor" in [axes.get_title(loc="left") for axes in made.axes]


TINY = Config(n_train=20, width=4, data="digits", n_test=60, steps=60, dtype="float64", final_rate=1.0)


def test_the_first_half_selects_the_step_and_the_second_half_is_measured() -> None:
    configs = [TINY, replace(TINY, seed=1)]
    results = double_descent.run(configs)
    for config, result in zip(configs, results, strict=True):
        row = result.row
        assert row["n_weights"] == config.n_weights
        for name in ("test_error", "early_error"):
            errors = row[name]
            assert isinstance(errors, float)
            assert errors * 30 == pytest.approx(round(errors * 30))  # of 30 patterns
        assert row["early_step"] in (20, 40, 60)
        assert not set(row) & set(asdict(config)) - {"n_weights"}
    alone = double_descent.run(configs[1:])[0].row
    # Sums in another order, then 60 steps of Adam.
    assert alone["norm"] == pytest.approx(results[1].row["norm"], rel=1e-6)


def test_presets_are_valid_and_invalid_configurations_are_refused() -> None:
    assert {c.n_train for c in double_descent.PRESETS["quick"]} == {500, 1000}
    assert double_descent.batch_key(TINY) == double_descent.batch_key(replace(TINY, seed=5))
    assert len(grid(Config, width=(3, 4), seed=range(2))) == 4
    with pytest.raises(ValueError, match="n_test: expected at least 4, got 2"):
        Config(n_test=2)
    with pytest.raises(ValueError, match="width"):
        Config(width=0)
