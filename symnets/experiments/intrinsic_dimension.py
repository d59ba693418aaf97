r"""Intrinsic dimension: images have few dimensions, and nets that learn features reduce them.

**Question.** What is the intrinsic dimension of images of digits, and do hidden layers keep it?

**Law.** Where points have a smooth density in $d$ dimensions, the ratio $\mu$ of the distances from a point
to its second and to its first neighbour has the distribution $d \mu^{-d-1}$, $\mu > 1$, at any number density
of points. The measured ratios thus give $d$ (TwoNN; Facco et al. 2017, doi:10.1038/s41598-017-11873-y). MNIST
images of 784 pixels have 7 to 13 dimensions, depending on the scale (Pope et al. 2021, arXiv:2104.08894).
Along the layers of trained nets the dimension falls towards the output (Ansuini et al. 2019,
arXiv:1905.12784), where training has compressed directions that do not matter for the labels. In the lazy
regime weights hardly move, and hidden layers keep the dimension that they have in random nets.

**How.** Known manifolds: 2,000 Gaussian points of $d$ dimensions, mapped into 20 by a random smooth function.
Images: raw pixels of 2,000 MNIST images. Hidden layers: nets of three hidden layers of 100 ReLU on MNIST
parity, 14 x 14 pixels, $P = 200$ training patterns, trained by gradient flow at $\tilde\alpha = 0.01$
(feature regime) and 100 (lazy) until all patterns are satisfied; the dimension is that of the pre-activations
of 1,000 held-out images. `last_layer_pca` has the principal components along training. The bands are ours.

**Figure.** Measured against known dimension, with MNIST; dimension by layer, before and after training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from symnets.config import SEED, at_least, check_ranges
from symnets.data import balanced_subset, gaussian_cloud, load_images, parity_labels
from symnets.estimates import mean_over_seeds
from symnets.observables import hidden_representations
from symnets.observables.kernels import twonn
from symnets.report import COLORS, FAINT, draw_published, row_of_panels, style
from symnets.setups import RegimeConfig, seeded_generator, train_regime
from symnets.sweeps import Arrays, Finding, Result, Scalar, grid

__all__ = ["CLAIMS", "PRESETS", "Config", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ("D11",)
DEPTH = 3
_FACCO = "Facco et al. 2017"
_ANSUINI = "Ansuini et al. 2019, arXiv:1905.12784"
_AMBIENT = 20  # dimensions into which manifolds are bent


@dataclass(frozen=True)
class Config:
    """Configuration of a set of points, or of a net, whose intrinsic dimensions are measured."""

    task: Literal["manifold", "images", "layers"] = "manifold"
    """What is measured: a manifold, images, or the hidden layers of a net before and after training."""
    dim: int = 2
    """d, dimension of a manifold."""
    n_points: int = 2000
    """Number of points whose dimension is measured."""
    images: str = "mnist"
    """Image data set."""
    alpha_tilde: float = 0.01
    """α̃, scale of the net: features for α̃ << 1, lazy for α̃ >> 1."""
    n_train: int = 200
    """P, patterns on which the net is trained."""
    seed: int = 0
    """Seed of points, images and weights."""

    def __post_init__(self) -> None:
        check_ranges("", self, dim=at_least(1), n_points=at_least(10), n_train=at_least(2), seed=SEED)


PRESETS = {
    "quick": grid(Config, dim=(1, 2, 5, 10), seed=range(3))
    + grid(Config, task="images", seed=range(3))
    + grid(Config, task="layers", n_points=1000, alpha_tilde=(0.01, 100.0), seed=range(3)),
    "paper": grid(Config, dim=(1, 2, 5, 10), n_points=10_000, seed=range(5))
    + grid(Config, task="images", n_points=10_000, seed=range(3))
    + grid(Config, task="layers", n_points=5000, n_train=2000, alpha_tilde=(0.01, 100.0), seed=range(5)),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Measure the intrinsic dimensions of points, or of the hidden layers of trained nets.

    Rows have the `dimension` of the points or, for a net, of the held-out images. For a net they also have
    the dimensions `initial_k` and `final_k` of hidden layer k before and after training, which are NaN
    otherwise.
    """
    return [_run(config) for config in configs]


def _run(config: Config) -> Result:
    row: dict[str, Scalar] = {"verdict": "DONE"}
    row |= {f"{moment}_{k}": float("nan") for moment in ("initial", "final") for k in range(1, DEPTH + 1)}
    if config.task == "layers":
        return Result(row | _layers(config))
    points = manifold(config) if config.task == "manifold" else _images(config)
    return Result(row | {"dimension": twonn(points).dimension})


def manifold(config: Config) -> Tensor:
    """Gaussian points of d dimensions, mapped by x -> A x + sin(B x)/2 with random matrices A and B."""
    generator = seeded_generator(config.seed, 1)
    x, a, b = (
        gaussian_cloud(n, config.dim, generator=generator) for n in (config.n_points, _AMBIENT, _AMBIENT)
    )
    return x @ a.T + (x @ b.T).sin() / 2


