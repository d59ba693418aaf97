r"""Stability and the test error: relative stability against test error over architectures.

**Question.** Do nets classify well because they are stable to smooth deformations of images?

**Law.** Let $D$ be the mean squared change of the logits under a deformation and $G$ that under noise of the
same norm, both divided by the mean squared distance between the logits of two images, and let $R = D/G$. At
initialization $R \approx 1$ for all architectures. Training lowers it, in good nets by orders of magnitude,
and across architectures $\epsilon \approx 0.2 \sqrt{R}$ for the test error $\epsilon$; $D$ alone does not
predict $\epsilon$. Petrini et al. 2021 (arXiv:2105.02468), 15 architectures on CIFAR-10.

**How.** Eight architectures of `symnets.models.IMAGE_NETS`, of a size that a CPU core trains in seconds,
several seeds and several numbers $P$ of training images. Cross-entropy, AdamW, random shifts by up to an
eighth of the image, a number of steps that fits the training set (`symnets.setups.ClassifierConfig`). $D$ and
$G$ are means over 500 test images with four deformations and noises each. Deformations have $\delta = 1$
pixel at cutoff $c = 3$ in the published convention (5 on CIFAR-10; 0.6 pixels at $c = 2$ on the 8 x 8
digits), and the noise has the norm of each deformation. At initialization batch normalisations use the
statistics of the batch, after training the running ones, as published; `stability_during_training` measures
how much of the fall of $R$ is due to this change. Over seeds $D$, $G$ and $R$ are averaged geometrically,
test errors arithmetically. A point is an architecture at one $P$. Errors of correlations and exponents come
from resampling architectures, and the seeds of each. Fully connected nets, for which $R$ stays above 1, are
smooth functions of the image: their $R$ does not measure learned invariance.

**Figure.** $\epsilon$ against $R$, $D$ and $G$, a row for each data set; colour is the architecture, size is
$P$, crosses are $R$ at initialization.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from symnets.estimates import NetCurves, fit_power_law, log_correlation, rank_correlation
from symnets.models import IMAGE_NETS
from symnets.report import FAINT, colors, logarithmic, style
from symnets.setups import PUBLISHED, DeformedConfig, Precision, stability_row, train_classifier
from symnets.sweeps import Arrays, Finding, Result, grid

__all__ = ["CLAIMS", "PRESETS", "Config", "figure", "findings", "run"]
CLAIMS = ("E2",)
_SOURCE = "Petrini et al. 2021, arXiv:2105.02468"
_COLUMNS = ("test_error", "R", "D", "G", "R_init")
# The slowest first, so that the last runs of a sweep are short.
_NETS = ("efficientnet", "resnet", "vgg_bn", "vgg", "alexnet", "lenet", "fc4", "fc2")
_PUBLISHED_SIZES = (500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
_DENSE = {"optimiser": "adamw", "rate": 1e-3, "weight_decay": 0.0}


@dataclass(frozen=True)
class Config(DeformedConfig):
    """Configuration of a net and its training set."""


def _slow_first(*configs: Config) -> tuple[Config, ...]:
    return tuple(sorted(configs, key=lambda c: (-c.steps, _NETS.index(c.net))))


PRESETS = {
    # No download. At 8 x 8 pixels deformations with c = 3 and one pixel would fold.
    "quick": _slow_first(
        *grid(
            Config,
            data="digits",
            net=_NETS,
            n_train=(200, 1000),
            n_test=500,
            min_steps=400,
            seed=range(2),
            cutoff=2.0,
            delta=0.6,
            n_images=250,
        )
    ),
    "minutes": _slow_first(
        *grid(Config, net=_NETS, n_train=(250, 1000), min_steps=400, seed=range(2), n_images=250)
    ),
    # Fewer sizes and seeds for images with three channels, which take longer.
    "hour": _slow_first(
        *grid(Config, data=("mnist", "fashion-mnist"), net=_NETS, n_train=(500, 2000, 10_000), seed=range(3)),
        *grid(Config, data="cifar10", net=_NETS, n_train=(500, 5000), seed=range(2), cutoff=5.0),
    ),
    "paper": _slow_first(
        *grid(Config, **PUBLISHED, net=_NETS[:3], n_train=_PUBLISHED_SIZES),
        *grid(Config, **(PUBLISHED | {"rate": 0.01}), net=_NETS[3:6], n_train=_PUBLISHED_SIZES),
        *grid(Config, **(PUBLISHED | _DENSE), net=_NETS[6:], n_train=_PUBLISHED_SIZES),
    ),
}


def run(configs: Sequence[Config], *, precision: Precision = "float32") -> list[Result]:
    """Train nets and measure D, G and R of their logits before and after training.

    Rows are those of `symnets.setups.stability_row`: D, G, R after training with their 95 % intervals (D_low,
    D_high, ...), and the same before training (D_init, ...).
    """
    return [
        Result(stability_row(train_classifier(config, precision=precision), config)) for config in configs
    ]


def by_data(table: pd.DataFrame) -> Iterator[tuple[str, NetCurves]]:
    """Name and curves of the nets, for each data set."""
    for data in dict.fromkeys(table["data"]):
        yield str(data), NetCurves.from_table(table.query("data == @data"), *_COLUMNS)


def law(curves: NetCurves) -> tuple[float, float]:
    """Prefactor and exponent of ε = A R^a over all nets and sizes; NaN with fewer than three values of R."""
    r, error = curves.mean("R").ravel(), curves.mean("test_error").ravel()
    good = np.isfinite(r) & (error > 0)
    if len(np.unique(r[good])) < 3:
        return float("nan"), float("nan")
    fit = fit_power_law(r[good], error[good])
    return fit.prefactor.value, fit.exponent.value


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Correlations of R, D and G with ε, the exponent of ε in R, and R at initialization."""
    return [finding for data, curves in by_data(table) for finding in _findings(data, curves)]


