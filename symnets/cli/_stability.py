"""`symnets stability`: D, G and R of a network under deformations of its images."""

import json
import time
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from torch import Generator, Tensor

from symnets.cli._image_inputs import ImageModel, check_shape, find_images, find_model, normalisation
from symnets.cli._stability_output import field_numbers, numbers, print_stability, unlike
from symnets.cli._trial import choices, try_out
from symnets.device import usable_device
from symnets.diffeo import FoldingWarning, SineField
from symnets.observables import Stability, check_images, check_strength, stability
from symnets.provenance import provenance
from symnets.report import deformed_samples, save_picture, stability_figure, write
from symnets.setups import Normalisation


@dataclass(frozen=True)
class StabilityOf:
    """How much deformations of images move the outputs and layers of a network, compared with noise.

    D is the squared distance of f(τx) and f(x) over that of two images, G the same for isotropic noise of
    the norm of τx - x, and R = D / G. Writes stability.json, a plot by layer and a picture of deformed
    images. The network is a model file, or any PyTorch network by its import path.

    Example:
        symnets stability --model vgg.safetensors --data mnist --delta 1 --cutoff 3
        symnets stability --model mine.nets:small --weights small.pt --data photos/ --size 224 --normalise
    """

    model: str
    """A model file of an image net, or package.module:callable, also of a module in the working directory.
    The callable takes no arguments and returns the network; its code runs."""
    data: str | None = None
    """digits, mnist, fashion-mnist or cifar10 (test images), a folder of PNG and JPEG files, or a .npy or
    .npz file (n, channels, rows, columns); by default what the model's file names."""
    delta: float | None = None
    """Typical displacement in pixels, exactly: the root of its mean square. 1 without --temperature."""
    cutoff: float = 3.0
    """Largest wave number of the deformations."""
    temperature: float | None = None
    """T of the deformations, in place of --delta."""
    rule: Literal["disc", "half"] = "disc"
    """Waves kept: up to the cutoff, or below cutoff + 1/2 as the code published with the paper does."""
    layers: tuple[str, ...] = ("all",)
    """all (modules without children), names as in model.named_modules(), or output for the output alone. all
    leaves out, with a note, what does not return one tensor with a row for each image, such as an LSTM."""
    n_images: int = 500
    """Images, chosen at random."""
    draws: int = 4
    """Deformations, and noises, of each image."""
    weights: Path | None = None
    """Weights for what the callable makes: a state dict as .safetensors, or as torch.save wrote it."""
    mean: tuple[float, ...] | None = None
    """Subtracted from pixels (0 to 1), one number or one a channel; by default what the model's file says."""
    std: tuple[float, ...] | None = None
    """Pixels are divided by it, after --mean."""
    normalise: bool = False
    """Take mean and standard deviation of these images."""
    size: int | None = None
    """Rows and columns to which images of a folder are cropped and resized; of a folder alone."""
    channels: Literal[1, 3] | None = None
    """Channels of images of a folder: 1 (grey) or 3; by default as the model, or else the files, have it. Of
    a folder alone."""
    baseline: Literal["none", "initial"] = "none"
    """initial: also measure the network with its initial weights. Batch normalisations have no running
    statistics then and take those of each batch, which alone changes R: see --batch-norm."""
    noise: Literal["per_image", "mean"] = "per_image"
    """Norm of the noise: that of each τx - x, or their mean for all."""
    average: Literal["mean", "median", "reference"] = "mean"
    """Over images: mean; median; or reference, medians as in the code published with the paper."""
    batch_norm: Literal["running", "batch"] = "running"
    """Statistics of batch normalisations: running ones, or those of each batch, as initial weights have."""
    output_key: tuple[str, ...] = ()
    """Index, key or field of the tensor among several outputs; LAYER=KEY for those of a layer."""
    confidence: float = 0.95
    """Of the intervals."""
    batch_size: int = 100
    """Images in a forward pass; changes speed and memory."""
    device: str = "cpu"
    """Where the model runs: cpu, cuda, cuda:1, ..."""
    seed: int = 0
    """Of images chosen, deformations, noise and initial weights."""
    output: Path | None = None
    """Folder for stability.json, layers.png and samples.png; by default stability/MODEL-DATA here."""
    json: bool = False
    """Print JSON alone, for other programs to read."""

    def run(self) -> None:
        """Measure, write the files and print the table."""
        begin = time.perf_counter()
        if self.n_images < 2 or self.seed < 0:
            raise ValueError(
                f"expected --n-images of at least 2 and --seed >= 0, got {self.n_images} and {self.seed}"
            )
        strength = self._strength()
        device = usable_device(self.device)
        model = find_model(self.model, self.weights, seed=self.seed)
        data, images, normalised = self._images(model)
        field = SineField(images.shape[2:], cutoff=self.cutoff, rule=self.rule)
        check_images(images, field)
        self._warn_of_folds(field, strength)
        start = _initial(model, self.seed).to(device) if self.baseline == "initial" else None
        found = self._measure(model.net.to(device), images, field, strength, self.batch_norm)
        initial = None if start is None else self._measure(start, images, field, strength, "batch")
        if initial is not None:
            initial = replace(initial, notes=(*initial.notes, *unlike(model.net, found)))
        folder = self.output or Path("stability") / f"{model.name}-{Path(data).name}"
        self._draw(folder, found, initial, images, field)
        report = {
            "config": asdict(self) | {"data": data, "output": str(folder)},
            "normalisation": None if normalised is None else asdict(normalised),
            "images": list(images.shape),
            "field": field_numbers(field, found.temperature),
            "stability": numbers(found),
            "initial": None if initial is None else numbers(initial),
            "seconds": round(time.perf_counter() - begin, 2),
            "made_with": provenance(),
        }
        text = json.dumps(report, indent=2, allow_nan=False, ensure_ascii=False, default=str)
        write(folder / "stability.json", f"{text}\n".encode())
        if self.json:
            print(text)
        else:
            print_stability(found, initial, f"{model.name} on {Path(data).name}", folder)

    def _strength(self) -> dict[str, float]:
        """Temperature or delta, whichever was asked for."""
        both = self.temperature is None and self.delta is None
        return check_strength(self.temperature, 1.0 if both else self.delta)

    def _images(self, model: ImageModel) -> tuple[str, Tensor, Normalisation | None]:
        """Where the images are from, the images as the network sees them, what was done to them."""
        data = self.data or model.header.get("data")
        if data is None:
            raise ValueError(f"--data: name the images; {self.model} does not say what it was trained on")
        if not isinstance(data, str):
            raise ValueError(f"--data: name the images; {self.model} says {data!r}, which is no name")
        images = find_images(
            data, self.n_images, size=self.size, channels=self.channels, taken=model.shape, seed=self.seed
        )
        check_shape(images, model.shape, self.model)
        normalised = normalisation(
            images, mean=self.mean, std=self.std, own=self.normalise, header=model.header
        )
        return data, images if normalised is None else normalised(images), normalised

    def _measure(
        self, net: torch.nn.Module, images: Tensor, field: SineField, strength: dict[str, float], norm: Any
    ) -> Stability:
        output = choices(self.output_key)
        trial = try_out(net, images[:2], layers=self.layers, output=output, name=self.model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FoldingWarning)  # told already
            found = stability(
                net,
                images,
                field,
                layers=trial.layers,
                n_draws=self.draws,
                noise=self.noise,
                average=self.average,
                generator=Generator().manual_seed(self.seed),
                batch_size=self.batch_size,
                output=output,
                batch_norm=norm,
                confidence=self.confidence,
                progress=not self.json,
                **strength,
            )
        return replace(found, notes=(*found.notes, *trial.notes))

    def _warn_of_folds(self, field: SineField, strength: dict[str, float]) -> None:
        temperature = strength.get("temperature", field.temperature(strength.get("delta", 0.0)))
        if field.cutoff > 1 and temperature > (highest := field.temperature_range()[1]) * (1 + 1e-9):
            Console(stderr=True).print(
                f"[yellow]warning:[/] T = {temperature:.3g} is above the range of cutoff {field.cutoff:g}, "
                f"which ends at {highest:.3g} (δ = {field.typical_displacement(highest):.2g} px): a "
                f"deformation folds with probability {field.folding_probability(temperature):.2g}",
                soft_wrap=True,
                highlight=False,
            )

    def _draw(
        self, folder: Path, found: Stability, initial: Stability | None, images: Tensor, field: SineField
    ) -> None:
        save_picture(stability_figure(found, initial), folder / "layers.png")
        samples = deformed_samples(
            images[:4],
            field,
            temperatures=[found.temperature / 4, found.temperature, 4 * found.temperature],
            generator=Generator().manual_seed(self.seed),
        )
        save_picture(samples, folder / "samples.png")


def _initial(model: ImageModel, seed: int) -> torch.nn.Module:
    if model.fresh is None:
        raise ValueError(
            "--baseline initial: only a model file, or a callable (not a network itself) with "
            "--weights, tells what the initial weights are"
        )
    return model.fresh(seed)
