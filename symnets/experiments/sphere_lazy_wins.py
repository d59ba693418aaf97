r"""Spherical interface: where no direction is irrelevant, lazy training does better than feature learning.

**Question.** On the stripe feature learning helps, because it compresses irrelevant directions. Does it help
for labels that depend on all directions alike?

**Law.** Points $x$ are Gaussian in $d$ dimensions, and $y = +1$ outside the sphere $|x|^2 = m$, with $m$ the
median of the $\chi^2$ distribution. The tangent kernel at initialisation is isotropic, as the task is. In the
feature regime weights end on a few directions that depend on the training points, which does not help: the
test error of lazy nets is lower (Paccolat et al. 2021, arXiv:2007.11471).

**How.** One hidden layer of 200 ReLU, predictor $\tilde\alpha (f - f_0)$, gradient flow on the quadratic
hinge until all patterns are satisfied or the budget of steps ends. $\tilde\alpha = 10^{-6}$ in the feature
regime, $10^4$ in the lazy one. Both regimes have the same points and initial weights for each seed, and
ratios of errors are averaged over seeds. The dimension is $d = 10$ as published, at smaller $P$ and width,
and $d = 5$. Seeds with a net that satisfies no pattern at the end are left out: all its units are off.

**Figure.** Test error against $P$ in both regimes; ratio of the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy import ndarray

from symnets.estimates import SeedCurve, mean_over_seeds
from symnets.report import COLORS, FAINT, draw_seed_curve, row_of_panels, style
from symnets.setups import RegimeConfig, batch_key, train_regime
from symnets.sweeps import Arrays, Finding, Result, grid

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ("D5",)
MAX_BATCH = 5
FEATURE, LAZY = 1e-6, 1e4
_PACCOLAT = "Paccolat et al. 2021, arXiv:2007.11471"


@dataclass(frozen=True)
class Config(RegimeConfig):
    """Configuration of a net on the task whose labels depend on the norm of the points."""

    n_test: int = 8000
    data: str = "sphere"
    width: int = 200
    budget: int = 1000


_REGIMES = (FEATURE, LAZY)
PRESETS = {
    "quick": grid(Config, dim=(10, 5), n_train=(64, 128, 256), alpha_tilde=_REGIMES, seed=range(5)),
    "hour": grid(
        Config,
        dim=(10, 5),
        n_train=(64, 128, 256, 512, 1024),
        alpha_tilde=_REGIMES,
        width=400,
        budget=4000,
        seed=range(5),
    ),
    "paper": grid(
        Config,
        n_train=(64, 128, 256, 512, 1024, 2048, 4096),
        dim=10,
        alpha_tilde=_REGIMES,
        width=2000,
        budget=100_000,
        seed=range(10),
    ),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Train the nets; rows are those of `TrainedRegime.rows`."""
    return [Result(row) for row in train_regime(configs).rows(configs)]


@dataclass(frozen=True)
class Pairs:
    """Test errors of lazy nets and of nets in the feature regime, of the same seeds.

    Attributes:
        dim: d, input dimension.
        sizes: P, numbers of training patterns, (sizes,).
        lazy: test errors in the lazy regime, (seeds, sizes).
        feature: test errors in the feature regime, (seeds, sizes).
        left_out: text that states how many seeds were left out; empty if none.
    """

    dim: int
    sizes: ndarray
    lazy: ndarray
    feature: ndarray
    left_out: str


def pairs(table: pd.DataFrame) -> list[Pairs]:
    """Test errors of both regimes for each d, of the seeds with all runs and no net with all units off."""
    found = []
    for dim in dict.fromkeys(table["dim"].tolist()):
        part = table.query(f"dim == {dim}")
        usable = part.query("n_unsatisfied < n_train")
        columns = ["alpha_tilde", "n_train"]
        wide = usable.pivot(index="seed", columns=columns, values="test_error").dropna()
        n = len(set(part["seed"]))
        left_out = f", {n - len(wide)} of {n} seeds left out" if len(wide) < n else ""
        sizes = np.array(sorted(set(part["n_train"])))
        lazy, feature = (
            wide.reindex(columns=[(alpha, size) for size in sizes]).to_numpy() for alpha in (LAZY, FEATURE)
        )
        found.append(Pairs(int(dim), sizes, lazy, feature, left_out))
    return found


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Ratio of the errors of both regimes at each P and d."""
    return [
        Finding(
            f"test error, lazy over feature, P = {n}, d = {each.dim}{each.left_out}",
            mean_over_seeds(list(each.lazy[:, k] / each.feature[:, k])),
            f"below 1: lazy wins ({_PACCOLAT})",
            0.0,
            1.0,
        )
        for each in pairs(table)
        for k, n in enumerate(each.sizes)
    ]


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Errors of both regimes for each d, and their ratio."""
    found = pairs(table)
    fig, (*errors, ratio) = row_of_panels(len(found) + 1)
    for axes, each, color in zip(errors, found, COLORS[2:], strict=False):
        for values, shade, label in ((each.lazy, COLORS[0], "lazy"), (each.feature, COLORS[1], "feature")):
            draw_seed_curve(axes, SeedCurve(each.sizes, values), color=shade, label=label)
        axes.set(title=f"Sphere, d = {each.dim}{each.left_out}", ylabel="test error")
        curve, label = SeedCurve(each.sizes, each.lazy / each.feature), f"d = {each.dim}"
        ratio.errorbar(
            curve.x, curve.mean, curve.error, fmt="o-", capsize=2, markersize=4, color=color, label=label
        )
    ratio.axhline(1, color=FAINT, linestyle="--", linewidth=1.2, label="equal")
    ratio.set(title="Lazy over feature", ylabel="ratio of test errors", xscale="log")
    ratio.set_ylim(bottom=0)
    for axes in (*errors, ratio):
        sizes = found[0].sizes
        axes.set_xticks(sizes, [f"{n}" for n in sizes])
        axes.minorticks_off()
        axes.set_xlabel("training patterns P")
        axes.legend(fontsize=7.5)
    return fig
