r"""Hessians in three phases: spectra of over-parametrised, jammed and under-parametrised nets.

**Question.** The Hessian of the loss of $P$ patterns is $H = H_0 + H_p$, with $H_0 = \frac{1}{P} \sum \ell''
\nabla f \, \nabla f^T$ from the curvature of the loss and $H_p = \frac{1}{P} \sum \ell' \nabla^2 f$ from that
of the net. How do the spectra of both parts change at jamming?

**Law.** With the quadratic hinge only the $N_\Delta$ unsatisfied patterns contribute. Over-parametrised: $L =
0$ and $H = 0$. At jamming overlaps vanish, so that $H_p \to 0$ and $H \to H_0$ of rank $N_\Delta$, with a
$\delta$-peak at zero of weight $1 - N_\Delta/N$. Under-parametrised: $H_p$ fills the peak, and its scale
grows as $\sqrt{L}$. About half of the eigenvalues of $H_p$ are negative. Geiger et al. 2019,
arXiv:1809.09349.

**How.** Random points with random labels, $d = h$, ReLU, full-batch Adam, in float64. Nets of one hidden
layer have no biases. Near jamming a net is decompressed: patterns are taken away until the rest can almost be
satisfied (`symnets.setups.decompress_net`). At the end both parts of the Hessian are computed in closed form,
and $N_-$, the number of negative eigenvalues of $H_p$, by inertia. $N$ is here the number of rows of $H$,
biases included.

**Figure.** Cumulative spectra in the three phases, $N_-/N$ against depth, and the scale of $H_p$ against $L$.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from symnets.data import Batch
from symnets.estimates import PowerLaw, fit_power_law
from symnets.models import Dense, count_weights
from symnets.observables import margins
from symnets.observables.curvature import HessianSplit, hessian_split, inertia, spectrum
from symnets.report import COLORS, draw_published, draw_published_exponent, row_of_panels, style
from symnets.setups import DecompressedConfig, JammedState, batch_key, decompress, minimise
from symnets.sweeps import Arrays, Finding, Result, Scalar, report_progress
from symnets.training import QuadraticHinge

__all__ = ["MAX_BATCH", "PRESETS", "Config", "batch_key", "nets_at"]

MAX_BATCH = 4


@dataclass(frozen=True)
class Config(DecompressedConfig):
    """A net of which the Hessian is taken at the end. P/N decides in which phase it is."""

    decompressed: bool = False
    """Whether it is led down to its jamming point first."""


def nets_at(
    ratios: Sequence[float], *, width: int, depth: int, seeds: int, **values: Any
) -> tuple[Config, ...]:
    """Nets of one shape with d = h, and P = ratio N patterns for each ratio.

    Without biases if there is one hidden layer: so the exact law N_- = h is stated.
    """
    n_weights = count_weights(width, width, depth)
    return tuple(
        Config(round(ratio * n_weights), width, depth, dim=width, bias=depth > 1, seed=seed, **values)
        for ratio in ratios
        for seed in range(seeds)
    )


PRESETS = {
    # The longest first: the last batches of a sweep should be short.
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
    """Minimises all nets together, decompresses each if asked to, and takes its Hessian.

    Rows as `Minimised.rows` tells them, of the last minimum if decompressed, with `jammed_n_train` patterns
    left (None otherwise); and the fields and properties of `Curvature` that are numbers. Arrays: eigenvalues
    of H, H0 and Hp, named h, h0 and hp; of decompressed nets `path_loss` and `path_scale` of all minima.

    SAT nets have the Hessian of the loss as it is: patterns with 0 < Δ <= tolerance are in it. Without them
    it would be zero by definition. Elsewhere they are left out, as they are from N_Δ.
    """
    found = minimise(configs)
    results = []
    for k, (config, row) in enumerate(zip(configs, found.rows(configs), strict=True)):
        report_progress(k / len(configs), f"net {k + 1} of {len(configs)}")
        train = Batch(found.train.inputs[[k]], found.train.targets[[k]])
        minima = decompress(found.model.select([k]), train, config) if config.decompressed else []
        row |= {"jammed_n_train": minima[-1].n_train if minima else None}
        if not minima:
            tolerance = 0.0 if row["verdict"] == "SAT" else config.tolerance
            end, path = curvature(found.model.member(k), _own(train), tolerance), {}
        else:
            row |= _jammed_row(minima[-1], config)
            steps = [curvature(state.net.member(0), _own(state.train), config.tolerance) for state in minima]
            end, losses = steps[-1], [state.loss for state in minima]
            path = {"path_loss": np.array(losses), "path_scale": np.array([c.scale for c in steps])}
        numbers = {name: getattr(end, name) for name in NUMBERS}
        spectra = {name: getattr(end, name).numpy() for name in ("h", "h0", "hp")}
        results.append(Result(row | numbers, spectra | path))
    return results


def _own(train: Batch) -> Batch:
    """Patterns of a single net, without the axis of members."""
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


@dataclass(frozen=True)
class Curvature:
    """What is measured of H = H0 + Hp, of n_params rows.

    Attributes:
        h: eigenvalues of H, ascending, (n_params,).
        h0: those of H0.
        hp: those of Hp.
        n_negative: N_-, negative eigenvalues of Hp, by inertia.
        n_zero: eigenvalues of Hp that are zero to rounding.
        rank: of H0, up to rounding; at most N_Δ.
    """

    h: Float[Tensor, "n_params"]
    h0: Float[Tensor, "n_params"]
    hp: Float[Tensor, "n_params"]
    n_negative: int
    n_zero: int
    rank: int

    @property
    def n_params(self) -> int:
        """Parameters of the net, biases included."""
        return len(self.h)

    @property
    def scale(self) -> float:
        """|Hp|_F / √n_params, the root mean square of the eigenvalues of Hp."""
        return float(self.hp.square().mean().sqrt())

    @property
    def reach(self) -> float:
        """|Hp|, its largest eigenvalue in modulus: no eigenvalue of H0 is moved farther (Weyl)."""
        return float(self.hp.abs().max())

    @property
    def largest(self) -> float:
        """The largest eigenvalue of H or Hp in modulus."""
        return max(self.reach, float(self.h.abs().max()))

    @property
    def n_flat(self) -> int:
        """Eigenvalues of H within ± |Hp|: those of the δ at 0 of H0, and whatever else lies there."""
        return int((self.h.abs() <= self.reach * (1 + 1e-9)).sum())


def curvature(net: Dense, batch: Batch, tolerance: float) -> Curvature:
    """Curvature of the mean quadratic hinge, in float64 whatever the net was trained in.

    Patterns with a gap of at most the tolerance count as satisfied and add nothing; with tolerance 0 it is
    the Hessian of the loss as it is. Zero to rounding is what `inertia` takes for it.
    """
    net = net.double()
    x, y = batch.inputs.double(), batch.targets.double()
    missed = margins(net, Batch(x, y), tolerance=tolerance).unsatisfied
    n_params = sum(p.numel() for p in net.parameters())
    if not bool(missed.any()):
        zero = torch.zeros(n_params, dtype=torch.float64)
        return Curvature(zero, zero, zero, 0, n_params, 0)
    share = float(missed.double().mean())
    part = hessian_split(net, QuadraticHinge(), Batch(x[missed], y[missed]))
    split = HessianSplit(part.h0 * share, part.hp * share)
    h, h0, hp = (spectrum(matrix).eigenvalues.cpu() for matrix in (split.h, split.h0, split.hp))
    of_hp = inertia(split.hp)
    return Curvature(
        h, h0, hp, int(of_hp.n_negative), int(of_hp.n_zero), n_params - int(inertia(split.h0).n_zero)
    )


_SOURCE = "Geiger et al. 2019, arXiv:1809.09349"
UNDER = 4.0  # from this P/N on a net is called under-parametrised
NEAR = 1e-3  # a loss below this, and not zero, is called jamming
FLAT = 1e-3  # Hp of a satisfied net is called zero below this share of that of an under-parametrised one
LAW = 0.03  # the √L law is fitted below this loss
BAND = (0.45, 0.55)  # of N_-/N


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Hp vanishes where all is satisfied; N_-, the δ at 0 and the √L law where it is not."""
    return [
        finding
        for depth, runs in by_depth(table)
        for part in (_over, _negative, _jamming, _root)
        for finding in part(runs, depth, arrays)
    ]


