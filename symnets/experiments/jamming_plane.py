r"""Jamming, the plane: the number of weights at the transition against the number of patterns.

**Question.** How many weights $N^*$ does a net need to satisfy $P$ patterns, when labels are random, and when
they are the parity of handwritten digits?

**Law.** Random data: $N^*$ is proportional to $P$, below the bound $N^* < P/C_0 = 2P$, for any depth. MNIST
parity: structured data need fewer weights, and $\log N^*$ grows with $\log P$ with a slope of about 3/4.
Geiger et al. 2019 (arXiv:1809.09349), Spigler et al. 2019 (arXiv:1810.09665).

**How.** For each $P$ nets of several widths are trained. A run is jammed if the number of unsatisfied
patterns is $N_\Delta > 0.1 N$ at the end of its budget of steps (the authors' rule), and $N^*$ is where half
of the seeds are jammed. Its error combines the scatter of the seeds and the distance between two widths; the
fit weighs points by it. $N^*$ depends on the minimiser and its budget: the smaller the budget, the larger
$N^*$.

**Figure.** $N^*$ against $P$ with fitted lines, the bound, and the share of jammed runs at each point.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from symnets.estimates import Estimate, PowerLaw, fit_power_law, transition
from symnets.report import COLORS, FAINT, draw_power_law, style
from symnets.setups import NetConfig, batch_key, minimise
from symnets.sweeps import Arrays, Finding, Result

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS = ("A4", "A6", "A12")

MAX_BATCH = 8
_SOURCE = "Geiger et al. 2019, arXiv:1809.09349"
SLOPES = {  # data: published slope, and the band of agreement
    "random": (f"1, N* proportional to P ({_SOURCE})", 0.85, 1.15),
    "mnist": (f"about 3/4 (Spigler et al. 2019, arXiv:1810.09665; {_SOURCE})", 0.6, 0.9),
}


@dataclass(frozen=True)
class Config(NetConfig):
    """Configuration of a net at a point of the plane of P and N, the numbers of patterns and weights."""

    rate: float = 0.2
    final_rate: float = 0.05
    steps: int = 12_000
    jammed_above: float = 0.1
    """A run is jammed if N_Δ is more than this times N."""


def _points(data: str, widths: dict[int, Sequence[int]], seeds: int, **values: Any) -> Iterator[Config]:
    for n_train, row in widths.items():
        for width in row:
            for seed in range(seeds):
                # Learning rate min(0.004, 0.2 h^(-3/2)): with larger ones narrow nets lose patterns.
                rate = round(min(0.2, 0.004 * width**1.5), 4)
                yield Config(data=data, n_train=n_train, width=width, seed=seed, rate=rate, **values)


PRESETS = {
    "quick": (
        *_points(
            "random",
            {
                2000: (20, 18, 16, 14),
                1400: (17, 15, 14, 13),
                1000: (15, 13, 12, 11, 10, 9),
                700: (13, 12, 11, 10, 9, 8),
                500: (13, 12, 11, 10, 9, 8, 7),
            },
            3,
        ),
        *_points(
            "mnist",
            {
                4000: (17, 15, 13, 11),
                2000: (15, 13, 11, 10, 8),
                1000: (12, 10, 8, 7, 6),
                500: (9, 7, 6, 5, 4),
            },
            3,
        ),
    ),
    "paper": (
        *_points(
            "random",
            {
                p: sorted({round(f * (p / 5) ** 0.5) for f in np.linspace(0.7, 1.5, 13)})
                for p in (500, 2000, 8000, 30_000)
            },
            10,
            steps=1_000_000,
            dtype="float64",
        ),
        *_points(
            "mnist",
            {
                p: sorted({round(f * p**0.375) for f in np.linspace(0.4, 1.2, 13)})
                for p in (500, 2000, 8000, 30_000)
            },
            10,
            steps=1_000_000,
            dtype="float64",
        ),
    ),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Minimise the losses of nets; rows are those of `Minimised.rows` with `jammed`."""
    rows = minimise(configs).rows(configs)
    return [
        Result({**row, "jammed": bool(row["n_unsatisfied"] > config.jammed_above * config.n_weights)})  # pyright: ignore
        for row, config in zip(rows, configs, strict=True)
    ]


