"""Temperature of SGD: findings on tables of known power laws, figure, and small runs of both models."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import sgd_noise as experiment
from symnets.sweeps import Finding


def no_arrays(name: str) -> Mapping[str, np.ndarray]:
    raise AssertionError(f"{name}: this experiment has no arrays")


def table_of(delta: float = 1.0, stretch: float = 1.0) -> pd.DataFrame:
    """The quick grid; |Δw| = (0.1 + T^δ) P^γ with a crossover at small T; seeds scatter geometrically."""
    lines = []
    for config in experiment.PRESETS["quick"]:
        gamma = stretch / (1 + config.chi) if config.model == "perceptron" else 0.3
        at, scatter = config.temperature, 1.05 ** (config.seed - 4)
        if config.model == "perceptron":
            change = max(at, 1.0) ** delta * config.n_train**gamma
        else:
            change = at**delta * config.n_train**gamma / config.alpha
        row = {
            "weight_change": change * scatter,
            "time": at * config.n_train ** (1 + 2 * gamma) * scatter,
            "test_error": 0.1,
            "verdict": "SAT",
        }
        lines.append(vars(config) | row)
    return pd.DataFrame(lines, index=[f"run{k}" for k in range(len(lines))])


def named(findings: list[Finding], part: str) -> list[Finding]:
    return [finding for finding in findings if part in finding.quantity]


def test_published_exponents_agree() -> None:
    findings = experiment.findings(table_of(), no_arrays)
    assert len(findings) == 10
    assert all(finding.agrees for finding in findings)
    one, three = named(findings, "γ of |Δw| ~ P^γ, perceptron")
    assert (one.measured.value, three.measured.value) == pytest.approx((0.5, 0.25))
    b_one, b_three = named(findings, "b of t*")
    assert (b_one.measured.value, b_three.measured.value) == pytest.approx((2.0, 1.5))
    (net,) = named(findings, "γ of |Δw| ~ P^γ, net")
    assert net.measured.value == pytest.approx(0.3)
    assert "α = 64" in net.quantity


def test_other_exponents_do_not_agree() -> None:
    findings = experiment.findings(table_of(delta=0.5, stretch=2.0), no_arrays)
    for part in ("T >= 100", "γ of |Δw| ~ P^γ, perceptron", "b of t*", "δ of |Δw| ~ T^δ, net"):
        assert not any(finding.agrees for finding in named(findings, part)), part
    assert all(finding.agrees for finding in named(findings, "T <= 0.3"))


def test_runs_with_unsatisfied_patterns_are_left_out() -> None:
    table = table_of()
    table.loc[table["temperature"] >= 100, "verdict"] = "UNCONVERGED"
    (hot, _) = named(experiment.findings(table, no_arrays), "T >= 100")
    assert np.isnan(hot.measured.value)
    assert not hot.agrees


def test_the_figure_has_both_models() -> None:
    fig = experiment.figure(table_of(), no_arrays)
    _, labels = fig.axes[0].get_legend_handles_labels()
    assert labels == ["χ = 1", "χ = 3"]
    _, labels = fig.axes[3].get_legend_handles_labels()
    assert labels == ["α = 1", "α = 8", "α = 64"]
    fig.canvas.draw()


def test_small_runs_of_both_models() -> None:
    (result,) = experiment.run([experiment.Config(n_train=30, dim=4)])
    assert result.row["verdict"] == "SAT"
    assert result.row["weight_change"] > result.row["noise"] > 0
    configs = [
        experiment.Config(model="dense", n_train=8, n_test=4, dim=3, width=6, budget=40, batch_size=4, seed=s)
        for s in range(2)
    ]
    first, second = (result.row for result in experiment.run(configs))
    assert first["weight_change"] != second["weight_change"]
    assert {"verdict", "time", "test_error"} <= set(first)
    (alone,) = experiment.run(configs[:1])
    assert alone.row["weight_change"] == pytest.approx(first["weight_change"], rel=1e-4)  # float32


def test_configurations_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="chi: expected more than -1"):
        experiment.Config(chi=-1.0)
    with pytest.raises(ValueError, match="temperature"):
        experiment.Config(temperature=0.0)
