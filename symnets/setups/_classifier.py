"""Configuration of an image net and of its training.

Images as classifiers see them: chosen, normalised, with the numbers of their classes.

What happens to training images, batch by batch: deformations, shifts, reflections.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn.functional import pad

from symnets.config import at_least, check_ranges, more_than, within
from symnets.data import NAMES, Batch, Images, Transform, load_images, subset
from symnets.diffeo import SineField
from symnets.models import IMAGE_NETS
from symnets.names import did_you_mean

Augment = Literal["none", "diffeo", "crop", "crop-flip"]


@dataclass(frozen=True)
class ClassifierConfig:
    """An image net, its images, and how it is trained.

    AdamW or SGD on cross-entropy; the learning rate rises linearly over the first tenth of the steps and
    falls as a cosine to a hundredth of its top. How many steps is decided by the number of images: `epochs`
    passes, but between `min_steps` and `max_steps`. Few images need more passes than many to be fitted, and
    passes over many cost more than they teach: with a fixed number of either, small training sets would be
    trained far beyond the fit, or large ones not up to it. Rows tell how well they were fitted.
    """

    net: str = "vgg_bn"
    """One of `symnets.models.image_nets.IMAGE_NETS`."""
    width: float = 1.0
    """Factor of all hidden numbers of channels and units."""
    data: str = "mnist"
    """Images: "digits", "mnist", "fashion-mnist", "cifar10"."""
    n_train: int = 1000
    """P, number of images to train on, as many of each class."""
    n_test: int = 2000
    """Images to test on, the same for all seeds."""
    epochs: int = 20
    """Passes over the images, within the limits on steps."""
    min_steps: int = 800
    """The least number of steps."""
    max_steps: int = 2000
    """The largest number of steps."""
    batch_size: int = 32
    """Images a step."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    """SGD has momentum 0.9."""
    rate: float = 4e-3
    """Largest learning rate."""
    weight_decay: float = 1e-2
    """Of AdamW it is decoupled from the gradient; of SGD it is a term of the gradient."""
    augment: Augment = "crop"
    """What happens to training images: nothing, random deformations, shifts, or shifts and reflections."""
    fitted_below: float = 0.02
    """A net is FITTED if its training error is not above this."""
    seed: int = 0
    """Of images, initial weights, batches, deformations and noise."""
    data_seed: int | None = None
    """Of the training images, if all seeds shall see the same ones."""
    device: str = "cpu"
    """Where the net is trained and measured: cpu, cuda, cuda:1, ... All that is random is drawn on the CPU
    and is the same on any device; results differ by rounding."""

    def __post_init__(self) -> None:
        check_ranges(
            "",
            self,
            width=more_than(0),
            n_train=at_least(10),
            n_test=at_least(10),
            epochs=at_least(1),
            min_steps=at_least(1),
            max_steps=at_least(1),
            batch_size=at_least(2),
            rate=more_than(0),
            weight_decay=at_least(0),
            fitted_below=within(0, 1),
            seed=at_least(0),
            data_seed=at_least(0),
        )
        _known("net", self.net, IMAGE_NETS)
        _known("data", self.data, NAMES)
        if self.min_steps > self.max_steps:
            raise ValueError(
                f"min_steps, max_steps: expected the first not above the second, "
                f"got {self.min_steps} and {self.max_steps}"
            )
        if self.n_train % self.batch_size == 1:
            raise ValueError(
                f"batch_size: {self.n_train} images in batches of {self.batch_size} leave one image alone, "
                "which a batch normalisation may not take; choose another size"
            )

    @property
    def steps(self) -> int:
        """Steps of the training."""
        an_epoch = -(-self.n_train // self.batch_size)
        return min(max(self.epochs * an_epoch, self.min_steps), self.max_steps)


def _known(field: str, value: str, names: object) -> None:
    known = list(names)  # pyright: ignore[reportArgumentType, reportCallIssue]
    if value not in known:
        raise ValueError(f"{field}: unknown {value!r}; {did_you_mean(value, known)}")


@dataclass(frozen=True)
class Normalisation:
    """x -> (x - mean) / deviation, a number for each channel, of pixels from 0 to 1."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __call__(self, pixels: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Normalised pixels."""
        mean, deviation = (pixels.new_tensor(part)[:, None, None] for part in (self.mean, self.deviation))
        return (pixels - mean) / deviation


