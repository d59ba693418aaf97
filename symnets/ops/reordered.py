"""Reordered: the columns of a table in another order."""

from collections.abc import Callable

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn


class Reordered(nn.Module):
    """Columns of a table in another order; the table itself where that is the same.

    One gather, which on a CPU is ten times faster than transposed views that are joined.

    Args:
        order: of each column of the result, which one of the table it is; as they are if None.
    """

    order: Tensor | None

    def __init__(self, order: Int[Tensor, " columns"] | None = None) -> None:
        super().__init__()
        same = order is None or torch.equal(order, torch.arange(len(order)))
        self.register_buffer("order", None if same else order, persistent=False)

    @classmethod
    def of(cls, layout: Callable[[Tensor, o3.Irreps], Tensor], irreps: o3.Irreps) -> "Reordered":
        """What `to_e3nn` or `from_e3nn` does to rows of some irreps."""
        return cls(layout(torch.arange(irreps.dim)[None], irreps)[0])

    def forward(self, table: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
        """Reordered."""
        return table if self.order is None else table.index_select(1, self.order)
