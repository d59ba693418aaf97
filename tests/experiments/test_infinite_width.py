"""Infinite width: exact statements on small nets, findings of made-up tables."""

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import infinite_width as experiment
from symnets.experiments.infinite_width import Config


def made_up(power: float, variance: float) -> pd.DataFrame:
    """Excess and bias as a power of the width."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {
                "depth": depth,
                "width": h,
                "seed": seed,
                "variance": variance * rng.uniform(0.99, 1.01),
                "excess": 5 * h**power * rng.uniform(0.99, 1.01),
                "bias": h**power * rng.uniform(0.99, 1.01),
                "largest_deviation": 3 if power == -1 else 9,
            }
            for depth in (1, 3)
            for h in (8, 16, 32, 64)
            for seed in range(4)
        ]
    )


def no_arrays(name: str) -> dict:
    raise KeyError(name)


def test_findings_agree_with_a_table_that_obeys_the_law_only() -> None:
    good = experiment.findings(made_up(-1, 1.0), no_arrays)
    assert len(good) == 6
    assert all(finding.agrees for finding in good)
    assert not any(finding.agrees for finding in experiment.findings(made_up(-0.5, 1.2), no_arrays))
    panels = [axes.get_title(loc="left") for axes in experiment.figure(made_up(-1, 1.0), no_arrays).axes]
    assert panels == ["Variance of the output", "Fourth moment", "Mean tangent kernel"]


def test_one_hidden_layer_has_the_variance_and_kernel_of_the_limit() -> None:
    (result,) = experiment.run([Config(width=4, n_nets=5000)])
    # sqrt((2 + 3 * 5/4)/5000) = 3.4 % for a single point; eight points are correlated.
    assert result.row["variance"] == pytest.approx(1, abs=0.1)
    assert result.row["largest_deviation"] < 4  # pyright: ignore
    assert result.row["excess"] == pytest.approx(5 / 4, rel=0.3)


def test_stacks_of_nets_do_not_change_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks have weights of their own, so that only statistics agree."""
    monkeypatch.setattr(experiment, "_BLOCK", 100)
    (result,) = experiment.run([Config(width=5, depth=2, n_nets=50)])
    assert np.isfinite(result.row["bias"])  # pyright: ignore
