r"""Jamming of spheres: contacts of soft spheres jump from zero to isostaticity; analogue of jamming in nets.

**Question.** Spheres that repel when they overlap, with energy $\sum (1 - r/\sigma)^2 / 2$ over overlapping
pairs (the quadratic hinge of particles), are placed at random in a periodic box and relaxed to a minimum of
their energy. When do they reach a state without overlap, and how many contacts do they have otherwise?

**Law.** Below a packing fraction $\phi_J$, about 0.842 for discs of which half are 1.4 times as large as the
others, the energy and the number of contacts are zero (SAT). Above $\phi_J$ both are positive (UNSAT). At
$\phi_J$ the number of contacts per degree of freedom jumps from 0 to 1, the smallest value of a rigid packing
(isostatic). Its excess over 1 grows as $(\phi - \phi_J)^{1/2}$, the energy as $(\phi - \phi_J)^2$, and the
pressure as $\phi - \phi_J$. O'Hern, Silbert, Liu, Nagel, Phys. Rev. E 68, 011306 (2003); finite packings:
Goodrich, Liu, Nagel, Phys. Rev. Lett. 109, 095704 (2012). In nets the loss corresponds to the energy, a
positive gap to an overlap, the number of patterns per weight to the density, and unsatisfied patterns to
contacts. Unlike spheres, nets jump to less than 1 (`jamming_sharpness`).

**How.** A quench (`decompress_to` None) starts from random positions at a given $\phi$ and ends with a
verdict; the fraction of jammed quenches places the threshold. This does not resolve exponents: each packing
has a $\phi_J$ of its own, and these scatter by more than the distances of interest. A decompression therefore
follows one packing from a quench far above jamming down to its own $\phi_J$
(`symnets.setups.decompress_packing`), and exponents are those of averages over packings at equal distance
from it (`symnets.setups.average_packings`).

**Figure.** Contacts per degree of freedom of quenches against $\phi$; excess coordination, and energy and
pressure, against the distance to jamming.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from symnets.config import SEED, at_least, between, check_ranges, within
from symnets.estimates import Estimate, fit_power_law_seeds, mean_over_seeds
from symnets.report import (
    COLORS,
    draw_power_law,
    draw_published,
    draw_published_exponent,
    row_of_panels,
    style,
)
from symnets.setups import (
    PackingAverages,
    average_packings,
    count_contacts,
    decompress_packing,
    jamming_threshold,
    random_packing,
    relax_packing,
)
from symnets.sweeps import Arrays, Finding, Result, grid, report_progress

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS = ("A3",)

MAX_BATCH = 4
_OHERN = "O'Hern et al. 2003, Phys. Rev. E 68, 011306"
_PHI_J = {2: 0.842, 3: 0.648}
_EXPONENTS = {"coordination": (0.5, 0.45, 0.55), "energy": (2.0, 1.9, 2.1), "pressure": (1.0, 0.95, 1.05)}
_LABELS = {"coordination": "$Z - Z_{iso}$", "energy": "energy per sphere", "pressure": "pressure"}
_COLORS = dict(zip(_EXPONENTS, COLORS, strict=False))


@dataclass(frozen=True)
class Config:
    """Configuration of a packing of soft spheres, its quench and its decompression.

    Attributes:
        n_spheres: number of spheres, half of them 1.4 times as large as the others.
        dim: dimension of space.
        phi: packing fraction at which random positions are relaxed to a minimum of the energy.
        decompress_to: None for a quench; otherwise the packing is decompressed to this distance from its
            phi_J.
        seed: seed of the positions; quenches of one seed start from the same positions at every phi.
    """

    n_spheres: int = 256
    dim: int = 2
    phi: float = 0.84
    decompress_to: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_ranges(
            "",
            self,
            n_spheres=at_least(16),
            dim=within(2, 3),
            phi=between(0, 2),
            decompress_to=within(1e-6, 0.1),
            seed=SEED,
        )


def _steps(low: float, high: float, n: int) -> list[float]:
    return np.linspace(low, high, n).round(4).tolist()


PRESETS = {
    "quick": (
        *grid(Config, phi=_steps(0.81, 0.87, 13), seed=range(16)),
        *grid(Config, n_spheres=512, phi=0.9, decompress_to=1e-5, seed=range(12)),
    ),
    "paper": (
        *grid(Config, n_spheres=1024, phi=_steps(0.81, 0.87, 31), seed=range(100)),
        *grid(Config, n_spheres=1024, phi=0.9, decompress_to=1e-6, seed=range(50)),
        *grid(Config, n_spheres=1024, dim=3, phi=_steps(0.62, 0.67, 26), seed=range(50)),
        *grid(Config, n_spheres=1024, dim=3, phi=0.7, decompress_to=1e-6, seed=range(20)),
    ),
}


def batch_key(config: Config) -> Hashable:
    """Packings of one size, dimension and protocol, which take about equally long, share a batch."""
    return config.n_spheres, config.dim, config.decompress_to


def run(configs: Sequence[Config]) -> list[Result]:
    """Quench each packing, and decompress it if it is jammed and `decompress_to` is set.

    The row has `verdict`, `n_unsatisfied` (contacts), `n_effective` (degrees of freedom), `n_rattlers`,
    `energy` per sphere, `pressure`, `imbalance` of forces, `n_iterations`, all at the quench, and
    `phi_jamming` (None without decompression). Arrays hold the states during decompression: `phi`,
    `energy`, `pressure`, `n_contacts`, `n_effective`, `n_rattlers`.
    """
    results = []
    for k, config in enumerate(configs):
        report_progress(k / len(configs), f"packing {k + 1} of {len(configs)}")
        results.append(_run(config))
    return results


def _run(config: Config) -> Result:
    rng = np.random.default_rng(config.seed)
    quenched = relax_packing(random_packing(config.n_spheres, config.dim, config.phi, rng))
    measured = count_contacts(quenched)
    row = {
        "verdict": quenched.verdict,
        "n_unsatisfied": measured.n_contacts,
        "n_effective": measured.n_effective,
        "n_rattlers": measured.n_rattlers,
        "energy": measured.energy,
        "pressure": measured.pressure,
        "imbalance": quenched.imbalance,
        "n_iterations": quenched.n_iterations,
        "phi_jamming": None,
    }
    if config.decompress_to is None or quenched.verdict != "UNSAT":
        return Result(row)
    states = list(decompress_packing(quenched, to=config.decompress_to))
    arrays = {
        name: np.array([getattr(state.contacts, name) for state in states])
        for name in ("energy", "pressure", "n_contacts", "n_effective", "n_rattlers")
    }
    arrays["phi"] = np.array([state.minimum.packing.phi for state in states])
    return Result({**row, "phi_jamming": states[-1].phi_jamming}, arrays)


class _Quenches(NamedTuple):
    """Quenches of the largest packings of one dimension, including unconverged ones."""

    n_spheres: int
    phi: ndarray
    verdict: ndarray
    ratio: ndarray  # contacts per degree of freedom


def _quenches(table: pd.DataFrame, dim: int) -> _Quenches | None:
    column = {name: table[name].to_numpy() for name in table.columns}
    chosen = (column["dim"] == dim) & table["decompress_to"].isna().to_numpy()
    if not chosen.any():
        return None
    n = int(column["n_spheres"][chosen].max())
    chosen &= column["n_spheres"] == n
    ratio = column["n_unsatisfied"][chosen] / column["n_effective"][chosen]
    return _Quenches(n, column["phi"][chosen].astype(float), column["verdict"][chosen], ratio.astype(float))


def _decompressed(table: pd.DataFrame, arrays: Arrays, dim: int) -> tuple[int, PackingAverages] | None:
    """n and the averages of the largest decompressed packings of one dimension."""
    n_spheres, phi_jamming = table["n_spheres"].to_numpy(), table["phi_jamming"].to_numpy(dtype=float)
    chosen = (table["dim"].to_numpy() == dim) & ~np.isnan(phi_jamming)
    if not chosen.any():
        return None
    n = int(n_spheres[chosen].max())
    chosen &= n_spheres == n
    packings = [arrays(str(name)) for name in table.index.to_numpy()[chosen]]
    averages = average_packings(packings, phi_jamming[chosen].tolist(), n_spheres=n)
    return None if averages is None else (n, averages)


def _dimensions(table: pd.DataFrame) -> list[int]:
    return sorted({int(dim) for dim in table["dim"].to_numpy()})


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Threshold φ_J, jump of the contacts and exponents, for each dimension of space."""
    return [
        finding
        for dim in _dimensions(table)
        for finding in (*_quench_findings(table, dim), *_decompression_findings(table, arrays, dim))
    ]


