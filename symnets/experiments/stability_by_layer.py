"""Stability, layer by layer: sensitivity to deformations and noise against depth, before and after training.

**Question.** A trained net is less sensitive to deformations than to noise. Which layers are responsible, and
how does this develop with depth?

**Law.** $D$ is the sensitivity to deformations and $G$ that to noise of the same norm, as in
`stability_vs_error`, here of the output of each layer; $R = D/G$. After training, not before, $D$ falls with
depth, because layers pool in space or over channels, and $G$ rises, because a ReLU rectifies averaged noise,
which accumulates. So $R$ falls. Filters become smoother: their weight on the lowest frequencies of their grid
grows. Tomasini, Petrini, Cagnetta, Wyart 2022 (arXiv:2210.01506).

**How.** Nets, training and deformations as in `stability_vs_error`; layers are the outputs of activations, or
of whole blocks, and the logits. At initialization batch normalisations use the statistics of the batch. A
copy of the trained net with shuffled input channels (`symnets.observables.channel_shuffled`) shows what
remains of $R$ if only the shape of filters in space is kept; it and the net it is compared with use
statistics of the batch. Filters of 3 x 3 are projected on the eigenvectors of the Laplacian of their grid
(`symnets.observables.filter_projections`); the constant one has 1/9 of the weight in random filters. Rank
correlations with depth are means over seeds with standard errors, ratios are geometric means.

**Figure.** $D$, $G$, $R$ against depth, a row for each architecture: grey before training, blue after
training, dotted with statistics of the batch; and the share of the constant filter.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray
from scipy.stats import spearmanr
from torch import nn

from symnets.estimates import Seeds, by_net, mean_over_seeds
from symnets.observables import Stability, channel_shuffled, filter_projections
from symnets.report import COLORS, FAINT, logarithmic, style
from symnets.setups import (
    PUBLISHED,
    DeformedConfig,
    Precision,
    logit_columns,
    measure_stability,
    seeded_generator,
    train_classifier,
)
from symnets.sweeps import Arrays, Finding, Result, grid

__all__ = ["CLAIMS", "PRESETS", "Config", "figure", "findings", "run"]
CLAIMS = ("E3",)
_SOURCE = "Tomasini et al. 2022, arXiv:2210.01506"
_NETS = ("resnet", "vgg_bn", "vgg")
_LINES = {
    "start": ("start", "-", FAINT),
    "end": ("end", "-", COLORS[0]),
    "end_batch": ("end, statistics of the batch", ":", COLORS[0]),
    "shuffled": ("channels shuffled", ":", COLORS[1]),
}


@dataclass(frozen=True)
class Config(DeformedConfig):
    """Configuration of a convolutional net whose stability is measured layer by layer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.net.startswith("fc"):
            raise ValueError(f"net: expected one with convolutions, got {self.net!r}")


PRESETS = {
    "quick": grid(Config, net=_NETS, n_train=1000, min_steps=400, n_images=250, seed=range(3)),
    "hour": grid(
        Config,
        data=("cifar10", "fashion-mnist"),
        net=_NETS,
        n_train=10_000,
        max_steps=3000,
        seed=range(3),
    ),
    "paper": grid(
        Config,
        **PUBLISHED,
        net=_NETS,
        n_train=50_000,
    ),
}


def run(configs: Sequence[Config], *, precision: Precision = "float32") -> list[Result]:
    """Train nets and measure D, G and R of their layers.

    Rows are those of `TrainedClassifier.row`, with D, G, R of the logits after and before training. Arrays:
    `layers`, names; `start`, `end`, `end_batch` and `shuffled`: D, G and R, (3, layers), the last two with
    statistics of the batch; `filters_start` and `filters_end`: shares of the squared weights of 3 x 3 filters
    as in `filters`, (convolutions, 9).
    """
    return [_run(config, precision) for config in configs]


def _run(config: Config, precision: Precision) -> Result:
    trained = train_classifier(config, precision=precision)
    layers = depths(trained.net)
    generator = seeded_generator(config.seed, 3)
    shuffled = channel_shuffled(trained.net, generator=generator)
    start = measure_stability(trained.initial, trained.test, config, trained=False, layers=layers)
    end = measure_stability(trained.net, trained.test, config, trained=True, layers=layers)
    # Running statistics belong to the channels before shuffling, so both nets use those of the batch.
    shuffled_end, end_batch = (
        measure_stability(net, trained.test, config, trained=False, layers=layers)
        for net in (shuffled, trained.net)
    )
    parts = (start, end, end_batch, shuffled_end)
    arrays = {name: _values(part) for name, part in zip(_LINES, parts, strict=True)}
    arrays |= {
        "layers": np.array(end.layers),
        "filters_start": filters(trained.initial),
        "filters_end": filters(trained.net),
    }
    return Result(trained.row | logit_columns(end) | logit_columns(start, "_init"), arrays)


def depths(net: nn.Module) -> list[str]:
    """Names of the activations or blocks of a net, in order of depth."""
    features = net.get_submodule("features")
    kinds = ("relu", "block", "stem", "head")
    return [f"features.{name}" for name, _ in features.named_children() if name.startswith(kinds)]


