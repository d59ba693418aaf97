r"""Phase diagram of regimes: how far the tangent kernel moves, and where nets jam, against width and scale.

**Question.** When is a net in the lazy regime and when does it learn features, and is the number of weights
that it needs to fit its data the same in both?

**Law.** The predictor is $\tilde\alpha (f(w) - f(w_0))$ with $f$ in the mean-field parametrisation. The
crossover between the regimes is smooth and lies at $\tilde\alpha = O(1)$ for every width $h$: level sets of
the relative change $\| \Theta(w) - \Theta(w_0) \| / \| \Theta(w_0) \|$ of the tangent kernel are vertical
lines in the plane of $(\tilde\alpha, h)$, for levels above about $1/h$. Below a sharp line
$N^*(\tilde\alpha)$ nets jam: they do not fit all patterns (Geiger et al. 2020, arXiv:1906.08034). On the
feature side the weights of a homogeneous net of $L$ hidden layers have to grow until $\tilde\alpha f = O(1)$,
so that the kernel grows as $\tilde\alpha^{-2L/(L+1)}$ (derived by counting powers of the weights).

**How.** Parity of MNIST digits in ten whitened principal components, two hidden layers of ReLU without
biases, gradient flow on the quadratic hinge until all patterns are satisfied or the budget of steps ends.
The kernel is that of the training patterns; its change is split into that of the norm and that of the
direction (1 - cosine). $N_\Delta$ is the number of unsatisfied training patterns, and $N^*$ is where the
median of $N_\Delta/N$ over seeds falls through 0.1. Each seed has its own patterns and weights. The published
figures have 10,000 patterns of several data sets, and the crossover is read where the change has a fixed
value, here 0.3. The bands are ours: a factor of two between widths for a vertical line, and 0.1 to 10 for
$O(1)$.

**Figure.** Level sets of the change of the kernel, with the jamming line; the change, and its direction,
against $\tilde\alpha$; unsatisfied patterns against $N$.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy import ndarray

from symnets.estimates import Estimate, SeedCurve, SizeCurves, jamming_size, mean_over_seeds
from symnets.observables.kernels import kernel_change
from symnets.report import FAINT, colors, draw_published, row_of_panels, style
from symnets.setups import RegimeConfig, batch_key, regime_kernels, train_regime
from symnets.sweeps import Arrays, Finding, Result, grid

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ("C8",)
MAX_BATCH = 10
LEVEL = 0.3
"""Relative change of the kernel at which the crossover is read."""
_GEIGER = "Geiger et al. 2020, arXiv:1906.08034"


@dataclass(frozen=True)
class Config(RegimeConfig):
    """Configuration of a net whose kernel is compared before and after training."""

    n_train: int = 300
    n_test: int = 2000
    data: str = "mnist"
    dim: int = 10
    width: int = 16
    depth: int = 2
    bias: bool = False
    budget: int = 500


PRESETS = {
    "quick": grid(Config, width=(4, 8, 16, 64), alpha_tilde=(0.01, 0.1, 1.0, 10.0, 100.0), seed=range(2)),
    "hour": grid(
        Config,
        width=(4, 8, 16, 64, 256),
        alpha_tilde=(1e-3, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0),
        budget=3000,
        seed=range(3),
    ),
    "paper": grid(
        Config,
        n_train=10_000,
        n_test=10_000,
        width=(10, 20, 30, 50, 70, 100, 200, 400, 1000),
        alpha_tilde=(1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 1e4),
        depth=5,
        budget=100_000,
        seed=range(10),
    ),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Train the nets and compare their kernels before and after.

    Rows are those of `TrainedRegime.rows` with `kernel_change` |Θ - Θ0|/|Θ0|, `kernel_growth` |Θ|/|Θ0| - 1
    and `kernel_rotation`, 1 - cosine.
    """
    trained = train_regime(configs)
    initial, final = regime_kernels(trained)
    change = kernel_change(final, initial)
    rows = trained.rows(configs)
    for k, row in enumerate(rows):
        row["kernel_change"] = float(change.distance[k])
        row["kernel_growth"] = float(change.norm[k])
        row["kernel_rotation"] = float(change.direction[k])
    return [Result(row) for row in rows]


