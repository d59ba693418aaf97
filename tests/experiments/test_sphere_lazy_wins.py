"""Sphere: ratios of made-up errors, and tiny nets."""

import pandas as pd
import pytest

from symnets.experiments import sphere_lazy_wins
from symnets.experiments.sphere_lazy_wins import FEATURE, LAZY, Config


def table(ratio: float) -> pd.DataFrame:
    """Lazy errors are `ratio` times those of the feature regime; each seed has its own level."""
    return pd.DataFrame(
        [
            {
                "n_train": n,
                "seed": seed,
                "alpha_tilde": alpha,
                "dim": dim,
                "n_unsatisfied": 0,
                "test_error": (1 + 0.3 * seed) * n**-0.4 * (ratio if alpha == LAZY else 1),
            }
            for dim in (10, 5)
            for n in (64, 128, 256)
            for alpha in (FEATURE, LAZY)
            for seed in range(3)
        ]
    )


@pytest.mark.parametrize(("ratio", "agrees"), [(0.7, True), (1.2, False)])
def test_ratios_are_of_the_same_seeds(ratio: float, agrees: bool) -> None:
    results = sphere_lazy_wins.findings(table(ratio), {}.__getitem__)
    assert len(results) == 6
    assert results[0].quantity == "test error, lazy over feature, P = 64, d = 10"
    for finding in results:
        assert finding.measured.value == pytest.approx(ratio, rel=1e-12)
        assert finding.measured.error == pytest.approx(0, abs=1e-12)  # although seeds differ
        assert finding.agrees == agrees


def test_seeds_with_a_dead_net_or_a_lacking_one_are_left_out() -> None:
    rows = table(0.7)
    dead = (rows["seed"] == 1) & (rows["alpha_tilde"] == FEATURE) & (rows["n_train"] == 128)
    rows.loc[dead & (rows["dim"] == 5), ["n_unsatisfied", "test_error"]] = [128, 0.5]
    rows = rows.query("not (seed == 0 and dim == 5 and alpha_tilde > 1 and n_train == 64)")
    results = sphere_lazy_wins.findings(rows, {}.__getitem__)
    assert results[-1].quantity.endswith("d = 5, 2 of 3 seeds left out")
    assert all(finding.measured.value == pytest.approx(0.7) for finding in results)
    assert results[-1].measured.error is None


def test_the_figure_has_errors_and_ratio() -> None:
    made = sphere_lazy_wins.figure(table(0.7), {}.__getitem__)
    titles = [axes.get_title(loc="left") for axes in made.axes]
    assert titles == ["Sphere, d = 10", "Sphere, d = 5", "Lazy over feature"]
    made.canvas.draw()


def test_small_nets_are_trained_on_the_sphere() -> None:
    (result,) = sphere_lazy_wins.run([Config(n_train=10, n_test=200, width=30, alpha_tilde=100.0, dim=2)])
    assert result.row["verdict"] == "SAT"
    assert 0 < result.row["test_error"] < 0.5
    assert Config().data == "sphere"
