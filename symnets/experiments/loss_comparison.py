r"""Losses compared: cross-entropy and quadratic hinge generalise alike, but only the hinge jams sharply.

**Question.** Jamming is defined with a loss that vanishes beyond a margin. Do nets trained with
cross-entropy, the usual choice, generalise equally well? And do they have a transition?

**Law.** Test errors agree within a percent or so at every $N$. With the quadratic hinge the number $N_\Delta$
of unsatisfied patterns jumps at $N^*$ from a finite fraction of $N$ to zero, and the loss is zero past it.
Cross-entropy, $\log(1 + e^{-yf})$, has an infinite range: its loss is never zero and $N_\Delta$ is not
defined. The number of misclassified patterns ($y f < 0$) vanishes without a jump. Spigler et al. 2019
(arXiv:1810.09665), Geiger et al. 2019 (arXiv:1809.09349).

**How.** The nets of a seed have the same training patterns and initial weights with both losses: parity of
MNIST digits in ten whitened principal components, two hidden layers of ReLU, Adam. Nets with the hinge stop
when they satisfy all patterns. Nets with cross-entropy use the whole budget of steps; their verdict is
UNCONVERGED if the loss still falls by a factor of two or more in the second half of the budget. $N^*$ is
where the median over seeds of $N_\Delta/N$ with the hinge falls through 0.1.

**Figure.** Test errors; $N_\Delta/N$ of the hinge, and the number of misclassified patterns over $N$ for both
losses; the losses at the end; all against $N$.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from symnets.estimates import SizeCurves, jamming_size
from symnets.report import COLORS, draw_published, row_of_panels, style
from symnets.setups import LOSSES, ParityNetConfig, batch_key, held_out, minimise
from symnets.sweeps import Arrays, Finding, Result, grid
from symnets.training import Criterion

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS = ("A2",)
MAX_BATCH = 10
_HINGE, _ENTROPY = "quadratic_hinge", "cross_entropy"
_SPIGLER, _GEIGER = "Spigler et al. 2019, arXiv:1810.09665", "Geiger et al. 2019, arXiv:1809.09349"
_MEASURED = ("unsatisfied_per_weight", "n_misclassified", "final_loss", "test_error")


@dataclass(frozen=True)
class Config(ParityNetConfig):
    """Configuration of a net that is trained with cross-entropy or with the quadratic hinge."""

    steps: int = 5000


PRESETS = {
    "quick": grid(
        Config, loss=(_HINGE, _ENTROPY), width=(3, 4, 5, 6, 7, 8, 10, 14, 20, 40, 60), seed=range(10)
    ),
    "paper": grid(
        Config,
        n_train=10_000,
        depth=5,
        steps=100_000,
        loss=(_HINGE, _ENTROPY),
        width=(4, 6, 8, 10, 12, 14, 17, 20, 30, 45, 60, 100),
        seed=range(20),
    ),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Minimise the losses of nets and evaluate the nets on test patterns.

    Rows are those of `Minimised.rows` with `test_error` and `norm` of the predictor. `n_unsatisfied` counts
    gaps 1 - y f with either loss; `final_loss` is the loss that was minimised.
    """
    first = configs[0]
    margin = 1.0 if LOSSES[first.loss]().finite_range else math.inf  # inf: patterns are never satisfied
    minimised = minimise(configs, criterion=Criterion(margin=margin, tolerance=first.tolerance))
    tested = held_out(minimised.predictor, minimised.test)
    error, norm = tested.error.tolist(), tested.norm.tolist()
    return [
        Result(row | {"test_error": error[k], "norm": norm[k]})
        for k, row in enumerate(minimised.rows(configs))
    ]


def curves_of_both(table: pd.DataFrame) -> SizeCurves:
    """Curves of the seeds with runs at every size and both losses; columns are named "loss/quantity"."""
    lines = table.set_index(["n_weights", "seed", "loss"])[list(_MEASURED)].unstack("loss").dropna()
    lines.columns = [f"{loss}/{name}" for name, loss in lines.columns]
    expected = {f"{loss}/{name}" for name in _MEASURED for loss in (_HINGE, _ENTROPY)}
    if not expected <= set(lines.columns):
        raise ValueError(f"table: expected runs with {_HINGE} and {_ENTROPY}, got {set(table['loss'])}")
    return SizeCurves.from_table(lines.reset_index(), *sorted(expected))


def hinge_jamming(curves: SizeCurves) -> float:
    """N* of nets trained with the quadratic hinge."""
    ratio = {"unsatisfied_per_weight": curves.values[f"{_HINGE}/unsatisfied_per_weight"]}
    return jamming_size(SizeCurves(curves.sizes, ratio))


