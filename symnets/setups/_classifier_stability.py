"""Stability of classifiers: D, G and R before and after training, and archived published values."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy import ndarray
from torch import nn

from symnets.config import at_least, check_ranges, more_than
from symnets.data import Batch
from symnets.diffeo import FoldingWarning, SineField
from symnets.observables import Stability, stability
from symnets.setups._classifier import ClassifierConfig
from symnets.setups._classifier_training import SHAPES, TrainedClassifier
from symnets.setups._dense_nets import seeded_generator
from symnets.sweeps import Scalar


@dataclass(frozen=True)
class DeformedConfig(ClassifierConfig):
    """Configuration of a classifier, and of the deformations with which its stability is measured."""

    cutoff: float = 3.0
    """c, the largest wave number."""
    delta: float = 1.0
    """δ, root mean square displacement in pixels, in the given convention."""
    convention: Literal["published", "exact"] = "published"
    """Relation of δ and temperature, and the modes used. "published": logarithmic formula and modes with
    wave number κ < c + 1/2, as in the code of Petrini et al. 2021; δ = 1 pixel at c = 3 is then a root mean
    square displacement of 0.84 pixels. "exact": κ <= c, and δ is the root mean square displacement."""
    n_images: int = 500
    """Number of test images that are deformed."""
    n_draws: int = 4
    """Number of deformations, and of samples of noise, per image."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(
            "", self, cutoff=more_than(1), delta=more_than(0), n_images=at_least(10), n_draws=at_least(1)
        )
        if self.n_images > self.n_test:
            raise ValueError(f"n_images: expected at most n_test = {self.n_test}, got {self.n_images}")
        _ = self.field  # raises for a cutoff beyond the resolution of the images

    @property
    def field(self) -> SineField:
        """Distribution of the deformations."""
        rule = "half" if self.convention == "published" else "disc"
        return SineField(SHAPES[self.data][1:], cutoff=self.cutoff, rule=rule)

    @property
    def temperature(self) -> float:
        """Temperature T of the deformations."""
        return self.field.temperature(self.delta, exact=self.convention == "exact")


PUBLISHED: dict[str, Any] = {
    "data": "cifar10",
    "width": 8.0,
    "n_test": 8000,
    "epochs": 250,
    "min_steps": 1000,
    "max_steps": 100_000,
    "batch_size": 128,
    "optimiser": "sgd",
    "rate": 0.1,
    "weight_decay": 5e-4,
    "augment": "crop-flip",
    "cutoff": 5.0,
    "n_draws": 1,
    "seed": range(5),
}
"""Configuration of the published training, for `grid`: SGD, shifts and reflections, published widths."""


def measure_stability(
    net: nn.Module,
    test: Batch,
    config: DeformedConfig,
    *,
    trained: bool,
    field: SineField | None = None,
    temperature: float | None = None,
    layers: object = None,
) -> Stability:
    """D, G and R of a net on the first test images; deformations and noise are the same for nets of a seed.

    Before training batch normalisations use the statistics of each batch, as in the published code, since
    running statistics are not yet known. The norm of the noise is that of each deformation, averages are
    arithmetic means.

    Args:
        net: a classifier before or after training.
        test: test images.
        config: deformations, numbers of images and samples.
        trained: whether batch normalisations use their running statistics.
        field: distribution of deformations instead of that of the configuration.
        temperature: temperature instead of that of the configuration.
        layers: layers besides the logits, as in `stability`.
    """
    with without_folding_warnings():
        return stability(
            net,
            test.inputs[: config.n_images],
            field or config.field,
            temperature=config.temperature if temperature is None else temperature,
            layers=layers,  # pyright: ignore[reportArgumentType]
            n_draws=config.n_draws,
            generator=seeded_generator(config.seed, 2),
            batch_norm="running" if trained else "batch",
        )


def stability_row(trained: TrainedClassifier, config: DeformedConfig) -> dict[str, Scalar]:
    """Row of a training with D, G, R of the logits and their intervals, after and before training (`_init`).

    `rms_displacement`, in pixels, is exact in either convention.
    """
    start = measure_stability(trained.initial, trained.test, config, trained=False)
    end = measure_stability(trained.net, trained.test, config, trained=True)
    row: dict[str, Scalar] = dict(trained.row) | {
        "temperature": end.temperature,
        "rms_displacement": end.delta,
    }
    return row | logit_columns(end) | logit_columns(start, "_init")


