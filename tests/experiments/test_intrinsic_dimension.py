"""Intrinsic dimension: manifolds, a tiny net, findings of made-up tables."""

import pandas as pd
import pytest

from symnets.experiments import intrinsic_dimension as experiment
from symnets.experiments.intrinsic_dimension import Config


def made_up(factor: float, lazy: float, feature: float) -> pd.DataFrame:
    lines = [
        {"task": "manifold", "dim": dim, "alpha_tilde": 0.01, "dimension": factor * dim} for dim in (1, 5, 10)
    ]
    lines.append({"task": "images", "dim": 2, "alpha_tilde": 0.01, "dimension": 12 * factor})
    for alpha, ratio in ((0.01, feature), (100.0, lazy)):
        line = {"task": "layers", "dim": 2, "alpha_tilde": alpha, "dimension": 10.0}
        line |= {f"initial_{k}": 10.0 for k in (1, 2, 3)} | {f"final_{k}": 10.0 * ratio for k in (1, 2, 3)}
        lines.append(line)
    return pd.DataFrame([{"images": "mnist", "seed": seed, **line} for line in lines for seed in (0, 1)])


def no_arrays(name: str) -> dict:
    raise KeyError(name)


def test_findings_agree_with_a_table_that_obeys_the_law_only() -> None:
    good = experiment.findings(made_up(1.0, 1.0, 0.6), no_arrays)
    assert len(good) == 6
    assert all(finding.agrees for finding in good)
    assert not any(finding.agrees for finding in experiment.findings(made_up(1.5, 1.2, 1.0), no_arrays))
    table = made_up(1.0, 1.0, 0.6)
    panels = [axes.get_title(loc="left") for axes in experiment.figure(table, no_arrays).axes]
    assert panels == ["Points", "Hidden layers"]


def test_a_bent_manifold_keeps_its_dimension() -> None:
    (result,) = experiment.run([Config(dim=2, n_points=1000)])
    assert result.row["dimension"] == pytest.approx(2, rel=0.15)


def test_layers_of_a_small_net_on_digits() -> None:
    config = Config(task="layers", images="digits", n_points=60, n_train=10, alpha_tilde=100.0)
    row = experiment.run([config])[0].row
    assert row["final_3"] == pytest.approx(row["initial_3"], rel=0.05)
    assert row["verdict"] == "SAT"
