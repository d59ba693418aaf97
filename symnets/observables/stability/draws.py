"""Draws: the deformations and the noise of every image, functions of a seed alone."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from symnets import diffeo
from symnets.diffeo import Expansion
from symnets.observables.stability.images import Field

BLOCK = 25
"""Images whose randomness is drawn together; whatever the batch size, these and no others."""


class Draws:
    """Deformed and noisy images. Each block has generators of its own, so that neither the size of batches
    nor the order in which things are asked for changes a number, and a second pass sees the same.

    All is drawn on the CPU: a seed gives the same deformations and the same noise on any device. They are
    brought to the device for many blocks at once; nothing waits for it.

    Args:
        images: all of them, (n, channels, *shape); they stay where they are, best on the device.
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
        order = torch.randperm(len(images), generator=self._generator(0))
        self.sizes = [len(block) for block in order.tensor_split(math.ceil(len(images) / BLOCK))]
        self.order = order.to(images.device)
        # The other way a copy that is not waited for could be read before it is there.
        self._from_cpu = images.device.type == "cpu"

    def clean(self, blocks: range) -> Float[Tensor, "n channels *shape"]:
        """The images of some blocks."""
        rows = self.order[sum(self.sizes[: blocks.start]) :][: sum(self.sizes[blocks.start : blocks.stop])]
        return self.images[rows].to(self.device, self.dtype, non_blocking=self._from_cpu)

    def deformed(self, x: Tensor, blocks: range, draw: int) -> Float[Tensor, "n channels *shape"]:
        """τx, of the images of some blocks."""
        fields = [self._sample(block, draw) for block in blocks]
        ours = [one for one in fields if isinstance(one, Expansion)]
        if self.device.type != "cpu" and len(ours) == len(fields):
            coefficients = torch.cat([one.coefficients for one in ours])
            still = all(one.still for one in ours)
            together = Expansion(ours[0].basis, coefficients, ours[0].shape, still=still)
            moved = together.to(device=self.device).warp(x)
        else:
            # On a CPU one after another, so that a block stays in its cache.
            parts = x.split(self.sizes[blocks.start : blocks.stop])
            there = [one.to(device=self.device) if hasattr(one, "to") else one for one in fields]
            moved = torch.cat([one.warp(part) for one, part in zip(there, parts, strict=True)])
        # Interpolating equal values may round; an image without contrast does not move.
        return torch.where(_blank(x).reshape(-1, *[1] * (x.ndim - 1)), x, moved)

    def directions(self, x: Tensor, blocks: range, draw: int) -> Float[Tensor, "n channels *shape"]:
        """Isotropic noise of norm 1, of the images of some blocks."""
        parts = []
        for block in blocks:
            shape = (self.sizes[block], *x.shape[1:])
            noise = torch.randn(shape, generator=self._generator(2, block, draw), dtype=self.dtype)
            parts.append(noise / norms(noise).to(self.dtype).reshape(-1, *[1] * (x.ndim - 1)))
        return torch.cat(parts).to(self.device, non_blocking=True)

    def mean_norm(self, n_draws: int, together: int) -> float:
        """Mean of ‖τx - x‖ over all images and draws, some blocks at a time."""
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for first in range(0, len(self.sizes), together):
            blocks = range(first, min(first + together, len(self.sizes)))
            x = self.clean(blocks)
            for draw in range(n_draws):
                total += norms(self.deformed(x, blocks, draw) - x).sum()
        return float(total) / (len(self.images) * n_draws)

    def _sample(self, block: int, draw: int) -> Any:
        """Deformations of the images of a block, on the CPU."""
        # Drawn in float64 and rounded to the dtype asked for, which only ours can be asked.
        options: dict[str, Any] = {"dtype": self.dtype} if isinstance(self.field, diffeo.Field) else {}
        generator = self._generator(1, block, draw)
        return self.field.sample(self.sizes[block], generator=generator, **self.strength, **options)

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
