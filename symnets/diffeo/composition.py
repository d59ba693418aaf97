"""Composition: one deformation after another."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from symnets.diffeo.diffeo import Diffeo
from symnets.diffeo.rows import Index, as_rows


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
        if outer.device.type != inner.device.type:
            raise ValueError(
                f"compose: expected deformations on one device, got {outer.device} and {inner.device}; take "
                "inner.to(device=outer.device)"
            )
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

    def __getitem__(self, index: Index) -> "Composition":
        """Some of the deformations: of a number, a batch of one."""
        rows = torch.arange(self.n, device=self.device)
        rows = rows[as_rows(index, self.n, rows.device)]
        return Composition(*(part[rows if part.n > 1 else 0 * rows] for part in (self.outer, self.inner)))

    def to(
        self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "Composition":
        """The same deformations elsewhere."""
        return Composition(
            self.outer.to(device=device, dtype=dtype), self.inner.to(device=device, dtype=dtype)
        )

    def is_bijective(self, margin: float = 0.0, refine: int = 2) -> Bool[Tensor, " n"]:
        """Whether both parts are, be they mirrors or not; for a margin > 0, and |det| of the whole above it.

        A part that folds makes the whole fold even where the other leaves the fold out of the image.
        """
        found = self.outer.is_bijective(refine=refine) & self.inner.is_bijective(refine=refine)
        if margin <= 0:
            return found
        with torch.no_grad():
            return found & (self.det(refine).abs().flatten(1).amin(1) > margin)

    def at(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim"]:
        """u at points."""
        first = self.outer.at(points)
        return first + self.inner.at(_one_for_all(points - first, self.inner))

    def gradient(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim dim"]:
        """∂u_a / ∂x_b at points."""
        first = self.outer.gradient(points)
        then = self.inner.gradient(_one_for_all(self.outer.pull(points), self.inner))
        return first + then - then @ first

    def _grid(self, refine: int) -> tuple[Float[Tensor, "points dim"], tuple[int, ...]]:
        return self.outer._grid(refine)


def _one_for_all(points: Float[Tensor, "n points dim"], diffeo: Diffeo) -> Tensor:
    """Points of one deformation without their first axis, so that all of another may move them."""
    return points[0] if len(points) == 1 and diffeo.n > 1 else points
