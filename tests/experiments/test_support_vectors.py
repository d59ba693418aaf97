"""Support vectors: findings and figure of tables that obey the law and that do not, and tiny runs."""

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import support_vectors as experiment
from symnets.experiments.support_vectors import Config, beta

SIZES = (256, 512, 1024, 2048)


def made_up(thickness: float | None = None, regression: float | None = None) -> pd.DataFrame:
    """Rows that obey the laws, or with other exponents."""
    rng = np.random.default_rng(0)
    dim, lines = 5, []
    for seed in range(4):
        for p in SIZES:
            noise = np.exp(0.01 * rng.standard_normal(4))
            thick = p ** -(beta(dim) if thickness is None else thickness)
            lines.append(
                {
                    "task": "classification",
                    "dim": dim,
                    "biases": "normal",
                    "relevant_dim": 1,
                    "n_train": p,
                    "seed": seed,
                    "test_error": p ** -beta(dim) * noise[0],
                    "thickness": thick * noise[1],
                    "n_support": p * thick * noise[2],
                    "spacing": p ** (-2 / (3 * dim - 2)) * noise[3],
                }
            )
            exponent = 1 / dim if regression is None else regression
            lines.append(
                {
                    "task": "regression",
                    "dim": dim,
                    "biases": "normal",
                    "relevant_dim": 1,
                    "n_train": p,
                    "seed": seed,
                    "test_error": p**-exponent * float(np.exp(0.01 * rng.standard_normal())),
                    "thickness": np.nan,
                    "n_support": np.nan,
                    "spacing": np.nan,
                }
            )
    return pd.DataFrame(lines)


def no_arrays(name: str) -> dict:
    raise KeyError(name)


def test_findings_agree_with_a_table_that_obeys_the_law() -> None:
    results = experiment.findings(made_up(), no_arrays)
    assert len(results) == 5
    assert all(finding.agrees for finding in results)
    panels = [axes.get_title(loc="left") for axes in experiment.figure(made_up(), no_arrays).axes]
    assert panels == ["Stripe in d = 5", "Exponents", "Regression in d = 5"]


def test_findings_disagree_with_other_exponents() -> None:
    results = experiment.findings(made_up(thickness=0.2, regression=0.5), no_arrays)
    wrong = {finding.quantity.split(",")[0] for finding in results if not finding.agrees}
    assert wrong == {
        "exponent of the distance of support vectors to the interface",
        "exponent of the number of support vectors",
        "exponent of the error of regression",
    }


def test_more_points_bring_support_vectors_nearer() -> None:
    few, many = (
        experiment.run([Config(n_train=n, n_test=500, dim=2, biases="zero")])[0].row for n in (40, 400)
    )
    for quantity in ("test_error", "thickness", "spacing"):
        assert many[quantity] < few[quantity]  # pyright: ignore
    assert few["n_support"] < many["n_support"] < 400  # pyright: ignore


def test_regression_of_fields_has_a_relative_error() -> None:
    config = Config(task="regression", n_train=100, n_test=50, dim=2, relevant_dim=2, n_fields=4)
    row = experiment.run([config])[0].row
    assert 0 < row["test_error"] < 0.5  # pyright: ignore
    assert experiment.run([config])[0].row["test_error"] == row["test_error"]


def test_invalid_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match="relevant_dim: expected 1 in classification"):
        Config(relevant_dim=2)
    with pytest.raises(ValueError, match="n_train"):
        Config(n_train=1)
