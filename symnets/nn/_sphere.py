"""S2Grid: harmonic transforms between samples of a signal on the sphere and its coefficients."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from symnets.data import Latitudes, latitudes, sphere_grid


class ExactTables(nn.Module):
    """Base class of transforms whose tables are computed in float64 and rounded to the dtype of the module.

    When the module is moved to another dtype, the tables are computed again, so that those of a float64
    module are exact and not rounded to float32.
    """

    def __init__(self) -> None:
        super().__init__()
        for name, table in self._tables().items():
            self.register_buffer(name, table.to(torch.get_default_dtype()), persistent=False)

    def _tables(self) -> dict[str, Tensor]:
        """Tables by name, in float64 on the CPU."""
        raise NotImplementedError

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ExactTables":
        before = {name: buffer.dtype for name, buffer in self.named_buffers(recurse=False)}
        super()._apply(fn, recurse)
        after = {name: buffer for name, buffer in self.named_buffers(recurse=False) if name in before}
        if any(buffer.dtype != before[name] for name, buffer in after.items()):
            for name, table in self._tables().items():
                setattr(self, name, table.to(after[name]))
        return self


class Reorder(torch.autograd.Function):
    """Coefficients in another order, x.index_select(dim, places), with a gradient that is a reordering too.

    `back` has the indices of the opposite reordering, which the gradient uses. The gradient of `index_select`
    would add over repeated indices. Here repeated indices belong to coefficients that do not exist (|m| > l),
    for which the tables of the transforms are zero, so that no sum is needed.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, dim: int, places: Tensor, back: Tensor) -> Tensor:  # pyright: ignore
        """Reorder x."""
        return x.index_select(dim, places)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int, Tensor, Tensor], output: Tensor) -> None:
        """Keep the indices for the derivatives."""
        _, ctx.dim, places, back = inputs
        ctx.save_for_backward(places, back)
        ctx.save_for_forward(places, back)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        """Reorder the gradient in the opposite direction."""
        places, back = ctx.saved_tensors
        return Reorder.apply(grad, ctx.dim, back, places), None, None, None  # pyright: ignore

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:  # pyright: ignore
        """Reorder the tangent as x."""
        places, back = ctx.saved_tensors
        return Reorder.apply(tangent, ctx.dim, places, back)  # pyright: ignore


def reorder(x: Tensor, dim: int, places: Tensor, back: Tensor) -> Tensor:
    """Coefficients in another order, with derivatives by `Reorder`."""
    return Reorder.apply(x, dim, places, back)  # pyright: ignore[reportReturnType]


