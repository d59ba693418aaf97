"""Inputs that hierarchies need: findings on tables that collapse and that do not, figure, a small run."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import hierarchy_sample_complexity as experiment
from symnets.sweeps import Finding

COLUMNS = ("S_2_1", "relative_error", "test_error", "verdict")


def no_arrays(name: str) -> Mapping[str, np.ndarray]:
    raise AssertionError(f"{name}: this experiment has no arrays")


def curve(x: float) -> float:
    return 1 / (1 + x**4)


def table_of(
    error: Callable[[int, int], float], synonyms: Callable[[int, int], float] | None = None
) -> pd.DataFrame:
    """The quick grid with functions of P and m; seeds scatter by some percent."""
    lines = []
    for config in experiment.PRESETS["quick"]:
        at, scatter = (config.n_train, config.n_synonyms), 1 + 0.02 * (config.seed - 2)
        values = {"relative_error": error(*at) * scatter, "S_2_1": (synonyms or error)(*at) * scatter}
        lines.append(vars(config) | values | {"verdict": "FITTED"})
    return pd.DataFrame(lines, index=[f"run{k}" for k in range(len(lines))])


def agreement(findings: list[Finding]) -> list[bool]:
    return [finding.agrees for finding in findings]


def test_curves_of_p_over_n_c_m_to_the_l_agree() -> None:
    findings = experiment.findings(table_of(lambda p, m: curve(p / m**3)), no_arrays)
    assert agreement(findings) == [True] * 6
    exponent, error, synonyms, *ratios = findings
    assert exponent.quantity == "exponent of P* in n_c m^L, L = 2, m = 4, 6, 8"
    assert exponent.measured.value == pytest.approx(1, abs=1e-6)  # equal grids of P / m³
    assert error.measured.value == pytest.approx(0, abs=1e-12)
    assert synonyms.measured.value == pytest.approx(0, abs=1e-12)
    assert [finding.measured.value for finding in ratios] == pytest.approx([1, 1, 1])


def test_curves_of_p_alone_do_not_agree() -> None:
    exponent, error, *_ = experiment.findings(table_of(lambda p, m: curve(p / 64)), no_arrays)
    assert exponent.measured.value == pytest.approx(0, abs=0.2)  # from interpolation on different grids
    assert not exponent.agrees
    assert not error.agrees


def test_synonyms_that_are_learned_later_do_not_agree() -> None:
    """At four times the P: 4 · n_c m^L is beyond the grid of the smallest m, where nothing is found."""
    table = table_of(lambda p, m: curve(4 * p / m**3), lambda p, m: curve(p / m**3))
    *_, four, _, eight = experiment.findings(table, no_arrays)
    assert four.measured.value == pytest.approx(4, rel=0.2)
    assert not four.agrees
    assert not eight.agrees


def test_error_that_never_falls_is_not_a_number() -> None:
    table = table_of(lambda p, m: 0.95)
    exponent, *_, last = experiment.findings(table, no_arrays)
    assert np.isnan(exponent.measured.value)
    assert np.isnan(last.measured.value)
    experiment.figure(table, no_arrays).canvas.draw()


def test_the_figure_has_a_curve_for_each_number_of_synonyms() -> None:
    fig = experiment.figure(table_of(lambda p, m: curve(p / m**3)), no_arrays)
    _, labels = fig.axes[1].get_legend_handles_labels()
    assert labels == ["L = 2, m = 4", "L = 2, m = 6", "L = 2, m = 8"]
    _, labels = fig.axes[3].get_legend_handles_labels()
    assert "1 (2307.02129)" in labels
    fig.canvas.draw()


def test_a_small_net_runs() -> None:
    config = experiment.Config(n_train=8, n_synonyms=2, width=8, n_test=8, steps=5)
    (result,) = experiment.run([config])
    assert {"relative_error", "S_2_1", "S_out_1", "verdict"} <= set(result.row)
