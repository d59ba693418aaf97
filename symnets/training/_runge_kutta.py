"""Runge-Kutta steps of gradient flow with error estimates: Bogacki-Shampine and Runge-Kutta-Chebyshev."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.training._active_members import Point, Weights

MAX_STAGES = 24
"""Largest number of stages; beyond it the step size is limited by stability instead."""
DAMPING = 2 / 13
"""ε of the damped Chebyshev polynomials in `stages`."""


@dataclass(frozen=True)
class Trial:
    """Trial step of w' = -∇L, with estimates of its error.

    Attributes:
        weights: weights at the end of the step.
        embedded: the same plus the estimated error.
        end: loss, outputs and gradient at the end, with which the next step starts.
        slope_error: |difference of the mean slopes to `weights` and `embedded`| / |mean slope|; O(h²).
        jump: the largest |k_i - k_1| / |mean slope|, with the slope k_i = -∇L at stage i; O(h), and O(1) when
            a stage lies across a kink.
    """

    weights: Weights
    embedded: Weights
    end: Point
    slope_error: Float[Tensor, " members"]
    jump: Float[Tensor, " members"]


def bogacki_shampine(
    at: Callable[[Weights], Point],
    weights: Weights,
    start: Point,
    step_size: Float[Tensor, " members"],
) -> Trial:
    """One trial step by the pair of orders 3(2) of Bogacki and Shampine 1989 (Appl. Math. Lett. 2, 321).

        k1 = -∇L(w),  k2 = -∇L(w + h/2 k1),  k3 = -∇L(w + 3h/4 k2),
        w⁺ = w + h (2 k1 + 3 k2 + 4 k3)/9,   k4 = -∇L(w⁺)  (k1 of the next step),
        embedded = w + h (7 k1 + 6 k2 + 8 k3 + 3 k4)/24.

    Args:
        at: function that returns loss and gradient at given weights.
        weights: weights of each member.
        start: loss and gradient at `weights`.
        step_size: h.
    """
    h = step_size[:, None].to(weights)
    k1 = -start.gradient
    k2 = -at(weights + h / 2 * k1).gradient
    k3 = -at(weights + 3 * h / 4 * k2).gradient
    slope = (2 * k1 + 3 * k2 + 4 * k3) / 9
    new = weights + h * slope
    end = at(new)
    difference = (-5 * k1 + 6 * k2 + 8 * k3 + 9 * end.gradient) / 72  # slope - embedded slope
    jump = torch.stack([(k - k1).norm(dim=1) for k in (k2, k3, -end.gradient)]).amax(0)
    size = slope.norm(dim=1)
    # Where the slope is exactly zero the step is exact.
    error, jump = ((v / size).where(slope.ne(0).any(1), 0.0) for v in (difference.norm(dim=1), jump))
    return Trial(new, new - h * difference, end, error, jump)


@dataclass(frozen=True)
class Stage:
    """Coefficients of stage j: Y_j = (1 - μ - ν) Y_0 + μ Y_(j-1) + ν Y_(j-2) + h (μ̃ F_(j-1) + γ̃ F_0)."""

    mu: float
    nu: float
    mu_slope: float
    gamma_slope: float


@lru_cache
def stages(s: int) -> tuple[float, tuple[Stage, ...]]:
    """μ̃_1 of the first stage, and the coefficients of stages 2 to s (Verwer, Hundsdorfer, Sommeijer 1990)."""
    x = 1 + DAMPING / s**2
    # Chebyshev polynomials T_j and their derivatives at x.
    values, first, second = [1.0, x], [0.0, 1.0], [0.0, 0.0]
    for _ in range(2, s + 1):
        second.append(4 * first[-1] + 2 * x * second[-1] - second[-2])
        first.append(2 * values[-1] + 2 * x * first[-1] - first[-2])
        values.append(2 * x * values[-1] - values[-2])
    slope = first[s] / second[s]
    b = [0.0, 0.0, *[second[j] / first[j] ** 2 for j in range(2, s + 1)]]
    b[0] = b[1] = b[2]
    a = [1 - b[j] * values[j] for j in range(s + 1)]
    later = []
    for j in range(2, s + 1):
        mu_slope = 2 * b[j] * slope / b[j - 1]
        later.append(Stage(2 * b[j] * x / b[j - 1], -b[j] / b[j - 2], mu_slope, -a[j - 1] * mu_slope))
    return b[1] * slope, tuple(later)


def stable_step(s: int, rho: Tensor) -> Tensor:
    """Largest step at which s stages are stable, if the Hessian's eigenvalues are between 0 and `rho`."""
    return 0.65 * (s * s - 1) / rho


