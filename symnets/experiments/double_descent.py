r"""Double descent: test error and norm of the predictor peak where nets begin to fit their data.

**Question.** How do the test error and the size of a net's output depend on its number of weights $N$, on
either side of the jamming transition $N^*$, and what becomes of the peak if training is stopped early?

**Law.** Below $N^*$ nets cannot fit all $P$ patterns. There the test error first falls with $N$ and then
rises to a cusp at $N^*$. Past $N^*$ it falls slowly towards a plateau. The norm $|f| = \langle f^2
\rangle^{1/2}$ of the output on test patterns peaks at $N^*$, as $|f| \sim (N - N^*)^{-1}$ by a simple
argument. Nets that are stopped early show no cusp. Spigler et al. 2019 (arXiv:1810.09665), Geiger et al. 2019
(arXiv:1901.01608). The experiment `polynomial_picture` shows the same for polynomials in one dimension.

**How.** Parity of MNIST digits in ten whitened principal components, two hidden layers of ReLU, quadratic
hinge, full-batch Adam. $N_\Delta$ is the number of unsatisfied training patterns, and $N^*$ is where the
median of $N_\Delta/N$ over seeds falls through 0.1. The test patterns are halved: the first half selects the
step for early stopping, and all errors and norms are those of the second half. The cusp of an error is its
largest mean between $N^*/2$ and $2N^*$; its rise is measured from the smallest mean at smaller $N$. Each seed
has its own training patterns and weights; the patterns of a seed are the same at every width.

**Figure.** Test error against $N$, and test error, norm and $N_\Delta/N$ against $N/N^*$, one colour for each
$P$; dashed: stopped early.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from symnets.config import at_least, check_ranges
from symnets.data import Batch
from symnets.estimates import SizeCurves, cusp_fall, cusp_rise, fit_power_law_at, jamming_size
from symnets.report import COLORS, draw_published, row_of_panels, style
from symnets.setups import EarlyStopping, ParityNetConfig, batch_key, held_out, minimise, patterns
from symnets.sweeps import Arrays, Finding, Result, grid

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS = ("B1", "B3")
MAX_BATCH = 20
_SPIGLER, _GEIGER = "Spigler et al. 2019, arXiv:1810.09665", "Geiger et al. 2019, arXiv:1901.01608"
_COLUMNS = ("unsatisfied_per_weight", "test_error", "early_error", "norm", "early_norm")


@dataclass(frozen=True)
class Config(ParityNetConfig):
    """Configuration of a net; half of its test patterns are for early stopping, the others for the errors."""

    steps: int = 8000

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges("", self, n_test=at_least(4))


_WIDTHS = (3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 24, 40, 70)
PRESETS = {
    "quick": grid(Config, n_train=(500, 1000), width=_WIDTHS, seed=range(20)),
    "paper": grid(
        Config,
        n_train=(1000, 5000, 10_000),
        width=(*_WIDTHS, 100, 200, 400),
        depth=5,
        steps=100_000,
        seed=range(20),
    ),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Minimise the losses of nets and evaluate the nets on test patterns, during minimisation and at its end.

    Rows are those of `Minimised.rows` with `test_error` and `norm` of the predictor at the end, and
    `early_error`, `early_norm` and `early_step` of early stopping; all on the second half of the patterns.
    """
    tests = [patterns(config).test for config in configs]
    early = EarlyStopping(
        Batch(torch.stack([t.inputs for t in tests]), torch.stack([t.targets for t in tests]))
    )
    minimised = minimise(configs, [early])
    _, last = held_out(minimised.predictor, minimised.test).halves()
    measured = {
        "test_error": last.error,
        "norm": last.norm,
        "early_error": early.error,
        "early_norm": early.norm,
        "early_step": early.step,
    }
    return [
        Result(row | {name: values[k].item() for name, values in measured.items()})
        for k, row in enumerate(minimised.rows(configs))
    ]


def peak(curves: SizeCurves) -> float:
    """N at the largest median norm of the predictor."""
    return float(curves.sizes[np.argmax(curves.median("norm"))])


def divergence(curves: SizeCurves) -> float:
    """Exponent of |f| against N - N_peak over the decade of N past the peak."""
    at, sizes, norm = peak(curves), curves.sizes, curves.median("norm")
    chosen = (sizes > at) & (sizes <= 10 * at)
    if chosen.sum() < 3:
        return float("nan")
    return fit_power_law_at(sizes[chosen], norm[chosen], at).exponent.value


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """The peak of |f|, and the rise and fall of the test error with and without early stopping."""
    return [each for n, curves in _by_patterns(table).items() for each in _findings(n, curves)]


