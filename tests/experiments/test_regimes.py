"""Experiments on regimes: findings and figures on tables that obey the laws or do not, and tiny nets."""

import itertools
from collections.abc import Mapping
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import double_descent_by_regime, lazy_vs_feature, regime_phase_diagram

SCALES = (0.01, 0.1, 1.0, 10.0, 100.0)
WIDTHS = (4, 8, 16, 64)


def no_arrays(name: str) -> Mapping[str, np.ndarray]:
    raise AssertionError(f"{name}: this experiment has no arrays")


def table(lines) -> pd.DataFrame:
    return pd.DataFrame(lines, index=[f"run{k}" for k in range(len(lines))])


def weights(h, dim=10):
    return dim * h + h * h + h


def diagram(change, jam=10.0) -> pd.DataFrame:
    """Two seeds whose kernels change by a function of α̃ and h, and which jam below h = 10."""
    return table(
        [
            {
                "n_train": 300,
                "dim": 10,
                "depth": 2,
                "width": h,
                "alpha_tilde": a,
                "seed": seed,
                "n_weights": weights(h),
                "unsatisfied_per_weight": 0.5 if h < jam else 0.0,
                "kernel_change": change(a, h) * (1 + 0.01 * seed),
                "kernel_rotation": 0.1 * change(a, h),
            }
            for a, h, seed in itertools.product(SCALES, WIDTHS, range(2))
        ]
    )


def crossover_at(scale):
    """Exponents -4/3 on the feature side and -1 on the lazy one; 0.3 at a given α̃ above 1."""
    return lambda a, h: 0.3 * scale * a ** np.where(a < 1, -4 / 3, -1.0)


def test_a_vertical_crossover_at_order_one_agrees() -> None:
    results = regime_phase_diagram.findings(diagram(crossover_at(3.0)), no_arrays)
    assert all(finding.agrees for finding in results)
    place, ratio, feature, lazy, exponent, *lines = [f.measured.value for f in results]
    assert place == pytest.approx(3, rel=0.03)
    assert ratio == pytest.approx(1, rel=1e-6)
    assert feature > 1 > 0.1 > lazy
    assert exponent == pytest.approx(-4 / 3)
    # N* lies between h = 8 and 16 for each of five α̃.
    assert len(lines) == 5
    assert all(8 < h < 16 for h in lines)
    assert len(regime_phase_diagram.figure(diagram(crossover_at(3.0)), no_arrays).axes) == 5


def test_a_crossover_that_moves_with_the_width_disagrees() -> None:
    moving = diagram(lambda a, h: 0.3 * (a / (0.3 * h)) ** -1.0)
    results = regime_phase_diagram.findings(moving, no_arrays)
    assert [f.agrees for f in results][:2] == [False, False]
    assert results[1].measured.value == pytest.approx(4, rel=1e-3)
    # No net jams: there is no line.
    satisfied = regime_phase_diagram.findings(diagram(crossover_at(1.0), jam=1.0), no_arrays)
    assert not any(f.agrees for f in satisfied[-5:])


def test_width_of_weights() -> None:
    assert regime_phase_diagram.width_of(weights(12), 10, 2) == pytest.approx(12)
    assert regime_phase_diagram.width_of(11 * 7, 10, 1) == pytest.approx(7)


def test_tiny_nets_are_compared_before_and_after() -> None:
    tiny = regime_phase_diagram.Config(
        n_train=6, n_test=20, data="digits", dim=4, width=6, budget=200, alpha_tilde=30.0
    )
    rows = [r.row for r in regime_phase_diagram.run([tiny, replace(tiny, seed=1)])]
    for row in rows:
        r = 1 + row["kernel_growth"]
        squares = row["kernel_growth"] ** 2 + 2 * r * row["kernel_rotation"]
        assert row["kernel_change"] ** 2 == pytest.approx(squares, rel=1e-6)
        assert 0 < row["kernel_change"] < 1


def descents(error) -> pd.DataFrame:
    """Three seeds at each α̃ that jam at N* = 100."""
    sizes = (20, 50, 90, 110, 200, 900)
    return table(
        [
            {
                "alpha_tilde": a,
                "n_weights": n,
                "seed": seed,
                "unsatisfied_per_weight": 0.2 if n < 100 else 0.0,
                "norm": 5 / abs(n - 99.0),
                "test_error": error(n) + 1e-4 * seed,
            }
            for a, n, seed in itertools.product((0.01, 1.0, 100.0), sizes, range(3))
        ]
    )


def test_a_peak_in_every_regime_agrees_and_an_error_that_falls_does_not() -> None:
    peaked = descents(lambda n: 0.3 if n in (20, 90, 110) else 0.2)
    results = double_descent_by_regime.findings(peaked, no_arrays)
    assert len(results) == 9
    assert all(f.agrees for f in results)
    assert results[0].measured.value == pytest.approx(0.1)
    falling = double_descent_by_regime.findings(descents(lambda n: 0.5 * n**-0.25), no_arrays)
    assert [f.agrees for f in falling[:3]] == [False, True, True]
    assert len(double_descent_by_regime.figure(peaked, no_arrays).axes) == 3


def comparison(gaps) -> pd.DataFrame:
    """Errors of five seeds, 0.1 in the lazy regime and more by a gap in the feature one."""
    kinds = (("dense", 14.0), ("dense", np.nan), ("convolutional", 14.0))
    return table(
        [
            {
                "net": net,
                "pixels": pixels,
                "alpha_tilde": a,
                "seed": seed,
                "test_error": 0.1 + 0.01 * seed + (gap + 1e-3 * seed if a < 1 else 0.0),
            }
            for ((net, pixels), gap), a, seed in itertools.product(
                zip(kinds, gaps, strict=True), (0.1, 100.0), range(5)
            )
        ]
    )


def test_differences_of_regimes_are_those_of_the_same_seeds() -> None:
    published = lazy_vs_feature.findings(comparison((0.02, -0.01, -0.02)), no_arrays)
    assert all(f.agrees for f in published)
    assert [f.measured.value for f in published] == pytest.approx([0.022, -0.008, -0.018])
    # The scatter of seeds, 0.01, is common to both regimes; that of the difference is 1e-3.
    assert all(f.measured.error == pytest.approx(1e-3 * np.std(range(5), ddof=1) / 5**0.5) for f in published)
    opposite = lazy_vs_feature.findings(comparison((-0.02, 0.01, 0.02)), no_arrays)
    assert not any(f.agrees for f in opposite)
    assert len(lazy_vs_feature.figure(comparison((0.02, -0.01, -0.02)), no_arrays).axes) == 2


@pytest.mark.parametrize("net", ["dense", "convolutional"])
def test_tiny_nets_of_both_kinds_run(net) -> None:
    config = lazy_vs_feature.Config(
        n_train=4, n_test=20, data="digits", pixels=8, width=12, net=net, budget=300
    )
    (result,) = lazy_vs_feature.run([config])
    assert result.row["verdict"] == "SAT"
    assert 0 <= result.row["test_error"] <= 1


@pytest.mark.parametrize("module", [regime_phase_diagram, double_descent_by_regime, lazy_vs_feature])
def test_grids_have_every_run_once(module) -> None:
    for name, configs in module.PRESETS.items():
        assert len({tuple(asdict(c).items()) for c in configs}) == len(configs), name
