"""Solve h(q) = p for q, at many points at once: fixed-point iteration, then damped Newton steps."""

from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

FIXED_POINT_STEPS, NEWTON_STEPS, HALVINGS = 12, 60, 6


class Map(Protocol):
    """h(x) = x - u(x) with its derivatives, as a `Diffeo` has them."""

    def at(self, points: Tensor) -> Float[Tensor, "n points dim"]:
        """Displacement u at points."""
        ...

    def gradient(self, points: Tensor) -> Float[Tensor, "n points dim dim"]:
        """Derivatives ∂u_a / ∂x_b of the displacement at points."""
        ...


def preimage(
    forward: Map, points: Float[Tensor, "... points dim"], tol: float
) -> tuple[Float[Tensor, "n points dim"], Float[Tensor, "n points"]]:
    """Solutions q with |h(q) - p| <= tol, and the residual |h(q) - p| of each point, above tol on failure.

    The fixed point of q = p + u(q) is iterated at most 12 times. At most 60 steps of Newton's method with the
    exact ∂h follow; a step is halved up to 5 times where it would increase the residual.

    Args:
        forward: h.
        points: p, shared by all n maps, (points, dim), or one set for each map, (n, points, dim).
        tol: largest residual at which the iteration stops.
    """
    q = points + forward.at(points)
    difference, residual = _residual(forward, points, q)
    for _ in range(FIXED_POINT_STEPS):
        if bool((residual <= tol).all()):
            return q, residual
        q = q + difference
        difference, residual = _residual(forward, points, q)
    for _ in range(NEWTON_STEPS):
        if bool((residual <= tol).all()):
            break
        jacobian = identity_minus(forward.gradient(q))
        step = torch.linalg.solve_ex(jacobian, difference[..., None])[0][..., 0]
        step = torch.where(step.isfinite(), step, difference)
        for halving in range(HALVINGS):
            trial = q + step * 0.5**halving
            trial_difference, trial_residual = _residual(forward, points, trial)
            better = trial_residual < residual
            q = torch.where(better[..., None], trial, q)
            difference = torch.where(better[..., None], trial_difference, difference)
            residual = torch.where(better, trial_residual, residual)
            if bool((better | (residual <= tol)).all()):
                break
    return q, residual


def _residual(forward: Map, points: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    difference = points - (q - forward.at(q))
    return difference, difference.norm(dim=-1)


def determinant(matrix: Float[Tensor, "... d d"]) -> Float[Tensor, "..."]:
    """Determinants, written out in 2 and 3 dimensions, where `torch.linalg.det` is many times slower."""
    if matrix.shape[-1] == 2:
        return matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] * matrix[..., 1, 0]
    if matrix.shape[-1] == 3:
        return (torch.linalg.cross(matrix[..., 0, :], matrix[..., 1, :]) * matrix[..., 2, :]).sum(-1)
    return torch.linalg.det(matrix)


def identity_minus(gradient: Float[Tensor, "... d d"]) -> Float[Tensor, "... d d"]:
    """1 - ∂u, the derivative ∂h of h(x) = x - u(x)."""
    return torch.eye(gradient.shape[-1], dtype=gradient.dtype, device=gradient.device) - gradient
