"""Inverse: the deformation that undoes another, solved for at each point."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.diffeo.diffeo import Diffeo, _eye

PICARD, NEWTON = 12, 60


class Inverse(Diffeo):
    """h⁻¹, with h(q) = q - u(q) of another deformation. The displacement at p is -u(q), where h(q) = p.

    q is the fixed point of q = p + u(q), iterated a few times and refined by Newton's method with the exact
    ∂u, its steps halved where they would not bring it nearer. Differentiable once in the points and in the
    field, by the implicit function theorem.

    Args:
        forward: what to undo.
        tol: largest |h(q) - p|, in pixels; by default 1e-10 in float64, 1e-4 in float32 and less precise.
    """

    def __init__(self, forward: Diffeo, tol: float | None = None) -> None:
        if tol is not None and not tol > 0:
            raise ValueError(f"tol: expected a positive number of pixels, got {tol}")
        self.forward, self.shape, self.n = forward, forward.shape, forward.n
        self.dtype, self.device = forward.dtype, forward.device
        self.tol = tol if tol is not None else (1e-10 if self.dtype == torch.float64 else 1e-4)

    @property
    def dim(self) -> int:
        """Dimensions of space."""
        return self.forward.dim

    @property
    def still(self) -> bool:
        """Whether there is nothing to undo."""
        return self.forward.still

    @property
    def residual(self) -> Float[Tensor, " n"]:
        """Largest |h(h⁻¹(p)) - p| over the pixels p, in pixels; above `tol` where none was found."""
        points = self._grid(1)[0]
        with torch.no_grad():
            found, _ = self._solve(points)
            return (self.forward.pull(found) - points).norm(dim=-1).amax(1)

    def __getitem__(self, index: slice | Tensor | Sequence[int]) -> "Inverse":
        """Some of the deformations."""
        return Inverse(self.forward[index], self.tol)

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Inverse":
        """The same deformations elsewhere."""
        moved = self.forward.to(device=device, dtype=dtype)
        return Inverse(moved, self.tol if moved.dtype == self.dtype else None)

    def inverse(self, tol: float | None = None) -> Diffeo:
        """What was undone, itself."""
        return self.forward

    def at(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim"]:
        """Displacement at points.

        Raises:
            ValueError: a point is not reached within `tol`: the deformation folds, or `tol` is too small.
        """
        points = points.to(device=self.device, dtype=self.dtype)
        return points - self._preimage(points)

    def gradient(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim dim"]:
        """1 - (∂h)⁻¹ at the points that h brings here."""
        preimage = self._preimage(points.to(device=self.device, dtype=self.dtype))
        return _eye(torch.linalg.inv(_eye(self.forward.gradient(preimage))))

    def _preimage(self, points: Tensor) -> Float[Tensor, "n points dim"]:
        with torch.no_grad():
            found, error = self._solve(points)
            worst = float(error.max()) if error.numel() else 0.0
            if not worst <= self.tol:
                raise ValueError(
                    f"inverse: {int((~(error <= self.tol)).sum())} points are not reached within tol="
                    f"{self.tol:g} pixels, the worst misses by {worst:.2g}; the deformation folds "
                    "(is_bijective() tells), or tol is below what the dtype resolves"
                )
            jacobian = _eye(self.forward.gradient(found))
        # A last step of Newton's method, in which autograd finds the derivative of the solution.
        missing = points - self.forward.pull(found)
        return found + torch.linalg.solve(jacobian, missing[..., None])[..., 0]

    def _solve(self, points: Tensor) -> tuple[Float[Tensor, "n points dim"], Float[Tensor, "n points"]]:
        """Solutions of h(q) = p, and what they miss."""
        found = points + self.forward.at(points)
        missing, error = self._missing(points, found)
        for _ in range(PICARD):
            if bool((error <= self.tol).all()):
                return found, error
            there = found + missing
            found, (missing, error) = there, self._missing(points, there)
        for _ in range(NEWTON):
            if bool((error <= self.tol).all()):
                break
            jacobian = _eye(self.forward.gradient(found))
            step = torch.linalg.solve_ex(jacobian, missing[..., None])[0][..., 0]
            step = torch.where(step.isfinite(), step, missing)
            for halving in range(6):
                there = found + step * 0.5**halving
                new_missing, new_error = self._missing(points, there)
                better = new_error < error
                found = torch.where(better[..., None], there, found)
                missing = torch.where(better[..., None], new_missing, missing)
                error = torch.where(better, new_error, error)
                if bool((better | (error <= self.tol)).all()):
                    break
        return found, error

    def _missing(self, points: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
        missing = points - self.forward.pull(found)
        return missing, missing.norm(dim=-1)
