r"""Jamming of spheres: contacts of soft spheres jump from zero to isostaticity, the analogue of nets.

**Question.** Spheres that repel when they overlap, with energy $\sum (1 - r/\sigma)^2 / 2$ over overlapping
pairs (the quadratic hinge of particles), are placed at random in a periodic box and relaxed to a minimum of
their energy. When do they reach a state without overlap, and how many contacts do they have otherwise?

**Law.** Below a packing fraction $\phi_J$, about 0.842 for discs of which half are 1.4 times as large as the
others, there is no energy and no contact (SAT). Above $\phi_J$ there is (UNSAT), and the number of contacts
per degree of freedom has jumped from 0 to 1, the least that makes a packing rigid (isostatic). From there it
grows as $(\phi - \phi_J)^{1/2}$, the energy as $(\phi - \phi_J)^2$, the pressure as $\phi - \phi_J$. O'Hern,
Silbert, Liu, Nagel, Phys. Rev. E 68, 011306 (2003); finite packings: Goodrich, Liu, Nagel, Phys. Rev. Lett.
109, 095704 (2012). In nets energy is loss, an overlap a positive gap, density the number of patterns per
weight, and contacts are unsatisfied patterns. Unlike spheres, nets jump to less than 1 (`jamming_sharpness`).

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
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from symnets.config import at_least, between, check_ranges, within
from symnets.estimates import PowerLaw, fit_power_law, fit_power_law_seeds
from symnets.report import COLORS, draw_published, draw_published_exponent, row_of_panels, style
from symnets.setups import Curves, contacts, curves, decompress_packing, random_packing, relax, threshold
from symnets.sweeps import Arrays, Finding, Result, grid, report_progress

MAX_BATCH = 4
_OHERN = "O'Hern et al. 2003, Phys. Rev. E 68, 011306"
_PHI_J = {2: 0.842, 3: 0.648}
_EXPONENTS = {"coordination": (0.5, 0.45, 0.55), "energy": (2.0, 1.9, 2.1), "pressure": (1.0, 0.95, 1.05)}
_LABELS = {"coordination": "$Z - Z_{iso}$", "energy": "energy per sphere", "pressure": "pressure"}
_COLOURS = dict(zip(_EXPONENTS, COLORS, strict=False))


@dataclass(frozen=True)
class Config:
    """One packing.

    Attributes:
        n_spheres: how many, half of them 1.4 times as large as the others.
        dim: of space.
        phi: packing fraction at which random positions slide down to a minimum.
        decompress_to: None: stop there; else go on down to this distance from the packing's own phi_J.
        seed: of the positions; quenches of one seed start from the same ones at every phi.
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
            seed=at_least(0),
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
    """Packings are minimised one by one; those of one kind take alike long."""
    return config.n_spheres, config.dim, config.decompress_to


def run(configs: Sequence[Config]) -> list[Result]:
    """Quenches each packing, and decompresses it if asked to and jammed.

    The row has `verdict`, `n_unsatisfied` (contacts), `n_effective` (degrees of freedom), `n_rattlers`,
    `energy` per sphere, `pressure`, `imbalance` of forces, `n_iterations`, all at the quench, and
    `phi_jamming` (None without decompression). Arrays hold what the packing passed on its way down: `phi`,
    `energy`, `pressure`, `n_contacts`, `n_effective`, `n_rattlers`.
    """
    results = []
    for k, config in enumerate(configs):
        report_progress(k / len(configs), f"packing {k + 1} of {len(configs)}")
        results.append(_run(config))
    return results


def _run(config: Config) -> Result:
    rng = np.random.default_rng(config.seed)
    quenched = relax(random_packing(config.n_spheres, config.dim, config.phi, rng))
    measured = contacts(quenched)
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
    """All quenches of the largest packings of one dimension, converged or not."""

    n_spheres: int
    phi: ndarray
    verdict: ndarray
    ratio: ndarray  # contacts per degree of freedom


def _quenches(table: pd.DataFrame, dim: int) -> _Quenches | None:
    column = {name: table[name].to_numpy() for name in table.columns}
    mine = (column["dim"] == dim) & table["decompress_to"].isna().to_numpy()
    if not mine.any():
        return None
    n = int(column["n_spheres"][mine].max())
    mine &= column["n_spheres"] == n
    ratio = column["n_unsatisfied"][mine] / column["n_effective"][mine]
    return _Quenches(n, column["phi"][mine].astype(float), column["verdict"][mine], ratio.astype(float))


def _decompressed(table: pd.DataFrame, arrays: Arrays, dim: int) -> tuple[int, Curves] | None:
    """n and the averages of the largest packings of one dimension that were decompressed."""
    n_spheres, phi_jamming = table["n_spheres"].to_numpy(), table["phi_jamming"].to_numpy(dtype=float)
    mine = (table["dim"].to_numpy() == dim) & ~np.isnan(phi_jamming)
    if not mine.any():
        return None
    n = int(n_spheres[mine].max())
    mine &= n_spheres == n
    names = table.index.to_numpy()[mine]
    found = curves([arrays(str(name)) for name in names], phi_jamming[mine].tolist(), n_spheres=n)
    return None if found is None else (n, found)


