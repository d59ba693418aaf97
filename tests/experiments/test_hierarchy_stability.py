"""Sensitivities to deformations and synonyms: findings on tables of known curves, figure, a small run."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import hierarchy_stability as experiment
from symnets.sweeps import Finding


def no_arrays(name: str) -> Mapping[str, np.ndarray]:
    raise AssertionError(f"{name}: this experiment has no arrays")


def curve(x: float) -> float:
    return 1 / (1 + x**4)


def table_of(
    error: Callable[[float, int], float], deformations: Callable[[float, int], float]
) -> pd.DataFrame:
    """The quick grid with functions of P / (n_c m^L) and s0; S falls with the error."""
    lines = []
    for config in experiment.PRESETS["quick"]:
        at, scatter = (config.scaled_n_train, config.n_empty), 1 + 0.02 * (config.seed - 1)
        values = {"relative_error": error(*at), "S_2_1": error(*at), "D_2_1": deformations(*at)}
        lines.append(vars(config) | {k: v * scatter for k, v in values.items()} | {"verdict": "FITTED"})
    return pd.DataFrame(lines, index=[f"run{k}" for k in range(len(lines))])


def published(x: float, s0: int) -> float:
    return curve(x / (s0 + 1) ** 2)


def named(findings: list[Finding], part: str) -> list[Finding]:
    return [finding for finding in findings if part in finding.quantity]


def test_curves_that_fall_together_agree() -> None:
    findings = experiment.findings(table_of(published, published), no_arrays)
    assert all(finding.agrees for finding in findings)
    assert len(findings) == 8
    ratios = named(findings, "P at sensitivity")
    assert [finding.measured.value for finding in ratios] == pytest.approx([1] * 6)
    (exponent,) = named(findings, "exponent")
    assert exponent.measured.value == pytest.approx(2, abs=1e-6)
    assert exponent.quantity.endswith("s0 = 1, 2, 3")


def test_deformations_that_are_learned_first_do_not_agree() -> None:
    findings = experiment.findings(table_of(published, lambda x, s0: published(4 * x, s0)), no_arrays)
    for finding in named(findings, "P at sensitivity"):
        assert finding.measured.value == pytest.approx(1 / 4, rel=1e-3)
        assert not finding.agrees


def test_sensitivity_unrelated_to_the_error_does_not_agree() -> None:
    table = table_of(published, lambda x, s0: 1 + x)
    (correlation,) = named(experiment.findings(table, no_arrays), "correlation")
    assert correlation.measured.value < 0
    assert not correlation.agrees


def test_inputs_that_do_not_depend_on_sparsity_do_not_agree() -> None:
    table = table_of(lambda x, s0: curve(x / 8), lambda x, s0: curve(x / 8))
    (exponent,) = named(experiment.findings(table, no_arrays), "exponent")
    assert abs(exponent.measured.value) < 0.5
    assert not exponent.agrees


def test_the_figure_has_curves_of_all_sparsities() -> None:
    fig = experiment.figure(table_of(published, published), no_arrays)
    _, labels = fig.axes[1].get_legend_handles_labels()
    assert set(labels) == {f"{letter}, s0 = {s0}" for letter in "DS" for s0 in (1, 2, 3)}
    fig.canvas.draw()


def test_a_small_net_runs() -> None:
    config = experiment.Config(n_train=8, n_synonyms=2, width=8, n_test=8, steps=5)
    (result,) = experiment.run([config])
    assert {"relative_error", "S_2_1", "D_2_1", "D_out_2", "verdict"} <= set(result.row)
