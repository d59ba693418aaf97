"""Curves of seeds: complete seeds only, means, errors and exponents."""

import numpy as np
import pandas as pd
import pytest

from symnets.estimates import SeedCurve


def table(exponent: float = -0.5, n_seeds: int = 4) -> pd.DataFrame:
    rows = [
        {"seed": s, "n_train": n, "test_error": (1 + 0.1 * s) * n**exponent}
        for n in (40, 10, 20, 80)
        for s in range(n_seeds)
    ]
    return pd.DataFrame(rows)


def test_a_power_law_has_its_exponent() -> None:
    curve = SeedCurve.from_table(table(), "n_train", "test_error")
    assert curve.x.tolist() == [10, 20, 40, 80]
    assert curve.values.shape == (4, 4)
    assert curve.mean == pytest.approx(1.15 * curve.x**-0.5)
    assert curve.error == pytest.approx(np.std([1, 1.1, 1.2, 1.3], ddof=1) / 2 * curve.x**-0.5)
    assert curve.exponent.value == pytest.approx(-0.5, abs=1e-12)
    assert curve.exponent.error == pytest.approx(0, abs=1e-12)  # seeds differ by a factor only


def test_seeds_that_lack_a_point_are_left_out() -> None:
    rows = table()
    curve = SeedCurve.from_table(rows.query("not (seed == 2 and n_train == 20)"), "n_train", "test_error")
    assert curve.values.shape == (3, 4)
    rows.loc[0, "test_error"] = np.nan
    assert SeedCurve.from_table(rows, "n_train", "test_error").values.shape == (3, 4)


def test_parts_and_curves_without_an_exponent() -> None:
    curve = SeedCurve.from_table(table(), "n_train", "test_error")
    assert curve.between(20).x.tolist() == [20, 40, 80]
    assert curve.between(20, 40).values.shape == (4, 2)
    assert np.isnan(curve.between(40).exponent.value)  # two points
    assert np.isnan(SeedCurve(curve.x, curve.values[:2]).exponent.value)  # two seeds
    assert np.isnan(SeedCurve(curve.x, 0 * curve.values).exponent.value)
    assert SeedCurve(curve.x, curve.values[:1]).error is None
