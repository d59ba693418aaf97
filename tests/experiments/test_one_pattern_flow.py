"""Flow on one pattern: findings and figure of tables that obey the law or not, and one small net."""

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import one_pattern_flow
from symnets.experiments.one_pattern_flow import Config


def made_up(kappa_of_growth: float = 1.0) -> tuple[pd.DataFrame, dict[str, dict[str, np.ndarray]]]:
    """Runs that grow with a given multiple of κ."""
    steps = np.linspace(0.1, 7, 30)
    lines, arrays = [], {}
    for dim in (2, 10):
        for seed in range(3):
            name = f"run{len(lines)}"
            row = {"position_error": 1e-4, "switched_off_error": 1e-3, "invariant_drift": 1e-9}
            row |= {"growth": kappa_of_growth, "decay": -kappa_of_growth, "approach": -kappa_of_growth}
            row |= {"switched_off": 0.25 + 0.01 * seed, "positive_biases": 1.0}
            lines.append({"name": name, "dim": dim, "width": 400, "seed": seed, "verdict": "SAT"} | row)
            modes = np.exp(kappa_of_growth * steps)
            arrays[name] = {
                "kappa_tau": steps,
                "distance": 3 / modes,
                "modes": np.stack([modes, 1 / modes], 1),
                "x": np.array([1.0, 0.5]),
                "z": np.zeros((30, 5, 2)),
                "z_exact": np.zeros((30, 5, 2)),
                "z_start": np.ones((5, 2)),
            }
    return pd.DataFrame(lines).set_index("name"), arrays


def test_runs_that_obey_the_closed_form_agree() -> None:
    table, arrays = made_up()
    results = one_pattern_flow.findings(table, arrays.__getitem__)
    assert len(results) == 8
    assert all(finding.agrees for finding in results)
    values = [0.25, 0.26, 0.27] * 2
    assert results[6].measured.error == pytest.approx(np.std(values, ddof=1) / 6**0.5)


def test_growth_without_kappa_disagrees() -> None:
    """u + β in place of u + κ β would give a rate of 1 in place of κ, 1/κ in these units."""
    table, arrays = made_up(0.6)
    results = one_pattern_flow.findings(table, arrays.__getitem__)
    assert [finding.agrees for finding in results] == [True, True, True, False, False, False, True, True]


def test_the_figure_has_positions_approach_and_modes() -> None:
    table, arrays = made_up()
    made = one_pattern_flow.figure(table, arrays.__getitem__)
    titles = [axes.get_title(loc="left") for axes in made.axes]
    assert titles == ["Positions z, d = 2", "Approach to z*", "Modes u ± y κ β"]
    made.canvas.draw()


def test_nets_of_both_labels_follow_the_closed_form() -> None:
    """Two small nets, of label +1 and -1; the flow has coarse steps."""
    configs = [
        Config(width=20, alpha_tilde=1e-3, slope_tolerance=1e-2, tolerance=1e-3, seed=seed) for seed in (0, 1)
    ]
    for result in one_pattern_flow.run(configs):
        assert result.row["verdict"] == "SAT"
        assert result.row["position_error"] == pytest.approx(0, abs=0.05)
        assert result.row["growth"] == pytest.approx(1, abs=0.01)
        assert result.row["decay"] == pytest.approx(-1, abs=0.05)
        assert result.row["kappa_tau"] == pytest.approx(4, abs=2)
        assert result.arrays["z"].shape == result.arrays["z_exact"].shape
