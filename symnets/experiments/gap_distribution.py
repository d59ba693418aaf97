r"""Gaps at jamming: densities of small overlaps and of small gaps of nets at their jamming point.

**Question.** At jamming some patterns are barely violated and others barely satisfied. In packings of
particles the densities of small overlaps and gaps are power laws whose exponents identify the universality
class. What are they for nets?

**Law.** With $\Delta = 1 - y f$, overlaps $\Delta > 0$ have the density $P_+(\Delta) \sim \Delta^\theta$ with
$\theta \approx 0.3$, and gaps $\Delta < 0$ have the density $P_-(\Delta) \sim (-\Delta)^{-\gamma}$ with
$\gamma \approx 0.2$: the exponents of packings of ellipses. Geiger et al. 2019, arXiv:1809.09349.

**How.** Each net is minimised above jamming and decompressed to its jamming point
(`symnets.setups.decompress_net`). The last minimum gives the gaps; it is used if its loss is below $10^{-3}$.
Overlaps are measured in units of their mean in each net, gaps in units of the margin. Exponents are maximum
likelihood estimates for a power law that is cut off at both ends, without binning; errors come from
resampling nets. This experiment is exploratory, because its nets are small.

**Figure.** The loss during decompression, and the densities of overlaps and of gaps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray
from scipy.optimize import brentq
from scipy.stats import bootstrap

from symnets.data import Batch
from symnets.estimates import Estimate, PowerLaw
from symnets.models import count_weights
from symnets.report import (
    COLORS,
    FAINT,
    draw_power_law,
    draw_published,
    draw_published_exponent,
    row_of_panels,
    style,
)
from symnets.setups import DecompressedConfig, JammedState, batch_key, decompress_net, minimise
from symnets.sweeps import Arrays, Finding, Result, Scalar, report_progress

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS = ("A11",)

MAX_BATCH = 4


@dataclass(frozen=True)
class Config(DecompressedConfig):
    """Configuration of a net above jamming that is decompressed; overlaps above 1e-6 are counted."""

    tolerance: float = 1e-6


def nets_at(
    ratio: float, *, width: int, depth: int, seeds: Sequence[int], **values: Any
) -> tuple[Config, ...]:
    """Configurations of nets of one shape with d = h and P = ratio * N patterns, one for each seed."""
    n_train = round(ratio * count_weights(width, width, depth))
    return tuple(Config(n_train, width, depth, dim=width, seed=seed, **values) for seed in seeds)


PRESETS = {
    "quick": nets_at(2.6, width=16, depth=2, seeds=range(24), steps=4_000),
    "paper": nets_at(3.2, width=30, depth=3, seeds=range(20), steps=500_000, steps_again=20_000),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Minimise the losses of all nets together, then decompress the nets one by one.

    Rows are those of `Minimised.rows` before decompression, with the number of minima `n_minima`, and for the
    last minimum the number of remaining patterns `jammed_n_train`, `jammed_n_unsatisfied` (Δ > tolerance),
    `jammed_loss` and `mean_overlap`; these are None if there is no minimum. Arrays: `gaps`, Δ of the
    remaining patterns; `path_n` and `path_loss`, number of remaining patterns and loss of all minima.
    """
    minimised = minimise(configs)
    results = []
    for k, (config, row) in enumerate(zip(configs, minimised.rows(configs), strict=True)):
        report_progress(k / len(configs), f"decompressing net {k + 1} of {len(configs)}")
        train = Batch(minimised.train.inputs[[k]], minimised.train.targets[[k]])
        results.append(
            _result(row, decompress_net(minimised.model.select([k]), train, config), config.tolerance)
        )
    return results


def _result(row: dict[str, Scalar], minima: list[JammedState], tolerance: float) -> Result:
    row = row | {"n_minima": len(minima)}
    names = ("jammed_n_train", "jammed_n_unsatisfied", "jammed_loss", "mean_overlap")
    if not minima:
        return Result(row | dict.fromkeys(names))
    last = minima[-1]
    overlaps = last.gaps[last.gaps > tolerance].double()
    values = (last.n_train, len(overlaps), last.loss, float(overlaps.mean()))
    arrays = {
        "gaps": last.gaps.double().numpy(),
        "path_n": np.array([state.n_train for state in minima]),
        "path_loss": np.array([state.loss for state in minima]),
    }
    return Result(row | dict(zip(names, values, strict=True)), arrays)


