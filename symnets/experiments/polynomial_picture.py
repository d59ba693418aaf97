r"""The polynomial picture: double descent of polynomials of growing degree through noisy points.

**Question.** How do the training and the test error of a least-squares fit depend on the number of
parameters? Past interpolation, where many polynomials pass through all points, the one of least norm is
taken.

**Law.** A polynomial of degree $k$ has $k + 1$ parameters. With $P$ points the training error vanishes at $k
+ 1 = P$. The test error falls, rises, and peaks there, since the only polynomial through all points follows
the noise. Past this cusp the polynomial of least norm gets smoother the more parameters there are: the test
error falls a second time. The number of parameters corresponds to the size $N$ of a net, and $k + 1 = P$ to
its jamming point $N^*$ (`double_descent`). The illustration is from Spigler's talk "Loss landscape and
performance" (2020); for the cusp of nets see Spigler et al. 2019 (arXiv:1810.09665) and Geiger et al. 2019
(arXiv:1901.01608).

**How.** Targets are $\sin(2 \pi x)$ plus noise at $x = \cos(\pi u)$, $u$ uniform in $(0, 1)$: the density for
which Chebyshev polynomials $T_k$ are orthogonal. The fit is $\sum_k c_k (1 + k)^{-s} T_k(x)$ of least $|c|$;
an exponent $s > 0$ penalises high degrees. For $k + 1 \leq P$ the exponent has no effect.

**Figure.** Training and test error against the number of parameters, the norm of the coefficients, and one
data set with its best fit before the cusp, the fit at the cusp, and the largest.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray
from numpy.polynomial import chebyshev
from numpy.typing import ArrayLike

from symnets.config import SEED, at_least, check_ranges, within
from symnets.estimates import Estimate
from symnets.report import COLORS, FAINT, draw_published, row_of_panels, style
from symnets.sweeps import Arrays, Finding, Result, grid

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS = ("B5",)

MAX_BATCH = 1000
_SATISFIED = 1e-6  # distance below which the polynomial passes through a point
_TEST = np.cos(np.pi * (np.arange(1000) + 0.5) / 1000)[::-1]  # the density of the training points


@dataclass(frozen=True)
class Config:
    """Configuration of the fit of a polynomial to noisy points.

    Attributes:
        n_points: P, number of training points.
        n_params: degree of the polynomial plus one.
        noise: standard deviation of the targets about sin(2 pi x).
        smoothness: s, exponent of the penalty on high degrees.
        seed: seed of points and noise, which do not depend on the degree.
    """

    n_points: int = 20
    n_params: int = 20
    noise: float = 0.2
    smoothness: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_ranges(
            "",
            self,
            n_points=within(2, 1000),
            n_params=within(1, 10_000),
            noise=at_least(0),
            smoothness=within(0, 4),
            seed=SEED,
        )


_SIZES = (*range(1, 31), 35, 40, 50, 60, 80, 100, 150, 200, 300, 500, 1000)
PRESETS = {
    "quick": grid(Config, n_params=_SIZES, seed=range(12)),
    "paper": grid(Config, n_params=(*_SIZES, 2000, 5000), seed=range(100)),
}


def batch_key(config: Config) -> Hashable:
    """All fits share a batch, since each takes milliseconds."""
    return None


def run(configs: Sequence[Config]) -> list[Result]:
    """Fit one polynomial for each configuration.

    The row has `train_error` and `test_error` (mean squared, the latter against sin(2 pi x) itself), `norm`
    of the coefficients, `n_unsatisfied` (points missed by more than 1e-6 and rounding) and `verdict`, SAT if
    there are none. Arrays: the points `x`, `y`, and `prediction` at `grid`.
    """
    return [_run(config) for config in configs]


def _run(config: Config) -> Result:
    rng = np.random.default_rng(config.seed)
    x = np.sort(np.cos(np.pi * rng.random(config.n_points)))
    y = target(x) + config.noise * rng.standard_normal(config.n_points)
    features, test = (_features(at, config) for at in (x, _TEST))
    # rcond=0: the small singular values near the cusp are meaningful and must not be cut off.
    coefficients = np.linalg.lstsq(features, y, rcond=0)[0]
    missed, prediction = np.abs(features @ coefficients - y), test @ coefficients
    rounding = len(y) * np.finfo(float).eps * (np.abs(features) @ np.abs(coefficients))
    n_unsatisfied = int(np.sum(missed > _SATISFIED + rounding))
    row = {
        "train_error": float(np.mean(missed**2)),
        "test_error": float(np.mean((prediction - target(_TEST)) ** 2)),
        "norm": float(np.linalg.norm(coefficients)),
        "n_unsatisfied": n_unsatisfied,
        "verdict": "UNSAT" if n_unsatisfied else "SAT",
    }
    return Result(row, {"x": x, "y": y, "grid": _TEST, "prediction": prediction})


def target(x: ArrayLike) -> ndarray:
    """Target function sin(2 pi x), without noise."""
    return np.sin(2 * np.pi * np.asarray(x))


def _features(x: ndarray, config: Config) -> ndarray:
    """Features (1 + k)^-s T_k(x) with orthonormal T_k, (points, n_params)."""
    degree = np.arange(config.n_params)
    weight = np.where(degree == 0, 1.0, np.sqrt(2)) * (1.0 + degree) ** -config.smoothness
    return chebyshev.chebvander(x, config.n_params - 1) * weight


@dataclass(frozen=True)
class Curves:
    """Medians over seeds by number of parameters; means would be dominated by the worst seed.

    Attributes:
        n_points: P, the largest in the table.
        n_params: numbers of parameters, ascending, (sizes,).
        train_error: mean squared error on the training points, (sizes,).
        test_error: mean squared error against sin(2 pi x), (sizes,).
        norm: norm |c| of the coefficients, (sizes,).
        n_unsatisfied: number of points missed, the maximum over seeds, (sizes,).
    """

    n_points: int
    n_params: ndarray
    train_error: ndarray
    test_error: ndarray
    norm: ndarray
    n_unsatisfied: ndarray


def curves(table: pd.DataFrame) -> Curves:
    """Errors and norm against the number of parameters."""
    column = {name: table[name].to_numpy() for name in Curves.__dataclass_fields__}
    n_points = int(column["n_points"].max())
    sizes = np.unique(column["n_params"][column["n_points"] == n_points])
    groups = [(column["n_points"] == n_points) & (column["n_params"] == size) for size in sizes]
    train, test, norm = (
        np.array([np.median(column[name][group]) for group in groups])
        for name in ("train_error", "test_error", "norm")
    )
    most = np.array([column["n_unsatisfied"][group].max() for group in groups])
    return Curves(n_points, sizes, train, test, norm, most)


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Where the training error vanishes, where the test error peaks, and how far it falls past the peak."""
    c = curves(table)
    where, exact = f"P = {c.n_points}", c.n_params[c.n_unsatisfied == 0]
    return [
        Finding(
            f"fewest parameters through all points, {where}",
            Estimate(float(exact.min()) if len(exact) else np.nan),
            f"{c.n_points} (algebra)",
            c.n_points,
            c.n_points,
        ),
        Finding(
            f"parameters at the peak of the test error, {where}",
            Estimate(float(c.n_params[np.argmax(c.test_error)])),
            f"{c.n_points}: a cusp at degree + 1 = P (Spigler's talk, 2020)",
            c.n_points - 1,
            c.n_points + 1,
        ),
        Finding(
            f"test error at {c.n_params[-1]} parameters over its peak, {where}",
            Estimate(float(c.test_error[-1] / c.test_error.max())),
            "well below 1: it falls a second time (for nets, arXiv:1810.09665)",
            0,
            0.1,
        ),
    ]


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Errors and norm against the number of parameters, and three fits of one data set."""
    c = curves(table)
    fig, (errors, norm, fits) = row_of_panels(3)
    for name, values, color in (
        ("test error", c.test_error, COLORS[1]),
        ("training error", c.train_error, COLORS[0]),
    ):
        visible = values > 1e-12  # past interpolation only rounding errors are left
        errors.plot(c.n_params[visible], values[visible], "o-", color=color, markersize=3, label=name)
    norm.plot(c.n_params, c.norm, "o-", color=COLORS[2], markersize=3)
    for axes in (errors, norm):
        axes.set(xscale="log", yscale="log", xlabel="parameters (degree + 1)")
        draw_published(axes, c.n_points, label=f"cusp at P = {c.n_points}", along="x")
        axes.legend(loc="upper right")
    errors.set(title="Errors", ylabel="mean squared error")
    norm.set(title="Norm of the coefficients", ylabel="norm")
    _draw_fits(fits, table, arrays, c)
    return fig


def _draw_fits(axes: Axes, table: pd.DataFrame, arrays: Arrays, c: Curves) -> None:
    fewer = c.n_params < c.n_points
    best = int(c.n_params[fewer][np.argmin(c.test_error[fewer])]) if fewer.any() else c.n_points
    names = table.index.to_numpy()
    points, sizes, seeds = (table[name].to_numpy() for name in ("n_points", "n_params", "seed"))
    for size, color in zip((best, c.n_points, int(c.n_params[-1])), COLORS[2:5], strict=True):
        for name in names[(points == c.n_points) & (sizes == size) & (seeds == seeds.min())][:1]:
            fit = arrays(str(name))
            axes.plot(fit["grid"], fit["prediction"], color=color, linewidth=1.2, label=f"{size} parameters")
            axes.plot(fit["x"], fit["y"], "o", color=COLORS[6], markersize=3.5)
    axes.plot(_TEST, target(_TEST), color=FAINT, linestyle=":", label="without noise")
    axes.set(title="Fits of one data set", xlabel="x", ylabel="y", ylim=(-2.2, 3.6))
    axes.legend(loc="upper center", ncols=2, frameon=True, framealpha=1, edgecolor="none")