NORMALISATIONS = {
    "digits": Normalisation((0.0,), (1.0,)),
    "mnist": Normalisation((0.0,), (1.0,)),
    "fashion-mnist": Normalisation((0.5,), (0.5,)),
    # Means and standard deviations of the channels over the training images.
    "cifar10": Normalisation((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}
"""As in the code published with Petrini et al. 2021; deformations act on what comes out."""


def classified_images(config: ClassifierConfig, device: torch.device | str = "cpu") -> tuple[Batch, Batch]:
    """Images to train on and images to test on, (P, channels, rows, columns) and (P,), float32, on a device.

    All at once: the largest set, CIFAR-10, is 0.7 GB.

    Classes are balanced. The training images of a seed are nested in P (`symnets.data.subset`); the test
    images are the same for all seeds, in an order that does not tell their classes.

    Raises:
        ValueError: more images are asked for than there are.
    """
    seed = config.seed if config.data_seed is None else config.data_seed
    batches = []
    for split, n, order in (("train", config.n_train, seed), ("test", config.n_test, 0)):
        images = _images(config.data, split, os.environ.get("SYMNETS_DATA"))
        try:
            rows = subset(images.labels, n, order)
        except ValueError as error:
            raise ValueError(f"n_{split}: {str(error).removeprefix('n: ')}") from error
        if split == "test":
            rows = rows[torch.randperm(n, generator=torch.Generator().manual_seed(0))]
        chosen = images[rows]
        # Normalised on the CPU, so that images are the same bit for bit on any device.
        inputs = NORMALISATIONS[config.data](chosen.scaled())
        batches.append(Batch(inputs.to(device), chosen.labels.to(device)))
    return batches[0], batches[1]


@lru_cache(maxsize=4)
def _images(name: str, split: Literal["train", "test"], _symnets_data: str | None) -> Images:
    """All images of a part, read once a process; other folders hold other files."""
    return load_images(name, split)


DELTA, CUTOFF = 1 / 28, 3.0
"""Of "diffeo": root of the mean squared displacement, exact, in units of the image, and the cutoff."""


def augmentation(config: ClassifierConfig, shape: Sequence[int]) -> Transform | None:
    """The transform that a config names, of images of a shape (channels, rows, columns).

    "diffeo" deforms each image by a field of its own, of 1 pixel in 28. "crop" shifts each by up to an eighth
    of its size along either axis, zeros coming in. "crop-flip" reflects every second one besides. Numbers are
    drawn on the CPU, the same ones for images on any device; what is done with them is done where the images
    are, without waiting for it.
    """
    if config.augment == "none":
        return None
    if config.augment == "diffeo":
        field = SineField(shape[1:], cutoff=CUTOFF)
        return lambda images, generator: field.sample(
            len(images),
            delta=DELTA * max(shape[1:]),
            generator=generator,
            dtype=images.dtype,
            device=images.device,
        ).warp(images)
    if config.augment == "crop":
        return shifted
    return lambda images, generator: reflected(shifted(images, generator), generator)


def shifted(
    images: Float[Tensor, "n channels rows columns"], generator: Generator
) -> Float[Tensor, "n channels rows columns"]:
    """Each image moved by whole pixels, evenly distributed from -n/8 to n/8 along each axis."""
    n, _, rows, columns = images.shape
    reach = max(rows, columns) // 8
    wide = pad(images, (reach, reach, reach, reach))
    moves = torch.randint(2 * reach + 1, (2, n, 1, 1), generator=generator)
    row, column = moves.to(images.device, non_blocking=True)
    image, down, right = (torch.arange(size, device=images.device) for size in (n, rows, columns))
    chosen = wide.movedim(1, -1)[image[:, None, None], row + down[:, None], column + right]
    return chosen.movedim(-1, 1).contiguous()


def reflected(
    images: Float[Tensor, "n channels rows columns"], generator: Generator
) -> Float[Tensor, "n channels rows columns"]:
    """Each image left to right, with probability one half."""
    chosen = (torch.rand(len(images), generator=generator) < 0.5).to(images.device, non_blocking=True)
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)