def before_satisfied(curves: SizeCurves) -> float:
    """Median of N_Δ/N with the hinge at the largest size below N*."""
    below = curves.sizes < hinge_jamming(curves)
    return float(curves.median(f"{_HINGE}/unsatisfied_per_weight")[below][-1]) if below.any() else math.nan


def before_classified(curves: SizeCurves) -> float:
    """Mean of N_mis/N with cross-entropy at the largest size that misclassifies at least one pattern."""
    count = curves.mean(f"{_ENTROPY}/n_misclassified")
    some = count >= 1
    return float((count / curves.sizes)[some][-1]) if some.any() else 0.0


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Differences of test errors, values of the losses at the end, and which count jumps."""
    curves = curves_of_both(table)
    where = f"P = {table['n_train'].iloc[0]}{curves.left_out}"
    hinge, entropy = (curves.mean(f"{loss}/test_error") for loss in (_HINGE, _ENTROPY))
    worst = int(np.argmax(np.abs(entropy - hinge)))

    def finding(
        quantity: str, statistic: Callable[[SizeCurves], float], published: str, low: float, high: float
    ) -> Finding:
        return Finding(f"{quantity}, {where}", curves.estimate(statistic), published, low, high)

    def difference(c: SizeCurves) -> np.ndarray:
        return c.mean(f"{_ENTROPY}/test_error") - c.mean(f"{_HINGE}/test_error")

    return [
        finding(
            "test error with cross-entropy minus hinge, mean over sizes",
            lambda c: float(difference(c).mean()),
            f"0 within 0.01 ({_SPIGLER})",
            -0.01,
            0.01,
        ),
        finding(
            f"test error with cross-entropy minus hinge, where they differ most (N = {curves.sizes[worst]})",
            lambda c: float(difference(c)[worst]),
            f"0 within 0.02 ({_SPIGLER})",
            -0.02,
            0.02,
        ),
        finding(
            "hinge: median N_Δ / N at the last size below N*",
            before_satisfied,
            f"a jump from 0.4 or more to 0 ({_GEIGER})",
            0.4,
            math.inf,
        ),
        finding(
            "cross-entropy: N_mis / N at the last size that misclassifies a pattern",
            before_classified,
            f"small: nothing jumps ({_GEIGER})",
            0.0,
            0.1,
        ),
        finding(
            "hinge: median loss of the largest nets",
            lambda c: float(c.median(f"{_HINGE}/final_loss")[-1]),
            f"0, here within the tolerance ({_GEIGER})",
            0.0,
            0.5 * table["tolerance"].to_numpy(dtype=float).max() ** 2,
        ),
        finding(
            "cross-entropy: smallest loss of the largest nets",
            lambda c: float(c.values[f"{_ENTROPY}/final_loss"][:, -1].min()),
            "above 0 (algebra)",
            1e-38,
            math.inf,
        ),
    ]


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Test errors, unsatisfied and misclassified patterns, and losses against N."""
    curves = curves_of_both(table)
    star = hinge_jamming(curves)
    fig, (errors, counts, losses) = row_of_panels(3)
    for loss, name, color in (
        (_HINGE, "quadratic hinge", COLORS[0]),
        (_ENTROPY, "cross-entropy", COLORS[1]),
    ):
        of_test = curves.mean(f"{loss}/test_error"), curves.error(f"{loss}/test_error")
        errors.errorbar(curves.sizes, *of_test, fmt="o-", markersize=3.5, capsize=2, color=color, label=name)
        wrong = curves.mean(f"{loss}/n_misclassified") / curves.sizes
        counts.plot(curves.sizes, wrong, "o--", markersize=3.5, color=color, label=f"{name}, y f < 0")
        value = curves.median(f"{loss}/final_loss")
        losses.plot(
            curves.sizes, np.where(value > 0, value, np.nan), "o-", markersize=3.5, color=color, label=name
        )
    ratio = curves.median(f"{_HINGE}/unsatisfied_per_weight")
    counts.plot(
        curves.sizes, ratio, "s-", markersize=4, color=COLORS[0], label="quadratic hinge, y f < 1 (median)"
    )
    hinge = curves.mean(f"{_HINGE}/test_error")
    errors.fill_between(
        curves.sizes,
        hinge - 0.01,
        hinge + 0.01,
        color=COLORS[0],
        alpha=0.12,
        linewidth=0,
        label="hinge ± 0.01",
    )
    for axes in (errors, counts, losses):
        axes.set(xscale="log", xlabel="weights N")
        if np.isfinite(star):
            draw_published(axes, star, label="N* of the hinge", along="x")
        axes.legend(fontsize=7.5)
    errors.set(title="Test error", ylabel="test error")
    counts.set(title="Patterns not satisfied", ylabel="number / N")
    counts.set_yscale("symlog", linthresh=0.01)
    counts.set_ylim(bottom=0)
    losses.set(title="Loss at the end", ylabel="median loss", yscale="log")
    return fig