def by_depth(table: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
    """Runs of the widest nets of each depth, diverged ones left out."""
    table = table.query("verdict != 'DIVERGED'")
    for depth in np.unique(table["depth"].to_numpy()):
        runs = table.query("depth == @depth")
        yield int(depth), runs.query("width == width.max()")


def at_minimum(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs whose loss is positive and no longer falls, unless all unsatisfied patterns are trapped.

    With L > 0, Hp = 0 to the last bit only if for each unsatisfied pattern a whole layer is off.
    """
    return runs.query("verdict == 'UNSAT' and n_unsatisfied > 0 and reach > 0")


def jammed(runs: pd.DataFrame) -> pd.DataFrame:
    """Decompressed runs that were jammed."""
    return at_minimum(runs).dropna(subset=["jammed_n_train"])


def near_jamming(runs: pd.DataFrame) -> pd.DataFrame:
    """Jammed runs with a small loss."""
    return jammed(runs).query(f"hinge_loss < {NEAR}")


def under(runs: pd.DataFrame) -> pd.DataFrame:
    """Under-parametrised runs."""
    return at_minimum(runs).query(f"ratio >= {UNDER}")


def root_law(runs: pd.DataFrame, arrays: Arrays) -> PowerLaw | None:
    """Scale of Hp against L below `LAW`: mean over decompressed nets of their exponents, with its error.

    None with fewer than three nets of at least three minima each.
    """
    fits = []
    for name in jammed(runs).index:
        found = arrays(str(name))
        near = found["path_loss"] < LAW
        if near.sum() >= 3:
            fits.append(fit_power_law(found["path_loss"][near], found["path_scale"][near]))
    if len(fits) < 3:
        return None
    exponents = np.array([fit.exponent for fit in fits])
    levels = np.array([np.log(fit.prefactor) for fit in fits])
    (slope, error), (level, level_error) = _mean(exponents), _mean(levels)
    return PowerLaw(
        exponent=slope,
        exponent_error=error or 0.0,
        prefactor=float(np.exp(level)),
        prefactor_error=float(np.exp(level)) * (level_error or 0.0),
        x_star=0.0,
        x_star_error=0.0,
        residual=float(np.mean([f.residual for f in fits])),
        x_range=(min(f.x_range[0] for f in fits), max(f.x_range[1] for f in fits)),
        n_points=len(fits),
    )


def _over(runs: pd.DataFrame, depth: int, arrays: Arrays) -> Iterator[Finding]:
    """Of Hp alone: H0 jumps at Δ = 0, and says only whether a net is on the border or within."""
    sat, unsat = runs.query("verdict == 'SAT'"), under(runs)
    if len(sat) and len(unsat):
        where = f"{depth} layers ({len(sat)} runs)"
        name = f"largest |Hp| of SAT runs over the median at P/N >= {UNDER:g}, {where}"
        text = f"0: all directions flat ({_SOURCE})"
        reach = float(sat["reach"].to_numpy().max() / np.median(unsat["reach"].to_numpy()))
        yield Finding(name, reach, None, text, 0.0, FLAT)


def _negative(runs: pd.DataFrame, depth: int, arrays: Arrays) -> Iterator[Finding]:
    runs = at_minimum(runs)
    if not len(runs):
        return
    if depth == 1:
        off = float(np.abs(runs["n_negative"].to_numpy() - runs["width"].to_numpy()).max())
        text = "0: exact for one hidden layer"
        yield Finding(f"largest |N_- - h|, one hidden layer ({len(runs)} runs)", off, None, text, 0, 0)
        return
    share = (runs["n_negative"] / runs["n_params"]).to_numpy()
    text = f"about 1/2 ({_SOURCE})"
    where = f"{depth} layers ({len(runs)} runs, {share.min():.3f} to {share.max():.3f})"
    yield Finding(f"mean N_-/N of Hp, biases counted, {where}", *_mean(share), text, *BAND)
    share = (runs["n_negative"] / (runs["n_params"] - runs["n_zero"])).to_numpy()
    yield Finding(f"mean N_- over non-zero eigenvalues of Hp, {depth} layers", *_mean(share), text, *BAND)


def _jamming(runs: pd.DataFrame, depth: int, arrays: Arrays) -> Iterator[Finding]:
    minima, near = at_minimum(runs), near_jamming(runs)
    if depth > 1 and len(minima):
        stable = float(np.mean(minima["n_negative"].to_numpy() <= minima["n_unsatisfied"].to_numpy()))
        name = f"share of UNSAT runs with N_- <= N_Δ, {depth} layers ({len(minima)} runs)"
        yield Finding(name, stable, None, f"1: stability ({_SOURCE})", 0.9, 1)
    if len(near):
        n = near["n_params"]
        expected = 1 - near["n_unsatisfied"] / n
        off = (1 - near["rank"] / n - expected).to_numpy()
        where = f"{depth} layers, loss < {NEAR:g} ({len(near)} runs)"
        text = f"0 ({_SOURCE})"
        yield Finding(f"weight of δ(λ) of H0, minus 1 - N_Δ/N, {where}", *_mean(off), text, -0.02, 0.02)
        off = (near["n_flat"] / n - expected).to_numpy()
        name = f"share of eigenvalues of H within ±|Hp|, minus 1 - N_Δ/N, {where}"
        yield Finding(name, *_mean(off), text, -0.05, 0.05)


def _root(runs: pd.DataFrame, depth: int, arrays: Arrays) -> Iterator[Finding]:
    if depth > 1 and (fit := root_law(runs, arrays)) is not None:
        name = f"exponent of the scale of Hp in L < {LAW}, {depth} layers ({fit.n_points} nets)"
        yield Finding(name, fit.exponent, fit.exponent_error, f"1/2 ({_SOURCE})", 0.4, 0.6)


def _mean(values: np.ndarray) -> tuple[float, float | None]:
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return float(values.mean()), error


_SOURCE = "Geiger et al. 2019"


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Five panels; spectra are those of the depth that has runs in all three phases."""
    made, (over, jamming, beyond, negative, law) = row_of_panels(5)
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
    return made


def _draw_spectra(axes: Axes, runs: pd.DataFrame, arrays: Arrays) -> None:
    """Cumulative spectra of the first run, on an axis that is linear about 0 and logarithmic beyond.

    A cumulative spectrum needs no bins; a δ at 0 is a vertical step of its weight.
    """
    axes.set(xlabel="eigenvalue", ylabel="share of eigenvalues below")
    if not len(runs):
        return
    run, found = runs.iloc[0], arrays(str(runs.index[0]))
    below = (np.arange(len(found["h"])) + 0.5) / len(found["h"])
    for name, label, colour in (
        ("h", "$H$", COLORS[6]),
        ("h0", "$H_0$", COLORS[0]),
        ("hp", "$H_p$", COLORS[1]),
    ):
        line = "--" if name == "h0" else "-"
        axes.step(found[name], below, line, color=colour, label=label, where="mid")
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
    draw_published(axes, 0.5, BAND, f"1/2, {_SOURCE}")
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
    """Paths of decompressed nets, each to its jamming point."""
    drawn = {depth: runs for depth, runs in depths.items() if depth > 1}
    for (depth, runs), colour in zip(drawn.items(), COLORS, strict=False):
        for name in jammed(runs).index:
            found = arrays(str(name))
            axes.plot(
                found["path_loss"], found["path_scale"], "o-", color=colour, markersize=3, lw=0.4, alpha=0.6
            )
        if (fit := root_law(runs, arrays)) is not None:
            fit.draw(axes, f"{depth} layers", color=colour)
            low, high = fit.x_range
            middle = float(np.sqrt(low * high))
            draw_published_exponent(
                axes,
                0.5,
                through=(middle, float(fit(middle))),
                between=(low, high),
                band=(0.4, 0.6),
                label=f"1/2, {_SOURCE}",
            )
    axes.set(title="Scale of $H_p$", xlabel="loss", ylabel=r"$|H_p|_F / \sqrt{N}$")
    axes.set(xscale="log", yscale="log")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right")
