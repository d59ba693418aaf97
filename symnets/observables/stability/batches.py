"""Batches of images with their deformed and noisy versions."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from jaxtyping import Float64
from torch import Tensor

from symnets.observables.stability.draws import BLOCK, Draws, norms


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
