"""Deformed and noisy versions of images, in batches, as functions of a seed alone; checks of the inputs."""

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
    """Protocol of a random deformation field, such as `symnets.diffeo.SineField`.

    `sample(n, temperature=..., generator=...)`, or `delta=` in place of `temperature=`, returns an object
    whose `warp(images)` deforms n images, each by a different deformation.
    """

    @property
    def sample(self) -> Callable[..., Any]:
        """Samples n deformations."""
        ...


def check_images(images: Any, field: DeformationField) -> None:
    """Checks that images are a floating-point tensor (n, channels, *field.shape) with finite pixels.

    A `symnets.diffeo.PointField` of shape (3,) takes clouds (n, points, 3).

    Raises:
        TypeError: not a floating-point tensor.
        ValueError: no image, another layout, or NaN or infinite pixels.
    """
    check_pixels(images)
    shape = tuple(images.shape)
    grid = getattr(field, "shape", None)
    if grid is None and len(shape) == 3:  # images without channels, not clouds
        grid = shape[1:]
    _check_layout(shape, shape[2:] if grid is None else tuple(grid))


def check_strength(temperature: float | None, delta: float | None) -> dict[str, float]:
    """Checks that one of temperature and delta is given; returns it as a keyword argument of `sample`.

    Raises:
        ValueError: both, neither, or a number that is negative or not finite.
    """
    given = {
        name: value for name, value in [("temperature", temperature), ("delta", delta)] if value is not None
    }
    if len(given) != 1:
        raise ValueError(
            "temperature, delta: expected one of the two, got "
            + ("both" if given else "neither; delta=1.0 is a displacement of one pixel")
        )
    ((name, value),) = given.items()
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name}: expected a finite number >= 0, got {value}")
    return {name: float(value)}


def _check_layout(shape: Sequence[int], grid: Sequence[int]) -> None:
    grid = tuple(grid)
    if len(shape) == 2 + len(grid) >= 3 and tuple(shape[2:]) == grid:
        return
    axes = ", ".join(map(str, grid)) or "rows, columns"
    message = f"images: expected shape (n, channels, {axes}) as for the field, got {tuple(shape)}"
    if len(shape) == 2 + len(grid) and tuple(shape[1:-1]) == grid:
        raise ValueError(f"{message}: the channels come last; use images.movedim(-1, 1)")
    if len(shape) == 1 + len(grid) and tuple(shape[1:]) == grid:
        raise ValueError(f"{message}: there are no channels; use images[:, None]")
    if len(shape) == 2 and math.prod(grid) > 0 and shape[1] % math.prod(grid) == 0:
        raise ValueError(
            f"{message}: images are flattened; use images.reshape(len(images), -1, rows, columns)"
        )
    raise ValueError(f"{message}; make the field with shape=images.shape[2:]")


BLOCK = 25
"""Images that share a generator; fixed, so that the batch size does not change the random numbers."""


