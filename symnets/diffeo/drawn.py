"""Drawn: the deformations of one sample, applied to a part of it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from symnets.diffeo.boxes import BoxFormat, push_boxes
from symnets.diffeo.expansion import Expansion
from symnets.diffeo.key_points import push_key_points
from symnets.diffeo.resample import Mode


@dataclass(frozen=True)
class Drawn:
    """The deformations of one sample: a single image, or a batch.

    Attributes:
        diffeo: of the images that are deformed, on the CPU in float64; None if none is.
        rows: which images of the batch these are.
        n: images of the batch with a deformation of their own; 1 if all share one.
    """

    diffeo: Expansion | None
    rows: Int64[Tensor, " rows"]
    n: int

    def warp(self, images: Shaped[Tensor, "*shape"], mode: Mode) -> Shaped[Tensor, "*shape"]:
        """Images, videos or masks: axes between that of the batch and the last two share a deformation."""

        def warp(some: Tensor, diffeo: Expansion) -> Tensor:
            dtype = torch.float64 if some.dtype == torch.float64 else torch.float32
            half = some.dtype in (torch.float16, torch.bfloat16) and mode != "nearest"
            stack = some.reshape(diffeo.n, -1, *some.shape[-2:])
            there = diffeo.to(device=some.device, dtype=dtype)
            return there.warp(stack.to(dtype) if half else stack, mode).to(some.dtype).reshape(some.shape)

        return self._rows(images, warp)

    def push_boxes(
        self, boxes: Shaped[Tensor, "*shape 4"], format: BoxFormat, clamp: bool
    ) -> Shaped[Tensor, "*shape 4"]:
        """As `symnets.diffeo.boxes.push_boxes`."""

        def push(some: Tensor, diffeo: Expansion) -> Tensor:
            # Eight points to the shortest half wave: between two of them a wave of amplitude a bulges by
            # less than a (π / 8)² / 8 = a / 50.
            points = 8 * max(diffeo.basis.sizes) + 1
            return push_boxes(some, diffeo, format=format, points_per_edge=points, clamp=clamp)

        return self._rows(boxes, push)

    def push_key_points(self, points: Shaped[Tensor, "*shape columns"]) -> Shaped[Tensor, "*shape columns"]:
        """As `symnets.diffeo.key_points.push_key_points`."""
        return self._rows(points, push_key_points)

    def _rows(self, value: Tensor, function: Callable[[Tensor, Expansion], Tensor]) -> Tensor:
        """A function of the rows that are deformed; the others as they are."""
        if self.diffeo is None:
            return value
        if self.n == 1:
            return function(value, self.diffeo)
        if value.ndim == 0 or len(value) != self.n:
            raise ValueError(
                f"expected a row for each of {self.n} images, got shape {tuple(value.shape)}; deform samples "
                "before they are collated, or all images alike with per_image=False"
            )
        if len(self.rows) == self.n:
            return function(value, self.diffeo)
        rows = self.rows.to(value.device)
        return value.index_copy(0, rows, function(value[rows], self.diffeo))
