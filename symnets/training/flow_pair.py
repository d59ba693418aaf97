"""One trial step of gradient flow by an embedded pair of Runge-Kutta methods, a step size for each member."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.training.flow_weights import Point, Weights


@dataclass(frozen=True)
class Trial:
    """A step of w' = -∇L that may be taken or not.

    Attributes:
        weights: at its end, of third order.
        twin: the same of second order; their difference is the error.
        end: loss, outputs and gradient at its end, which the next step starts with.
        slope_error: |difference of the mean slopes of the two| / |mean slope|; O(h²).
        jump: the largest |k_i - k_1| / |mean slope|; O(h), and O(1) when a stage lies across a kink.
    """

    weights: Weights
    twin: Weights
    end: Point
    slope_error: Float[Tensor, " members"]
    jump: Float[Tensor, " members"]


def bogacki_shampine(
    at: Callable[[Weights], Point],
    weights: Weights,
    start: Point,
    step_size: Float[Tensor, " members"],
) -> Trial:
    """The pair of orders 3(2) of Bogacki and Shampine 1989 (Appl. Math. Lett. 2, 321).

        k1 = -∇L(w),  k2 = -∇L(w + h/2 k1),  k3 = -∇L(w + 3h/4 k2),
        w⁺ = w + h (2 k1 + 3 k2 + 4 k3)/9,   k4 = -∇L(w⁺)  (k1 of the next step),
        twin = w + h (7 k1 + 6 k2 + 8 k3 + 3 k4)/24.

    Args:
        at: loss and gradient at given weights.
        weights: of each member.
        start: loss and gradient there.
        step_size: h.
    """
    h = step_size[:, None].to(weights)
    k1 = -start.gradient
    k2 = -at(weights + h / 2 * k1).gradient
    k3 = -at(weights + 3 * h / 4 * k2).gradient
    slope = (2 * k1 + 3 * k2 + 4 * k3) / 9
    new = weights + h * slope
    end = at(new)
    difference = (-5 * k1 + 6 * k2 + 8 * k3 + 9 * end.gradient) / 72  # slope - twin's slope
    jump = torch.stack([(k - k1).norm(dim=1) for k in (k2, k3, -end.gradient)]).amax(0)
    size = slope.norm(dim=1)
    # No slope at all: nothing moves, and nothing is wrong.
    error, jump = ((v / size).where(slope.ne(0).any(1), 0.0) for v in (difference.norm(dim=1), jump))
    return Trial(new, new - h * difference, end, error, jump)
