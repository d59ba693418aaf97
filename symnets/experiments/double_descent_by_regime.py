r"""Double descent by regime: lazy nets and nets that learn features both have a peak of the error at jamming.

**Question.** Is the peak of the test error at the jamming transition a matter of lazy training, or does it
appear as well in nets that learn features?

**Law.** The test error against the number $N$ of weights has a cusp at $N^*$, where nets begin to fit all
patterns, and falls beyond. Nets that learn features have it, too (Geiger et al. 2020, arXiv:1906.08034). The
norm of the predictor on test patterns is largest near $N^*$ (Geiger et al. 2019, arXiv:1901.01608).

**How.** Parity of MNIST digits in ten whitened principal components, two hidden layers of swish without
biases, predictor $\tilde\alpha (f - f_0)$ with $\tilde\alpha$ = 0.01, 1 and 100, gradient flow on the
quadratic hinge until all patterns are satisfied or the budget of steps ends. $N^*$ is where the median of
$N_\Delta/N$ falls through 0.1. The cusp is the largest mean error between $N^*/2$ and $2 N^*$; its rise is
measured from the smallest mean at smaller $N$, its fall to the largest net. The published figure has P =
5000, a soft hinge, and components that are not whitened.

**Figure.** Test error, norm of the predictor, and unsatisfied patterns against $N$, one colour for each
$\tilde\alpha$.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from symnets.estimates import SizeCurves, cusp_fall, cusp_rise, jamming_size
from symnets.report import colors, draw_published, row_of_panels, style
from symnets.setups import RegimeConfig, batch_key, train_regime
from symnets.sweeps import Arrays, Finding, Result, grid

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ("B2",)
MAX_BATCH = 10
_GEIGER_2020, _GEIGER = "Geiger et al. 2020, arXiv:1906.08034", "Geiger et al. 2019, arXiv:1901.01608"
_COLUMNS = ("unsatisfied_per_weight", "test_error", "norm")


@dataclass(frozen=True)
class Config(RegimeConfig):
    """Configuration of a net that learns the parity of digits in the lazy or the feature regime."""

    n_train: int = 200
    n_test: int = 4000
    data: str = "mnist"
    dim: int = 10
    width: int = 10
    depth: int = 2
    activation: str = "swish"
    bias: bool = False
    budget: int = 300


_WIDTHS = (3, 4, 5, 6, 8, 10, 14, 20, 32, 60)
PRESETS = {
    "quick": grid(Config, alpha_tilde=(0.01, 1.0, 100.0), width=_WIDTHS, seed=range(5)),
    "hour": grid(
        Config,
        n_train=1000,
        alpha_tilde=(0.01, 1.0, 100.0),
        width=(4, 6, 8, 11, 15, 20, 25, 30, 40, 60, 100),
        budget=2000,
        seed=range(10),
    ),
    "paper": grid(
        Config,
        n_train=5000,
        n_test=10_000,
        alpha_tilde=(1e-3, 0.01, 0.1, 1.0, 10.0, 100.0),
        width=(5, 10, 15, 20, 25, 30, 35, 40, 50, 60, 80, 100, 200, 400),
        loss="soft_hinge",
        budget=50_000,
        seed=range(20),
    ),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Train the nets; rows are those of `TrainedRegime.rows`."""
    return [Result(row) for row in train_regime(configs).rows(configs)]


def by_scale(table: pd.DataFrame) -> dict[float, SizeCurves]:
    """Curves by α̃."""
    scales = sorted(set(table["alpha_tilde"]))
    return {float(a): SizeCurves.from_table(table.query(f"alpha_tilde == {a}"), *_COLUMNS) for a in scales}


def peak(curves: SizeCurves) -> float:
    """N of the largest median norm of the predictor over N*."""
    return float(curves.sizes[np.argmax(curves.median("norm"))]) / jamming_size(curves)


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Rise and fall of the error at jamming, and the place of the largest norm, for each α̃."""
    results = []
    for scale, curves in by_scale(table).items():
        where = f"α̃ = {scale:g}{curves.left_out}"
        published = f"positive: a cusp in both regimes ({_GEIGER_2020})"
        for name, statistic in (
            ("rise of the test error up to the cusp", cusp_rise),
            ("fall of the test error beyond the cusp", cusp_fall),
        ):
            estimate = curves.estimate(partial(statistic, name="test_error"))
            results.append(Finding(f"{name}, {where}", estimate, published, 1e-3, 1.0))
        results.append(
            Finding(
                f"N of the largest norm over N*, {where}",
                curves.estimate(peak),
                f"1 ({_GEIGER}); we ask for a factor of two",
                0.5,
                2.0,
            )
        )
    return results


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Error, norm and unsatisfied patterns against N / N*."""
    fig, (error, norm, unsatisfied) = row_of_panels(3)
    curves_by_scale = by_scale(table)
    for (scale, curves), color in zip(curves_by_scale.items(), colors(len(curves_by_scale)), strict=True):
        label = f"$\\tilde\\alpha$ = {scale:g}{curves.left_out}"
        error.errorbar(
            curves.sizes,
            curves.mean("test_error"),
            curves.error("test_error"),
            fmt="o-",
            markersize=3.5,
            capsize=2,
            color=color,
            label=label,
        )
        for axes, name in ((norm, "norm"), (unsatisfied, "unsatisfied_per_weight")):
            axes.plot(curves.sizes, curves.median(name), "o-", markersize=3.5, color=color, label=label)
        for axes in (error, norm):
            axes.axvline(jamming_size(curves), color=color, linestyle=":", linewidth=1)
    error.set(title="Test error (dotted: N*)", ylabel="test error")
    norm.set(title="Norm of the predictor", ylabel="median $|F|$ on test patterns", yscale="log")
    unsatisfied.set(title="Unsatisfied patterns", ylabel="median $N_\\Delta / N$")
    unsatisfied.set_yscale("symlog", linthresh=0.1)
    draw_published(unsatisfied, 0.1, label="0.1, at N*")
    for axes in (error, norm, unsatisfied):
        axes.set(xscale="log", xlabel="weights N")
        axes.legend(fontsize=7.5)
    return fig
