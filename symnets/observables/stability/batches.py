"""Batches of images with their deformed and noisy versions."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from symnets.observables.stability.draws import BLOCK, Draws, norms


class Moved(NamedTuple):
    """One draw for each image of a batch."""

    deformed: Tensor
    """τx."""
    noisy: Tensor
    """x + η."""
    norm: float
    """Σ ‖η‖ over the batch."""


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
    for first in range(0, len(draws.blocks), together):
        blocks = range(first, min(first + together, len(draws.blocks)))
        parts = [draws.clean(block) for block in blocks]
        x = torch.cat(parts)
        moved = (_moved(draws, parts, blocks, draw, norm) for draw in range(n_draws))
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


def _moved(draws: Draws, parts: list[Tensor], blocks: range, draw: int, norm: float | None) -> Moved:
    deformed, noisy, total = [], [], 0.0
    for x, block in zip(parts, blocks, strict=True):
        moved = draws.deformed(x, block, draw)
        length = norms(moved - x) if norm is None else norms(x).fill_(norm)
        total += float(length.sum())
        scale = length.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
        deformed.append(moved)
        noisy.append(x + scale * draws.directions(x, block, draw))
    return Moved(torch.cat(deformed), torch.cat(noisy), total)
