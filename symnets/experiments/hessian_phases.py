r"""Hessians in three phases: spectra of over-parametrised, jammed and under-parametrised nets.

**Question.** The Hessian of the loss $L = \frac{1}{P} \sum \ell(f)$ of $P$ patterns is $H = H_0 + H_p$, with
$H_0 = \frac{1}{P} \sum \ell'' \nabla f \, \nabla f^T$ from the curvature of $\ell$ and $H_p = \frac{1}{P}
\sum \ell' \nabla^2 f$ from that of the output $f$. How do the spectra of both parts change at jamming?

**Law.** With the quadratic hinge only the $N_\Delta$ unsatisfied patterns contribute. Over-parametrised: $L =
0$ and $H = 0$. At jamming overlaps vanish, so that $H_p \to 0$ and $H \to H_0$ of rank $N_\Delta$, with a
$\delta$-peak at zero of weight $1 - N_\Delta/N$. Under-parametrised: $H_p$ fills the peak, and its scale
grows as $\sqrt{L}$. About half of the eigenvalues of $H_p$ are negative. Geiger et al. 2019,
arXiv:1809.09349.

**How.** Random points with random labels, dimension equal to width ($d = h$), ReLU, full-batch Adam, in
float64. Nets of one hidden layer have no biases. To reach jamming, a net is decompressed: patterns are
removed until the rest can almost be satisfied (`symnets.setups.decompress_net`). At the end both parts of the
Hessian are computed in closed form. $N_-$ is the number of negative eigenvalues of $H_p$. $N$ is here the
number of rows of $H$, biases included.

**Figure.** Cumulative spectra in the three phases, $N_-/N$ against depth, and the scale of $H_p$ against $L$.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symnets.data import Batch
from symnets.estimates import Estimate, PowerLaw, fit_power_law
from symnets.models import count_weights
from symnets.report import (
    COLORS,
    draw_power_law,
    draw_published,
    draw_published_exponent,
    row_of_panels,
    style,
)
from symnets.setups import (
    DecompressedConfig,
    JammedState,
    batch_key,
    decompress_net,
    loss_curvature,
    minimise,
)
from symnets.sweeps import Arrays, Finding, Result, Scalar, report_progress

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS = ("A7", "A8", "A9", "A10", "A13")

MAX_BATCH = 4


@dataclass(frozen=True)
class Config(DecompressedConfig):
    """Configuration of a net whose Hessian is computed at the end of its minimisation; P/N sets its phase."""

    decompressed: bool = False
    """Whether the net is first decompressed to its jamming point."""


def nets_at(
    ratios: Sequence[float], *, width: int, depth: int, seeds: int, **values: Any
) -> tuple[Config, ...]:
    """Configurations of nets of one shape with d = h, and P = ratio * N patterns for each ratio.

    Nets of one hidden layer have no biases, the case in which N_- = h is exact.
    """
    n_weights = count_weights(width, width, depth)
    return tuple(
        Config(round(ratio * n_weights), width, depth, dim=width, bias=depth > 1, seed=seed, **values)
        for ratio in ratios
        for seed in range(seeds)
    )


PRESETS = {
    # The longest runs first, so that the last batches of a sweep are short.
    "quick": (
        *nets_at((2.6,), width=14, depth=3, seeds=4, steps=6_000, steps_again=1_000, decompressed=True),
        *nets_at((2.6,), width=16, depth=2, seeds=8, steps=4_000, decompressed=True),
        *nets_at((5.0,), width=16, depth=2, seeds=4, steps=2_000),
        *nets_at((5.0,), width=14, depth=3, seeds=4, steps=2_000),
        *nets_at((1.0,), width=16, depth=2, seeds=4, steps=8_000),
        *nets_at((5.0,), width=16, depth=1, seeds=4, steps=3_000),
    ),
    "paper": (
        *nets_at((3.2,), width=30, depth=3, seeds=10, steps=500_000, steps_again=20_000, decompressed=True),
        *nets_at((3.2,), width=40, depth=2, seeds=10, steps=500_000, steps_again=20_000, decompressed=True),
        *nets_at((5.0, 1.0), width=30, depth=3, seeds=10, steps=500_000),
        *nets_at((5.0, 1.0), width=40, depth=2, seeds=10, steps=500_000),
        *nets_at((5.0,), width=40, depth=1, seeds=10, steps=500_000),
    ),
}


NUMBERS = ("n_params", "n_negative", "n_zero", "rank", "n_flat", "scale", "reach", "largest")


def run(configs: Sequence[Config]) -> list[Result]:
    """Minimise the losses of all nets together, decompress nets with `decompressed`, compute their Hessians.

    Rows are those of `Minimised.rows`, for the last minimum if decompressed, with the number `jammed_n_train`
    of remaining patterns (otherwise None), and the scalars of `Curvature`. Arrays: eigenvalues `h`, `h0` and
    `hp` of H, H0 and Hp; for decompressed nets `path_loss` and `path_scale`, loss and scale of Hp of all
    minima.

    The Hessian of SAT nets includes patterns with 0 < Δ <= tolerance; without them it would be zero by
    definition. For other nets these patterns are left out, as in N_Δ.
    """
    minimised = minimise(configs)
    results = []
    for k, (config, row) in enumerate(zip(configs, minimised.rows(configs), strict=True)):
        report_progress(k / len(configs), f"net {k + 1} of {len(configs)}")
        train = Batch(minimised.train.inputs[[k]], minimised.train.targets[[k]])
        minima = decompress_net(minimised.model.select([k]), train, config) if config.decompressed else []
        row |= {"jammed_n_train": minima[-1].n_train if minima else None}
        if not minima:
            tolerance = 0.0 if row["verdict"] == "SAT" else config.tolerance
            end, path = loss_curvature(minimised.model.member(k), _own(train), tolerance), {}
        else:
            row |= _jammed_row(minima[-1], config)
            steps = [
                loss_curvature(state.net.member(0), _own(state.train), config.tolerance) for state in minima
            ]
            end, losses = steps[-1], [state.loss for state in minima]
            path = {"path_loss": np.array(losses), "path_scale": np.array([c.scale for c in steps])}
        numbers = {name: getattr(end, name) for name in NUMBERS}
        spectra = {name: getattr(end, name).numpy() for name in ("h", "h0", "hp")}
        results.append(Result(row | numbers, spectra | path))
    return results


def _own(train: Batch) -> Batch:
    """The patterns of a single net, without the axis of members."""
    return Batch(train.inputs[0], train.targets[0])


def _jammed_row(state: JammedState, config: Config) -> dict[str, Scalar]:
    n_unsatisfied = int((state.gaps > config.tolerance).sum())
    return {
        "verdict": "UNSAT",
        "ratio": state.n_train / config.n_weights,
        "n_unsatisfied": n_unsatisfied,
        "unsatisfied_per_weight": n_unsatisfied / config.n_weights,
        "n_misclassified": int((state.gaps >= 1).sum()),
        "final_loss": state.loss,
        "hinge_loss": state.loss,
        "gradient_norm": None,
    }


_SOURCE = "Geiger et al. 2019, arXiv:1809.09349"
UNDER = 4.0  # smallest P/N of a net that is called under-parametrised
NEAR = 1e-3  # largest loss of a jammed net that is called near jamming
FLAT = 1e-3  # |Hp| of a SAT net counts as zero below this fraction of that of under-parametrised nets
LAW = 0.03  # the √L law is fitted below this loss
BAND = (0.45, 0.55)  # of N_-/N


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Hp of SAT nets; N_-, the δ-peak at zero and the √L law of UNSAT nets."""
    return [
        finding
        for depth, runs in by_depth(table)
        for part in (_over, _negative, _jamming, _root)
        for finding in part(runs, depth, arrays)
    ]


