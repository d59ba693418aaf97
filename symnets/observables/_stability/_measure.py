"""Stability of a network: the measurement of D, G and R in one pass over the images."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from symnets.diffeo import FoldingWarning
from symnets.observables._as_found import as_found, copy_inputs
from symnets.observables._progress_bar import progress_bar
from symnets.observables._stability._accumulators import Accumulators, Average
from symnets.observables._stability._features import (
    Features,
    Layers,
    OutputSelector,
    abbreviated,
    select_layers,
    shared_names,
)
from symnets.observables._stability._perturbed_images import (
    BLOCK,
    DeformationField,
    Perturbations,
    batches,
    check_images,
    check_strength,
)
from symnets.observables._stability._result import LayerEstimates, Stability


def warn_of_folds(field: DeformationField, strength: Mapping[str, float]) -> None:
    """Emits the warnings of a field about its strength once, at the line that called `stability`.

    Args:
        field: samples one deformation, which is discarded.
        strength: temperature or delta, as a keyword argument of `field.sample`.
    """
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        field.sample(1, generator=Generator().manual_seed(0), **strength)
    for message in messages:
        warnings.warn(message.message, category=message.category, stacklevel=3)  # past `stability`


def notes(
    layers: Sequence[str], d: LayerEstimates, g: LayerEstimates, r: LayerEstimates, n_images: int
) -> tuple[str, ...]:
    """A sentence for each undefined quantity, with the layers concerned."""
    return tuple(_notes(np.array(layers), d, g, r, n_images))


def _notes(
    layers: np.ndarray, d: LayerEstimates, g: LayerEstimates, r: LayerEstimates, n_images: int
) -> Iterator[str]:
    if n_images == 1:
        yield "D and G are undefined: a single image has no pair distance"
    elif len(names := layers[~g.defined & ~d.defined]):
        yield f"D and G are undefined: the outputs of all images are equal, or NaN, in {abbreviated(names)}"
    if len(names := layers[~r.defined & ~(g.value == 0)]):
        yield f"R is undefined: noise does not change the output, or it is NaN, in {abbreviated(names)}"
    if len(names := layers[~r.defined & (g.value == 0)]):
        yield f"R is undefined: G is 0 in {abbreviated(names)}; the identity gives noise of norm 0"


BatchNorm = Literal["running", "batch"]
"""Statistics of batch normalisations: running averages, or those of each batch."""


@contextmanager
def evaluation(model: nn.Module, batch_norm: BatchNorm) -> Iterator[None]:
    """Eval mode without gradients and without `FoldingWarning`; the model is left as found.

    Args:
        model: any module.
        batch_norm: statistics of batch normalisations: "running", or those of each "batch".
    """
    with as_found(model), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FoldingWarning)  # `warn_of_folds` has emitted it
        model.eval()
        if batch_norm == "batch":
            for module in model.modules():
                if isinstance(module, _BatchNorm):
                    module.train()
        yield


Noise = Literal["per_image", "mean"]
"""Norm of the noise: that of τx - x for each draw, or its mean for all."""


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
    """Stability D, G and R of a network and its layers under deformations of its images.

    Defined by Petrini et al. 2021 (arXiv:2105.02468), for layers by Tomasini et al. 2022 (arXiv:2210.01506);
    see `Stability` for the formulas. The model, its modes and buffers, and torch's random states are left as
    found. All random numbers follow from one number sampled from `generator`: with equal generators, two
    models or two sets of layers are measured with the same deformations and noise. The batch size changes
    rounding only, and the intervals of D and G in their third digit.

    Args:
        model: any module that takes images; evaluated in eval mode.
        images: inputs of the model, normalised as in training; copied to its device and dtype in batches.
        field: a `symnets.diffeo.SineField`, or another `DeformationField`.
        temperature: T of the deformations.
        delta: root mean square displacement in pixels, in place of the temperature.
        layers: layers to measure besides the output: names as in `model.named_modules()`, module types (all
            modules of that type), or "all" (modules without children). Types and "all" leave out modules that
            are not called as layer(x), and outputs without one row for each image; a warning and `notes` name
            them. A layer that is called several times is listed as name, name#2, ...
        n_draws: deformations, and noises, of each image.
        noise: norm of the isotropic noise: ‖η‖ = ‖τx - x‖ for each draw ("per_image", as the published code),
            or ‖η‖ = <‖τx - x‖> for all ("mean", as the paper; requires one more pass of deformations).
        average: the kind of average <.>: "mean"; "median", over images, of the mean over the draws of an
            image, with the pair distance from ⌊n/2⌋ disjoint random pairs; or "reference", the averages of
            the published code.
        generator: source of the seed; None is torch's default generator.
        batch_size: largest number of images in a forward pass.
        output: index, key or function that selects one tensor from what the model returns; or a mapping from
            names of layers ("output" for the model) to these.
        batch_norm: "running" statistics, or those of each "batch", as is appropriate at initialisation.
        confidence: confidence level of the intervals, for fixed fields and noise norms. Images are the
            sampling unit (delta method; bootstrap for medians). "reference" has no intervals.
        progress: whether to show a progress bar on standard error.

    Raises:
        TypeError: images that are not a floating-point tensor; layers that are neither names nor types.
        ValueError: images of another shape than the field or with NaN; an unknown layer; outputs that are
            not tensors; options out of range.

    Warns:
        FoldingWarning: once, if the field warns that the deformations are too strong.
        UserWarning: some of the layers are not measured.

    Example:
        For f(x) = x, D = G and R = 1 for any images.
    """
    check_images(images, field)
    strength = check_strength(temperature, delta)
    _check_options(n_draws, noise, average, batch_size, batch_norm, confidence)
    selected, named = select_layers(model, layers)
    features = Features(model, selected, named, output)
    like = next((p for p in model.parameters() if p.is_floating_point()), images)
    seed = int(torch.randint(2**62, (), generator=generator, device=getattr(generator, "device", "cpu")))
    dtype = like.dtype if like.dtype in (torch.float32, torch.float64) else torch.float32
    perturbations = Perturbations(images, field, strength, seed=seed, device=like.device, dtype=dtype)
    layer_sums, total_norm = Accumulators(average, len(images), n_draws), 0.0
    warn_of_folds(field, strength)
    bar = progress_bar("stability", "images", len(images), visible=progress)
    with evaluation(model, batch_norm), features, bar as show_progress:
        norm = perturbations.mean_norm(n_draws, max(1, batch_size // BLOCK)) if noise == "mean" else None
        for batch in batches(perturbations, n_draws, norm, batch_size):
            features.forward(copy_inputs(batch.images).to(like.dtype), layer_sums.on_clean(batch.start))
            for draw in batch.perturbed:
                features.forward(draw.deformed.to(like.dtype), layer_sums.on_perturbed(0, batch.start))
                features.forward(draw.noisy.to(like.dtype), layer_sums.on_perturbed(1, batch.start))
                total_norm = total_norm + draw.norm
            done = batch.start + len(batch.images)
            if progress:  # r_so_far synchronises with the device
                show_progress(done, f"R {layer_sums.r_so_far(done):.3g}")
    estimates = [layer_sums.by_layer[name].estimates(confidence, seed) for name in features.names]
    for note in (left_out := features.notes()):
        warnings.warn(f"stability: {note}", stacklevel=2)
    d, g, r = (LayerEstimates.of(column) for column in zip(*estimates, strict=True))
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
        notes=(
            *notes(features.names, d, g, r, len(images)),
            *left_out,
            *shared_names(model, selected),
        ),
    )


def _both_strengths(field: Any, strength: Mapping[str, float]) -> tuple[float, float]:
    """Temperature and exact displacement; NaN for one that the field does not define."""
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
