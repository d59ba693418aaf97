"""Expansion: deformations that are sums of basis functions, known everywhere with their derivatives."""

from collections.abc import Sequence
from string import ascii_lowercase

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.diffeo.basis import Basis, pixel_table
from symnets.diffeo.diffeo import Diffeo, _eye


class Expansion(Diffeo):
    """u_a(x) = Σ_k C_(a,k) φ_k(x), with φ_k of a `Basis` of products.

    Sums over products factorise: on a grid, u = A C Bᵀ with the tables A and B of the two axes.

    Args:
        basis: the φ.
        coefficients: C, in pixels; a grid of all modes, zero where one is not kept.
        shape: of the grid of pixels; None for points only.
        still: whether all coefficients are known to be zero.
        acceptance: of the draws that these were kept from, the fraction that was one-to-one; None if all
            were kept unseen.
    """

    def __init__(
        self,
        basis: Basis,
        coefficients: Float[Tensor, "n dim *modes"],
        shape: Sequence[int] | None,
        *,
        still: bool = False,
        acceptance: float | None = None,
    ) -> None:
        if tuple(coefficients.shape[2:]) != basis.sizes or coefficients.shape[1] != len(basis.sizes):
            expected = ("n", len(basis.sizes), *basis.sizes)
            raise ValueError(f"coefficients: expected shape {expected}, got {tuple(coefficients.shape)}")
        self.basis, self.coefficients, self._still = basis, coefficients, still
        self.shape = None if shape is None else tuple(shape)
        self.acceptance = acceptance

    @property
    def n(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Number of deformations."""
        return len(self.coefficients)

    @property
    def dim(self) -> int:
        """Dimensions of space."""
        return self.coefficients.shape[1]

    @property
    def dtype(self) -> torch.dtype:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Of the coefficients."""
        return self.coefficients.dtype

    @property
    def device(self) -> torch.device:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Of the coefficients."""
        return self.coefficients.device

    @property
    def still(self) -> bool:
        """Whether it is known to move nothing."""
        return self._still

    def __getitem__(self, index: slice | Tensor | Sequence[int]) -> "Expansion":
        """Some of the deformations."""
        return self._with(self.coefficients[index])

    def to(
        self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "Expansion":
        """The same deformations elsewhere."""
        return self._with(self.coefficients.to(device=device, dtype=dtype))

    def at(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim"]:
        """u at points."""
        return self._sum(self._tables(points, [0] * self.dim))

    def gradient(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim dim"]:
        """∂u_a / ∂x_b at points."""
        orders = torch.eye(self.dim, dtype=torch.int64).tolist()
        return torch.stack([self._sum(self._tables(points, order)) for order in orders], dim=-1)

    def displacement(self, refine: int = 1) -> Float[Tensor, "n *shape dim"]:
        """u at all pixels."""
        return self.planes([0] * self.dim, refine).movedim(1, -1)

    def jacobian(self, refine: int = 1) -> Float[Tensor, "n *shape dim dim"]:
        """∂h_a / ∂x_b at all pixels."""
        orders = torch.eye(self.dim, dtype=torch.int64).tolist()
        planes = [self.planes(order, refine).movedim(1, -1) for order in orders]
        return _eye(torch.stack(planes, dim=-1))

    def energy(self) -> Float[Tensor, " n"]:
        """Mean over the pixels of ‖∇u‖²."""
        gradient = self.jacobian() - torch.eye(self.dim, dtype=self.dtype, device=self.device)
        return gradient.square().flatten(1).sum(1) / torch.tensor(self.grid_shape).prod()

    def planes(self, orders: Sequence[int], refine: int = 1) -> Float[Tensor, "n dim *shape"]:
        """∂^orders u at the pixels, a plane for each component."""
        shape = [(n - 1) * refine + 1 for n in self.grid_shape]
        tables = [
            pixel_table(self.basis, axis, n, refine, order, self.dtype, self.device)
            for axis, (n, order) in enumerate(zip(self.grid_shape, orders, strict=True))
        ]
        # From the last axis to the first: no result is ever transposed.
        found = self.coefficients @ tables[-1].mT
        for axis in reversed(range(self.dim - 1)):
            found = tables[axis] @ found.flatten(3 + axis)
        return found.reshape(self.n, self.dim, *shape)

    def _tables(self, points: Tensor, orders: Sequence[int]) -> list[Tensor]:
        if points.shape[-1] != self.dim or points.ndim not in (2, 3):
            raise ValueError(
                f"points: expected shape (points, {self.dim}) or ({self.n}, points, {self.dim}), "
                f"got {tuple(points.shape)}"
            )
        points = points.to(device=self.device, dtype=self.dtype)
        return [self.basis.table(axis, points[..., axis], order) for axis, order in enumerate(orders)]

    def _sum(self, tables: Sequence[Tensor]) -> Float[Tensor, "n points dim"]:
        """Σ_k C_k φ_k at points, from the tables of each axis."""
        modes = ascii_lowercase[: self.dim]
        own = "z" if tables[0].ndim == 3 else ""
        terms = [f"zy{modes}", *[f"{own}x{mode}" for mode in modes]]
        return torch.einsum(f"{','.join(terms)}->zxy", self.coefficients, *tables)

    def _with(self, coefficients: Tensor) -> "Expansion":
        return Expansion(self.basis, coefficients, self.shape, still=self._still, acceptance=self.acceptance)
