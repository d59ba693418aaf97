r"""Jamming, the jump: the number of unsatisfied patterns is discontinuous at the transition.

**Question.** A net of $N$ weights is trained with the quadratic hinge on $P$ random points with random
labels. At which $P/N$ does minimisation cease to satisfy all points, and how many points $N_\Delta$ are
unsatisfied there?

**Law.** Below the transition $N_\Delta = 0$ and $L = 0$ (SAT). At the transition $N_\Delta/N$ jumps to a
finite value: at a minimum $H = H_0 + H_p$ has no negative eigenvalue, a finite fraction $C_0 \approx 1/2$ of
the eigenvalues of $H_p$ is negative, and $H_0$ has at most rank $N_\Delta$, so that $N_\Delta > C_0 N$. $L$
grows from 0 without a jump. Geiger et al. 2019, arXiv:1809.09349; for $d = h = 51$ and three hidden layers
the authors find the transition between $P/N = 2.80$ and $3.30$ after millions of steps.

**How.** Full-batch Adam (`symnets.setups.minimise`). The transition depends on the minimiser and on its
budget: with fewer steps it is found at a smaller $P/N$. A run whose loss still falls by a factor of two or
more within the second half of its budget is UNCONVERGED. It is drawn, and its $N_\Delta/N$ at the end is used
to place the transition, but not to look for a gap in $N_\Delta/N$.

**Figure.** $N_\Delta/N$ and $L$ against $P/N$, one mark for each run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symnets.estimates import Estimate, mean_over_seeds, transition
from symnets.models import count_weights
from symnets.observables import margins
from symnets.report import COLORS, draw_published, row_of_panels, style
from symnets.setups import NetConfig, batch_key, minimise
from symnets.sweeps import Arrays, Finding, Result

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS = ("A5",)

MAX_BATCH = 8
_SOURCE = "Geiger et al. 2019, arXiv:1809.09349"
GAP = (0.05, 0.3)  # of N_Δ/N, in which no converged run may lie
MARKS = {
    "SAT": ("o", COLORS[0]),
    "UNSAT": ("s", COLORS[1]),
    "UNCONVERGED": ("^", COLORS[4]),
    "DIVERGED": ("x", COLORS[6]),
}


@dataclass(frozen=True)
class Config(NetConfig):
    """Configuration of a net on random points; d = h as published.

    The learning rate is lower than in other experiments: large first steps turn off all units of the last
    layer for a few patterns, five to twenty, which then can no longer be satisfied.
    """

    rate: float = 0.2
    final_rate: float = 0.05
    jammed_above: float = 0.1
    """A run is jammed if N_Δ is more than this times N; the authors' rule."""


def _preset(widths: Sequence[int], ratios: Sequence[float], seeds: int, **values: Any) -> tuple[Config, ...]:
    depth = int(values.get("depth", 3))
    return tuple(
        Config(n_train=round(ratio * count_weights(h, h, depth)), width=h, dim=h, seed=seed, **values)
        for h in widths
        for ratio in ratios
        for seed in range(seeds)
    )


