"""Image classifiers: configuration, normalised images, and random augmentation of training images."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn.functional import pad

from symnets.config import SEED, at_least, check_ranges, more_than, within
from symnets.data import IMAGE_DATASETS, Batch, Images, Transform, balanced_subset, load_images
from symnets.diffeo import SineField
from symnets.models import IMAGE_NETS
from symnets.names import did_you_mean

Augment = Literal["none", "diffeo", "crop", "crop-flip"]


@dataclass(frozen=True)
class ClassifierConfig:
    """Configuration of an image classifier: its net, images and training.

    Nets are trained by AdamW or SGD on cross-entropy; the learning rate rises linearly over the first tenth
    of the steps and falls as a cosine to a hundredth of its maximum. The number of steps depends on the
    number of images: `epochs` passes, but at least `min_steps` and at most `max_steps`. Small training sets
    need more passes to be fitted than large ones: with a fixed number of passes they would not be fitted,
    with a fixed number of steps they would be trained far beyond the fit. Rows contain the training error.
    """

    net: str = "vgg_bn"
    """Architecture, one of `symnets.models.IMAGE_NETS`."""
    width: float = 1.0
    """Factor that multiplies the numbers of channels and units of all hidden layers."""
    data: str = "mnist"
    """Images: "digits", "mnist", "fashion-mnist", "cifar10"."""
    n_train: int = 1000
    """P, number of training images, balanced over classes."""
    n_test: int = 2000
    """Number of test images, the same for all seeds."""
    epochs: int = 20
    """Passes over the images, within the limits on steps."""
    min_steps: int = 800
    """Smallest number of steps."""
    max_steps: int = 2000
    """Largest number of steps."""
    batch_size: int = 32
    """Images per step."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    """Optimizer: AdamW, or SGD with momentum 0.9."""
    rate: float = 4e-3
    """Largest learning rate."""
    weight_decay: float = 1e-2
    """Weight decay, decoupled from the gradient in AdamW, a term of the gradient in SGD."""
    augment: Augment = "crop"
    """Augmentation of training images: none, random deformations, shifts, or shifts and reflections."""
    fitted_below: float = 0.02
    """A net is FITTED if its training error is at most this."""
    seed: int = 0
    """Seed of images, initial weights, batches, deformations and noise."""
    data_seed: int | None = None
    """Seed of the training images, to give all values of `seed` the same images."""
    device: str = "cpu"
    """Device on which the net is trained and measured: cpu, cuda, cuda:1, ... Random numbers are drawn on the
    CPU and are the same for any device; results differ by rounding."""

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
            seed=SEED,
            data_seed=SEED,
        )
        _known("net", self.net, IMAGE_NETS)
        _known("data", self.data, IMAGE_DATASETS)
        if self.min_steps > self.max_steps:
            raise ValueError(
                f"min_steps, max_steps: expected the first not above the second, "
                f"got {self.min_steps} and {self.max_steps}"
            )
        if self.n_train % self.batch_size == 1:
            raise ValueError(
                f"batch_size: {self.n_train} images in batches of {self.batch_size} leave one image alone, "
                "which batch normalisation does not accept; choose another size"
            )

    @property
    def steps(self) -> int:
        """Number of training steps."""
        an_epoch = -(-self.n_train // self.batch_size)
        return min(max(self.epochs * an_epoch, self.min_steps), self.max_steps)


def _known(field: str, value: str, names: object) -> None:
    known = list(names)  # pyright: ignore[reportArgumentType, reportCallIssue]
    if value not in known:
        raise ValueError(f"{field}: unknown {value!r}; {did_you_mean(value, known)}")


@dataclass(frozen=True)
class Normalisation:
    """Normalisation of pixels in [0, 1]: x -> (x - mean) / deviation, for each channel.

    Attributes:
        mean: mean of each channel.
        deviation: standard deviation of each channel.
    """

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
"""Normalisation of each data set, as in the code published with Petrini et al. 2021 (arXiv:2105.02468).

Deformations act on normalised images.
"""


def classified_images(config: ClassifierConfig, device: torch.device | str = "cpu") -> tuple[Batch, Batch]:
    """Training and test images and classes, (P, channels, rows, columns) and (P,), float32, on a device.

    All images are in memory at once: the largest set, CIFAR-10, has 0.7 GB.

    Classes are balanced. The training images of a seed are nested in P (`symnets.data.balanced_subset`); the
    test images are the same for all seeds, in random order.

    Raises:
        ValueError: the data set has fewer images.
    """
    seed = config.seed if config.data_seed is None else config.data_seed
    batches = []
    for split, n, order in (("train", config.n_train, seed), ("test", config.n_test, 0)):
        images = _images(config.data, split, os.environ.get("SYMNETS_DATA"))
        try:
            rows = balanced_subset(images.labels, n, order)
        except ValueError as error:
            raise ValueError(f"n_{split}: {str(error).removeprefix('n: ')}") from error
        if split == "test":
            rows = rows[torch.randperm(n, generator=torch.Generator().manual_seed(0))]
        chosen = images[rows]
        # Normalised on the CPU, so that images are bitwise equal on all devices.
        inputs = NORMALISATIONS[config.data](chosen.scaled())
        batches.append(Batch(inputs.to(device), chosen.labels.to(device)))
    return batches[0], batches[1]


@lru_cache(maxsize=4)
def _images(name: str, split: Literal["train", "test"], _symnets_data: str | None) -> Images:
    """All images of a split, read once per process; the folder is part of the cache key."""
    return load_images(name, split)


DELTA, CUTOFF = 1 / 28, 3.0
"""Parameters of "diffeo": exact root mean square displacement in units of the image size, and cutoff."""


def augmentation(config: ClassifierConfig, shape: Sequence[int]) -> Transform | None:
    """The augmentation of a configuration, for images of shape (channels, rows, columns).

    "diffeo" deforms each image by its own field, by 1 pixel in 28. "crop" shifts each image by up to an
    eighth of its size along either axis and pads with zeros. "crop-flip" also reflects it with probability
    1/2. Random numbers are drawn on the CPU, so that they are the same for all devices; images are
    transformed on their device, asynchronously.
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
    """Images shifted by whole pixels, uniformly by up to an eighth of the longer side along each axis."""
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
    """Images reflected left to right with probability 1/2."""
    chosen = (torch.rand(len(images), generator=generator) < 0.5).to(images.device, non_blocking=True)
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)
