"""Nearest neighbours: the closed form on the torus, findings of made-up tables."""

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import nearest_neighbour as experiment
from symnets.experiments.nearest_neighbour import Config, law


def made_up(factor: float) -> pd.DataFrame:
    """Distances with 1/d times a factor as exponent."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {
                "space": space,
                "dim": dim,
                "n_points": p,
                "seed": seed,
                "distance": p ** (-factor / dim) * rng.uniform(0.999, 1.001),
            }
            for space in ("torus", "cube")
            for dim in (2, 10)
            for p in (100, 1000, 10_000)
            for seed in range(4)
        ]
    )


def no_arrays(name: str) -> dict:
    raise KeyError(name)


@pytest.mark.parametrize("dim", [1, 2, 4])
def test_distances_on_the_torus_have_a_closed_form(dim: int) -> None:
    """Mean of 2,000 test points: 1 to 2 % of statistical error, since their neighbours are shared."""
    (result,) = experiment.run([Config(n_points=2000, dim=dim, n_test=2000)])
    assert result.row["distance"] == pytest.approx(law(2000, dim), rel=0.06)


def test_the_boundary_of_the_cube_is_farther_from_neighbours() -> None:
    torus, cube = experiment.run([Config(dim=5, space=space) for space in ("torus", "cube")])
    assert cube.row["distance"] > 1.03 * torus.row["distance"]  # pyright: ignore


def test_findings_agree_with_a_table_that_obeys_the_law_only() -> None:
    assert all(finding.agrees for finding in experiment.findings(made_up(1.0), no_arrays))
    assert not any(finding.agrees for finding in experiment.findings(made_up(1.3), no_arrays))
    panels = [axes.get_title(loc="left") for axes in experiment.figure(made_up(1.0), no_arrays).axes]
    assert panels == ["Torus", "Cube", "Exponents"]
