"""Inverse: the deformation that undoes another, solved for at each point."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from symnets.diffeo.diffeo import Diffeo
from symnets.diffeo.matrices import identity_minus
from symnets.diffeo.rows import Index

PICARD, NEWTON = 12, 60


class Inverse(Diffeo):
    """h⁻¹, with h(q) = q - u(q) of another deformation. The displacement at p is -u(q), where h(q) = p.

    q is the fixed point of q = p + u(q), iterated a few times and refined by Newton's method with the exact
    ∂u, its steps halved where they would not bring it nearer. Differentiable once in the points and in the
    field, by the implicit function theorem.

    Args:
        forward: what to undo.
        tol: largest |h(q) - p|, in pixels; by default 1e-10 in float64, 1e-4 in float32 and less precise, or
            where images are so large that their dtype does not resolve that, four times what it does.
    """

    def __init__(self, forward: Diffeo, tol: float | None = None) -> None:
        if tol is not None and not tol > 0:
            raise ValueError(f"tol: expected a positive number of pixels, got {tol}")
        self.forward, self.shape, self.n = forward, forward.shape, forward.n
        self.dtype, self.device = forward.dtype, forward.device
        self.tol = _resolved(forward) if tol is None else tol

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

    def is_bijective(self, margin: float = 0.0, refine: int = 2) -> Bool[Tensor, " n"]:
        """Whether the deformation that is undone is; for a margin > 0, and |det| of its inverse above it."""
        found = self.forward.is_bijective(refine=refine)
        if margin > 0 and bool(found.any()):
            with torch.no_grad():
                det = self[found].det(refine).abs().flatten(1).amin(1)
            found = found.index_put((found,), det > margin)
        return found

    def __getitem__(self, index: Index) -> "Inverse":
        """Some of the deformations: of a number, a batch of one."""
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
        return identity_minus(torch.linalg.inv(identity_minus(self.forward.gradient(preimage))))

    def _grid(self, refine: int) -> tuple[Float[Tensor, "points dim"], tuple[int, ...]]:
        return self.forward._grid(refine)

    def _preimage(self, points: Tensor) -> Float[Tensor, "n points dim"]:
        if not bool(points.isfinite().all()):
            raise ValueError("points: expected finite coordinates, got NaN or infinity")
        with torch.no_grad():
            found, error = self._solve(points)
            worst = float(error.max()) if error.numel() else 0.0
            if not worst <= self.tol:
                raise ValueError(
                    f"inverse: {int((~(error <= self.tol)).sum())} points are not reached within tol="
                    f"{self.tol:g} pixels, the worst misses by {worst:.2g}; the deformation folds "
                    "(is_bijective() tells), or tol is below what the dtype resolves"
                )
            jacobian = identity_minus(self.forward.gradient(found))
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
            jacobian = identity_minus(self.forward.gradient(found))
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


def _resolved(forward: Diffeo) -> float:
    """The error in pixels that can be asked for of points, in the dtype of a deformation."""
    size = max(forward.shape) if forward.shape is not None else 0
    least = 1e-10 if forward.dtype == torch.float64 else 1e-4
    return max(least, 4 * torch.finfo(forward.dtype).eps * size)