def _findings(data: str, curves: NetCurves) -> Iterator[Finding]:
    where = f"{data}, {len(curves.nets)} nets, P = {', '.join(map(str, curves.sizes))}"
    rank, logs = rank_correlation("R", "test_error"), log_correlation("R", "test_error")
    close = f"positive, for ε = 0.2 √R ({_SOURCE}); band ours"
    yield Finding(f"Spearman correlation of R and ε, {where}", curves.estimate(rank), close, 0.7, 1.0)
    yield Finding(f"correlation of log R and log ε, {where}", curves.estimate(logs), close, 0.7, 1.0)
    if len(curves.sizes) > 1:
        most = curves.at(curves.sizes[-1])
        name = f"Spearman correlation of R and ε, {data}, {len(curves.nets)} nets at P = {curves.sizes[-1]}"
        yield Finding(name, most.estimate(rank), close, 0.7, 1.0)
    d = rank_correlation("D", "test_error")
    published = "D predicts ε less well than R; band ours"
    name = f"Spearman correlation of D and ε minus that of R, {where}"
    yield Finding(name, curves.estimate(lambda c: d(c) - rank(c)), published, -2.0, -1e-9)
    g = rank_correlation("G", "test_error")
    published = "negative: nets that classify well are less robust to noise (ours)"
    yield Finding(f"Spearman correlation of G and ε, {where}", curves.estimate(g), published, -1.0, -0.3)
    exponent = curves.estimate(lambda c: law(c)[1])
    yield Finding(f"exponent of ε in R, {where}", exponent, f"1/2, on CIFAR-10 ({_SOURCE})", 0.35, 0.65)
    start = curves.estimate(lambda c: float(np.exp(np.nanmean(np.log(c.mean("R_init"))))))
    published = f"of order 1 ({_SOURCE}); band ours"
    yield Finding(f"R at the start, geometric mean, {where}", start, published, 0.3, 3.0)


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Test error ε against R, D and G."""
    kinds = list(by_data(table))
    fig = Figure(figsize=(13.2, 3.7 * len(kinds)), layout="constrained")
    panels = fig.subplots(len(kinds), 3, squeeze=False, sharey="row")
    for row, (data, curves) in zip(panels, kinds, strict=True):
        for axes, name in zip(row, "RDG", strict=True):
            _draw(axes, curves, name)
            axes.set(xscale="log", xlabel=f"${name}$ of the logits")
            logarithmic(axes)
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        row[0].set(title=data, ylabel="test error ε")
        start, error = curves.mean("R_init"), curves.mean("test_error")
        row[0].plot(start.ravel(), error.ravel(), "x", color=FAINT, markersize=4, label="R at the start")
        _laws(row[0], curves)
        row[0].legend(fontsize=7.5)
    fig.legend(*panels[0, 2].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return fig


def _draw(axes: Axes, curves: NetCurves, name: str) -> None:
    x, error = curves.mean(name), curves.mean("test_error")
    x_error, y_error = x * curves.error(name), curves.error("test_error")
    order = [net for net in IMAGE_NETS if net in curves.nets]
    for net, color in zip(order, colors(len(order)), strict=True):
        k = curves.nets.index(net)
        bars: dict[str, Any] = {"fmt": "none", "color": color, "linewidth": 0.8}
        axes.errorbar(x[k], error[k], y_error[k], x_error[k], **bars)
        sizes = 18 * (1 + np.arange(len(curves.sizes)))
        axes.scatter(x[k], error[k], s=sizes, color=color, label=net if name == "G" else "_")


def _laws(axes: Axes, curves: NetCurves) -> None:
    r = curves.mean("R")
    x = np.geomspace(np.nanmin(r), np.nanmax(r), 50)
    axes.plot(x, 0.2 * np.sqrt(x), "--", color=FAINT, label="published, CIFAR-10: 0.2 $R^{1/2}$")
    prefactor, exponent = law(curves)
    if np.isfinite(exponent):
        fit = f"fit: {prefactor:.2g} $R^{{{exponent:.2f}}}$"
        axes.plot(x, prefactor * x**exponent, color="#000000", linewidth=1.2, label=fit)