class S2Grid(ExactTables):
    """Transforms between values of a signal on a grid of the sphere and coefficients of spherical harmonics.

        f(β_j, α_k) = Σ_(l ≤ lmax) Σ_m F_lm Y_lm(β_j, α_k),   F_lm = mean over the sphere of f Y_lm.

    Y are e3nn's real spherical harmonics with the normalisation 'component': the mean of Y² over the sphere
    is 1. The polar axis is y; latitudes are polar angles β_j from north to south, and the n longitudes are
    α_k = 2π k / n. Both transforms are exact for signals without degrees above lmax. For other signals
    `from_grid` computes their projection, apart from aliases of degrees that the quadrature does not resolve.

    The sums are separable (Driscoll and Healy 1994, Adv. Appl. Math. 15, 202): longitudes by one product with
    a matrix of sines and cosines, latitudes by one product of Legendre functions for each |m|.

    Args:
        lmax: highest degree.
        shape: (latitudes, longitudes).
        kind: "equiangular", which needs 2 lmax + 1 latitudes, or "gauss" (Gauss-Legendre nodes), which needs
            lmax + 1. Both need at least 2 lmax + 1 longitudes.

    Raises:
        ValueError: the grid is too coarse for lmax.

    Example:
        >>> grid = S2Grid(2, (5, 5)).double()
        >>> f = grid.to_grid(torch.eye(9, dtype=torch.float64))  # the nine harmonics
        >>> torch.dist(grid.from_grid(f), torch.eye(9)) < 1e-12
        tensor(True)
    """

    legendre: Tensor
    analysis: Tensor
    waves: Tensor
    gather: Tensor
    scatter: Tensor

    def __init__(self, lmax: int, shape: Sequence[int], *, kind: Latitudes = "equiangular") -> None:
        self.lmax, self.shape = lmax, check_grid(lmax, shape, kind)
        self.kind: Latitudes = kind
        super().__init__()
        self.irreps = o3.Irreps.spherical_harmonics(lmax)
        order, sign, degree = np.mgrid[: lmax + 1, :2, : lmax + 1]  # |m|; 0: cosine, m ≥ 0, 1: sine; l
        exists = (degree >= order) & ((order > 0) | (sign == 0))
        # Coefficients that do not exist get index 0: any index will do, since the tables are zero there.
        places = np.where(exists, degree**2 + degree + np.where(sign == 0, order, -order), 0)
        degrees = np.repeat(np.arange(lmax + 1), 2 * np.arange(lmax + 1) + 1)
        orders = np.concatenate([np.arange(-l, l + 1) for l in range(lmax + 1)])  # noqa: E741
        back = (2 * abs(orders) + (orders < 0)) * (lmax + 1) + degrees
        self.register_buffer("gather", torch.from_numpy(places.ravel()), persistent=False)
        self.register_buffer("scatter", torch.from_numpy(back), persistent=False)

    def _tables(self) -> dict[str, Tensor]:
        beta, weights = latitudes(self.shape[0], self.kind)
        legendre = legendre_functions(self.lmax, beta)  # [|m|, l, latitude]
        legendre[1:] *= 2**0.5  # the mean of cos² and of sin² is a half
        analysis = (legendre * weights / self.shape[1]).transpose(1, 2)
        waves = circular_waves(self.lmax, self.shape[1])
        return {"legendre": legendre, "analysis": analysis.contiguous(), "waves": waves}

    @property
    def points(self) -> Float[Tensor, "latitudes longitudes 3"]:
        """Unit vectors of the grid."""
        return sphere_grid(self.shape, self.kind).to(self.waves)

    def to_grid(self, coefficients: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch lat lon"]:
        """Values of a signal on the grid, from its coefficients; F_lm has index l² + l + m, as in e3nn."""
        batch, n, (n_lat, n_lon) = coefficients.shape[:-1], self.lmax + 1, self.shape
        rows = reorder(coefficients.reshape(-1, n * n), 1, self.gather, self.scatter)
        rows = rows.view(-1, n, 2, n).permute(1, 2, 0, 3).reshape(n, -1, n)  # [|m|, (sign, batch), l]
        circles = torch.bmm(rows, self.legendre).view(2 * n, -1)  # [(|m|, sign), (batch, latitude)]
        return (circles.T @ self.waves).view(*batch, n_lat, n_lon)

    def from_grid(self, signal: Float[Tensor, "*batch lat lon"]) -> Float[Tensor, "*batch dim"]:
        """Coefficients of a signal in e3nn's order, from its values on the grid."""
        batch, n, (n_lat, n_lon) = signal.shape[:-2], self.lmax + 1, self.shape
        circles = self.waves @ signal.reshape(-1, n_lon).T  # [(|m|, sign), (batch, latitude)]
        rows = torch.bmm(circles.view(n, -1, n_lat), self.analysis)  # [|m|, (sign, batch), l]
        rows = rows.view(2 * n, -1, n).transpose(0, 1).reshape(-1, 2 * n * n)
        return reorder(rows, 1, self.scatter, self.gather).view(*batch, n * n)

    def extra_repr(self) -> str:
        """Sizes, as printed with the module."""
        return f"lmax={self.lmax}, shape={self.shape}, kind={self.kind!r}"


def check_grid(lmax: int, shape: Sequence[int], kind: Latitudes) -> tuple[int, int]:
    """Sizes (latitudes, longitudes) of a grid, checked to resolve degrees up to lmax.

    Raises:
        ValueError: the grid is too coarse for lmax.
    """
    n_lat, n_lon = (int(size) for size in shape)
    least_lat, least_lon = smallest_grid(lmax, kind)
    if n_lat < least_lat or n_lon < least_lon:
        raise ValueError(
            f"shape: expected at least {least_lat} latitudes ({kind}) and {least_lon} longitudes for "
            f"lmax={lmax}, got {n_lat} and {n_lon}"
        )
    return n_lat, n_lon


def smallest_grid(lmax: int, kind: Latitudes) -> tuple[int, int]:
    """Smallest numbers of (latitudes, longitudes) that resolve degrees up to lmax.

    Raises:
        ValueError: lmax is negative.
    """
    if lmax < 0:
        raise ValueError(f"lmax: expected at least 0, got {lmax}")
    return lmax + 1 if kind == "gauss" else 2 * lmax + 1, 2 * lmax + 1


def circular_waves(mmax: int, n: int) -> Float[Tensor, "rows n"]:
    """Rows cos(m α_k), sin(m α_k) for m = 0 to mmax at α_k = 2π k / n, in float64; row 1, sin(0), is zero."""
    # Angles are reduced as integers: no digit is lost for large m.
    turns = torch.outer(torch.arange(mmax + 1), torch.arange(n)) % n
    angles = 2 * torch.pi * turns.double() / n
    return torch.stack([angles.cos(), angles.sin()], dim=1).flatten(0, 1)


def legendre_functions(
    lmax: int, beta: Float[Tensor, " latitudes"]
) -> Float[Tensor, "orders degrees latitudes"]:
    """Associated Legendre functions P_lm(cos β), m ≥ 0, all positive near the north pole, in float64.

    They are normalised such that the mean of P² over the sphere is 1, and zero for l < m. For fixed m the
    recursion over l,

        P_mm = √((2m + 1) / 2m) sin β P_(m-1)(m-1),   P_00 = 1,
        P_lm = a_lm (cos β P_(l-1)m - P_(l-2)m / a_(l-1)m),   a_lm = √((4l² - 1) / (l² - m²)),

    is stable.
    """
    x, sine = beta.cos().numpy(), beta.sin().numpy()
    table = np.zeros((lmax + 1, lmax + 1, len(x)))
    for m in range(lmax + 1):
        table[m, m] = 1.0 if m == 0 else np.sqrt((2 * m + 1) / (2 * m)) * sine * table[m - 1, m - 1]
    m = np.arange(lmax + 1)
    for l in range(1, lmax + 1):  # noqa: E741
        a = np.sqrt((4 * l**2 - 1) / (l**2 - m[:l] ** 2))[:, None]
        table[:l, l] = a * x * table[:l, l - 1]
        if l > 1:
            before = np.sqrt((4 * (l - 1) ** 2 - 1) / ((l - 1) ** 2 - m[: l - 1] ** 2))[:, None]
            table[: l - 1, l] -= a[:-1] / before * table[: l - 1, l - 2]
    return torch.from_numpy(table)