class Perturbations:
    """Deformed and noisy images, determined by a seed.

    Images are divided into blocks, each with its own generators, so that the random numbers depend neither on
    the batch size nor on the order of evaluation, and a second pass gives the same images. Random numbers are
    generated on the CPU: a seed gives the same deformations and noise on any device. They are copied to the
    device for many blocks at once, without synchronisation.

    Args:
        images: all images, (n, channels, *shape), on any device; fastest on `device`.
        field: the random deformations.
        strength: temperature or delta, as a keyword argument of `field.sample`.
        seed: seed of all random numbers.
        device: device of the batches.
        dtype: dtype of the batches.
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
        # In random order: data sets are often sorted by class, and partial results should be representative.
        order = torch.randperm(len(images), generator=self._generator(0))
        self.sizes = [len(block) for block in order.tensor_split(math.ceil(len(images) / BLOCK))]
        self.order = order.to(images.device)
        # A non-blocking copy from a GPU to the CPU could be read before it is complete.
        self._from_cpu = images.device.type == "cpu"

    def clean(self, blocks: range) -> Float[Tensor, "n channels *shape"]:
        """Unperturbed images x of some blocks."""
        rows = self.order[sum(self.sizes[: blocks.start]) :][: sum(self.sizes[blocks.start : blocks.stop])]
        return self.images[rows].to(self.device, self.dtype, non_blocking=self._from_cpu)

    def deformed(self, x: Tensor, blocks: range, draw: int) -> Float[Tensor, "n channels *shape"]:
        """Deformed images τx of some blocks."""
        diffeos = [self._sample(block, draw) for block in blocks]
        expansions = [diffeo for diffeo in diffeos if isinstance(diffeo, Expansion)]
        if self.device.type != "cpu" and len(expansions) == len(diffeos):
            coefficients = torch.cat([one.coefficients for one in expansions])
            is_identity = all(one.is_identity for one in expansions)
            first = expansions[0]
            joined = Expansion(first.basis, coefficients, first.shape, is_identity=is_identity)
            deformed = joined.to(device=self.device).warp(x)
        else:
            # On a CPU one block after another, so that a block stays in the cache.
            parts = x.split(self.sizes[blocks.start : blocks.stop])
            diffeos = [one.to(device=self.device) if hasattr(one, "to") else one for one in diffeos]
            deformed = torch.cat([one.warp(part) for one, part in zip(diffeos, parts, strict=True)])
        if x.ndim == 3:  # points are moved, not interpolated
            return deformed
        # Interpolation of equal values may round; constant images are returned unchanged.
        return torch.where(_constant(x).reshape(-1, *[1] * (x.ndim - 1)), x, deformed)

    def directions(self, x: Tensor, blocks: range, draw: int) -> Float[Tensor, "n channels *shape"]:
        """Isotropic noise of norm 1 for the images of some blocks."""
        parts = []
        for block in blocks:
            shape = (self.sizes[block], *x.shape[1:])
            noise = torch.randn(shape, generator=self._generator(2, block, draw), dtype=self.dtype)
            parts.append(noise / norms(noise).to(self.dtype).reshape(-1, *[1] * (x.ndim - 1)))
        return torch.cat(parts).to(self.device, non_blocking=True)

    def mean_norm(self, n_draws: int, n_blocks: int) -> float:
        """Mean of ‖τx - x‖ over all images and draws, computed `n_blocks` blocks at a time."""
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for first in range(0, len(self.sizes), n_blocks):
            blocks = range(first, min(first + n_blocks, len(self.sizes)))
            x = self.clean(blocks)
            for draw in range(n_draws):
                total += norms(self.deformed(x, blocks, draw) - x).sum()
        return float(total) / (len(self.images) * n_draws)

    def _sample(self, block: int, draw: int) -> Any:
        """Deformations of the images of a block, on the CPU."""
        # symnets' fields sample in float64 and round to `dtype`; other fields may not have this option.
        options: dict[str, Any] = {"dtype": self.dtype} if isinstance(self.field, diffeo.Field) else {}
        generator = self._generator(1, block, draw)
        return self.field.sample(self.sizes[block], generator=generator, **self.strength, **options)

    def _generator(self, *key: int) -> Generator:
        state = np.random.SeedSequence([self.seed, *key]).generate_state(1, np.uint64)[0]
        return Generator().manual_seed(int(state >> np.uint64(1)))


def norms(x: Tensor) -> Float[Tensor, " n"]:
    """‖x‖ of each image, summed in float64."""
    return torch.linalg.vector_norm(x.flatten(1), dim=1, dtype=torch.float64)


def _constant(x: Tensor) -> Bool[Tensor, " n"]:
    """Whether all pixels of an image are equal within each channel."""
    pixels = x.flatten(2)
    return (pixels == pixels[..., :1]).flatten(1).all(1)


class Perturbed(NamedTuple):
    """One deformation and one noise of each image of a batch."""

    deformed: Tensor
    """Deformed images τx."""
    noisy: Tensor
    """Noisy images x + η."""
    norm: Float64[Tensor, ""]
    """Σ ‖η‖ over the batch, on the device of the batch."""


class Batch(NamedTuple):
    """Images of one forward pass, with their perturbed versions."""

    start: int
    """Number of the first image."""
    images: Tensor
    """Images x, in random order."""
    perturbed: Iterable[Perturbed]
    """The draws; may be iterated once."""


def batches(
    perturbations: Perturbations, n_draws: int, norm: float | None, batch_size: int
) -> Iterator[Batch]:
    """All images with their perturbed versions, at most `batch_size` images at a time.

    A batch consists of several blocks, or of a part of one.

    Args:
        perturbations: images and their random perturbations.
        n_draws: deformations, and noises, of each image.
        norm: ‖η‖ of all images; None for ‖τx - x‖ of each image and draw.
        batch_size: images in a forward pass.
    """
    start, n_blocks = 0, max(1, batch_size // BLOCK)
    for first in range(0, len(perturbations.sizes), n_blocks):
        blocks = range(first, min(first + n_blocks, len(perturbations.sizes)))
        x = perturbations.clean(blocks)
        draws = (_perturbed(perturbations, x, blocks, draw, norm) for draw in range(n_draws))
        if len(x) <= batch_size:
            yield Batch(start, x, draws)
        else:
            whole, row = list(draws), 0
            for part in x.tensor_split(-(-len(x) // batch_size)):
                rows, share = slice(row, row + len(part)), len(part)
                parts = [
                    Perturbed(one.deformed[rows], one.noisy[rows], one.norm * share / len(x)) for one in whole
                ]
                yield Batch(start + row, part, parts)
                row += len(part)
        start += len(x)


def _perturbed(
    perturbations: Perturbations, x: Tensor, blocks: range, draw: int, norm: float | None
) -> Perturbed:
    deformed = perturbations.deformed(x, blocks, draw)
    length = norms(deformed - x) if norm is None else norms(x).fill_(norm)
    scale = length.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    return Perturbed(deformed, x + scale * perturbations.directions(x, blocks, draw), length.sum())
