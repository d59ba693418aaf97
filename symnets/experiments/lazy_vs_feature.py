r"""Lazy against feature training on images: which has the smaller test error, by architecture.

**Question.** Is it better to train a net of given width in the lazy regime or in the feature regime?

**Law.** For fully connected nets on images lazy training has the smaller error; for convolutional nets it is
the other way round (Geiger et al. 2020, arXiv:1906.08034). On principal components of the images, the paper
adds, lazy training of fully connected nets is not better. Differences are about a percent.

**How.** Parity of MNIST digits of 14 x 14 pixels, predictor $\tilde\alpha (f - f_0)$, $\tilde\alpha = 0.1$
in the feature regime and 100 in the lazy one, gradient flow on the quadratic hinge until all patterns are
satisfied. Fully connected nets have two hidden layers, and pixels or ten whitened principal components as
inputs; convolutional ones have three layers of 3 x 3 filters with stride 2 and an average over positions.
Both regimes of a seed have the same patterns and initial weights, and differences are averaged over seeds.
The published nets are wider and have at least ten times as many training patterns.

**Figure.** Test errors of both regimes for each architecture; their difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy import ndarray

from symnets.estimates import mean_over_seeds
from symnets.report import COLORS, FAINT, row_of_panels, style
from symnets.setups import RegimeConfig, batch_key, train_regime
from symnets.sweeps import Arrays, Finding, Result, grid

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ("C9",)
MAX_BATCH = 5
FEATURE, LAZY = 0.1, 100.0
_GEIGER = "Geiger et al. 2020, arXiv:1906.08034"


@dataclass(frozen=True)
class Config(RegimeConfig):
    """Configuration of a net that learns the parity of digits, and of its regime."""

    n_train: int = 300
    n_test: int = 4000
    data: str = "mnist"
    dim: int = 10
    pixels: int | None = 14
    depth: int = 2
    bias: bool = False
    budget: int = 500


def _grids(n_train: int, width: int, channels: int, n_seeds: int, **common: object) -> tuple[Config, ...]:
    """Fully connected nets on pixels and on principal components, and convolutional ones, in both regimes."""
    axes = {"n_train": n_train, "alpha_tilde": (FEATURE, LAZY), "seed": range(n_seeds), **common}
    return (
        *grid(Config, width=width, **axes),
        *grid(Config, width=width, pixels=None, **axes),
        *grid(Config, net="convolutional", width=channels, depth=3, **axes),
    )


PRESETS = {
    "quick": _grids(200, 64, 16, 5),
    "hour": _grids(1000, 256, 32, 5, budget=2000),
    "paper": _grids(10_000, 1000, 200, 10, budget=100_000, n_test=10_000),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Train the nets; rows are those of `TrainedRegime.rows`."""
    return [Result(row) for row in train_regime(configs).rows(configs)]


def errors(table: pd.DataFrame) -> dict[str, tuple[ndarray, ndarray]]:
    """Test errors of the feature regime and of the lazy one, (seeds,), by architecture.

    Seeds without a run in one of the regimes are left out.
    """
    kinds = {
        "fully connected, pixels": "net == 'dense' and pixels > 0",
        "fully connected, components": "net == 'dense' and not pixels > 0",
        "convolutional": "net == 'convolutional'",
    }
    results = {}
    for name, kind in kinds.items():
        if len(chosen := table.query(kind)):
            wide = chosen.pivot(index="seed", columns="alpha_tilde", values="test_error").dropna()
            results[name] = (wide[min(wide.columns)].to_numpy(), wide[max(wide.columns)].to_numpy())
    return results


_EXPECTED = {
    "fully connected, pixels": ("positive: lazy wins", 0.0, 1.0),
    "fully connected, components": ("not positive: lazy does not win", -1.0, 0.0),
    "convolutional": ("negative: feature wins", -1.0, 0.0),
}


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Difference of the errors of both regimes for each architecture."""
    return [
        Finding(
            f"test error, feature minus lazy, {name}, {len(lazy)} seeds",
            mean_over_seeds(list(feature - lazy)),
            f"{_EXPECTED[name][0]} ({_GEIGER})",
            *_EXPECTED[name][1:],
        )
        for name, (feature, lazy) in errors(table).items()
    ]


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Errors of both regimes, and their differences."""
    fig, (both, difference) = row_of_panels(2)
    measured = errors(table)
    places, names = np.arange(len(measured)), [name.replace(", ", "\n") for name in measured]
    for side, label, color in ((0, "feature", COLORS[1]), (1, "lazy", COLORS[0])):
        values = [mean_over_seeds(list(pair[side])) for pair in measured.values()]
        both.errorbar(
            places + 0.12 * (2 * side - 1),
            [v.value for v in values],
            [v.error or 0.0 for v in values],
            fmt="o",
            capsize=3,
            color=color,
            label=label,
        )
    gaps = [mean_over_seeds(list(feature - lazy)) for feature, lazy in measured.values()]
    difference.axhline(0, color=FAINT, linestyle="--", linewidth=1.2, label="equal")
    for place, (feature, lazy) in zip(places, measured.values(), strict=True):
        difference.plot(np.full(len(lazy), place), feature - lazy, ".", color=FAINT, markersize=5)
    difference.errorbar(
        places, [g.value for g in gaps], [g.error or 0.0 for g in gaps], fmt="o", capsize=3, color=COLORS[2]
    )
    both.set(title="Test error", ylabel="test error")
    difference.set(title="Feature minus lazy", ylabel="difference of test errors")
    for axes in (both, difference):
        axes.set_xticks(places, names, fontsize=7.5)
        axes.set_xlim(-0.5, len(places) - 0.5)
        axes.legend(fontsize=7.5)
    return fig