_FINE = tuple(np.arange(4.0, 1.95, -0.1).round(2).tolist())
PRESETS = {
    # The largest first: the last batches of a sweep should be short.
    "quick": _preset((14,), (3.5, 3.0, 2.75, 2.5, 2.25, 2.0, 1.75), 6, steps=25_000),
    "minute": _preset((12,), (3.5, 3.0, 2.75, 2.5, 2.25, 2.0, 1.75, 1.5), 4, steps=6_000),
    "paper": (
        *_preset((62,), _FINE, 10, depth=2, steps=2_000_000, dtype="float64"),
        *_preset((51,), _FINE, 10, depth=3, steps=2_000_000, dtype="float64"),
        *_preset((40,), _FINE, 10, depth=5, steps=2_000_000, dtype="float64"),
    ),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Minimise the losses of nets; rows are those of `Minimised.rows`, the array `gaps` has Δ at the end."""
    minimised = minimise(configs)
    gaps = margins(minimised.model, minimised.train, tolerance=configs[0].tolerance).gaps.cpu().numpy()
    return [Result(row, {"gaps": gaps[k]}) for k, row in enumerate(minimised.rows(configs))]


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """The gap in N_Δ/N, the position of the transition, and the size of the jump."""
    groups: Any = table.groupby(["depth", "width"])
    return [
        finding
        for (depth, width), runs in groups
        for finding in _findings(
            runs[runs["verdict"] != "DIVERGED"], f"random data, L = {depth}, d = h = {width}"
        )
    ]


def _findings(runs: Any, where: str) -> Iterator[Finding]:
    converged = runs[runs["verdict"].isin(["SAT", "UNSAT"])]
    share = converged["unsatisfied_per_weight"]
    n_within = int(((share > GAP[0]) & (share < GAP[1])).sum())
    counted = f"{n_within} of {len(converged)}, {len(runs) - len(converged)} UNCONVERGED left out"
    yield Finding(
        f"share of converged runs with {GAP[0]} < N_Δ/N < {GAP[1]}, {where} ({counted})",
        Estimate(n_within / len(converged) if len(converged) else float("nan")),
        f"none: a jump ({_SOURCE})",
        0,
        0.1,
    )
    at = transition(runs, "ratio", runs["unsatisfied_per_weight"] > runs["jammed_above"])
    published = f"2.80 to 3.30 for d = h = 51 after 10^7 steps ({_SOURCE}); 2 to 4 for d = h <= 20"
    yield Finding(f"P/N at which half of the runs are jammed, {where}", at, published, 2, 4)
    jammed = converged[share > converged["jammed_above"]]
    if len(jammed):
        lowest = jammed.loc[jammed["ratio"] == jammed["ratio"].min(), "unsatisfied_per_weight"]
        yield Finding(
            f"N_Δ/N of jammed converged runs at the smallest P/N that has any, {where}",
            mean_over_seeds(lowest.tolist()),
            f"above C_0, about 0.5 (read off figures; {_SOURCE})",
            0.35,
            1.0,
        )


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """N_Δ/N and L against P/N."""
    fig, (count, loss) = row_of_panels(2)
    draw_jump(count, table)
    _draw_runs(loss, table, "final_loss")
    loss.set(ylabel="loss $L$", title="Loss")
    loss.set_yscale("symlog", linthresh=1e-6, linscale=0.3)
    for axes in (count, loss):
        draw_published(axes, None, (2.8, 3.3), "published, d = h = 51", along="x")
        axes.legend()
    return fig


def draw_jump(axes: Axes, table: pd.DataFrame) -> None:
    """Draw N_Δ/N against P/N, with the published bound and the gap."""
    draw_published(axes, 0.5, None, "bound $C_0$ ≈ 0.5")
    draw_published(axes, None, GAP, "no converged run here")
    _draw_runs(axes, table, "unsatisfied_per_weight")
    axes.set(ylabel=r"$N_\Delta/N$", title="Unsatisfied patterns", ylim=(-0.05, None))
    axes.legend()


def _draw_runs(axes: Axes, table: Any, column: str) -> None:
    """Draw one mark for each run; runs of equal P/N are side by side."""
    step = 0.012 * np.ptp(table["ratio"])
    shift = (table["seed"] - table["seed"].mean()) * step / max(table["seed"].nunique() - 1, 1)
    for verdict, (marker, color) in MARKS.items():
        chosen = table["verdict"] == verdict
        if chosen.any():
            axes.plot(
                (table["ratio"] + shift)[chosen],
                table.loc[chosen, column],
                marker,
                color=color,
                markersize=4.5,
                markerfacecolor="none" if verdict == "UNCONVERGED" else color,
                label=verdict,
            )
    axes.set_xlabel("$P/N$")
