"""Selection: some of the deformations of another, in another dtype or elsewhere."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from symnets.diffeo.diffeo import Diffeo
from symnets.diffeo.rows import Index, as_rows


class Selection(Diffeo):
    """Deformations rows[0], rows[1], ... of another: what indexing and `to` give where nothing better is
    known. All of the other are evaluated at all points, in its own dtype and on its own device.

    Args:
        source: the other.
        rows: which of them.
        dtype: of displacements, as the other's if None.
        device: where displacements go, as the other's if None.
    """

    def __init__(
        self,
        source: Diffeo,
        rows: Int64[Tensor, " n"],
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        self.source, self.rows, self.shape, self.n = source, rows.to(source.device), source.shape, len(rows)
        self.dtype = dtype or source.dtype
        self.device = source.device if device is None else torch.device(device)

    @property
    def dim(self) -> int:
        """Dimensions of space."""
        return self.source.dim

    @property
    def still(self) -> bool:
        """Whether it is known to move nothing."""
        return self.source.still

    def __getitem__(self, index: Index) -> "Selection":
        """Some of the deformations."""
        rows = self.rows[as_rows(index, self.n, self.rows.device)]
        return Selection(self.source, rows, dtype=self.dtype, device=self.device)

    def to(
        self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "Selection":
        """The same deformations elsewhere."""
        device = self.device if device is None else device
        return Selection(self.source, self.rows, dtype=dtype or self.dtype, device=device)

    def at(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim"]:
        """u at points."""
        there = points.to(device=self.source.device, dtype=self.source.dtype)
        return self._chosen(self.source.at(_shared(there)), there)

    def gradient(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim dim"]:
        """∂u_a / ∂x_b at points."""
        there = points.to(device=self.source.device, dtype=self.source.dtype)
        return self._chosen(self.source.gradient(_shared(there)), there)

    def _chosen(self, found: Tensor, points: Tensor) -> Tensor:
        """Of all deformations at all points, those that are meant, each at its own."""
        if points.ndim == 2:
            found = found[self.rows]
        else:
            apart = found.unflatten(1, points.shape[:2])
            rows = self.rows.expand(max(self.n, len(points)))
            own = torch.arange(len(points), device=found.device).expand(len(rows))
            found = apart[rows, own]
        return found.to(device=self.device, dtype=self.dtype)


def _shared(points: Tensor) -> Float[Tensor, "points dim"]:
    """The points of all deformations, one after another."""
    return points.reshape(-1, points.shape[-1])
