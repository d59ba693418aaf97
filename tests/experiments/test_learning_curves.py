"""Learning curves: exponents of made-up errors by method, and tiny learners."""

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import learning_curves
from symnets.experiments.learning_curves import FEATURE, LAZY, Config

SIZES = (64, 128, 256, 512, 1024, 2048)


def table(feature: float, lazy: float, svm: float, regression: tuple[float, float]) -> pd.DataFrame:
    """Errors with the given exponents; regression has one for each number of relevant directions."""
    rng, lines = np.random.default_rng(0), []
    settings = [
        ("net", "stripe", FEATURE, 1, feature, 0.5),
        ("net", "stripe", LAZY, 1, lazy, 1.0),
        ("svm", "stripe", 1.0, 1, svm, 1.0),
        ("svm", "sphere", 1.0, 1, svm, 2.0),
        ("regression", "stripe", 1.0, 1, regression[0], 1.0),
        ("regression", "stripe", 1.0, 5, regression[1], 1.0),
    ]
    for method, data, alpha, relevant, exponent, prefactor in settings:
        for n in SIZES:
            for seed in range(5):
                error = prefactor * n**-exponent * (1 + 0.02 * rng.standard_normal())
                lines.append(
                    {
                        "method": method,
                        "data": data,
                        "alpha_tilde": alpha,
                        "relevant_dim": relevant,
                        "n_train": n,
                        "seed": seed,
                        "dim": 5,
                        "test_error": error,
                    }
                )
    return pd.DataFrame(lines)


LAWFUL = (9 / 13, 5 / 13, 5 / 13, (0.2, 0.2))


def test_errors_that_obey_the_laws_agree() -> None:
    results = learning_curves.findings(table(*LAWFUL), {}.__getitem__)
    assert len(results) == 7
    assert all(finding.agrees for finding in results)
    assert results[0].quantity == "stripe, nets: test error, feature over lazy, P = 512"
    assert results[1].measured.value == pytest.approx(9 / 13, abs=0.02)
    assert results[-1].measured.value == pytest.approx(0.2, abs=0.02)


def test_features_that_lose_and_regression_that_profits_do_not_agree() -> None:
    results = learning_curves.findings(table(0.2, 0.7, 0.6, (0.6, 0.4)), {}.__getitem__)
    assert not any(finding.agrees for finding in results)


def test_exponents_of_nets_need_three_numbers_of_patterns() -> None:
    rows = table(*LAWFUL).query("method != 'net' or n_train in (64, 256, 512)")  # 64 is below the fit
    results = learning_curves.findings(rows, {}.__getitem__)
    assert sum("nets" in finding.quantity for finding in results) == 1


def test_nets_on_the_cylinder_are_compared_apart() -> None:
    rows = table(*LAWFUL)
    cylinder = rows.query("method == 'net' and n_train == 256").assign(data="cylinder")
    results = learning_curves.findings(pd.concat([rows, cylinder]), {}.__getitem__)
    added = [finding for finding in results if finding.quantity.startswith("cylinder")]
    assert [finding.quantity for finding in added] == [
        "cylinder, nets: test error, feature over lazy, P = 256"
    ]
    assert added[0].agrees
    others = [finding.measured.value for finding in results if finding not in added]
    assert others == [f.measured.value for f in learning_curves.findings(rows, {}.__getitem__)]


def test_the_figure_has_a_panel_for_each_kind() -> None:
    made = learning_curves.figure(table(*LAWFUL), {}.__getitem__)
    titles = [axes.get_title(loc="left") for axes in made.axes]
    assert titles == ["Nets on the stripe, d = 5", "Kernel classification", "Kernel regression"]
    made.canvas.draw()


def test_small_learners_of_each_method() -> None:
    (net,) = learning_curves.run([Config(n_train=10, n_test=100, width=20, alpha_tilde=100.0, dim=2)])
    assert net.row["verdict"] == "SAT"
    few, many = learning_curves.run(
        [Config(method="svm", n_train=n, n_test=500, data="cylinder") for n in (20, 200)]
    )
    assert 0 < many.row["test_error"] < few.row["test_error"] < 0.6
    few, many = learning_curves.run(
        [Config(method="regression", n_train=n, n_test=100, n_fields=30) for n in (20, 300)]
    )
    assert 0 < many.row["test_error"] < few.row["test_error"] < 1.2


def test_configurations_are_checked() -> None:
    with pytest.raises(ValueError, match="relevant_dim: expected at most dim=5, got 6"):
        Config(relevant_dim=6)
    quick = learning_curves.PRESETS["quick"]
    assert {c.seed for c in quick if c.method == "net" and c.n_train == 512} == set(range(5))
