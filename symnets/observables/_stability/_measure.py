"""The measurement of D, G and R in one pass over the images.

Warnings of folds: once, at the door, and not with every draw.

Notes: why a number is not there.

A model in the mode in which it is measured, and left as it was found.

The bar of a measurement.
"""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
from jaxtyping import Float
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Generator, Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from symnets.diffeo import FoldingWarning
from symnets.observables._as_found import as_found
from symnets.observables._stability._accumulators import Average, Ledger
from symnets.observables._stability._features import Features, Layers, OutputSelector, select_layers
from symnets.observables._stability._moved_images import (
    BLOCK,
    DeformationField,
    Draws,
    batches,
    check_images,
    check_strength,
)
from symnets.observables._stability._result import LayerEstimates, Stability


def warn_of_folds(field: DeformationField, strength: Mapping[str, float]) -> None:
    """Whatever a field has to say of a strength, said to the caller of `stability`.

    Args:
        field: asked for a single deformation, of which nothing is kept.
        strength: temperature or delta, by name.
    """
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        field.sample(1, generator=Generator().manual_seed(0), **strength)
    for one in told:
        warnings.warn(one.message, category=one.category, stacklevel=3)  # past `stability`


@contextmanager
def told_already() -> Iterator[None]:
    """Without warnings of folds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FoldingWarning)
        yield


def notes(
    layers: Sequence[str], d: LayerEstimates, g: LayerEstimates, r: LayerEstimates, n_images: int
) -> tuple[str, ...]:
    """A sentence for each thing that is undefined, with the layers it concerns."""
    return tuple(_notes(np.array(layers), d, g, r, n_images))


def _notes(
    layers: np.ndarray, d: LayerEstimates, g: LayerEstimates, r: LayerEstimates, n_images: int
) -> Iterator[str]:
    if n_images == 1:
        yield "D and G are undefined: a single image has no distance to another"
    elif len(lost := layers[~g.defined & ~d.defined]):
        yield f"D and G are undefined: outputs of all images are equal, or no numbers, in {_few(lost)}"
    if len(lost := layers[~r.defined & ~(g.value == 0)]):
        yield f"R is undefined: noise does not move the output, or it is no number, in {_few(lost)}"
    if len(lost := layers[~r.defined & (g.value == 0)]):
        yield f"R is undefined: G is 0, in {_few(lost)}; deformations that move no pixel have noise of norm 0"


def _few(names: np.ndarray) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more


BatchNorm = Literal["running", "batch"]


@contextmanager
def evaluation(model: nn.Module, batch_norm: BatchNorm = "running") -> Iterator[None]:
    """Eval mode without gradients; afterwards modes, buffers and torch's random states are as before.

    Args:
        model: any module.
        batch_norm: what batch normalisations use, "running" statistics or those of each "batch".
    """
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    gpus = sorted({tensor.get_device() for tensor in model.parameters() if tensor.is_cuda})
    with as_found(model), torch.random.fork_rng(devices=gpus), torch.no_grad():
        try:
            model.eval()
            if batch_norm == "batch":
                for module in model.modules():
                    if isinstance(module, _BatchNorm):
                        module.train()
            yield
        finally:
            for buffer, before in buffers:  # running statistics moved in "batch"
                buffer.copy_(before)


class Bar:
    """Images done, and R of the output so far, on standard error.

    Args:
        total: images.
        shown: False for nothing at all.
    """

    def __init__(self, total: int, *, shown: bool) -> None:
        self.bar = Progress(
            TextColumn("stability"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("images"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
            console=Console(stderr=True),
            disable=not shown,
        )
        self.task = self.bar.add_task("", total=total, text="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def update(self, done: int, r: float) -> None:
        """Tells how many images are done, and their R."""
        self.bar.update(self.task, completed=done, text=f"R {r:.3g}")


Noise = Literal["per_image", "mean"]


def stability(
    model: nn.Module,
    images: Float[Tensor, "n channels *shape"],
    field: DeformationField,
    *,
    temperature: float | None = None,
    delta: float | None = None,
    layers: Layers = None,
    n_draws: int = 4,
    noise: Noise = "per_image",
    average: Average = "mean",
    generator: Generator | None,
    batch_size: int = 500,
    output: OutputSelector | Mapping[str, OutputSelector] | None = None,
    batch_norm: BatchNorm = "running",
    confidence: float = 0.95,
    progress: bool = False,
) -> Stability:
    """D, G and R of a network and its layers (Petrini et al. 2021, arXiv:2105.02468; layers as in Tomasini
    et al. 2022, arXiv:2210.01506). See `Stability` for the formulas.

    Model, train or eval modes, buffers and torch's random states are left as found. From `generator` one
    number is drawn, and from that everything else: two models, or two sets of layers, that are given equal
    generators see the same deformations and the same noise. The size of batches changes nothing but
    rounding, and the intervals of D and G in their third digit.

    Args:
        model: any module that takes images; measured in eval mode.
        images: as the model takes them, normalised; brought to the model's device and dtype in batches.
        field: a `symnets.diffeo.SineField`, or another `Field`.
        temperature: T of the deformations.
        delta: root of their mean squared displacement in pixels, instead of the temperature.
        layers: besides the output: names as in `model.named_modules()`, module types (all of that type), or
            "all" without children. Types and "all" skip modules that are never called. A layer that is
            called several times is listed as name, name#2, ...
        n_draws: deformations, and noises, of each image.
        noise: isotropic, of norm ‖η‖ = ‖τx - x‖ for each draw ("per_image", as the published code), or
            ‖η‖ = <‖τx - x‖> for all ("mean", as the paper; it takes a pass of deformations before).
        average: <.> is a "mean"; or a "median" over images of means over draws, with the pair distance of
            ⌊n/2⌋ disjoint random pairs; or "reference", see `CoordinateMedians`.
        generator: source of the seed; None is torch's own.
        batch_size: largest number of images in a forward pass.
        output: index, key or function that chooses one tensor of what the model returns; or a mapping of
            these from names of layers ("output" for the model).
        batch_norm: "running" statistics, or those of each "batch", as one wants at initialisation.
        confidence: of the intervals. They are for these fields and noise norms: images are the sampling
            unit (delta method; bootstrap for medians). "reference" has none.
        progress: show a bar on standard error.

    Raises:
        TypeError: images that are no tensor of floating numbers; layers that are neither names nor types.
        ValueError: images of another shape than the field's or with NaN; an unknown layer; outputs that are
            no tensor; options out of range.

    Warns:
        FoldingWarning: once, where the field warns of deformations that are too strong.

    Example:
        For f(x) = x, D = G and R = 1 whatever the images.
    """
    check_images(images, field)
    strength = check_strength(temperature, delta)
    _check_options(n_draws, noise, average, batch_size, batch_norm, confidence)
    features = Features(model, *select_layers(model, layers), output)
    like = next((p for p in model.parameters() if p.is_floating_point()), images)
    seed = int(torch.randint(2**62, (), generator=generator, device=getattr(generator, "device", "cpu")))
    dtype = like.dtype if like.dtype in (torch.float32, torch.float64) else torch.float32
    draws = Draws(images, field, strength, seed=seed, device=like.device, dtype=dtype)
    ledger, total_norm = Ledger(average, len(images), n_draws), 0.0
    warn_of_folds(field, strength)
    with evaluation(model, batch_norm), features, told_already(), Bar(len(images), shown=progress) as bar:
        norm = draws.mean_norm(n_draws, max(1, batch_size // BLOCK)) if noise == "mean" else None
        for batch in batches(draws, n_draws, norm, batch_size):
            features.show(batch.images.to(like.dtype), ledger.clean(batch.start))
            for moved in batch.moved:
                features.show(moved.deformed.to(like.dtype), ledger.moved(0, batch.start))
                features.show(moved.noisy.to(like.dtype), ledger.moved(1, batch.start))
                total_norm = total_norm + moved.norm
            done = batch.start + len(batch.images)
            if progress:  # else nobody waits for the device
                bar.update(done, ledger.r_so_far(done))
    numbers = [ledger.records[name].numbers(confidence, seed) for name in features.names]
    d, g, r = (LayerEstimates.of(column) for column in zip(*numbers, strict=True))
    temperature, delta = _both_strengths(field, strength)
    return Stability(
        layers=features.names,
        D=d,
        G=g,
        R=r,
        n_images=len(images),
        n_draws=n_draws,
        temperature=temperature,
        delta=delta,
        noise_norm=float(total_norm) / (len(images) * n_draws),
        noise=noise,
        average=average,
        batch_norm=batch_norm,
        confidence=confidence,
        notes=notes(features.names, d, g, r, len(images)),
    )


def _both_strengths(field: Any, strength: Mapping[str, float]) -> tuple[float, float]:
    """Temperature and exact displacement; NaN where the field does not tell."""
    temperature, delta = strength.get("temperature", math.nan), strength.get("delta", math.nan)
    if math.isnan(temperature) and callable(getattr(field, "temperature", None)):
        temperature = float(field.temperature(delta))
    elif math.isnan(delta) and callable(getattr(field, "typical_displacement", None)):
        delta = float(field.typical_displacement(temperature))
    return temperature, delta


def _check_options(
    n_draws: int, noise: str, average: str, batch_size: int, batch_norm: str, confidence: float
) -> None:
    choices = [("noise", noise, Noise), ("average", average, Average), ("batch_norm", batch_norm, BatchNorm)]
    for name, value, known in choices:
        if value not in get_args(known):
            raise ValueError(f"{name}: expected one of {', '.join(get_args(known))}, got {value!r}")
    for name, value in [("n_draws", n_draws), ("batch_size", batch_size)]:
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")