def _dimensions(table: pd.DataFrame) -> list[int]:
    return sorted({int(dim) for dim in table["dim"].to_numpy()})


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Threshold, jump and exponents against the published ones, for each dimension of space."""
    return [
        finding
        for dim in _dimensions(table)
        for finding in (*_of_quenches(table, dim), *_of_decompressed(table, arrays, dim))
    ]


def _of_quenches(table: pd.DataFrame, dim: int) -> Iterator[Finding]:
    if (quenches := _quenches(table, dim)) is None:
        return
    where, sure = f"{dim}-d, n = {quenches.n_spheres}", quenches.verdict != "UNCONVERGED"
    if (at := threshold(quenches.phi[sure], quenches.verdict[sure] == "UNSAT")) is not None:
        value = _PHI_J[dim]
        yield Finding(
            f"mean phi_J of quenches, {where}",
            at.phi,
            at.error,
            f"{value} for n to infinity ({_OHERN})",
            value - 0.01,
            value + 0.01,
        )
    yield Finding(
        f"fraction of quenches with 0 < N_c/N < 0.95, {where}",
        float(np.mean((quenches.ratio > 0) & (quenches.ratio < 0.95))),
        None,
        f"0, a jump ({_OHERN})",
        0,
        0.1,
    )


def _of_decompressed(table: pd.DataFrame, arrays: Arrays, dim: int) -> Iterator[Finding]:
    if (found := _decompressed(table, arrays, dim)) is None:
        return
    n, c = found
    where, ratio = f"{dim}-d, n = {n}", c.at_jamming
    yield Finding(
        f"N_c/N at jamming, {where}",
        float(ratio.mean()),
        float(ratio.std(ddof=1) / np.sqrt(len(ratio))),
        "1, isostatic (Goodrich et al. 2012, Phys. Rev. Lett. 109, 095704)",
        0.99,
        1.01,
    )
    for name, (published, low, high) in _EXPONENTS.items():
        fit = fit_power_law_seeds(c.excess, getattr(c, name))
        yield Finding(
            f"exponent of {name} in phi - phi_J, {where}",
            fit.exponent,
            fit.exponent_error,
            f"{published:g} ({_OHERN})",
            low,
            high,
        )
    # With harmonic springs the published laws make it the same exponent; the pressure is the cleaner axis.
    fit = coordination_law(c)
    published, low, high = _EXPONENTS["coordination"]
    yield Finding(
        f"exponent of coordination in pressure, {where}",
        fit.exponent,
        fit.exponent_error,
        f"{published:g} (Goodrich et al. 2012, Phys. Rev. Lett. 109, 095704)",
        low,
        high,
    )


def coordination_law(c: Curves, *, n_resamples: int = 500, seed: int = 0) -> PowerLaw:
    """Coordination against pressure, both averaged over packings.

    The errors come from resampling packings, pressure and coordination of one packing together.
    """

    def fit(chosen: ndarray) -> PowerLaw:
        return fit_power_law(c.pressure[chosen].mean(0), c.coordination[chosen].mean(0))

    n, rng = len(c.pressure), np.random.default_rng(seed)
    drawn = [fit(rng.integers(n, size=n)) for _ in range(n_resamples)]
    return replace(
        fit(np.arange(n)),
        exponent_error=float(np.std([f.exponent for f in drawn], ddof=1)),
        prefactor_error=float(np.std([f.prefactor for f in drawn], ddof=1)),
    )


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """The jump of contacts, their growth past it, and energy and pressure; the lowest dimension there is."""
    dim = _dimensions(table)[0]
    made, (jump, coordination, energy) = row_of_panels(3)
    if (quenches := _quenches(table, dim)) is not None:
        _draw_jump(jump, quenches, dim)
    if (found := _decompressed(table, arrays, dim)) is not None:
        _, c = found
        _draw_law(coordination, c, "coordination")
        _draw_law(energy, c, "energy")
        _draw_law(energy, c, "pressure")
    jump.set(title="Jump of contacts", xlabel=r"packing fraction $\phi$", ylabel="contacts $N_c$ / $N$")
    coordination.set(title="Contacts past jamming", ylabel="coordination $Z - Z_{iso}$")
    energy.set(title="Energy and pressure", ylabel="energy, pressure")
    for axes in (coordination, energy):
        axes.set_xlabel(r"$\phi - \phi_J$ of each packing")
    return made


def _draw_jump(axes: Axes, quenches: _Quenches, dim: int) -> None:
    for verdict, colour in (("SAT", COLORS[2]), ("UNSAT", COLORS[1]), ("UNCONVERGED", COLORS[6])):
        shown = quenches.verdict == verdict
        if shown.any():
            x, y = quenches.phi[shown], quenches.ratio[shown]
            axes.plot(x, y, "o", color=colour, markersize=3.5, alpha=0.4, label=verdict)
    draw_published(axes, _PHI_J[dim], label=f"$\\phi_J$ = {_PHI_J[dim]}\n(O'Hern 2003)", along="x")
    draw_published(axes, 1.0, label="isostatic, $N_c = N$")
    axes.legend(loc="center left", bbox_to_anchor=(0, 0.55), handlelength=1.5)


def _draw_law(axes: Axes, c: Curves, name: str) -> None:
    values: ndarray = getattr(c, name)
    mean, error = values.mean(0), values.std(0, ddof=1) / np.sqrt(len(values))
    fit, colour = fit_power_law_seeds(c.excess, values), _COLOURS[name]
    axes.errorbar(c.excess, mean, error, fmt="o", color=colour, markersize=4)
    fit.draw(axes, _LABELS[name], color=colour)
    published, least, most = _EXPONENTS[name]
    middle = float(np.sqrt(c.excess[0] * c.excess[-1]))
    draw_published_exponent(
        axes,
        published,
        through=(middle, float(fit(middle))),
        between=(float(c.excess[0]), float(c.excess[-1])),
        band=(least, most),
        label=f"O'Hern et al. 2003: {published:g}",
    )
    axes.set(xscale="log", yscale="log")
    heights = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
    low, high = heights.min(), heights.max()
    axes.set_ylim(low / 1.5, high * (high / low) ** 0.45)  # room for the legend
    axes.legend(loc="upper left")
