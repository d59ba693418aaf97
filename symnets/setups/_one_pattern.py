"""Gradient flow of one hidden layer on one pattern, in closed form: each neuron obeys a linear equation."""

import copy
import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from scipy.integrate import solve_ivp
from torch import Tensor

from symnets.models import Dense
from symnets.observables import neurons


def position_field(
    z: Float[Tensor, "... d"], x: Float[Tensor, " d"], *, scale: float | None = None
) -> Float[Tensor, "... d"]:
    """Direction in which a neuron at z moves when it is active on the only pattern, x.

        z' = (g β/b) [z (1 + 2 s² z · x) - s² |z|² x],   s² = 1/d,

    without the factor g β/b; g, β and b are those of `one_pattern_net`. The field is zero at
    z* = -x/(s² |x|²), where its derivative is minus the identity: with g β/b > 0, which holds for neurons
    that grow, z* attracts from all directions alike.

    Args:
        z: positions of neurons (`symnets.observables.neurons`).
        x: the pattern.
        scale: s, factor of the weights of the first layer; by default d^(-1/2).
    """
    square = 1 / len(x) if scale is None else scale**2
    return z * (1 + 2 * square * (z @ x)[..., None]) - square * z.square().sum(-1, keepdim=True) * x


def fixed_point(x: Float[Tensor, " d"], *, scale: float | None = None) -> Float[Tensor, " d"]:
    """Position z* = -x/(s² |x|²) that growing neurons approach; see `position_field`.

    With the default scale it is -d x/|x|².
    """
    square = 1 / len(x) if scale is None else scale**2
    return -x / (square * x.square().sum())


def growth_rate(x: Float[Tensor, " d"], *, scale: float | None = None) -> float:
    """Growth rate κ = (1 + s² |x|²)^(1/2) of neurons in the rescaled time; see `one_pattern_net`."""
    square = 1 / len(x) if scale is None else scale**2
    return math.sqrt(1 + square * float(x.square().sum()))


@torch.no_grad()
def one_pattern_net(start: Dense, x: Float[Tensor, " d"], tau: float) -> Dense:
    """The net that gradient flow on one pattern reaches at the rescaled time τ, in closed form.

    Let f = c Σ_n β_n (u_n)₊ + const, u = s ω · x + b, and g = -c ∂L/∂f, the same for all neurons. With
    τ = ∫ g dt, and as long as u > 0, gradient flow of a loss L(f) is

        dω/dτ = s β x,   db/dτ = β,   dβ/dτ = u   =>   du/dτ = κ² β,   κ² = 1 + s² |x|²,

    so that u ± κ β = (u_0 ± κ β_0) e^(±κτ), and ω and b follow from ∫ β dτ. |ω|² + b² - β² and the part of ω
    orthogonal to x are constant. A neuron with u_0 <= 0 does not move. A neuron whose u falls to zero, at
    tanh(κτ) = -u_0/(κ β_0), is inactive from then on and does not change any more. This happens if β_0 does
    not have the sign of τ and |β_0| > u_0/κ: with Gaussian weights of unit variance for a quarter of the
    active neurons.

    The bias of the output, if it is trained, is τ/c above its initial value.

    Args:
        start: the net at t = 0, in any parametrisation; its weights and hidden biases are trained.
        x: the pattern.
        tau: rescaled time τ; its sign is that of the change of f.

    Returns:
        A copy of the net with the weights at τ.

    Raises:
        ValueError: the net has members, or no biases.
    """
    if len(start.biases) == 0 or start.members is not None:
        raise ValueError("start: expected a single net with biases; take member(s) of one with members")
    s, c = start.scales[0], start.scales[1] * start.activation.norm
    kappa = growth_rate(x, scale=s)
    omega, b, beta = start.weights[0], start.biases[0], start.weights[1][0]
    u = neurons(start).preactivations(x[None])[:, 0]
    off = torch.atanh((-u / (kappa * beta)).clamp(-1, 1)) / kappa  # infinite for neurons that stay active
    own = torch.where(off > 0, off.clamp(max=tau), off.clamp(min=tau))  # the τ up to which a neuron moves
    own = torch.where(u > 0, own, 0)
    cosh, sinh = (kappa * own).cosh(), (kappa * own).sinh()
    moved = beta * sinh / kappa + u * (cosh - 1) / kappa**2  # ∫ β dτ
    net = copy.deepcopy(start)
    net.weights[0].copy_(omega + s * moved[:, None] * x)
    net.biases[0].copy_(b + moved)
    net.weights[1][0].copy_(beta * cosh + u * sinh / kappa)
    if net.biases[1].requires_grad:
        net.biases[1].add_(tau / c)
    return net


def rescaled_time(
    start: Dense,
    x: Float[Tensor, " d"],
    force: Callable[[float], float],
    times: Sequence[float] | Tensor,
    *,
    rtol: float = 1e-10,
) -> Float[Tensor, " times"]:
    """Rescaled time τ at times t of gradient flow on one pattern: dτ/dt = c · force(f(τ)), τ(0) = 0.

    The flow of all weights reduces to this equation of one variable, because f(τ) is known
    (`one_pattern_net`).

    Args:
        start: the net at t = 0.
        x: the pattern.
        force: -∂L/∂f as a function of f.
        times: times t, ascending.
        rtol: relative tolerance of the integration.
    """
    c = start.scales[1] * start.activation.norm

    def slope(_: float, tau: list[float]) -> list[float]:
        with torch.no_grad():
            return [c * force(float(one_pattern_net(start, x, float(tau[0]))(x[None])))]

    t = torch.as_tensor(times, dtype=torch.float64)
    solution = solve_ivp(
        slope, (0.0, float(t[-1])), [0.0], t_eval=t.tolist(), rtol=rtol, atol=1e-14, method="DOP853"
    )
    return torch.as_tensor(solution.y[0], dtype=torch.float64)