def crossover(scales: ndarray, change: ndarray, level: float = LEVEL) -> float:
    """α̃ at which the change of the kernel falls below a level for the first time; NaN if it does not.

    The crossing is interpolated linearly in the logarithms.

    Args:
        scales: values of α̃, ascending, (scales,).
        change: relative change of the kernel at each, (scales,).
        level: the level.
    """
    x, y = np.log(scales), np.log(change)
    below = np.flatnonzero(y < np.log(level))
    if not len(below) or below[0] == 0:
        return float("nan")
    k = below[0]
    return float(np.exp(np.interp(np.log(level), y[[k, k - 1]], x[[k, k - 1]])))


def changes(table: pd.DataFrame) -> dict[int, SeedCurve]:
    """Change of the kernel against α̃, by width."""
    widths = sorted(set(table["width"]))
    return {
        int(h): SeedCurve.from_table(table.query(f"width == {h}"), "alpha_tilde", "kernel_change")
        for h in widths
    }


def jamming_line(table: pd.DataFrame) -> dict[float, Estimate]:
    """Jamming size N* at each α̃."""
    scales = sorted(set(table["alpha_tilde"]))
    return {
        float(a): SizeCurves.from_table(
            table.query(f"alpha_tilde == {a}"), "unsatisfied_per_weight"
        ).estimate(jamming_size)
        for a in scales
    }


def width_of(n_weights: float, dim: int, depth: int) -> float:
    """Width h of a net with N = d h + (L - 1) h² + h weights."""
    if depth == 1:
        return n_weights / (dim + 1)
    a, b = depth - 1, dim + 1
    return (-b + (b * b + 4 * a * n_weights) ** 0.5) / (2 * a)


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Where the crossover is, whether it depends on the width, how the kernel grows, and where nets jam."""
    curves = changes(table)
    star = jamming_line(table)
    first, dim, depth = table.iloc[0], int(table["dim"].iloc[0]), int(table["depth"].iloc[0])
    results: list[Finding] = []

    def at(h: int) -> Estimate:
        curve = curves[h]
        return mean_over_seeds([crossover(curve.x, row) for row in curve.values], geometric=True)

    largest = max(curves)
    jam = max((n.value for n in star.values() if np.isfinite(n.value)), default=0.0)
    fitting = [h for h in curves if h > width_of(jam, dim, depth)]
    results.append(
        Finding(
            f"α̃ at which the kernel changes by {LEVEL:g}, h = {largest}",
            at(largest),
            f"O(1) ({_GEIGER})",
            0.1,
            10.0,
        )
    )
    if len(fitting) > 1:
        smallest = min(fitting)
        wide, narrow = at(largest), at(smallest)
        ratio = wide.value / narrow.value
        errors = [e.error / e.value for e in (wide, narrow) if e.error is not None]
        error = ratio * math.hypot(*errors) if len(errors) == 2 else None
        results.append(
            Finding(
                f"ratio of that α̃ at h = {largest} and h = {smallest}",
                Estimate(ratio, error),
                f"1: independent of the width ({_GEIGER})",
                0.5,
                2.0,
            )
        )
    curve = curves[largest]
    for k, law, low, high in ((0, "above 1: features are learned", 1.0, np.inf), (-1, "0: lazy", 0.0, 0.1)):
        results.append(
            Finding(
                f"relative change of the kernel at α̃ = {curve.x[k]:g}, h = {largest}",
                mean_over_seeds(list(curve.values[:, k])),
                f"{law} ({_GEIGER})",
                low,
                high,
            )
        )
    results.append(
        Finding(
            f"exponent of the change in α̃ from {curve.x[0]:g} to {curve.x[1]:g}, h = {largest}",
            mean_over_seeds(
                list(np.log(curve.values[:, 1] / curve.values[:, 0]) / np.log(curve.x[1] / curve.x[0]))
            ),
            f"-2L/(L+1) = {-2 * depth / (depth + 1):.3g} (derived)",
            -2 * depth / (depth + 1) - 0.3,
            -2 * depth / (depth + 1) + 0.3,
        )
    )
    for scale, n_star in star.items():
        h = width_of(n_star.value, dim, depth)
        slope = (width_of(1.01 * n_star.value, dim, depth) - h) / (0.01 * n_star.value)
        results.append(
            Finding(
                f"width at which nets of P = {int(first['n_train'])} jam, α̃ = {scale:g}",
                Estimate(h, None if n_star.error is None else slope * n_star.error),
                "a line in both regimes; about 12 for P = 300 with Adam",
                6.0,
                24.0,
            )
        )
    return results


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Phase diagram; change of the kernel and its direction against α̃; unsatisfied patterns against N."""
    fig, (plane, change, rotation, jamming) = row_of_panels(4)
    _draw_plane(fig, plane, table)
    widths = sorted(set(table["width"]))
    for h, color in zip(widths, colors(len(widths)), strict=True):
        own = table.query(f"width == {h}")
        for axes, name in ((change, "kernel_change"), (rotation, "kernel_rotation")):
            curve = SeedCurve.from_table(own, "alpha_tilde", name)
            mean = np.exp(np.log(curve.values).mean(0))
            axes.plot(curve.x, mean, "o-", markersize=4, color=color, label=f"h = {h}")
    change.set(title="Change of the kernel", ylabel="$|\\Theta - \\Theta_0| / |\\Theta_0|$")
    rotation.set(title="Change of its direction", ylabel="1 - cosine")
    draw_published(change, LEVEL, label=f"{LEVEL:g}, the crossover")
    for axes in (change, rotation):
        axes.set(xscale="log", yscale="log", xlabel="scale $\\tilde\\alpha$")
    scales = sorted(set(table["alpha_tilde"]))
    for a, color in zip(scales, colors(len(scales)), strict=True):
        curves = SizeCurves.from_table(table.query(f"alpha_tilde == {a}"), "unsatisfied_per_weight")
        median = curves.median("unsatisfied_per_weight")
        jamming.plot(curves.sizes, median, "o-", markersize=4, color=color, label=f"$\\tilde\\alpha$ = {a:g}")
    draw_published(jamming, 0.1, label="0.1, at N*")
    jamming.set(
        title="Unsatisfied patterns", ylabel="median $N_\\Delta / N$", xlabel="weights N", xscale="log"
    )
    jamming.set_yscale("symlog", linthresh=0.01)
    jamming.set_ylim(bottom=0)
    for axes in (change, rotation, jamming):
        axes.legend(fontsize=7)
    plane.legend(fontsize=7, frameon=True, loc="upper left")
    return fig