_SOURCE = "Geiger et al. 2019, arXiv:1809.09349, abstract"
NEAR = 1e-3  # largest loss of a minimum that is used as jammed
OVERLAPS = (0.01, 0.3)  # range of the fit, in units of the mean overlap
GAPS = (3.0, 0.5)  # range of the fit: from 3 mean overlaps of the net to 0.5 margins
THETA, GAMMA = (0.1, 0.5), (0.0, 0.4)  # bands of agreement


@dataclass(frozen=True)
class Samples:
    """Overlaps and gaps of nets at jamming.

    Attributes:
        overlaps: Δ > tolerance of each net, divided by their mean.
        gaps: -Δ of satisfied patterns of each net.
        mean_overlap: mean overlap of each net, in units of the margin.
    """

    overlaps: list[ndarray]
    gaps: list[ndarray]
    mean_overlap: ndarray

    def theta(self) -> PowerLaw | None:
        """Power law P_+ ~ Δ^θ of overlaps below their mean."""
        return fit_density(self.overlaps, np.full(len(self.overlaps), OVERLAPS[0]), OVERLAPS[1])

    def gamma(self) -> PowerLaw | None:
        """Power law P_- ~ (-Δ)^-γ of gaps larger than overlaps; its exponent is -γ."""
        return fit_density(self.gaps, GAPS[0] * self.mean_overlap, GAPS[1])


def samples(table: pd.DataFrame, arrays: Arrays) -> Samples | None:
    """Samples of all nets whose last minimum has a loss below `NEAR`; None with fewer than three nets."""
    table = table.dropna(subset=["jammed_loss"]).query(f"jammed_loss < {NEAR}")
    if len(table) < 3:
        return None
    overlaps, gaps = [], []
    for name, tolerance in zip(table.index, table["tolerance"].to_numpy(), strict=True):
        delta = arrays(str(name))["gaps"]
        over = delta[delta > tolerance]
        overlaps.append(over / over.mean())
        gaps.append(-delta[delta <= 0])
    return Samples(overlaps, gaps, table["mean_overlap"].to_numpy(dtype=float))


def fit_density(values: Sequence[ndarray], low: ndarray, high: float) -> PowerLaw | None:
    """Maximum likelihood fit of a density p(x) ~ x^a between the `low` of each net and `high`.

    With b = a + 1 the mean of u = log(x / low) is w m(b w), w = log(high / low), m(t) = 1/(1 - e^-t) - 1/t;
    the likelihood is largest where the sum of u over all nets equals its expectation. Errors come from
    resampling whole nets. The result is None with fewer than three nets, or ten values in all.

    Args:
        values: samples of x, an array for each net.
        low: lower limit of each net; nets with low >= high / 3 are left out.
        high: upper limit of all nets.
    """
    chosen = [(v, start) for v, start in zip(values, low, strict=True) if start < high / 3]
    inside = [np.log(v[(v >= start) & (v <= high)] / start) for v, start in chosen]
    sums, counts = np.array([u.sum() for u in inside]), np.array([len(u) for u in inside])
    totals, start = np.array([len(v) for v, _ in chosen]), np.array([start for _, start in chosen])
    width = np.log(high / start)
    if len(chosen) < 3 or counts.sum() < 10:
        return None

    def parameters(nets: ndarray) -> tuple[float, float]:
        """Exponent, and density at x = 1, of resampled nets."""
        n, w = counts[nets], width[nets]
        b = brentq(lambda b: float(np.sum(n * w * _truncated_mean(b * w)) - sums[nets].sum()), -20, 20)
        assert isinstance(b, float)
        parts = w if abs(b) < 1e-9 else (high**b - start[nets] ** b) / b
        return b - 1, float(n.sum() / np.sum(totals[nets] * parts))

    all_nets = np.arange(len(chosen))
    exponent, prefactor = parameters(all_nets)
    resampled = bootstrap(
        (all_nets,), parameters, n_resamples=300, vectorized=False, method="percentile", rng=0
    )
    errors = np.asarray(resampled.standard_error).tolist()
    x_range = (float(start.min()), high)
    return PowerLaw(
        exponent=Estimate(exponent, errors[0]),
        prefactor=Estimate(prefactor, errors[1]),
        x_star=Estimate(0.0),
        residual=0.0,
        x_range=x_range,
        n_points=int(counts.sum()),
    )


