"""Classifiers shown deformed and noisy images: D, G, R of their logits at the start and at the end."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from symnets.data.loader import Batch
from symnets.diffeo.folding import FoldingWarning
from symnets.diffeo.sine_field import SineField
from symnets.experiments.classifier.config import ClassifierConfig
from symnets.experiments.classifier.training import SHAPES, Trained
from symnets.experiments.experiment import Scalar
from symnets.experiments.nets import generator
from symnets.experiments.ranges import at_least, check_ranges, more_than
from symnets.observables.stability.measure import stability
from symnets.observables.stability.result import Stability


@dataclass(frozen=True)
class DeformedConfig(ClassifierConfig):
    """A classifier, and how its images are deformed when its stability is measured."""

    cutoff: float = 3.0
    """c, the largest wave number."""
    delta: float = 1.0
    """δ, root of the mean squared displacement in pixels, in the chosen convention."""
    convention: Literal["published", "exact"] = "published"
    """How δ gives the temperature, and which modes are kept. "published": logarithmic formula and
    κ < c + 1/2, as in the code of Petrini et al. 2021, with which numbers are compared: there "1 pixel"
    at c = 3 is 0.84 pixels. "exact": κ <= c and pixels that are pixels."""
    n_images: int = 500
    """Test images that are deformed."""
    n_draws: int = 4
    """Deformations, and noises, of each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(
            "", self, cutoff=more_than(1), delta=more_than(0), n_images=at_least(10), n_draws=at_least(1)
        )
        if self.n_images > self.n_test:
            raise ValueError(f"n_images: expected at most n_test = {self.n_test}, got {self.n_images}")
        _ = self.field  # refuses a cutoff that the pixels cannot show

    @property
    def field(self) -> SineField:
        """Of the deformations."""
        rule = "half" if self.convention == "published" else "disc"
        return SineField(SHAPES[self.data][1:], cutoff=self.cutoff, rule=rule)

    @property
    def temperature(self) -> float:
        """T of the deformations."""
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
"""Fields of a published training, for `grid`: widths of the published nets, SGD, shifts and reflections."""


def shown(
    net: nn.Module,
    test: Batch,
    config: DeformedConfig,
    *,
    trained: bool,
    field: SineField | None = None,
    temperature: float | None = None,
    layers: object = None,
) -> Stability:
    """D, G, R of a net on the first test images; the same deformations and noise for all nets of a seed.

    At the start batch normalisations take the statistics of each batch, for they have learned none, as in
    the published code. The norm of the noise is that of each deformation, averages are means.

    Args:
        net: at the start or at the end of a training.
        test: images.
        config: deformations, numbers of images and draws.
        trained: whether its running statistics mean anything.
        field: another than that of the config.
        temperature: another than that of the config.
        layers: besides the logits, as `stability` takes them.
    """
    with folds_expected():
        return stability(
            net,
            test.inputs[: config.n_images],
            field or config.field,
            temperature=config.temperature if temperature is None else temperature,
            layers=layers,  # pyright: ignore[reportArgumentType]
            n_draws=config.n_draws,
            generator=generator(config.seed, 2),
            batch_norm="running" if trained else "batch",
        )


def before_and_after(
    trained: Trained, config: DeformedConfig
) -> tuple[dict[str, Scalar], Stability, Stability]:
    """The row of a training with D, G, R of logits and their intervals, those of the start ending in _init.

    `rms_displacement` is the exact one, whatever the convention.
    """
    start = shown(trained.initial, trained.test, config, trained=False)
    end = shown(trained.net, trained.test, config, trained=True)
    row: dict[str, Scalar] = dict(trained.row) | {
        "temperature": end.temperature,
        "rms_displacement": end.delta,
    }
    return row | logits(end) | logits(start, "_init"), start, end


def logits(found: Stability, ending: str = "") -> dict[str, Scalar]:
    """D, D_low, D_high, and so on, of the output alone."""
    line = found.table().iloc[-1]
    return {f"{name}{ending}": float(value) for name, value in line.items()}


@contextmanager
def folds_expected() -> Iterator[None]:
    """Without warnings of folds, where experiments go above T2 on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FoldingWarning)
        yield
