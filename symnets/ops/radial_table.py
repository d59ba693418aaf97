"""RadialTable: functions of a distance as cubic Hermite splines."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn


class RadialTable(nn.Module):
    """w(r) for 0 <= r <= r_c, several functions at once, from values and slopes at knots n h, h = r_c / N:

        w(r) = (1 + 2u)(1-u)² w_n + u(1-u)² h w'_n + u²(3-2u) w_(n+1) - u²(1-u) h w'_(n+1),    u = r/h - n.

    The error is at most h⁴ max|∂⁴w| / 384, that of the derivative of order h³; the derivative is that of the
    spline, exactly.

    Args:
        functions: r -> w(r), (points,) -> (points, functions), smooth, and zero with its derivative at r_c.
        cutoff: r_c in Å.
        n_knots: N.
        dtype: of the table, which is made in float64.
    """

    table: Tensor

    def __init__(
        self,
        functions: Callable[[Float[Tensor, " points"]], Float[Tensor, "points functions"]],
        cutoff: float,
        n_knots: int,
        *,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if n_knots < 1:
            raise ValueError(f"n_knots: expected at least 1, got {n_knots}")
        self.cutoff, self.n_knots = float(cutoff), n_knots
        r = torch.arange(n_knots + 1, dtype=torch.float64) * self.step
        r[0] = 1e-6 * self.step  # functions may divide by r
        with torch.no_grad():
            values, slopes = torch.func.jvp(functions, (r,), (torch.ones_like(r),))  # pyright: ignore
        table = torch.cat([values, self.step * slopes], dim=1)
        # One knot more, for rounding may reach beyond the cutoff.
        table = torch.cat([table, torch.zeros_like(table[:1])])
        self.register_buffer("table", table.to(dtype or torch.get_default_dtype()))

    @property
    def step(self) -> float:
        """h in Å."""
        return self.cutoff / self.n_knots

    @property
    def n_functions(self) -> int:
        """How many."""
        return self.table.shape[1] // 2

    def check(self, r: Float[Tensor, " points"]) -> None:
        """Refuses what is not in the table.

        Raises:
            ValueError: a distance that is NaN, negative, or beyond the cutoff by more than the rounding of
                large coordinates in float32.
        """
        margin = min(1e-4 * self.cutoff, self.step / 2)
        if len(r) and not bool(((r >= 0) & (r < self.cutoff + margin)).all()):
            raise ValueError(
                f"distances: expected 0 to {self.cutoff} Å, got {float(r.min()):.6g} to "
                f"{float(r.max()):.6g}; are positions finite, and edges those within the model's cutoff?"
            )

    def forward(self, r: Float[Tensor, " points"]) -> Float[Tensor, "points functions"]:
        """w(r), in plain torch: differentiable, on any device."""
        self.check(r)
        place = r / self.step
        knot = place.detach().floor().long()
        u = (place - knot)[:, None]
        w0, s0 = self.table[knot].chunk(2, dim=1)
        w1, s1 = self.table[knot + 1].chunk(2, dim=1)
        v = 1 - u
        return v * v * (1 + 2 * u) * w0 + u * v * v * s0 + u * u * (3 - 2 * u) * w1 - u * u * v * s1