def _quench_findings(table: pd.DataFrame, dim: int) -> Iterator[Finding]:
    if (quenches := _quenches(table, dim)) is None:
        return
    where, converged = f"{dim}-d, n = {quenches.n_spheres}", quenches.verdict != "UNCONVERGED"
    if (at := jamming_threshold(quenches.phi[converged], quenches.verdict[converged] == "UNSAT")) is not None:
        value = _PHI_J[dim]
        yield Finding(
            f"mean phi_J of quenches, {where}",
            at,
            f"{value} for n to infinity ({_OHERN})",
            value - 0.01,
            value + 0.01,
        )
    yield Finding(
        f"fraction of quenches with 0 < N_c/N < 0.95, {where}",
        Estimate(float(np.mean((quenches.ratio > 0) & (quenches.ratio < 0.95)))),
        f"0, a jump ({_OHERN})",
        0,
        0.1,
    )


def _decompression_findings(table: pd.DataFrame, arrays: Arrays, dim: int) -> Iterator[Finding]:
    if (decompressed := _decompressed(table, arrays, dim)) is None:
        return
    n, averages = decompressed
    where, ratio = f"{dim}-d, n = {n}", averages.at_jamming
    yield Finding(
        f"N_c/N at jamming, {where}",
        mean_over_seeds(ratio.tolist()),
        "1, isostatic (Goodrich et al. 2012, Phys. Rev. Lett. 109, 095704)",
        0.99,
        1.01,
    )
    for name, (published, low, high) in _EXPONENTS.items():
        fit = fit_power_law_seeds(averages.excess, getattr(averages, name))
        yield Finding(
            f"exponent of {name} in phi - phi_J, {where}",
            fit.exponent,
            f"{published:g} ({_OHERN})",
            low,
            high,
        )
    # The published laws of harmonic springs imply the same exponent in the pressure, which is better defined.
    fit = averages.coordination_law()
    published, low, high = _EXPONENTS["coordination"]
    yield Finding(
        f"exponent of coordination in pressure, {where}",
        fit.exponent,
        f"{published:g} (Goodrich et al. 2012, Phys. Rev. Lett. 109, 095704)",
        low,
        high,
    )


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """The jump of contacts, their growth past it, and energy and pressure, for the lowest dimension."""
    dim = _dimensions(table)[0]
    fig, (jump, coordination, energy) = row_of_panels(3)
    if (quenches := _quenches(table, dim)) is not None:
        _draw_jump(jump, quenches, dim)
    if (decompressed := _decompressed(table, arrays, dim)) is not None:
        _, averages = decompressed
        _draw_law(coordination, averages, "coordination")
        _draw_law(energy, averages, "energy")
        _draw_law(energy, averages, "pressure")
    jump.set(title="Jump of contacts", xlabel=r"packing fraction $\phi$", ylabel="contacts $N_c$ / $N$")
    coordination.set(title="Contacts past jamming", ylabel="coordination $Z - Z_{iso}$")
    energy.set(title="Energy and pressure", ylabel="energy, pressure")
    for axes in (coordination, energy):
        axes.set_xlabel(r"$\phi - \phi_J$ of each packing")
    return fig