def _truncated_mean(t: ndarray) -> ndarray:
    """Mean of s in [0, 1] for a density proportional to e^(t s)."""
    small = np.abs(t) < 1e-4
    safe = np.where(small, 1.0, t)
    return np.where(small, 0.5 + t / 12, 1 / -np.expm1(-safe) - 1 / safe)


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """The exponents θ of overlaps and γ of gaps."""
    if (s := samples(table, arrays)) is None:
        return []
    where = f"last minima of {len(s.gaps)} nets, mean overlap {np.median(s.mean_overlap):.1g}, exploratory"
    result = []
    if (fit := s.theta()) is not None:
        text = f"about 0.3 ({_SOURCE})"
        result.append(Finding(f"θ, {where}", fit.exponent, text, *THETA))
    if (fit := s.gamma()) is not None:
        text = f"about 0.2 ({_SOURCE})"
        result.append(Finding(f"γ, {where}", -fit.exponent, text, *GAMMA))
    return result


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Losses during decompression, and densities of overlaps and gaps with fitted laws."""
    fig, (path, overlaps, gaps) = row_of_panels(3)
    _draw_paths(path, table, arrays)
    if (s := samples(table, arrays)) is not None:
        _draw_density(overlaps, s.overlaps, s.theta(), COLORS[0], (0.3, *THETA))
        _draw_density(gaps, s.gaps, s.gamma(), COLORS[1], (-0.2, -GAMMA[1], -GAMMA[0]))
    overlaps.set(title="Overlaps", xlabel="Δ / mean overlap", ylabel="$P_+$")
    gaps.set(title="Gaps", xlabel="-Δ", ylabel="$P_-$")
    for axes in (overlaps, gaps):
        axes.set(xscale="log", yscale="log")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower left")
    return fig


def _draw_density(
    axes: Axes,
    values: Sequence[ndarray],
    fit: PowerLaw | None,
    color: str,
    published: tuple[float, float, float],
) -> None:
    pooled = np.concatenate(list(values))
    edges = np.geomspace(1e-3, max(pooled.max(), 1), 25)
    counts, _ = np.histogram(pooled, edges)
    visible = counts > 0
    density = counts / np.diff(edges) / len(pooled)
    error = density / np.sqrt(np.maximum(counts, 1))
    middle = np.sqrt(edges[1:] * edges[:-1])
    axes.errorbar(middle[visible], density[visible], error[visible], fmt="o", color=color, markersize=3)
    if fit is None:
        return
    draw_power_law(axes, fit, "fit", color=color)
    exponent, *band = published
    at = float(np.sqrt(fit.x_range[0] * fit.x_range[1]))
    draw_published_exponent(
        axes,
        exponent,
        through=(at, float(fit(at))),
        between=fit.x_range,
        band=(band[0], band[1]),
        label=f"{exponent:g}, Geiger et al. 2019",
    )


def _draw_paths(axes: Axes, table: pd.DataFrame, arrays: Arrays) -> None:
    """Draw the loss of minima against remaining patterns per weight, with a mark at the last."""
    for name, n_weights in zip(table.index, table["n_weights"].to_numpy(), strict=True):
        path_of_net = arrays(str(name))
        if "path_n" in path_of_net:
            x, y = path_of_net["path_n"] / n_weights, path_of_net["path_loss"]
            axes.plot(x, y, "-", color=FAINT, linewidth=0.8)
            axes.plot(x[-1], y[-1], "o", color=COLORS[0] if y[-1] < NEAR else FAINT, markersize=4)
    draw_published(axes, None, (axes.get_ylim()[0], NEAR), "at jamming")
    axes.set(title="Decompression", xlabel="patterns left / $N$", ylabel="loss", yscale="log")
    axes.legend(loc="upper left")
