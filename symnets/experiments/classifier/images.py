"""Images as classifiers see them: chosen, normalised, with the numbers of their classes."""

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.data.images.images import Images
from symnets.data.images.load import load_images
from symnets.data.loader import Batch
from symnets.data.subset import subset
from symnets.experiments.classifier.config import ClassifierConfig


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
