"""Gaps at jamming: exponents of samples of known laws, and decompression to the jamming point."""

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import gap_distribution as gaps
from symnets.experiments.gap_distribution import Config, fit_density

TINY = Config(n_train=60, width=5, depth=2, dim=4, steps=600, steps_again=200, removed=0.05)


LOW = np.full(10, 0.01)


@pytest.mark.parametrize("exponent", [0.3, 0.0, -0.2])
def test_maximum_likelihood_recovers_the_exponent(exponent: float) -> None:
    """x = u^(1/(a+1)) of uniform u has the density (a+1) x^a on (0, 1)."""
    rng = np.random.default_rng(1)
    values = [rng.random(4000) ** (1 / (exponent + 1)) for _ in range(10)]
    fit = fit_density(values, LOW, 0.5)
    assert fit is not None
    assert abs(fit.exponent.value - exponent) < 4 * fit.exponent.error
    assert fit.exponent.error < 0.03
    assert float(fit(0.1)) == pytest.approx((exponent + 1) * 0.1**exponent, rel=0.05)


@pytest.mark.slow
def test_the_error_is_the_scatter_of_repeated_experiments() -> None:
    """The scatter over 20 experiments is accurate to 16 %, an error from 10 nets to about 25 %."""
    rng = np.random.default_rng(2)
    fits = [fit_density([rng.random(300) ** (1 / 1.3) for _ in range(10)], LOW, 0.5) for _ in range(20)]
    exponents = [fit.exponent.value for fit in fits if fit is not None]
    errors = [fit.exponent.error for fit in fits if fit is not None]
    assert np.mean(errors) == pytest.approx(np.std(exponents, ddof=1), rel=0.5)


def test_too_few_values_have_no_exponent() -> None:
    assert fit_density([np.array([0.1, 0.2])] * 3, LOW[:3], 0.5) is None
    assert fit_density([np.linspace(0.01, 0.5, 100)] * 2, LOW[:2], 0.5) is None


def test_a_satisfied_net_is_not_decompressed() -> None:
    config = replace(TINY, n_train=6, steps=3000)
    (result,) = gaps.run([config])
    assert result.row["verdict"] == "SAT"
    assert (result.row["n_minima"], result.row["jammed_loss"], result.row["mean_overlap"]) == (0, None, None)
    assert result.arrays == {}


def test_nets_may_have_different_ranges() -> None:
    """A density ~ x^-0.2 with a lower limit that differs between nets has one exponent and prefactor."""
    rng = np.random.default_rng(3)
    values = [rng.random(3000) ** (1 / 0.8) for _ in range(10)]
    fit = fit_density(values, np.geomspace(0.003, 0.3, 10), 0.5)
    assert fit is not None
    assert abs(fit.exponent.value + 0.2) < 4 * fit.exponent.error
    assert float(fit(0.1)) == pytest.approx(0.8 * 0.1**-0.2, rel=0.05)


@pytest.mark.slow
def test_a_jammed_net_keeps_its_gaps() -> None:
    (result,) = gaps.run([TINY])
    row, arrays = result.row, result.arrays
    assert isinstance(row["jammed_loss"], float)
    assert row["jammed_loss"] == pytest.approx(0.5 * np.mean(np.maximum(arrays["gaps"], 0) ** 2))
    assert row["jammed_n_train"] == len(arrays["gaps"]) == arrays["path_n"][-1]
    assert row["jammed_n_unsatisfied"] == np.sum(arrays["gaps"] > TINY.tolerance)
    assert row["n_minima"] == len(arrays["path_loss"])


def known_table() -> tuple[pd.DataFrame, dict[str, dict[str, np.ndarray]]]:
    """Nets whose overlaps have θ = 0.3 below 10^-3, and whose gaps γ = 0.2 below 1; one far from jamming."""
    rng, arrays, lines = np.random.default_rng(0), {}, []
    for seed in range(7):
        state = np.concatenate((1e-3 * rng.random(3000) ** (1 / 1.3), -(rng.random(1500) ** (1 / 0.8))))
        path = {"path_n": np.array([60, 50]), "path_loss": np.array([1e-2, 1e-6])}
        arrays[f"run{seed}"] = {"gaps": state if seed else np.abs(state)} | path
        row = {"n_weights": 25, "jammed_loss": 1e-6 if seed else 0.01, "mean_overlap": 5e-4}
        lines.append(asdict(replace(TINY, seed=seed)) | row)
    return pd.DataFrame(lines, index=list(arrays)), arrays


def test_findings_and_figure_of_known_distributions() -> None:
    table, arrays = known_table()
    results = gaps.findings(table, arrays.__getitem__)
    assert [finding.quantity[0] for finding in results] == ["θ", "γ"]
    for finding, truth in zip(results, (0.3, 0.2), strict=True):
        assert finding.agrees
        assert finding.measured.error is not None
        assert abs(finding.measured.value - truth) < 4 * finding.measured.error
    assert len(gaps.figure(table, arrays.__getitem__).axes) == 3
