"""The measurement of D, G and R in one pass over the images."""

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from symnets.observables.stability.bar import Bar
from symnets.observables.stability.batches import batches
from symnets.observables.stability.chosen_output import Choice
from symnets.observables.stability.draws import BLOCK, Draws
from symnets.observables.stability.evaluation import BatchNorm, evaluation
from symnets.observables.stability.features import Features
from symnets.observables.stability.folds import told_already, warn_of_folds
from symnets.observables.stability.images import Field, check_images, check_strength
from symnets.observables.stability.layers import Layers, chosen_layers
from symnets.observables.stability.ledger import Average, Ledger
from symnets.observables.stability.notes import notes
from symnets.observables.stability.result import Estimate, Stability

Noise = Literal["per_image", "mean"]


def stability(
    model: nn.Module,
    images: Float[Tensor, "n channels *shape"],
    field: Field,
    *,
    temperature: float | None = None,
    delta: float | None = None,
    layers: Layers = None,
    n_draws: int = 4,
    noise: Noise = "per_image",
    average: Average = "mean",
    generator: Generator | None,
    batch_size: int = 500,
    output: Choice | Mapping[str, Choice] | None = None,
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
    features = Features(model, *chosen_layers(model, layers), output)
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
    d, g, r = (Estimate.of(column) for column in zip(*numbers, strict=True))
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
