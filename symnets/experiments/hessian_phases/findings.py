"""What the spectra of the three phases have to say about what was published."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from symnets.experiments.experiment import Arrays, Finding
from symnets.report.power_law import PowerLaw, fit_power_law

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
