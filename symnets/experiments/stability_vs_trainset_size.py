r"""Stability and the number of images: relative stability falls as a power of the number of images.

**Question.** How does the relative stability $R$ fall with the number $P$ of training images? ($R$ is the
sensitivity to deformations divided by that to noise, see `stability_vs_error`.)

**Law.** $R$ falls as a power of $P$, and the test error with it (Petrini et al. 2021, arXiv:2105.02468, in
curves). Values from before the paper, for larger nets and longer trainings, are in the history of the
repository leonardopetrini/diffeo-sota (`symnets.setups.ARCHIVED`). Exponents of $R \sim P^{-a}$ that we
fitted to them from $P = 512$ on are 0.38 to 0.64 on CIFAR-10, 0.44 and 0.72 on Fashion-MNIST, 0.31 and 0.73
on MNIST.

**How.** As in `stability_vs_error`: 20 passes over the images within limits on the number of steps
(`symnets.setups.ClassifierConfig`), cutoff $c = 3$, $\delta = 1$ pixel in the published convention, $R$
averaged geometrically over seeds. The training set of a seed at one $P$ contains those at smaller $P$. The
law is fitted to the averages; its error comes from resampling seeds.

**Figure.** $R$ and test error against $P$, a row for each data set; archived values are dashed and grey.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symnets.estimates import NetCurves, fit_power_law
from symnets.report import FAINT, colors, style
from symnets.setups import (
    ARCHIVE_SOURCE,
    ARCHIVED,
    PUBLISHED,
    DeformedConfig,
    Precision,
    stability_row,
    train_classifier,
)
from symnets.sweeps import Arrays, Finding, Result, grid

__all__ = ["CLAIMS", "PRESETS", "Config", "figure", "findings", "run"]
CLAIMS = ("E2",)
LOW, HIGH = 0.25, 0.8
"""Band of a in R ~ P^-a, slightly wider than the range 0.31 to 0.73 of the archived curves."""
_COLUMNS = ("test_error", "R")


@dataclass(frozen=True)
class Config(DeformedConfig):
    """Configuration of a net and its training set."""


def _large_first(*configs: Config) -> tuple[Config, ...]:
    """Configurations with the longest runs first, so that the last runs of a sweep are short."""
    return tuple(sorted(configs, key=lambda c: -c.steps))


PRESETS = {
    "quick": _large_first(
        *grid(
            Config,
            net=("resnet", "vgg_bn", "lenet"),
            n_train=(100, 300, 1000, 3000),
            min_steps=400,
            max_steps=1000,
            n_images=250,
            seed=range(3),
        )
    ),
    "hour": _large_first(
        *grid(
            Config,
            data=("mnist", "fashion-mnist"),
            net=("efficientnet", "resnet", "vgg_bn", "lenet"),
            n_train=(128, 512, 2048, 8192, 32_768),
            max_steps=4000,
            seed=range(2),
        )
    ),
    "paper": _large_first(
        *grid(
            Config,
            **PUBLISHED,
            net=("efficientnet", "resnet", "vgg_bn"),
            n_train=tuple(64 * 2**k for k in range(10)),
        )
    ),
}


def run(configs: Sequence[Config], *, precision: Precision = "float32") -> list[Result]:
    """Train nets and measure D, G and R before and after training; rows as in `stability_vs_error`."""
    return [
        Result(stability_row(train_classifier(config, precision=precision), config)) for config in configs
    ]


def by_net(table: pd.DataFrame) -> Iterator[tuple[str, str, NetCurves]]:
    """Data set, name, and curves of R and test error, for each net."""
    for data in dict.fromkeys(table["data"]):
        curves = NetCurves.from_table(table.query("data == @data"), *_COLUMNS)
        for net in curves.nets:
            yield str(data), net, curves.net(net)


def exponent(curves: NetCurves) -> float:
    """Exponent a of R ~ P^-a for one net; NaN with fewer than three sizes."""
    r = curves.mean("R")[0]
    there = np.isfinite(r)
    return -fit_power_law(curves.sizes[there], r[there]).exponent.value if there.sum() > 2 else float("nan")


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """The exponent of R in P for each net."""
    result = []
    for data, net, curves in by_net(table):
        where = f"{net}, {data}, P = {curves.sizes[0]} to {curves.sizes[-1]}"
        known = [
            f"{-fit_power_law(c.sizes[c.sizes >= 500], c.r[c.sizes >= 500]).exponent.value:.2f} {name}"
            for (images, name), c in ARCHIVED.items()
            if images == data
        ]
        text = f"{', '.join(known) or 'none'} ({ARCHIVE_SOURCE}, larger nets, P >= 500)"
        text += f"; band a in {LOW} to {HIGH}"
        result.append(Finding(f"a of R ~ P^-a, {where}", curves.estimate(exponent), text, LOW, HIGH))
    return result


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """R and test error against P, with archived values."""
    kinds = list(dict.fromkeys(table["data"]))
    fig = Figure(figsize=(9.2, 3.7 * len(kinds)), layout="constrained")
    panels = dict(zip(kinds, fig.subplots(len(kinds), 2, squeeze=False), strict=True))
    nets = list(dict.fromkeys(table["net"]))
    for data, row in panels.items():
        _draw_archived(row, str(data))
        row[0].set(title=str(data), ylabel="$R$ of the logits")
        row[1].set(ylabel="test error ε")
    for data, net, curves in by_net(table):
        color = dict(zip(nets, colors(len(nets)), strict=True))[net]
        a, error = curves.estimate(exponent)
        slope = f", a = {a:.2f}" + ("" if error is None else f" ± {error:.2f}")
        for axes, name in zip(panels[data], ("R", "test_error"), strict=True):
            value, spread = curves.mean(name)[0], curves.error(name)[0]
            spread = value * spread if name == "R" else spread
            label = net + slope * (name == "R")
            axes.errorbar(
                curves.sizes, value, spread, fmt="o-", markersize=4, capsize=2, color=color, label=label
            )
    for row in panels.values():
        for axes in row:
            axes.set(xscale="log", yscale="log", xlabel="training images P")
            axes.legend(fontsize=7.5)
    return fig


def _draw_archived(row: Sequence[Axes], data: str) -> None:
    marks = iter("sDv")
    for (images, net), curve in ARCHIVED.items():
        if images != data:
            continue
        mark = next(marks)
        for axes, values in zip(row, (curve.r, curve.error), strict=True):
            axes.plot(
                curve.sizes,
                values,
                mark + "--",
                color=FAINT,
                markersize=3.5,
                linewidth=1,
                label=f"archived {net}",
            )
