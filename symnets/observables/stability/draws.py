"""Draws: the deformations and the noise of every image, functions of a seed alone."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from symnets import diffeo
from symnets.observables.stability.images import Field

BLOCK = 25
"""Images whose randomness is drawn together; whatever the batch size, these and no others."""


class Draws:
    """Deformed and noisy images. Each block has generators of its own, so that neither the size of batches
    nor the order in which things are asked for changes a number, and a second pass sees the same.

    Args:
        images: all of them, (n, channels, *shape); they stay where they are.
        field: ensemble of deformations.
        strength: temperature or delta, by name.
        seed: of everything drawn.
        device: where batches go.
        dtype: of batches.
    """

    def __init__(
        self,
        images: Tensor,
        field: Field,
        strength: Mapping[str, float],
        *,
        seed: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.images, self.field, self.strength, self.seed = images, field, strength, seed
        self.device, self.dtype = device, dtype
        # Data sets are often sorted by class, and an early part should look like the whole.
        self.order = torch.randperm(len(images), generator=self._generator(0)).to(images.device)
        self.blocks = self.order.tensor_split(math.ceil(len(images) / BLOCK))

    def clean(self, block: int) -> Float[Tensor, "n channels *shape"]:
        """The images of a block."""
        return self.images[self.blocks[block]].to(self.device, self.dtype)

    def deformed(self, x: Tensor, block: int, draw: int) -> Float[Tensor, "n channels *shape"]:
        """τx, of the images of a block."""
        # Drawn in float64 and rounded to the dtype asked for, which only ours can be asked.
        options: dict[str, Any] = {"dtype": x.dtype} if isinstance(self.field, diffeo.Field) else {}
        generator = self._generator(1, block, draw)
        drawn = self.field.sample(len(x), generator=generator, **self.strength, **options)
        if hasattr(drawn, "to"):
            drawn = drawn.to(device=self.device)
        moved = drawn.warp(x)
        # Interpolating equal values may round; an image without contrast does not move.
        return torch.where(_blank(x).reshape(-1, *[1] * (x.ndim - 1)), x, moved)

    def directions(self, x: Tensor, block: int, draw: int) -> Float[Tensor, "n channels *shape"]:
        """Isotropic noise of norm 1, of the images of a block."""
        noise = torch.randn(x.shape, generator=self._generator(2, block, draw), dtype=self.dtype)
        return (noise / norms(noise).to(self.dtype).reshape(-1, *[1] * (x.ndim - 1))).to(self.device)

    def mean_norm(self, n_draws: int) -> float:
        """Mean of ‖τx - x‖ over all images and draws."""
        total = 0.0
        for block in range(len(self.blocks)):
            x = self.clean(block)
            total += sum(
                float(norms(self.deformed(x, block, draw) - x).sum().item()) for draw in range(n_draws)
            )
        return total / (len(self.images) * n_draws)

    def _generator(self, *key: int) -> Generator:
        state = np.random.SeedSequence([self.seed, *key]).generate_state(1, np.uint64)[0]
        return Generator().manual_seed(int(state >> np.uint64(1)))


def norms(x: Tensor) -> Float[Tensor, " n"]:
    """‖x‖ of each image, summed in float64."""
    return torch.linalg.vector_norm(x.flatten(1), dim=1, dtype=torch.float64)


def _blank(x: Tensor) -> Bool[Tensor, " n"]:
    """Whether all pixels of each channel are equal."""
    pixels = x.flatten(2)
    return (pixels == pixels[..., :1]).flatten(1).all(1)