def by_depth(table: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
    """Runs of the widest nets of each depth, without those that diverged."""
    table = table.query("verdict != 'DIVERGED'")
    for depth in np.unique(table["depth"].to_numpy()):
        runs = table.query("depth == @depth")
        yield int(depth), runs.query("width == width.max()")


def at_minimum(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs at a minimum of positive loss, without those in which all unsatisfied patterns are trapped.

    With L > 0, Hp is exactly zero only if for each unsatisfied pattern all units of a layer are off.
    """
    return runs.query("verdict == 'UNSAT' and n_unsatisfied > 0 and reach > 0")


def jammed(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs that were decompressed to a minimum of positive loss."""
    return at_minimum(runs).dropna(subset=["jammed_n_train"])


def near_jamming(runs: pd.DataFrame) -> pd.DataFrame:
    """Jammed runs with a loss below `NEAR`."""
    return jammed(runs).query(f"hinge_loss < {NEAR}")


def under(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs at a minimum of positive loss with P/N of at least `UNDER`."""
    return at_minimum(runs).query(f"ratio >= {UNDER}")


def root_law(runs: pd.DataFrame, arrays: Arrays) -> PowerLaw | None:
    """Power law of the scale of Hp in L < `LAW`, averaged over decompressed nets.

    None with fewer than three nets that have at least three minima each.
    """
    fits = []
    for name in jammed(runs).index:
        path = arrays(str(name))
        near = path["path_loss"] < LAW
        if near.sum() >= 3:
            fits.append(fit_power_law(path["path_loss"][near], path["path_scale"][near]))
    if len(fits) < 3:
        return None
    exponents = np.array([fit.exponent.value for fit in fits])
    levels = np.array([np.log(fit.prefactor.value) for fit in fits])
    (slope, error), (level, level_error) = _mean(exponents), _mean(levels)
    return PowerLaw(
        exponent=Estimate(slope, error or 0.0),
        prefactor=Estimate(float(np.exp(level)), float(np.exp(level)) * (level_error or 0.0)),
        x_star=Estimate(0.0),
        residual=float(np.mean([f.residual for f in fits])),
        x_range=(min(f.x_range[0] for f in fits), max(f.x_range[1] for f in fits)),
        n_points=len(fits),
    )


def _over(runs: pd.DataFrame, depth: int, arrays: Arrays) -> Iterator[Finding]:
    """Largest |Hp| of SAT nets; not that of H0, which is discontinuous at Δ = 0."""
    sat, unsat = runs.query("verdict == 'SAT'"), under(runs)
    if len(sat) and len(unsat):
        where = f"{depth} layers ({len(sat)} runs)"
        name = f"largest |Hp| of SAT runs over the median at P/N >= {UNDER:g}, {where}"
        text = f"0: all directions flat ({_SOURCE})"
        reach = float(sat["reach"].to_numpy().max() / np.median(unsat["reach"].to_numpy()))
        yield Finding(name, Estimate(reach), text, 0.0, FLAT)


def _negative(runs: pd.DataFrame, depth: int, arrays: Arrays) -> Iterator[Finding]:
    runs = at_minimum(runs)
    if not len(runs):
        return
    if depth == 1:
        off = float(np.abs(runs["n_negative"].to_numpy() - runs["width"].to_numpy()).max())
        text = "0: exact for one hidden layer"
        yield Finding(f"largest |N_- - h|, one hidden layer ({len(runs)} runs)", Estimate(off), text, 0, 0)
        return
    share = (runs["n_negative"] / runs["n_params"]).to_numpy()
    text = f"about 1/2 ({_SOURCE})"
    where = f"{depth} layers ({len(runs)} runs, {share.min():.3f} to {share.max():.3f})"
    yield Finding(f"mean N_-/N of Hp, biases counted, {where}", _mean(share), text, *BAND)
    share = (runs["n_negative"] / (runs["n_params"] - runs["n_zero"])).to_numpy()
    yield Finding(f"mean N_- over non-zero eigenvalues of Hp, {depth} layers", _mean(share), text, *BAND)


def _jamming(runs: pd.DataFrame, depth: int, arrays: Arrays) -> Iterator[Finding]:
    minima, near = at_minimum(runs), near_jamming(runs)
    if depth > 1 and len(minima):
        stable = float(np.mean(minima["n_negative"].to_numpy() <= minima["n_unsatisfied"].to_numpy()))
        name = f"share of UNSAT runs with N_- <= N_Δ, {depth} layers ({len(minima)} runs)"
        yield Finding(name, Estimate(stable), f"1: stability ({_SOURCE})", 0.9, 1)
    if len(near):
        n = near["n_params"]
        expected = 1 - near["n_unsatisfied"] / n
        off = (1 - near["rank"] / n - expected).to_numpy()
        where = f"{depth} layers, loss < {NEAR:g} ({len(near)} runs)"
        text = f"0 ({_SOURCE})"
        yield Finding(f"weight of δ(λ) of H0, minus 1 - N_Δ/N, {where}", _mean(off), text, -0.02, 0.02)
        off = (near["n_flat"] / n - expected).to_numpy()
        name = f"share of eigenvalues of H within ±|Hp|, minus 1 - N_Δ/N, {where}"
        yield Finding(name, _mean(off), text, -0.05, 0.05)


def _root(runs: pd.DataFrame, depth: int, arrays: Arrays) -> Iterator[Finding]:
    if depth > 1 and (fit := root_law(runs, arrays)) is not None:
        name = f"exponent of the scale of Hp in L < {LAW}, {depth} layers ({fit.n_points} nets)"
        yield Finding(name, fit.exponent, f"1/2 ({_SOURCE})", 0.4, 0.6)


def _mean(values: np.ndarray) -> Estimate:
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return Estimate(float(values.mean()), error)


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Spectra in three phases at one depth that has them all, negative eigenvalues, and the √L law."""
    fig, (over, jamming, beyond, negative, law) = row_of_panels(5)
    depths = dict(by_depth(table))
    chosen = next(
        (d for d, runs in depths.items() if d > 1 and len(near_jamming(runs))), max(depths, default=0)
    )
    runs = depths.get(chosen, table)
    phases = (
        (over, "Over-parametrised", runs.query("verdict == 'SAT'").sort_values("hinge_loss")),
        (jamming, "Jamming", near_jamming(runs).sort_values("hinge_loss")),
        (beyond, "Under-parametrised", under(runs)),
    )
    for axes, title, some in phases:
        _draw_spectra(axes, some, arrays)
        axes.set_title(f"{title}, {chosen} layers")
    _draw_negative(negative, depths)
    _draw_law(law, depths, arrays)
    return fig


def _draw_spectra(axes: Axes, runs: pd.DataFrame, arrays: Arrays) -> None:
    """Draw cumulative spectra of the first run, on an axis that is linear near 0 and logarithmic beyond.

    A cumulative spectrum needs no bins; a δ-peak is a vertical step of its weight.
    """
    axes.set(xlabel="eigenvalue", ylabel="share of eigenvalues below")
    if not len(runs):
        return
    run, spectra = runs.iloc[0], arrays(str(runs.index[0]))
    below = (np.arange(len(spectra["h"])) + 0.5) / len(spectra["h"])
    for name, label, color in (
        ("h", "$H$", COLORS[6]),
        ("h0", "$H_0$", COLORS[0]),
        ("hp", "$H_p$", COLORS[1]),
    ):
        line = "--" if name == "h0" else "-"
        axes.step(spectra[name], below, line, color=color, label=label, where="mid")
    weight = 1 - run["n_unsatisfied"] / run["n_params"]
    if 0 < weight < 1:
        draw_published(axes, weight, label=r"$1 - N_\Delta/N$")
    axes.set_xscale("symlog", linthresh=1e-4, linscale=0.5)
    axes.set_xlim(-1, 1e3)
    axes.set_xticks([-1, -1e-2, 0, 1e-2, 1, 1e2])
    axes.text(
        0.03,
        0.97,
        f"$P/N$ = {run['ratio']:.1f}\nloss {run['hinge_loss']:.1e}",
        transform=axes.transAxes,
        va="top",
    )
    axes.legend(loc="lower right")


def _draw_negative(axes: Axes, depths: dict[int, pd.DataFrame]) -> None:
    draw_published(axes, 0.5, BAND, "1/2, Geiger et al. 2019")
    for depth, runs in depths.items():
        some = at_minimum(runs)
        if not len(some):
            continue
        share = some["n_negative"] / some["n_params"]
        spread = np.linspace(-0.15, 0.15, len(some))
        axes.plot(depth + spread, share, "o", color=COLORS[0], markersize=3, alpha=0.6)
        if depth == 1:
            exact = some["width"].iloc[0] / some["n_params"].iloc[0]
            axes.plot([0.7, 1.3], [exact, exact], color=COLORS[1], label="exact, $h/N$")
    axes.set(title="Negative eigenvalues of $H_p$", xlabel="hidden layers", ylabel="$N_-/N$", ylim=(0, 0.75))
    axes.set_xticks(list(depths))
    axes.legend(loc="upper left")


def _draw_law(axes: Axes, depths: dict[int, pd.DataFrame], arrays: Arrays) -> None:
    """Draw the scale of Hp against L for each decompressed net, with the fitted law."""
    deep = {depth: runs for depth, runs in depths.items() if depth > 1}
    for (depth, runs), color in zip(deep.items(), COLORS, strict=False):
        for name in jammed(runs).index:
            path = arrays(str(name))
            axes.plot(
                path["path_loss"], path["path_scale"], "o-", color=color, markersize=3, lw=0.4, alpha=0.6
            )
        if (fit := root_law(runs, arrays)) is not None:
            draw_power_law(axes, fit, f"{depth} layers", color=color)
            low, high = fit.x_range
            middle = float(np.sqrt(low * high))
            draw_published_exponent(
                axes,
                0.5,
                through=(middle, float(fit(middle))),
                between=(low, high),
                band=(0.4, 0.6),
                label="1/2, Geiger et al. 2019",
            )
    axes.set(title="Scale of $H_p$", xlabel="loss", ylabel=r"$|H_p|_F / \sqrt{N}$")
    axes.set(xscale="log", yscale="log")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right")
