r"""Stability and the strength of deformations: relative stability against temperature and cutoff.

**Question.** $R = D/G$ compares the sensitivity $D$ to deformations with the sensitivity $G$ to noise of the
same norm. How does it depend on the strength and on the smoothness of the deformations?

**Law.** Deformations of temperature $T$ and cutoff $c$ are visible above $T_1$, where the displacement is
half a pixel, and mostly one-to-one below $T_2 = 4/(\pi^3 c^2 \ln c)$ (Petrini et al. 2021, arXiv:2105.02468).
Small deformations are linear: $D$ and $G$ grow as $T$, and $R$ is constant. If $R$ varies little between
$T_1$ and $T_2$, its value at one strength, 1 pixel in the other experiments, is representative.

**How.** One net, trained as in `stability_vs_error`, is evaluated on images with deformations of $c = 3, 5,
15$ at temperatures evenly spaced on the logarithmic scale from $T_1/15$ to $2 T_2$, as published; $T_1$ is
that of the published convention (logarithmic formula, modes with $\sqrt{i^2 + j^2} < c + 1/2$). Cutoffs for
which $T_1 > T_2$, that is $c > 2n/\pi$ for images of $n$ x $n$ pixels, are left out. Above $T_2$ fields that
fold are used like others. The fraction of fields that fold is estimated from 400 fields.

**Figure.** $D$, $G$, $R$ and the fraction that folds against $T$; colour is $c$, dashed lines are before
training, dotted lines $T_1$ and $T_2$.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy import ndarray

from symnets.config import at_least, check_ranges
from symnets.diffeo import SineField
from symnets.estimates import Seeds, by_net, fit_power_law, geometric_mean, mean_over_seeds
from symnets.report import COLORS, style
from symnets.setups import (
    PUBLISHED,
    SHAPES,
    DeformedConfig,
    Precision,
    measure_stability,
    stability_row,
    train_classifier,
)
from symnets.sweeps import Arrays, Finding, Result, grid, report_progress

__all__ = ["CLAIMS", "PRESETS", "Config", "figure", "findings", "run"]
CLAIMS = ("E1",)
CUTOFFS = (3.0, 5.0, 15.0)
_SOURCE = "Petrini et al. 2021, arXiv:2105.02468"


@dataclass(frozen=True)
class Config(DeformedConfig):
    """Configuration of a net whose stability is measured at a range of temperatures."""

    n_temperatures: int = 12
    """Number of temperatures from T1/15 to 2 T2, for each cutoff."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges("", self, n_temperatures=at_least(2))


PRESETS = {
    "quick": grid(
        Config, net=("vgg_bn", "fc2"), n_train=1000, min_steps=400, n_images=250, n_draws=2, seed=range(3)
    ),
    "hour": grid(
        Config,
        data=("mnist", "fashion-mnist", "cifar10"),
        net=("vgg_bn", "resnet", "lenet", "fc2"),
        n_train=5000,
        n_temperatures=20,
        n_draws=1,
        seed=range(2),
    ),
    "paper": grid(
        Config,
        **PUBLISHED,
        net=("resnet", "efficientnet"),
        n_train=50_000,
        n_temperatures=30,
    ),
}


def run(configs: Sequence[Config], *, precision: Precision = "float32") -> list[Result]:
    """Train nets and measure D, G and R over the range of temperatures.

    Rows as in `stability_vs_error`. Arrays: `cutoffs`; `range`, T1 and T2, (cutoffs, 2); `temperature`, and
    the fraction `folds` of fields that fold, (cutoffs, temperatures); `start` and `end`, D, G and R before
    and after training, (3, cutoffs, temperatures).
    """
    return [_run(config, precision) for config in configs]


def _run(config: Config, precision: Precision) -> Result:
    trained = train_classifier(config, precision=precision)
    row = stability_row(trained, config)
    fields = fields_with_range(config)
    ends = np.array([field.temperature_range(exact=False) for field in fields])
    temperature = np.geomspace(ends[:, 0] / 15, 2 * ends[:, 1], config.n_temperatures, axis=1)
    measured = {name: np.zeros((3, *temperature.shape)) for name in ("start", "end")}
    folds = np.zeros(temperature.shape)
    for place, t in np.ndenumerate(temperature):
        report_progress(place[0] / len(fields), f"cutoff {fields[place[0]].cutoff:g}, T = {t:.2g}")
        folds[place] = fields[place[0]].folding_probability(float(t))
        for name, net in (("start", trained.initial), ("end", trained.net)):
            stability = measure_stability(
                net,
                trained.test,
                config,
                trained=name == "end",
                field=fields[place[0]],
                temperature=float(t),
            )
            measured[name][:, *place] = [getattr(stability, letter).value[-1] for letter in "DGR"]
    cutoffs = np.array([field.cutoff for field in fields])
    arrays = {"cutoffs": cutoffs, "range": ends, "temperature": temperature, "folds": folds}
    return Result(row, arrays | measured)