def _images(config: Config) -> Tensor:
    images = load_images(config.images, "train")
    labels = parity_labels(images.labels).double()
    return images.flat()[balanced_subset(labels, config.n_points, config.seed)].double() / 255


def _layers(config: Config) -> dict[str, Scalar]:
    regime = RegimeConfig(
        n_train=config.n_train,
        n_test=config.n_points,
        data=config.images,
        pixels=14 if config.images == "mnist" else 8,
        depth=DEPTH,
        alpha_tilde=config.alpha_tilde,
        seed=config.seed,
    )
    trained = train_regime([regime])
    x = trained.test.inputs[0]
    row: dict[str, Scalar] = {"verdict": trained.members.verdicts[0], "dimension": twonn(x).dimension}
    for moment, net in (("initial", trained.start), ("final", trained.model)):
        layers = hidden_representations(net.member(0), x)  # pyright: ignore[reportArgumentType]
        row |= {f"{moment}_{k}": twonn(z).dimension for k, z in enumerate(layers.values(), start=1)}
    return row


def _rows(table: pd.DataFrame, task: str, **values: float) -> Any:
    chosen = table["task"] == task
    for name, value in values.items():
        chosen &= table[name] == value
    return table[chosen]


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Dimensions of manifolds and images, and the ratio of last layer to input in both regimes."""
    results = []
    for dim in sorted(set(_rows(table, "manifold")["dim"])):
        # The estimate is too small in many dimensions, where the density varies over the distances.
        width = 0.1 if dim <= 5 else 0.2
        results.append(
            Finding(
                f"dimension of a bent manifold of {dim}",
                mean_over_seeds(list(_rows(table, "manifold", dim=dim)["dimension"])),
                f"{dim} ({_FACCO})",
                (1 - width) * dim,
                (1 + width) * dim,
            )
        )
    if len(images := _rows(table, "images")):
        results.append(
            Finding(
                f"dimension of {images['images'].iloc[0]} images",
                mean_over_seeds(list(images["dimension"])),
                "7 to 13 (Pope et al. 2021, arXiv:2104.08894)",
                7.0,
                15.0,
            )
        )
    for alpha in sorted(set(_rows(table, "layers")["alpha_tilde"])):
        rows, lazy = _rows(table, "layers", alpha_tilde=alpha), alpha > 1
        results.append(
            Finding(
                f"dimension of the last hidden layer after over before training, α̃ = {alpha:g}",
                mean_over_seeds(list(rows[f"final_{DEPTH}"] / rows[f"initial_{DEPTH}"])),
                "1: weights hardly move" if lazy else f"below 1 ({_ANSUINI})",
                0.95 if lazy else 0.0,
                1.05 if lazy else 0.9,
            )
        )
    return results


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Known manifolds and images, and dimension by layer."""
    fig, (left, right) = row_of_panels(2)
    dims = sorted(set(_rows(table, "manifold")["dim"]))
    found = [mean_over_seeds(list(_rows(table, "manifold", dim=dim)["dimension"])) for dim in dims]
    errors = [each.error or 0.0 for each in found]
    left.errorbar(dims, [each.value for each in found], errors, fmt="o", capsize=2, label="bent manifolds")
    left.plot([0, 11], [0, 11], "--", color=FAINT, label="exact")
    if len(images := _rows(table, "images")):
        draw_published(left, band=(7, 13), label="MNIST (2104.08894)")
        left.axhline(images["dimension"].mean(), color=COLORS[1], label=f"{images['images'].iloc[0]} images")
    left.set(title="Points", xlabel="dimension", ylabel="dimension by TwoNN")
    for color, alpha in zip(COLORS[1:], sorted(set(_rows(table, "layers")["alpha_tilde"])), strict=False):
        rows = _rows(table, "layers", alpha_tilde=alpha)
        for moment, line in (("initial", ":"), ("final", "-")):
            columns = [rows["dimension"], *(rows[f"{moment}_{k}"] for k in range(1, DEPTH + 1))]
            means = [mean_over_seeds(list(column)) for column in columns]
            right.errorbar(
                range(DEPTH + 1),
                [each.value for each in means],
                [each.error or 0.0 for each in means],
                fmt=f"o{line}",
                color=color,
                capsize=2,
                label=f"α̃ = {alpha:g}, {moment}",
            )
    right.set(title="Hidden layers", xlabel="layer", ylabel="dimension by TwoNN", ylim=(0, None))
    right.set_xticks(np.arange(DEPTH + 1), ["input", *(f"z{k}" for k in range(1, DEPTH + 1))])
    for axes in (left, right):
        axes.legend(fontsize=7.5)
    return fig
