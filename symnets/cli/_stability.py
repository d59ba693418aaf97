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
from symnets.cli._stability_output import batch_norm_note, field_numbers, numbers, print_stability
from symnets.cli._trial import parse_selectors, trial_pass
from symnets.config import Seed
from symnets.device import usable_device
from symnets.diffeo import FoldingWarning, SineField
from symnets.files import claim, locked, own_folder, read_report
from symnets.observables import Stability, check_images, check_strength, stability
from symnets.provenance import provenance
from symnets.report import deformed_samples, save_picture, stability_figure, write
from symnets.setups import Normalisation


@dataclass(frozen=True)
class MeasureStability:
    """Measure how much deformations of images change the outputs of a network, compared with noise.

    D is the squared distance of f(τx) and f(x) relative to that of two images, G the same for isotropic noise
    of the norm of τx - x, and R = D / G. Writes stability.json, a figure of D, G and R by layer, and a figure
    of deformed images. The network is a model file, or any PyTorch network by its import path.

    Example:
        symnets stability --model vgg.safetensors --data mnist --delta 1 --cutoff 3
        symnets stability --model mine.nets:small --weights small.pt --data photos/ --size 224 --normalise
    """

    model: str
    """A model file of an image net, or package.module:callable (the working directory is searched too). The
    callable takes no arguments and returns the network; its code is executed."""
    data: str | None = None
    """digits, mnist, fashion-mnist or cifar10 (test images), a folder of PNG and JPEG files, or a .npy or
    .npz file (n, channels, rows, columns); by default the data set named in the model file."""
    delta: float | None = None
    """Exact root mean square displacement in pixels; 1 without --temperature."""
    cutoff: float = 3.0
    """Largest wave number of the deformations."""
    temperature: float | None = None
    """Temperature T of the deformations, in place of --delta."""
    rule: Literal["disc", "half"] = "disc"
    """Modes kept: disc, up to the cutoff; half, below cutoff + 1/2 as in the paper's published code."""
    layers: tuple[str, ...] = ("all",)
    """all (modules without children), names as in model.named_modules(), or output for the output only. With
    all, layers that do not return a tensor with one row for each image, such as an LSTM, and layers that are
    never called are left out, with a note."""
    n_images: int = 500
    """Number of images, chosen at random."""
    draws: int = 4
    """Number of deformations, and of noises, of each image."""
    weights: Path | None = None
    """State dict of the network that the callable makes: .safetensors, or a file of torch.save."""
    mean: tuple[float, ...] | None = None
    """Mean that is subtracted from pixels (0 to 1): one number, or one for each channel; by default from the
    model file."""
    std: tuple[float, ...] | None = None
    """Standard deviation by which pixels are divided after subtraction of --mean."""
    normalise: bool = False
    """Use mean and standard deviation of these images."""
    size: int | None = None
    """Rows and columns to which images of a folder are cropped and resized; only with a folder."""
    channels: Literal[1, 3] | None = None
    """Channels of images of a folder, 1 (grey) or 3; by default those of the model, if known, else those of
    the files. Only with a folder."""
    baseline: Literal["none", "initial"] = "none"
    """initial: also measure the network with its initial weights. Its batch normalisations then use the
    statistics of each batch, which alone changes R; see --batch-norm."""
    noise: Literal["per_image", "mean"] = "per_image"
    """Norm of the noise: per_image, that of each τx - x; mean, their mean for all images."""
    average: Literal["mean", "median", "reference"] = "mean"
    """Average over images: mean; median; or reference, medians as in the code published with the paper."""
    batch_norm: Literal["running", "batch"] = "running"
    """Statistics of batch normalisations: running, or those of each batch as with initial weights."""
    output_key: tuple[str, ...] = ()
    """Index, key or field of the tensor among several outputs; LAYER=KEY for the outputs of a layer."""
    confidence: float = 0.95
    """Confidence level of the intervals."""
    batch_size: int = 100
    """Images in a forward pass; changes speed and memory."""
    device: str = "cpu"
    """Device of the model: cpu, cuda, cuda:1, ...; auto uses a GPU if there is one."""
    seed: Seed = 0
    """Seed of the choice of images, of deformations, noise and initial weights."""
    output: Path | None = None
    """Folder for stability.json, layers.png and samples.png; by default stability/MODEL-DATA, followed by
    -2, -3, ... for other models and data of the same name."""
    json: bool = False
    """Print the content of stability.json only."""

    def run(self) -> None:
        """Measures the network, writes the files and prints the table."""
        begin = time.perf_counter()
        if self.n_images < 2:
            raise ValueError(f"--n-images: expected at least 2, got {self.n_images}")
        neither = self.temperature is None and self.delta is None
        strength = check_strength(self.temperature, 1.0 if neither else self.delta)
        device = usable_device(self.device)
        model = find_model(self.model, self.weights, seed=self.seed)
        data, images, normalised = self._images(model)
        folder = self.output or Path("stability") / f"{model.name}-{Path(data).name}"
        folder = claim(folder / "stability.json", overwrite=True, option="--output").parent
        if self.output is None:
            folder = own_folder(
                folder, lambda place: self._is_own(place / "stability.json", data), make=False
            )
        with locked(folder):
            field = SineField(images.shape[2:], cutoff=self.cutoff, rule=self.rule)
            check_images(images, field)
            self._warn_of_folds(field, strength)
            initial_net = _initial(model, self.seed).to(device) if self.baseline == "initial" else None
            result = self._measure(model.net.to(device), images, field, strength, self.batch_norm)
            initial = (
                None if initial_net is None else self._measure(initial_net, images, field, strength, "batch")
            )
            if initial is not None:
                initial = replace(initial, notes=(*initial.notes, *batch_norm_note(model.net, result)))
            report = {
                "config": asdict(self) | {"data": data, "output": str(folder)},
                "normalisation": None if normalised is None else asdict(normalised),
                "images": list(images.shape),
                "field": field_numbers(field, result.temperature),
                "stability": numbers(result),
                "initial": None if initial is None else numbers(initial),
                "seconds": round(time.perf_counter() - begin, 2),
                "made_with": provenance(),
            }
            text = json.dumps(report, indent=2, allow_nan=False, ensure_ascii=False, default=str)
            try:
                write(folder / "stability.json", f"{text}\n".encode())
                self._save_figures(folder, result, initial, images, field)
            finally:  # results are printed even if the disk is full
                if self.json:
                    print(text)
                else:
                    print_stability(result, initial, f"{model.name} on {Path(data).name}", folder)

    def _is_own(self, path: Path, data: str) -> bool:
        """Whether a file of results does not exist, or has results of the same model and data."""
        config = read_report(path).get("config", {})
        return not path.exists() or (config.get("model"), config.get("data")) == (self.model, data)

    def _images(self, model: ImageModel) -> tuple[str, Tensor, Normalisation | None]:
        """Name of the data, the normalised images, and their normalisation."""
        data = self.data or model.header.get("data")
        if data is None:
            raise ValueError(f"--data: name the images; {self.model} does not name its data set")
        if not isinstance(data, str):
            raise ValueError(f"--data: name the images; {self.model} has {data!r} in place of a name")
        images = find_images(
            data,
            self.n_images,
            size=self.size,
            channels=self.channels,
            model_shape=model.shape,
            seed=self.seed,
        )
        check_shape(images, model.shape, self.model)
        normalised = normalisation(
            images, mean=self.mean, std=self.std, own=self.normalise, header=model.header
        )
        return data, images if normalised is None else normalised(images), normalised

    def _measure(
        self, net: torch.nn.Module, images: Tensor, field: SineField, strength: dict[str, float], norm: Any
    ) -> Stability:
        output = parse_selectors(self.output_key)
        trial_pass(net, images[:2], layers=self.layers, output=output, name=self.model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FoldingWarning)  # _warn_of_folds has printed it
            warnings.filterwarnings("ignore", "stability: not measured")  # a note below the table
            return stability(
                net,
                images,
                field,
                layers=self.layers,
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

    def _save_figures(
        self, folder: Path, result: Stability, initial: Stability | None, images: Tensor, field: SineField
    ) -> None:
        save_picture(stability_figure(result, initial), folder / "layers.png")
        samples = deformed_samples(
            images[:4],
            field,
            temperatures=[result.temperature / 4, result.temperature, 4 * result.temperature],
            generator=Generator().manual_seed(self.seed),
        )
        save_picture(samples, folder / "samples.png")


def _initial(model: ImageModel, seed: int) -> torch.nn.Module:
    if model.fresh is None:
        raise ValueError(
            "--baseline initial: expected a model file, or a callable (not a network itself) with --weights; "
            "otherwise the initial weights are unknown"
        )
    return model.fresh(seed)