def logit_columns(result: Stability, ending: str = "") -> dict[str, Scalar]:
    """Columns of a row: D, G and R of the logits with their intervals, as D, D_low, D_high, ..."""
    line = result.table().iloc[-1]
    return {f"{name}{ending}": float(value) for name, value in line.items()}


@contextmanager
def without_folding_warnings() -> Iterator[None]:
    """Suppress `FoldingWarning`, for experiments that go above T2 on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FoldingWarning)
        yield


ARCHIVE_SOURCE = "diffeo-sota commit 12915f1, February 2021"


@dataclass(frozen=True)
class ArchivedCurve:
    """Archived R of the logits and test error of one net against P, geometric means over seeds.

    Attributes:
        sizes: P, numbers of training images, (sizes,).
        r: R, with means over images, bilinear interpolation, and δ about 1 pixel by the formula of the
            archived code, (sizes,).
        error: test error, as a fraction, (sizes,).
    """

    sizes: ndarray
    r: ndarray
    error: ndarray


def _curve(sizes: list[int], r: list[float], percent: list[float]) -> ArchivedCurve:
    return ArchivedCurve(np.array(sizes, dtype=float), np.array(r), np.array(percent) / 100)


_P = [64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768]
# fmt: off
ARCHIVED: dict[tuple[str, str], ArchivedCurve] = {
    ("cifar10", "EfficientNet-B0"): _curve(
        _P,
        [5.55, 6.22, 4.46, 4.22, 2.06, 1.19, 0.846, 0.552, 0.352, 0.282],
        [79.9, 75.8, 70.4, 66.5, 57.6, 45.6, 35.0, 25.8, 17.5, 13.3],
    ),
    ("cifar10", "MobileNet"): _curve(
        _P,
        [5.27, 5.21, 4.40, 2.98, 1.41, 0.789, 0.646, 0.578, 0.471, 0.408],
        [77.9, 74.1, 70.3, 64.8, 52.5, 38.4, 26.0, 19.2, 13.2, 9.8],
    ),
    ("cifar10", "ResNet"): _curve(
        [64, 128, 256, 512, 1000, 2385, 3684, 8787, 13572, 32373, 50000],
        [1.76, 1.89, 1.87, 1.18, 0.533, 0.282, 0.224, 0.216, 0.200, 0.171, 0.161],
        [75.1, 69.8, 63.0, 54.7, 38.3, 23.2, 18.4, 18.9, 16.8, 12.5, 12.0],
    ),
    ("fashion-mnist", "EfficientNet-B0"): _curve(
        _P,
        [2.08, 1.13, 0.928, 0.868, 0.879, 0.683, 0.406, 0.297, 0.218, 0.167],
        [41.1, 32.8, 26.6, 23.9, 19.2, 16.2, 13.5, 11.2, 9.4, 8.1],
    ),
    ("fashion-mnist", "ResNet"): _curve(
        [*_P, 50000],
        [2.33, 1.49, 0.947, 0.683, 0.400, 0.288, 0.246, 0.176, 0.085, 0.0371, 0.0186],
        [41.7, 29.9, 24.0, 20.0, 16.3, 14.0, 11.7, 9.8, 8.3, 7.0, 6.3],
    ),
    ("mnist", "EfficientNet-B0"): _curve(
        _P,
        [2.59, 2.83, 1.29, 1.92, 1.85, 1.07, 1.36, 0.922, 0.623, 0.559],
        [28.5, 15.9, 8.3, 5.9, 3.6, 2.2, 1.3, 0.94, 0.70, 0.61],
    ),
    ("mnist", "ResNet"): _curve(
        [*_P, 50000],
        [2.04, 1.70, 1.55, 0.500, 0.475, 0.281, 0.179, 0.112, 0.0744, 0.0244, 0.0221],
        [26.2, 10.7, 5.5, 3.6, 2.5, 1.6, 0.96, 0.60, 0.46, 0.38, 0.37],
    ),
}
# fmt: on
"""Archived curves by data set and net.

"ResNet" is `res-net` in the archive, with 18 layers according to its scripts. The cutoff is 5 on CIFAR-10 and
3 otherwise; there are no values before training.
"""
