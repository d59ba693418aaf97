"""RadialTable: functions of a distance as cubic splines."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import solve_banded
from torch import Tensor, nn


class RadialTable(nn.Module):
    """w(r) for 0 <= r <= r_c, several functions at once, as the cubic spline through their values at n h,
    n = 0 ... N, h = r_c / N, with their slopes at both ends. It is a sum of B-splines, four of them anywhere,

        6 w(r) = (1-u)³ c_n + (4 - 6u² + 3u³) c_(n+1) + (4 - 6(1-u)² + 3(1-u)³) c_(n+2) + u³ c_(n+3)

    with r = (n + u) h. Its values and two derivatives are continuous. The error is h⁴ |∂⁴w| / 384 at
    most where h is small, that of the derivative of order h³; the derivative is that of the spline, exactly.

    Source of the B-splines: de Boor, A Practical Guide to Splines, 1978, chapters IV and IX.

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
            values = functions(r)
            ends = r[[0, -1]]
            _, slopes = torch.func.jvp(functions, (ends,), (torch.ones_like(ends),))  # pyright: ignore
        table = torch.from_numpy(_coefficients(values.numpy(), self.step * slopes.numpy()))
        # One row more, for rounding may reach beyond the cutoff.
        table = torch.cat([table, torch.zeros_like(table[:1])])
        self.register_buffer("table", table.to(dtype or torch.get_default_dtype()))

    @property
    def step(self) -> float:
        """h in Å."""
        return self.cutoff / self.n_knots

    @property
    def n_functions(self) -> int:
        """How many."""
        return self.table.shape[1]

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
        v = 1 - u
        c = [self.table[knot + k] for k in range(4)]
        inner = (4 - u * u * (6 - 3 * u)) * c[1] + (4 - v * v * (6 - 3 * v)) * c[2]
        return (v**3 * c[0] + inner + u**3 * c[3]) / 6


def _coefficients(
    values: Float[np.ndarray, "knots functions"], slopes: Float[np.ndarray, "2 functions"]
) -> Float[np.ndarray, "knots_and_2 functions"]:
    """c of c_(n-1) + 4 c_n + c_(n+1) = 6 w_n at every knot, c_(n+1) - c_(n-1) = 2 h w'_n at both ends."""
    right = np.concatenate([2 * slopes[:1], 6 * values, 2 * slopes[1:]])
    bands = np.zeros((5, len(right)))  # row 2 + i - j has the element i, j
    bands[1, 2:], bands[2], bands[3, :-2] = 1, 4, 1
    bands[2, [0, -1]], bands[0, 2], bands[4, -3] = [-1, 1], 1, -1
    return solve_banded((2, 2), bands, right)