def fields_with_range(config: DeformedConfig) -> list[SineField]:
    """Fields of the cutoffs that have T1 < T2."""
    shape = SHAPES[config.data][1:]
    rule = config.field.rule
    fields = [SineField(shape, cutoff=c, rule=rule) for c in CUTOFFS if c < 2 * min(shape) / np.pi]
    return [field for field in fields if np.diff(field.temperature_range(exact=False))[0] > 0]


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Exponent of D below T1, and variation of R between T1 and T2, for each net and cutoff."""
    return [finding for where, seeds in by_net(table, arrays) for finding in _findings(where, seeds)]


def _findings(where: str, seeds: Seeds) -> Iterator[Finding]:
    for k, cutoff in enumerate(seeds[0]["cutoffs"]):
        slopes = [slope(s, k) for s in seeds]
        published = "1: f is linear in small deformations (algebra)"
        yield Finding(
            f"exponent of D in T below T1, c = {cutoff:g}, {where}",
            mean_over_seeds(slopes),
            published,
            0.85,
            1.15,
        )
        spread = [variation(s, k) for s in seeds]
        if not np.isfinite(spread).any():  # the range is narrower than a step of the grid
            continue
        published = f"R is reported at one T ({_SOURCE}); band ours"
        name = f"largest R over smallest from T1 to T2, c = {cutoff:g}, {where}"
        yield Finding(name, mean_over_seeds(spread), published, 1.0, 2.0)


def slope(seed: Mapping[str, ndarray], k: int) -> float:
    """Exponent of D in T below T1 after training, for cutoff k; NaN with fewer than three values of T."""
    t, d = seed["temperature"][k], seed["end"][0, k]
    below = (t < seed["range"][k, 0]) & (d > 0)
    return fit_power_law(t[below], d[below]).exponent.value if below.sum() > 2 else float("nan")


def variation(seed: Mapping[str, ndarray], k: int) -> float:
    """Largest over smallest R from T1 to T2 after training, for cutoff k; NaN with fewer than two values."""
    t, r = seed["temperature"][k], seed["end"][2, k]
    inside = (t >= seed["range"][k, 0]) & (t <= seed["range"][k, 1])
    return float(r[inside].max() / r[inside].min()) if inside.sum() > 1 else float("nan")


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """D, G, R and the fraction of fields that fold against T."""
    nets = list(by_net(table, arrays))
    fig = Figure(figsize=(15, 3.5 * len(nets)), layout="constrained")
    panels = fig.subplots(len(nets), 4, squeeze=False)
    for row, (where, seeds) in zip(panels, nets, strict=True):
        for k, (cutoff, color) in enumerate(zip(seeds[0]["cutoffs"], COLORS, strict=False)):
            t = seeds[0]["temperature"][k]
            for quantity, axes in enumerate(row[:3]):
                for part, line in (("end", "o-"), ("start", "--")):
                    mean = geometric_mean([s[part][quantity, k] for s in seeds])
                    label = f"c = {cutoff:g}, {part}"
                    axes.plot(t, mean, line, color=color, markersize=3, linewidth=1.2, label=label)
            row[3].plot(t, seeds[0]["folds"][k], "o-", color=color, markersize=3, label=f"c = {cutoff:g}")
            for axes in row:
                for end in seeds[0]["range"][k]:
                    axes.axvline(end, color=color, linestyle=":", linewidth=0.9)
        for axes, name in zip(row, ("D", "G", "R"), strict=False):
            axes.set(xscale="log", yscale="log", xlabel="T", ylabel=f"${name}$ of the logits")
        row[3].set(xscale="log", xlabel="T", ylabel="fraction that folds")
        row[0].set(title=where)
        row[0].legend(fontsize=7)
        row[3].legend(fontsize=7)
    return fig
