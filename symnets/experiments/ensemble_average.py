r"""Averages of ensembles: averaging outputs over initial weights removes the dependence on net size.

**Question.** Why does the test error of nets that fit all their data still fall when they get larger? Which
part of the error is common to nets of one size, and which part fluctuates with their initial weights?

**Law.** Train $n$ nets on the same patterns from different initial weights, and average their outputs, $\bar
f = \frac{1}{n} \sum_a f_a$. The variance $\| f - \bar f \|^2$ falls with the number $N$ of weights as
$N^{-1/2}$: it comes from the fluctuations of the initial tangent kernel, whose variance falls with the width
as $1/h$. The test error $\bar\epsilon$ of the average hardly depends on $N$ past the jamming transition
$N^*$, while the average $\langle \epsilon \rangle$ of the test errors falls towards it, $\langle \epsilon
\rangle - \bar\epsilon \sim N^{-1/2}$. An average of several nets just past $N^*$ does as well as a much
larger net. Geiger et al. 2019 (arXiv:1901.01608).

**How.** Parity of MNIST digits in ten whitened principal components, two hidden layers of ReLU, quadratic
hinge, full-batch Adam; all nets have the same training patterns (`data_seed`) and `seed` draws their weights.
The output is $f(w, x) - f(w_0, x)$ (`symnets.models.Scaled`), since the initial function $f(w_0, x)$ is of
order one at any width and part of it would remain on test patterns. The learning rate is larger and falls
less than in the other experiments, so that wide nets converge within a few hundred steps. The variance is
that of the outputs on test patterns, with the factor $n/(n - 1)$ that makes it unbiased. Exponents are fitted
to $N \geq 10 N^*$, because the norm of the output diverges near $N^*$ (`double_descent`). $N_\Delta$ is the
number of unsatisfied training patterns, and $N^*$ is where the median of $N_\Delta/N$ falls through 0.1.
Errors come from leaving out the nets of one seed at a time (jackknife).

**Figure.** Average error and error of the average against $N$; variance against $N$, with the published
exponent; the difference of the errors against $N$.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from symnets.estimates import Estimate, SizeCurves, fit_power_law, jamming_size
from symnets.models import Dense, Scaled
from symnets.report import COLORS, FAINT, draw_power_law, draw_published_exponent, row_of_panels, style
from symnets.setups import ParityNetConfig, batch_key, held_out, minimise
from symnets.sweeps import Arrays, Finding, Result, grid

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS = ("B4",)
MAX_BATCH = 10
_GEIGER = "Geiger et al. 2019, arXiv:1901.01608"


@dataclass(frozen=True)
class Config(ParityNetConfig):
    """Configuration of one net of an ensemble whose nets differ only in the seed of their initial weights."""

    rate: float = 2.0
    final_rate: float = 0.1
    steps: int = 1500
    tolerance: float = 1e-2
    data_seed: int | None = 0
    from_start: bool = True
    """Whether the output is f(w, x) - f(w0, x) instead of f(w, x)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data_seed is None:
            raise ValueError("data_seed: expected a number, got None; the nets of an ensemble share patterns")


