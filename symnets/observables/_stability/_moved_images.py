"""The door of `stability`: images, field and temperature, checked before any work is done.

Draws: the deformations and the noise of every image, functions of a seed alone.

Batches of images with their deformed and noisy versions.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Generator, Tensor

from symnets import diffeo
from symnets.diffeo import Expansion
from symnets.observables._shift_consistency import check_pixels


class DeformationField(Protocol):
    """An ensemble of deformations, such as `symnets.diffeo.SineField`.

    `sample(n, temperature=..., generator=...)`, or `delta=` in place of `temperature=`, returns an object
    whose `warp(images)` deforms n images, each by a deformation of its own.
    """

    @property
    def sample(self) -> Callable[..., Any]:
        """Draws n deformations."""
        ...


def check_images(images: Any, field: DeformationField) -> None:
    """Passes images (n, channels, *field.shape) of finite floating numbers.

    Raises:
        TypeError: not a tensor of floating numbers.
        ValueError: no image, another layout, or NaN or infinite pixels.
    """
    check_pixels(images)
    shape = tuple(images.shape)
    grid = getattr(field, "shape", None)
    _check_layout(shape, shape[2:] if grid is None else tuple(grid))


def check_strength(temperature: float | None, delta: float | None) -> dict[str, float]:
    """The one of the two that was given, as an argument for `sample`."""
    given = {
        name: value for name, value in [("temperature", temperature), ("delta", delta)] if value is not None
    }
    if len(given) != 1:
        raise ValueError(
            "temperature, delta: expected one of them, got "
            + ("both" if given else "neither; delta=1.0 is a displacement of one pixel")
        )
    ((name, value),) = given.items()
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name}: expected a finite number >= 0, got {value}")
    return {name: float(value)}


def _check_layout(shape: Sequence[int], grid: Sequence[int]) -> None:
    grid = tuple(grid)
    if len(shape) == 2 + len(grid) >= 4 and tuple(shape[2:]) == grid:
        return
    axes = ", ".join(map(str, grid)) or "rows, columns"
    message = f"images: expected shape (n, channels, {axes}) as the field has, got {tuple(shape)}"
    if len(shape) == 2 + len(grid) and tuple(shape[1:-1]) == grid:
        raise ValueError(f"{message}: the channels come last; take images.movedim(-1, 1)")
    if len(shape) == 1 + len(grid) and tuple(shape[1:]) == grid:
        raise ValueError(f"{message}: there are no channels; take images[:, None]")
    if len(shape) == 2 and math.prod(grid) > 0 and shape[1] % math.prod(grid) == 0:
        raise ValueError(
            f"{message}: images are flattened; take images.reshape(len(images), -1, rows, columns)"
        )
    raise ValueError(f"{message}; make the field with shape=images.shape[2:]")


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
        field: DeformationField,
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
            still = all(one.is_identity for one in ours)
            together = Expansion(ours[0].basis, coefficients, ours[0].shape, is_identity=still)
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


class Moved(NamedTuple):
    """One draw for each image of a batch."""

    deformed: Tensor
    """τx."""
    noisy: Tensor
    """x + η."""
    norm: Float64[Tensor, ""]
    """Σ ‖η‖ over the batch, on its device."""


class Batch(NamedTuple):
    """Images that go through the model together."""

    start: int
    """Number of the first."""
    images: Tensor
    moved: Iterable[Moved]
    """The draws; to be gone through once."""


def batches(draws: Draws, n_draws: int, norm: float | None, batch_size: int) -> Iterator[Batch]:
    """All images, at most `batch_size` at a time: several blocks of draws, or parts of one.

    Args:
        draws: images and their randomness.
        n_draws: of each image.
        norm: ‖η‖ of all; None for ‖τx - x‖ of each.
        batch_size: of a forward pass.
    """
    start, together = 0, max(1, batch_size // BLOCK)
    for first in range(0, len(draws.sizes), together):
        blocks = range(first, min(first + together, len(draws.sizes)))
        x = draws.clean(blocks)
        moved = (_moved(draws, x, blocks, draw, norm) for draw in range(n_draws))
        if len(x) <= batch_size:
            yield Batch(start, x, moved)
        else:
            drawn, row = list(moved), 0
            for part in x.tensor_split(-(-len(x) // batch_size)):
                rows = slice(row, row + len(part))
                shares = [
                    Moved(one.deformed[rows], one.noisy[rows], one.norm * len(part) / len(x)) for one in drawn
                ]
                yield Batch(start + row, part, shares)
                row += len(part)
        start += len(x)


def _moved(draws: Draws, x: Tensor, blocks: range, draw: int, norm: float | None) -> Moved:
    deformed = draws.deformed(x, blocks, draw)
    length = norms(deformed - x) if norm is None else norms(x).fill_(norm)
    scale = length.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    return Moved(deformed, x + scale * draws.directions(x, blocks, draw), length.sum())
