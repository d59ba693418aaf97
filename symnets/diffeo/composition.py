"""Composition: one deformation after another."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.diffeo.diffeo import Diffeo


class Composition(Diffeo):
    """h = h_inner ∘ h_outer: images are deformed by `inner` first, then by `outer`.

        u(s) = u_outer(s) + u_inner(s - u_outer(s)),     ∂h = ∂h_inner(h_outer(s)) ∂h_outer(s)

    Args:
        outer: what is applied to images last.
        inner: what is applied to images first; as many deformations, or one of them.
    """

    def __init__(self, outer: Diffeo, inner: Diffeo) -> None:
        if outer.shape != inner.shape:
            raise ValueError(f"compose: expected deformations of one shape, got {outer.shape}, {inner.shape}")
        if outer.n != inner.n and 1 not in (outer.n, inner.n):
            raise ValueError(f"compose: expected as many deformations, or one, got {outer.n} and {inner.n}")
        self.outer, self.inner, self.shape = outer, inner, outer.shape
        self.n, self.dtype, self.device = max(outer.n, inner.n), outer.dtype, outer.device

    @property
    def dim(self) -> int:
        """Dimensions of space."""
        return self.outer.dim

    @property
    def still(self) -> bool:
        """Whether both are known to move nothing."""
        return self.outer.still and self.inner.still

    def __getitem__(self, index: slice | Tensor | Sequence[int]) -> "Composition":
        """Some of the deformations."""
        return Composition(*(part[index] if part.n > 1 else part for part in (self.outer, self.inner)))

    def to(
        self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "Composition":
        """The same deformations elsewhere."""
        return Composition(
            self.outer.to(device=device, dtype=dtype), self.inner.to(device=device, dtype=dtype)
        )

    def at(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim"]:
        """u at points."""
        first = self.outer.at(points)
        return first + self.inner.at(_one_for_all(points - first, self.inner))

    def gradient(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim dim"]:
        """∂u_a / ∂x_b at points."""
        first = self.outer.gradient(points)
        then = self.inner.gradient(_one_for_all(self.outer.pull(points), self.inner))
        return first + then - then @ first


def _one_for_all(points: Float[Tensor, "n points dim"], diffeo: Diffeo) -> Tensor:
    """Points of one deformation without their first axis, so that all of another may move them."""
    return points[0] if len(points) == 1 and diffeo.n > 1 else points
