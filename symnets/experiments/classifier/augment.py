"""What happens to training images, batch by batch: deformations, shifts, reflections."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn.functional import pad

from symnets.data.tensor_pairs import Transform
from symnets.diffeo.sine_field import SineField
from symnets.experiments.classifier.config import ClassifierConfig

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