def filters(net: nn.Module) -> ndarray:
    """Shares of the squared weights of 3 x 3 filters by frequency, (convolutions, 9).

    Filters are projected on the eigenvectors of the Laplacian of their grid, the constant one first. The
    first convolution and depthwise ones are included.
    """
    weights = [m.weight for m in net.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    shares = [filter_projections(weight).fractions for weight in weights]
    return torch.stack(shares).cpu().numpy() if shares else np.zeros((0, 9))


def _values(stability: Stability) -> ndarray:
    return np.stack([getattr(stability, name).value for name in "DGR"])


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Trends of D, G and R with depth, and the effects of training on filters and of shuffled channels."""
    return [finding for where, seeds in by_net(table, arrays) for finding in _findings(where, seeds)]


def _findings(where: str, seeds: Seeds) -> Iterator[Finding]:
    for row, (name, low, high, trend) in enumerate(
        (("D", -1.0, -0.5, "falls"), ("G", 0.5, 1.0, "rises"), ("R", -1.0, -0.5, "falls"))
    ):
        published = f"{name} {trend} with depth ({_SOURCE}); band ours"
        quantity = f"rank correlation of {name} with depth after training, {where}, {len(seeds)} seeds"
        yield Finding(quantity, mean_over_seeds([rank(s["end"][row]) for s in seeds]), published, low, high)
    quantity = f"D of the logits over D of the first layer, at the start over at the end, {where}"
    published = f"above 1: D falls after training, not before ({_SOURCE})"
    fall = [(s["start"][0, -1] / s["start"][0, 0]) / (s["end"][0, -1] / s["end"][0, 0]) for s in seeds]
    yield Finding(quantity, mean_over_seeds(fall, geometric=True), published, 1.0, np.inf)
    fell = [s["end_batch"][2, -1] / s["start"][2, -1] for s in seeds]
    quantity = f"R of the logits with statistics of the batch, end over start, {where}"
    published = "below 1: R falls in training (Petrini et al. 2021, arXiv:2105.02468)"
    yield Finding(quantity, mean_over_seeds(fell, geometric=True), published, 0.0, 1.0)
    grown = [s["filters_end"][:, 0].mean() / s["filters_start"][:, 0].mean() for s in seeds]
    published = f"above 1: filters become smoother ({_SOURCE})"
    quantity = f"share of the constant in filters, end over start, {where}"
    yield Finding(quantity, mean_over_seeds(grown, geometric=True), published, 1.0, np.inf)
    lost = [s["shuffled"][2, -1] / s["end_batch"][2, -1] for s in seeds]
    published = "above 1 if channels work together (exploratory)"
    quantity = f"R of the logits with shuffled channels over without, {where}"
    yield Finding(quantity, mean_over_seeds(lost, geometric=True), published, 1.0, np.inf)


def rank(values: ndarray) -> float:
    """Spearman correlation of the values of successive layers with depth."""
    return float(np.asarray(spearmanr(np.arange(len(values)), values))[0])


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """D, G, R and the share of constant filters against depth."""
    nets = list(by_net(table, arrays))
    fig = Figure(figsize=(14, 3.4 * len(nets)), layout="constrained")
    panels = fig.subplots(len(nets), 4, squeeze=False)
    for row, (where, seeds) in zip(panels, nets, strict=True):
        for axes, name in zip(row, "DGR", strict=False):
            draw_layers(axes, seeds, name)
        row[0].set(title=where)
        row[0].legend(fontsize=7.5)
        _draw_curve(row[3], [s["filters_start"][:, 0] for s in seeds], "start", "-", FAINT)
        _draw_curve(row[3], [s["filters_end"][:, 0] for s in seeds], "end", "-", COLORS[0])
        row[3].set(xlabel="convolution", ylabel="share of the constant in filters")
        row[3].axhline(1 / 9, color=FAINT, linestyle=":", linewidth=1)
    return fig


def draw_layers(axes: Axes, seeds: Seeds, name: str) -> None:
    """Draw D, G or R of one net against depth, before and after training."""
    row = "DGR".index(name)
    for part, (label, line, color) in _LINES.items():
        _draw_curve(axes, [s[part][row] for s in seeds], label, line, color)
    logarithmic(axes)
    layers = [str(layer).removeprefix("features.") for layer in seeds[0]["layers"]]
    axes.set_xticks(np.arange(len(layers)), layers, rotation=90, fontsize=7)
    axes.set(ylabel=f"${name}$")
    if name == "R":
        axes.axhline(1.0, color=FAINT, linestyle=":", linewidth=1)


def _draw_curve(axes: Axes, values: Sequence[ndarray], label: str, line: str, color: str) -> None:
    """Draw the geometric mean over seeds, and each seed in a faint line."""
    for curve in values:
        axes.plot(np.arange(len(curve)), curve, color=color, alpha=0.25, linewidth=0.8)
    mean = np.exp(np.mean(np.log(values), axis=0))
    axes.plot(np.arange(len(mean)), mean, line, color=color, marker="o", markersize=3.5, label=label)