def _draw_plane(fig: Figure, axes: Axes, table: pd.DataFrame) -> None:
    """Level sets of the change of the kernel in the plane of α̃ and h, with the jamming line."""
    logs = table.assign(log=np.log10(table["kernel_change"].to_numpy(dtype=float)))
    wide = logs.pivot_table(index="width", columns="alpha_tilde", values="log", aggfunc="mean")
    y = wide.index.to_numpy(dtype=float)
    x, h, z = _refined(wide.columns.to_numpy(dtype=float), y, wide.to_numpy())
    levels = 10 ** np.arange(np.floor(np.log10(np.nanmin(z))), np.ceil(np.log10(np.nanmax(z))) + 0.25, 0.5)
    filled = axes.contourf(x, h, z, levels=levels, norm=LogNorm(), cmap="viridis", alpha=0.85)
    axes.contour(x, h, z, levels=[LEVEL], colors="white", linewidths=2)
    fig.colorbar(filled, ax=axes, label="$|\\Theta - \\Theta_0| / |\\Theta_0|$")
    dim, depth = int(table["dim"].iloc[0]), int(table["depth"].iloc[0])
    line = {a: width_of(n.value, dim, depth) for a, n in jamming_line(table).items() if np.isfinite(n.value)}
    if line:
        axes.plot(list(line), list(line.values()), "r.-", linewidth=2, label="nets below jam")
    axes.axvline(1.0, color=FAINT, linestyle="--", linewidth=1.2, label="$\\tilde\\alpha = 1$ (1906.08034)")
    axes.set(
        xscale="log", yscale="log", xlabel="scale $\\tilde\\alpha$", ylabel="width h", title="Phase diagram"
    )
    axes.set_yticks(y, [f"{h:g}" for h in y])
    axes.minorticks_off()


def _refined(x: ndarray, y: ndarray, log_z: ndarray, n: int = 100) -> tuple[ndarray, ndarray, ndarray]:
    """z on a finer grid, linear in all logarithms; matplotlib's contours are linear in x, y and z."""
    fine_x, fine_y = np.geomspace(x[0], x[-1], n), np.geomspace(y[0], y[-1], n)
    rows = np.array([np.interp(np.log(fine_x), np.log(x), row) for row in log_z])
    columns = [np.interp(np.log(fine_y), np.log(y), column) for column in rows.T]
    return fine_x, fine_y, 10 ** np.array(columns).T