PRESETS = {
    "quick": grid(Config, width=(5, 8, 12, 20, 40, 60, 90, 130, 200, 320, 480), seed=range(20)),
    "paper": grid(
        Config,
        n_train=1000,
        width=(5, 8, 12, 20, 40, 60, 90, 130, 200, 320, 480, 700),
        steps=5000,
        seed=range(20),
    ),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Minimise the losses of nets and evaluate the nets on test patterns.

    Rows are those of `Minimised.rows` with `test_error` and `norm` of the predictor; arrays are `outputs` and
    `targets` on the test patterns, (n_test,), which are the same for every seed.
    """
    minimised = minimise(configs, wrap=_from_start) if configs[0].from_start else minimise(configs)
    tested = held_out(minimised.predictor, minimised.test)
    error, norm = tested.error.tolist(), tested.norm.tolist()
    arrays = [
        {"outputs": f.float().numpy(), "targets": y.to(torch.int8).numpy()}
        for f, y in zip(tested.outputs, tested.targets, strict=True)
    ]
    return [
        Result(row | {"test_error": error[k], "norm": norm[k]}, arrays[k])
        for k, row in enumerate(minimised.rows(configs))
    ]


def _from_start(net: Dense) -> Scaled:
    """The predictor f(w, x) - f(w0, x) of a net f at its initial weights w0."""
    return Scaled(net, 1.0)


@dataclass(frozen=True)
class Ensembles:
    """Outputs of ensembles of several sizes on the same test patterns.

    Attributes:
        sizes: N, ascending.
        n_star: N*, NaN if it is not within the sizes.
        outputs: f, (seeds, sizes, test patterns).
        targets: y, (test patterns,).
        left_out: text that states how many seeds were left out; empty if none.
    """

    sizes: ndarray
    n_star: float
    outputs: ndarray
    targets: ndarray
    left_out: str = ""

    @property
    def past(self) -> ndarray:
        """Mask of the sizes larger than N*; all of them if N* is not known."""
        return ~(self.sizes <= self.n_star)

    @property
    def average_error(self) -> ndarray:
        """Average ⟨ε⟩ of the test errors, (sizes,)."""
        return _error(self.outputs, self.targets).mean(0)

    @property
    def error_of_average(self) -> ndarray:
        """Test error of the average output f̄, (sizes,)."""
        return _error(self.outputs.mean(0), self.targets)

    @property
    def variance(self) -> ndarray:
        """Variance ‖f - f̄‖² over the ensemble, mean over test patterns, unbiased, (sizes,)."""
        return self.outputs.var(0, ddof=1).mean(-1)

    @property
    def relative_variance(self) -> ndarray:
        """Variance divided by the mean square of f, (sizes,)."""
        return self.variance / np.square(self.outputs).mean((0, 2))

    @property
    def far(self) -> ndarray:
        """Mask of the sizes of at least 10 N*, or ten times the smallest size if N* is not known."""
        return self.sizes >= 10 * (self.n_star if np.isfinite(self.n_star) else self.sizes[0])

    def exponent(self, values: ndarray) -> float:
        """Exponent of values against N >= 10 N*; NaN if fewer than three such values are positive."""
        chosen = self.far & (values > 0)
        return (
            fit_power_law(self.sizes[chosen], values[chosen]).exponent.value if chosen.sum() > 2 else np.nan
        )

    def estimate(self, statistic: Callable[["Ensembles"], float]) -> Estimate:
        """A statistic with its jackknife error: the nets of one seed are left out at a time.

        The bootstrap would draw some nets twice, which makes ensembles effectively smaller.
        """
        n = len(self.outputs)
        if n < 3:
            return Estimate(float(statistic(self)))
        without = [statistic(replace(self, outputs=np.delete(self.outputs, k, axis=0))) for k in range(n)]
        error = float(np.std(without) * (n - 1) ** 0.5)
        return Estimate(float(statistic(self)), error if np.isfinite(error) else None)


def _error(outputs: ndarray, targets: ndarray) -> ndarray:
    return np.mean(~(outputs * targets > 0), axis=-1)


def ensembles(table: pd.DataFrame, arrays: Arrays) -> Ensembles:
    """Ensembles of those seeds of a table that have a run at every size, none of which diverged.

    Raises:
        ValueError: the nets differ in their patterns or shapes, or no seed has runs at every size.
    """
    for name in ("data", "n_train", "data_seed", "depth", "from_start"):
        if len(set(table[name])) != 1:
            raise ValueError(f"table: expected nets of one {name}, got {sorted(set(table[name]))}")
    curves = SizeCurves.from_table(table, "unsatisfied_per_weight", "norm")
    table = table.query("abs(norm) < inf")
    runs: dict[tuple[int, int], str] = {}
    for name, n, seed in zip(table.index, table["n_weights"], table["seed"], strict=True):
        runs[int(n), int(seed)] = str(name)
    seeds = [k for k in sorted({seed for _, seed in runs}) if all((n, k) in runs for n in curves.sizes)]
    outputs = np.stack([[arrays(runs[int(n), seed])["outputs"] for n in curves.sizes] for seed in seeds])
    targets = arrays(next(iter(runs.values())))["targets"]
    return Ensembles(curves.sizes, jamming_size(curves), outputs.astype(float), targets, curves.left_out)


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Flat error of the average, falling average error, and exponents of variance and difference in N."""
    e = ensembles(table, arrays)
    where = f"P = {table['n_train'].iloc[0]}, n = {len(e.outputs)}{e.left_out}"

    def finding(
        quantity: str, statistic: Callable[[Ensembles], float], published: str, low: float, high: float
    ) -> Finding:
        return Finding(f"{quantity}, {where}", e.estimate(statistic), published, low, high)

    def spread(e: Ensembles) -> float:
        past = e.error_of_average[e.past]
        return float(past.max() / past.min()) if len(past) and past.min() > 0 else np.nan

    def decline(e: Ensembles) -> float:
        past = e.average_error[e.past]
        return float(past[0] / past[-1]) if len(past) and past[-1] > 0 else np.nan

    return [
        finding(
            "error of the average past N*, largest over smallest",
            spread,
            f"1: nearly flat ({_GEIGER})",
            1.0,
            1.15,
        ),
        finding(
            "average error just past N* over that of the largest nets",
            decline,
            f"above 1: it falls ({_GEIGER})",
            1.05,
            np.inf,
        ),
        finding(
            "exponent of the variance of f against N >= 10 N*",
            lambda e: e.exponent(e.variance),
            f"-1/2 ({_GEIGER})",
            -0.65,
            -0.35,
        ),
        finding(
            "exponent of the variance of f over its mean square (exploratory)",
            lambda e: e.exponent(e.relative_variance),
            f"-1/2, once |f| is constant ({_GEIGER})",
            -0.65,
            -0.35,
        ),
        finding(
            "exponent of average error minus error of the average (exploratory)",
            lambda e: e.exponent(e.average_error - e.error_of_average),
            f"-1/2 ({_GEIGER})",
            -0.75,
            -0.25,
        ),
    ]


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Errors, variance, and difference of the errors against N."""
    e = ensembles(table, arrays)
    fig, (errors, variance, difference) = row_of_panels(3)
    spread = _error(e.outputs, e.targets).std(0) / len(e.outputs) ** 0.5
    errors.errorbar(
        e.sizes, e.average_error, spread, fmt="o-", capsize=2, markersize=4, label="average error"
    )
    errors.plot(e.sizes, e.error_of_average, "s-", markersize=4, label="error of the average")
    errors.set(title=f"Test error, {len(e.outputs)} nets{e.left_out}", ylabel="test error")
    _draw_power_law(variance, e, e.variance, COLORS[2], "$|f - \\bar f|^2$", band=(-0.65, -0.35))
    _draw_power_law(variance, e, e.relative_variance, COLORS[3], "relative to $\\langle f^2 \\rangle$")
    variance.set(title="Variance of the output", ylabel="variance on test patterns", yscale="log")
    gap = e.average_error - e.error_of_average
    _draw_power_law(
        difference, e, gap, COLORS[4], "average error - error of the average", band=(-0.75, -0.25)
    )
    difference.set(title="What averaging gains", ylabel="difference of test errors", yscale="log")
    for axes in (errors, variance, difference):
        axes.set(xscale="log", xlabel="weights N")
        if np.isfinite(e.n_star):
            axes.axvline(e.n_star, color=FAINT, linestyle=":", linewidth=1, label="N*")
        axes.legend(fontsize=7.5)
    return fig


def _draw_power_law(
    axes: Axes,
    e: Ensembles,
    values: ndarray,
    color: str,
    label: str,
    band: tuple[float, float] | None = None,
) -> None:
    """Draw values, the power law fitted far past N*, and with a band the published one."""
    axes.plot(e.sizes, np.where(values > 0, values, np.nan), "o", markersize=4, color=color, label=label)
    chosen = e.far & (values > 0)
    if chosen.sum() < 3:
        return
    law = fit_power_law(e.sizes[chosen], values[chosen])
    draw_power_law(axes, law, "fit", color=color)
    if band is not None:
        low, high = law.x_range
        middle = (low * high) ** 0.5
        through = (middle, float(law(middle)))
        label = "slope -1/2 (1901.01608)"
        draw_published_exponent(axes, -0.5, through=through, between=law.x_range, band=band, label=label)