@dataclass(frozen=True)
class Line:
    """The jamming line N*(P) of one kind of data.

    Attributes:
        points: a row for each P, with N* and its error.
        law: N* = A P^a; None with fewer than three points.
    """

    points: pd.DataFrame
    law: PowerLaw | None


def line(runs: Any) -> Line:
    """N* for each P, interpolated in log N, and a power law fitted to them, weighted by their errors.

    Runs that diverged are left out; a P whose N* is outside the range of widths has no point.
    """
    runs = runs[runs["verdict"] != "DIVERGED"]
    rows, group = [], runs
    for n_train, group in runs.groupby("n_train"):
        # Nets jam as N decreases.
        log_n = group.assign(log_n=-np.log(group["n_weights"]))
        at = transition(log_n, "log_n", group["jammed"])
        if np.isfinite(at.value):
            n_star = float(np.exp(-at.value))
            rows.append({"n_train": n_train, "n_star": n_star, "error": n_star * (at.error or 0.0)})
    points = pd.DataFrame(rows, columns=["n_train", "n_star", "error"])  # pyright: ignore
    known = points[points["error"] > 0]
    law = None
    if len(known) >= 3:
        law = fit_power_law(known["n_train"], known["n_star"], error=known["error"])
    return Line(points, law)


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Slopes of log N* against log P, and the bound on N*/P."""
    result = []
    runs: Any
    for data, runs in table.groupby("data"):
        at = line(runs)
        if at.law is not None:
            text, low, high = SLOPES.get(str(data), ("none", 0.6, 1.0))
            name = f"slope of log N* against log P, {data}, {at.law.n_points} values of P"
            result.append(Finding(name, at.law.exponent, text, low, high))
        if len(at.points):
            worst = (
                at.points.assign(ratio=at.points["n_star"] / at.points["n_train"])
                .nlargest(1, "ratio")
                .iloc[0]
            )
            ratio = Estimate(float(worst["ratio"]), float(worst["error"] / worst["n_train"]))
            text = f"N* < P/C_0, about 2 P ({_SOURCE})"
            result.append(Finding(f"largest N*/P, {data}", ratio, text, 0, 2))
    return result


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Plane of N and P: a mark for each point, dark where runs are jammed, with N* and the fitted line."""
    kinds = sorted(table["data"].unique())
    fig = Figure(figsize=(4.4 * len(kinds), 3.8), layout="constrained")
    for axes, data in zip(fig.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        runs: Any = table[table["data"] == data]
        share = runs.groupby(["n_train", "n_weights"])["jammed"].mean().reset_index()
        axes.scatter(
            share["n_train"],
            share["n_weights"],
            c=share["jammed"],
            cmap="Greys",
            vmin=-0.3,
            s=28,
            edgecolors=FAINT,
        )
        at = line(runs)
        p = np.geomspace(runs["n_train"].min(), runs["n_train"].max(), 50)
        axes.plot(p, 2 * p, "--", color=FAINT, label="bound $N^* < 2P$ ($C_0$ = 0.5)")
        axes.errorbar(
            at.points["n_train"],
            at.points["n_star"],
            at.points["error"],
            fmt="o",
            color=COLORS[1],
            label="$N^*$",
        )
        if at.law is not None:
            draw_power_law(axes, at.law, "fit", color=COLORS[1])
            published = {"random": 1.0, "mnist": 0.75}.get(str(data))
            if published:
                middle = np.sqrt(p[0] * p[-1])
                axes.plot(
                    p,
                    at.law(middle) * (p / middle) ** published,
                    ":",
                    color=COLORS[0],
                    label=f"published slope {published:g}",
                )
        axes.set(xscale="log", yscale="log", xlabel="$P$", ylabel="$N$", title=f"{data}: dark is jammed")
        axes.set_xticks(
            sorted(runs["n_train"].unique()), [f"{p:,}" for p in sorted(runs["n_train"].unique())]
        )
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(NullFormatter())
        axes.legend(fontsize=8)
    return fig
