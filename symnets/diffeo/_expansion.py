"""Deformations given as sums of basis functions, with exact values and derivatives at every point."""

from collections.abc import Iterator, Sequence
from string import ascii_lowercase

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.diffeo._basis import Basis, pixel_table
from symnets.diffeo._diffeo import Diffeo, Index, as_rows, refined
from symnets.diffeo._preimage import identity_minus

POINTS_PER_HALF_WAVE = 4
"""Points in the shortest half wave, on the grid at which folds are checked."""


class Expansion(Diffeo):
    """Deformations u_a(x) = Σ_k C_(a,k) φ_k(x), with φ_k from a `Basis` of product functions.

    The sums factorise: on a grid, u = A C Bᵀ with the tables A and B of the two axes.

    Without a grid of pixels (`shape` None), `jacobian`, `det`, `is_bijective` and `energy` are evaluated on
    a grid over the box, with four points in the shortest half wave; `displacement` and `warp` raise an error.

    Args:
        basis: the functions φ_k.
        coefficients: C in pixels, for all modes k of the basis; zero for modes that are not in use.
        shape: pixels along each axis; None for deformations of points only.
        is_identity: whether all coefficients are known to be zero.
        acceptance: fraction of one-to-one fields among those sampled, if the others were rejected; None
            without rejection.

    Raises:
        ValueError: coefficients of another shape than the basis, or not floating-point.
    """

    def __init__(
        self,
        basis: Basis,
        coefficients: Float[Tensor, "n dim *modes"],
        shape: Sequence[int] | None,
        *,
        is_identity: bool = False,
        acceptance: float | None = None,
    ) -> None:
        if tuple(coefficients.shape[2:]) != basis.sizes or coefficients.shape[1] != len(basis.sizes):
            expected = ("n", len(basis.sizes), *basis.sizes)
            raise ValueError(f"coefficients: expected shape {expected}, got {tuple(coefficients.shape)}")
        if not coefficients.is_floating_point():
            raise ValueError(f"coefficients: expected a floating-point dtype, got {coefficients.dtype}")
        self.basis, self.coefficients, self._is_identity = basis, coefficients, is_identity
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
        """Dtype of the coefficients."""
        return self.coefficients.dtype

    @property
    def device(self) -> torch.device:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Device of the coefficients."""
        return self.coefficients.device

    @property
    def is_identity(self) -> bool:
        """Whether the displacement is known to be zero everywhere."""
        return self._is_identity

    def __getitem__(self, index: Index) -> "Expansion":
        """A subset of the deformations; an integer selects a batch of one."""
        return self._with(self.coefficients[as_rows(index, self.n, self.device)])

    def __iter__(self) -> Iterator["Expansion"]:
        """Iterates over the deformations, each as a batch of one."""
        return (self[k] for k in range(self.n))

    def to(
        self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "Expansion":
        """The same deformations on another device, or in another dtype."""
        # A non-blocking copy to the CPU could be read before it is complete.
        from_cpu = self.device.type == "cpu"
        return self._with(self.coefficients.to(device=device, dtype=dtype, non_blocking=from_cpu))

    def at(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim"]:
        """Displacement u at points."""
        return self._sum(self._tables(points, [0] * self.dim))

    def gradient(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim dim"]:
        """Derivatives ∂u_a / ∂x_b at points."""
        orders = torch.eye(self.dim, dtype=torch.int64).tolist()
        return torch.stack([self._sum(self._tables(points, order)) for order in orders], dim=-1)

    def displacement(self, refine: int = 1) -> Float[Tensor, "n *shape dim"]:
        """Displacement u at all pixels."""
        return self.planes([0] * self.dim, refine).movedim(1, -1)

    def jacobian(self, refine: int = 1) -> Float[Tensor, "n *shape dim dim"]:
        """Jacobian ∂h_a / ∂x_b at all pixels."""
        return super().jacobian(refine) if self.shape is None else self.strided_jacobian(refine, 1)

    def strided_jacobian(self, refine: int, step: int) -> Float[Tensor, "n *shape dim dim"]:
        """`jacobian` at every `step`-th point along each axis."""
        orders = torch.eye(self.dim, dtype=torch.int64).tolist()
        planes = [self.planes(order, refine, step).movedim(1, -1) for order in orders]
        return identity_minus(torch.stack(planes, dim=-1))

    def energy(self) -> Float[Tensor, " n"]:
        """Mean over the pixels of ‖∇u‖²; the mean over fields is proportional to the temperature."""
        return identity_minus(self.jacobian()).square().sum((-2, -1)).flatten(1).mean(1)

    def planes(self, orders: Sequence[int], refine: int = 1, step: int = 1) -> Float[Tensor, "n dim *shape"]:
        """Derivatives ∂^orders u at every `step`-th pixel along each axis, one plane for each component."""
        shape = [len(range(0, n, step)) for n in refined(self.grid_shape, refine)]
        tables = [
            pixel_table(self.basis, axis, n, refine, order, self.dtype, self.device)[::step]
            for axis, (n, order) in enumerate(zip(self.grid_shape, orders, strict=True))
        ]
        # From the last axis to the first, so that no intermediate result needs a transposition.
        values = self.coefficients @ tables[-1].mT
        for axis in reversed(range(self.dim - 1)):
            values = tables[axis] @ values.flatten(3 + axis)
        return values.reshape(self.n, self.dim, *shape)

    def _grid(self, refine: int) -> tuple[Float[Tensor, "points dim"], tuple[int, ...]]:
        if self.shape is not None:
            return super()._grid(refine)
        shape = refined(tuple(POINTS_PER_HALF_WAVE * size + 1 for size in self.basis.sizes), refine)
        axes = [
            torch.linspace(0, extent, n, dtype=self.dtype, device=self.device)
            for extent, n in zip(self.basis.extents, shape, strict=True)
        ]
        return torch.cartesian_prod(*axes), shape

    def _tables(self, points: Tensor, orders: Sequence[int]) -> list[Tensor]:
        if points.shape[-1] != self.dim or points.ndim not in (2, 3):
            raise ValueError(
                f"points: expected shape (points, {self.dim}) or ({self.n}, points, {self.dim}), "
                f"got {tuple(points.shape)}"
            )
        points = points.to(device=self.device, dtype=self.dtype)
        return [self.basis.table(axis, points[..., axis], order) for axis, order in enumerate(orders)]

    def _sum(self, tables: Sequence[Tensor]) -> Float[Tensor, "n points dim"]:
        """Σ_k C_k φ_k at points, from the table of each axis."""
        modes = ascii_lowercase[: self.dim]
        batch = "z" if tables[0].ndim == 3 else ""  # separate points for each deformation
        terms = [f"zy{modes}", *[f"{batch}x{mode}" for mode in modes]]
        return torch.einsum(f"{','.join(terms)}->zxy", self.coefficients, *tables)

    def _with(self, coefficients: Tensor) -> "Expansion":
        return Expansion(
            self.basis, coefficients, self.shape, is_identity=self._is_identity, acceptance=self.acceptance
        )