def _findings(n_train: int, curves: SizeCurves) -> list[Finding]:
    where = f"P = {n_train}{curves.left_out}"

    def finding(
        quantity: str, statistic: Callable[[SizeCurves], float], published: str, low: float, high: float
    ) -> Finding:
        return Finding(f"{quantity}, {where}", curves.estimate(statistic), published, low, high)

    return [
        finding(
            "N of the largest predictor norm over N*",
            lambda c: peak(c) / jamming_size(c),
            f"1: |f| peaks at N* ({_GEIGER})",
            0.5,
            2.0,
        ),
        finding(
            "largest predictor norm over that of the largest net",
            lambda c: c.median("norm").max() / c.median("norm")[-1],
            f"a divergence at N*, finite nets round it ({_GEIGER}); we ask for 2",
            2.0,
            np.inf,
        ),
        finding(
            "test error at the cusp minus that of the largest net",
            lambda c: cusp_fall(c, "test_error"),
            f"positive: the error falls past N* ({_SPIGLER})",
            1e-3,
            1.0,
        ),
        finding(
            "rise of the test error up to the cusp",
            lambda c: cusp_rise(c, "test_error"),
            f"positive: a cusp ({_SPIGLER})",
            1e-3,
            1.0,
        ),
        finding(
            "rise of the test error up to the cusp, stopped early",
            lambda c: cusp_rise(c, "early_error"),
            f"none: early stopping removes the cusp ({_SPIGLER})",
            -1.0,
            1e-3,
        ),
        finding(
            "exponent of |f| against N - N_peak over a decade (exploratory)",
            divergence,
            f"-1 by a simple argument ({_GEIGER})",
            -1.3,
            -0.7,
        ),
    ]


def _by_patterns(table: pd.DataFrame) -> dict[int, SizeCurves]:
    """Curves by number of training patterns."""
    return {
        int(n): SizeCurves.from_table(table.query(f"n_train == {n}"), *_COLUMNS)
        for n in np.unique(table["n_train"].to_numpy())
    }


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Errors, norm and unsatisfied patterns against N."""
    fig, panels = row_of_panels(4)
    error, scaled, norm, unsatisfied = panels
    for (n_train, curves), color in zip(_by_patterns(table).items(), COLORS, strict=False):
        star = jamming_size(curves)  # NaN draws nothing
        line_style: dict[str, Any] = {"color": color, "label": f"P = {n_train}{curves.left_out}"}
        for axes, unit in ((error, 1.0), (scaled, star)):
            _draw_curve(axes, curves.sizes / unit, curves, "test_error", line_style)
            early = line_style | {"label": f"P = {n_train}, stopped early", "fmt": "--"}
            _draw_curve(axes, curves.sizes / unit, curves, "early_error", early)
        error.axvline(star, color=color, linestyle=":", linewidth=1)
        norm.plot(curves.sizes / star, curves.median("norm"), "o-", markersize=3.5, **line_style)
        ratio = curves.median("unsatisfied_per_weight")
        unsatisfied.plot(curves.sizes / star, ratio, "o-", markersize=3.5, **line_style)
    for axes in panels:
        axes.set(xscale="log", xlabel="weights N" if axes is error else "N / N*")
        if axes is not error:
            draw_published(axes, 1.0, label="cusp at N* (1810.09665)", along="x")
    norm.set(title="Norm of the predictor", ylabel="median $|f|$ on test patterns", yscale="log")
    unsatisfied.set(title="Unsatisfied patterns", ylabel="median $N_\\Delta / N$")
    unsatisfied.set_yscale("symlog", linthresh=0.1)
    unsatisfied.set_ylim(bottom=0)
    error.set(title="Test error (dotted: N*)", ylabel="test error")
    scaled.set(title="Test error, N in units of N*", ylabel="test error")
    for axes in panels:
        axes.legend(fontsize=7.5)
    return fig


def _draw_curve(axes: Axes, x: ndarray, curves: SizeCurves, name: str, line_style: dict[str, Any]) -> None:
    axes.errorbar(
        x,
        curves.mean(name),
        curves.error(name),
        **({"fmt": "o-", "markersize": 3.5, "capsize": 2} | line_style),
    )