def _draw_jump(axes: Axes, quenches: _Quenches, dim: int) -> None:
    for verdict, color in (("SAT", COLORS[2]), ("UNSAT", COLORS[1]), ("UNCONVERGED", COLORS[6])):
        visible = quenches.verdict == verdict
        if visible.any():
            x, y = quenches.phi[visible], quenches.ratio[visible]
            axes.plot(x, y, "o", color=color, markersize=3.5, alpha=0.4, label=verdict)
    draw_published(axes, _PHI_J[dim], label=f"$\\phi_J$ = {_PHI_J[dim]}\n(O'Hern 2003)", along="x")
    draw_published(axes, 1.0, label="isostatic, $N_c = N$")
    axes.legend(loc="center left", bbox_to_anchor=(0, 0.55), handlelength=1.5)


def _draw_law(axes: Axes, averages: PackingAverages, name: str) -> None:
    values: ndarray = getattr(averages, name)
    mean, error = values.mean(0), values.std(0, ddof=1) / np.sqrt(len(values))
    fit, color = fit_power_law_seeds(averages.excess, values), _COLORS[name]
    axes.errorbar(averages.excess, mean, error, fmt="o", color=color, markersize=4)
    draw_power_law(axes, fit, _LABELS[name], color=color)
    published, least, most = _EXPONENTS[name]
    middle = float(np.sqrt(averages.excess[0] * averages.excess[-1]))
    draw_published_exponent(
        axes,
        published,
        through=(middle, float(fit(middle))),
        between=(float(averages.excess[0]), float(averages.excess[-1])),
        band=(least, most),
        label=f"O'Hern et al. 2003: {published:g}",
    )
    axes.set(xscale="log", yscale="log")
    heights = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
    low, high = heights.min(), heights.max()
    axes.set_ylim(low / 1.5, high * (high / low) ** 0.45)  # room for the legend
    axes.legend(loc="upper left")