def n_stages(step: Float[Tensor, " members"], rho: Float[Tensor, " members"]) -> int:
    """Number of stages with which the steps of all members are stable, at most `MAX_STAGES`."""
    needed = float((step * rho).nan_to_num(nan=0.0, posinf=0.0).max())
    return min(max(2, math.ceil((1 + needed / 0.65) ** 0.5)), MAX_STAGES)


def chebyshev(
    at: Callable[[Weights], Point],
    weights: Weights,
    start: Point,
    step_size: Float[Tensor, " members"],
    s: int,
) -> Trial:
    """One trial step by the Runge-Kutta-Chebyshev method of second order with s stages.

    For real eigenvalues up to ρ, as those of the Hessian, it is stable up to h ρ = 0.65 (s² - 1), with s
    gradients per step. A step of `bogacki_shampine` takes three gradients and is stable up to h ρ = 2.5.
    Where stability limits the step, the same number of gradients therefore advances the flow about s/1.3
    times as far.

    Sommeijer, Shampine, Verwer 1998 (J. Comput. Appl. Math. 88, 315), with their estimate of the error,
    0.8 (w - w⁺) + 0.4 h (F + F⁺), F = -∇L.

    Args:
        at: function that returns loss and gradient at given weights.
        weights: weights of each member.
        start: loss and gradient at `weights`.
        step_size: h.
        s: number of stages, at least 2.
    """
    h = step_size[:, None].to(weights)
    slope = -start.gradient
    first, later = stages(s)
    before, now = weights, weights + first * h * slope
    jump = torch.zeros_like(step_size)
    for stage in later:
        k = -at(now).gradient
        jump = torch.maximum(jump, (k - slope).norm(dim=1).double())
        following = (
            (1 - stage.mu - stage.nu) * weights
            + stage.mu * now
            + stage.nu * before
            + h * (stage.mu_slope * k + stage.gamma_slope * slope)
        )
        before, now = now, following
    end = at(now)
    jump = torch.maximum(jump, (end.gradient + slope).norm(dim=1).double())
    error = 0.8 * (weights - now) + 0.4 * h * (slope - end.gradient)
    moved = (now - weights).norm(dim=1)
    # Where the slope is exactly zero the step is exact.
    still = moved == 0
    slope_error = (error.norm(dim=1) / moved).where(~still, 0.0)
    jump = (jump * step_size / moved).where(~still, 0.0)
    return Trial(now, now + error, end, slope_error, jump)


@torch.no_grad()
def spectral_radius(
    at: Callable[[Weights], Point], weights: Weights, start: Point, *, iterations: int = 4
) -> Float[Tensor, " members"]:
    """Largest eigenvalue of the Hessian of each member's loss, by power iteration with finite differences.

    The first vector is the same for equal shapes, so that a resumed flow repeats the estimate.
    """
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(weights.shape[1], generator=generator, dtype=torch.float64).to(weights)
    vector = vector.expand_as(weights)
    size = (1e-4 if weights.dtype == torch.float64 else 1e-2) * weights.norm(dim=1, keepdim=True)
    rho = torch.zeros(len(weights), dtype=torch.float64, device=weights.device)
    for _ in range(iterations):
        step = size * vector / vector.norm(dim=1, keepdim=True)
        with torch.enable_grad():
            change = at(weights + step).gradient - start.gradient
        vector = change.where(change.ne(0).any(1, keepdim=True), vector)
        rho = torch.maximum(rho, (change.norm(dim=1) / step.norm(dim=1)).double())
    return rho
