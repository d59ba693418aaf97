"""Gradient flow of outputs on a frozen kernel."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy.integrate import solve_ivp
from torch import Tensor

from symnets.loss import derivatives_of
from symnets.observables.kernels._checks import finite, one_column, square, test_rows

Method = Literal["eigenvectors", "integrator"]
"""Method of solution: closed form on eigenvectors, or numerical integration."""
Derivatives = tuple[Callable[..., Tensor], Callable[..., Tensor]]
"""First and second derivative of a loss with respect to the output, as functions of outputs and labels."""


@dataclass(frozen=True)
class KernelFlow:
    """Outputs along gradient flow on a frozen kernel.

    Attributes:
        times: the requested times that were reached, then the time at which the flow ended.
        outputs: f on the training patterns, a row for each time.
        test_outputs: f on the test patterns; None without a test kernel.
        verdict: "SAT" if the flow stopped because all patterns were satisfied, else "TIME".
        method: "eigenvectors" or "integrator".
    """

    times: Float[Tensor, " times"]
    outputs: Float[Tensor, "times n"]
    test_outputs: Float[Tensor, "times m"] | None
    verdict: str
    method: Method


def kernel_flow(
    kernel: Float[Tensor, "n n"],
    labels: Float[Tensor, " n"],
    loss: Any,
    test_kernel: Float[Tensor, "m n"] | None = None,
    *,
    max_time: float = math.inf,
    times: Sequence[float] = (),
    initial: Float[Tensor, " n"] | None = None,
    test_initial: Float[Tensor, " m"] | None = None,
    margin: float | None = None,
    tolerance: float = 1e-3,
    method: Method | None = None,
    accuracy: float = 1e-6,
) -> KernelFlow:
    """Gradient flow of outputs on a frozen kernel, ḟ(x) = -(1/n) Σ_i K(x, x_i) ℓ'(f(x_i), y_i).

    It is the flow of w' = -∇L, L = (1/n) Σ ℓ, of a net that is linear in its weights, such as `Linearized`,
    with K its tangent kernel. In the lazy regime, with loss ℓ(α f)/α² and α → ∞, a net follows it.

    - A quadratic loss such as `MSE` is solved in closed form by the eigenvectors of K: with
      ℓ = (c/2)(f - y)², f(t) = y + exp(-c K t/n) (f(0) - y). An infinite `max_time` gives the limit.
    - Other losses are integrated: f = f(0) - K a, ȧ = ℓ'(f)/n, by scipy's implicit BDF method of variable
      order, since rates differ by the condition number of K. The Jacobian is -ℓ'' K/n.
    - For a loss of labels ±1 the flow stops as soon as all patterns are satisfied, margin - y f <= tolerance.
    - The slope of a loss with a kink, such as `Hinge`, jumps. For such a loss, d1 is replaced by the
      difference quotient of the loss from f to f + tolerance · y, so that the slope falls to zero
      continuously.

    Args:
        kernel: K of the training patterns, symmetric positive semidefinite.
        labels: y.
        loss: pointwise loss with derivatives `d1` and `d2`, such as those of `symnets.training`.
        test_kernel: kernel of each test pattern (row) with the training patterns.
        max_time: time at which the flow ends; finite unless the loss is quadratic or of labels ±1.
        times: times at which outputs are returned besides the last one, ascending.
        initial: f(0) on the training patterns, zero by default.
        test_initial: f(0) on the test patterns, zero by default.
        margin: margin in the condition to stop; by default that of the loss, or 1 if it has none.
        tolerance: largest gap of a satisfied pattern.
        method: "eigenvectors" or "integrator"; by default the first where the loss is quadratic.
        accuracy: error of each step of the integrator, in outputs, absolute and relative.

    Raises:
        ValueError: shapes that do not fit, a loss without derivatives, eigenvectors for a loss that is not
            quadratic, or no finite `max_time` where it is needed.
        RuntimeError: the integrator failed.
    """
    kernel = square(kernel)
    n = kernel.shape[-1]
    y, rows = one_column(labels, n), test_rows(test_kernel, n)
    derivatives = derivatives_of(loss) if hasattr(loss, "d1") and hasattr(loss, "d2") else None
    if derivatives is None:
        raise ValueError(
            f"loss: expected a pointwise loss with derivatives d1 and d2, such as symnets.training.MSE(), "
            f"got {loss!r}"
        )
    f0 = torch.zeros_like(y) if initial is None else one_column(initial, n)
    m = 0 if rows is None else len(rows)
    g0 = y.new_zeros(m) if test_initial is None else finite(test_initial, "test_initial").reshape(-1)
    if g0.shape != (m,):
        raise ValueError(f"test_initial: expected shape ({m},), got {tuple(g0.shape)}")
    asked = [float(t) for t in times]
    if any(t < 0 for t in asked) or asked != sorted(asked) or not max_time > 0:
        raise ValueError(f"times, max_time: expected ascending times >= 0, got {asked} and {max_time}")
    asked = [t for t in asked if t < max_time]
    curvature = _constant_curvature(loss, y)
    if method is None:
        method = "integrator" if curvature is None else "eigenvectors"
    if method == "eigenvectors":
        if curvature is None:
            raise ValueError(f"loss: expected a quadratic loss for eigenvectors, got {loss!r}")
        reached = torch.tensor([*asked, max_time], dtype=torch.float64, device=y.device)
        weights, verdict = _by_eigenvectors(kernel, y, f0, reached, curvature), "TIME"
    elif method == "integrator":
        stop = None
        if getattr(loss, "labels", False):
            stop = (getattr(loss, "margin", 1.0) if margin is None else margin) - tolerance
            derivatives = _without_jumps(loss, y, derivatives, tolerance)
        if stop is None and math.isinf(max_time):
            raise ValueError("max_time: expected a finite time for this loss, which has no end, got inf")
        reached, weights, verdict = _by_integrator(
            kernel, y, f0, derivatives, asked, max_time, stop, accuracy
        )
    else:
        raise ValueError(f"method: expected 'eigenvectors' or 'integrator', got {method!r}")
    tested = None if rows is None else g0 - weights @ rows.T
    return KernelFlow(reached, f0 - weights @ kernel, tested, verdict, method)


def _curvatures(loss: Any, y: Tensor) -> Tensor:
    """The second derivative of a loss at outputs of all magnitudes, for the extreme targets."""
    f = torch.tensor([-1e6, -1e3, -10.0, -1.0, 0.0, 1.0, 10.0, 1e3, 1e6], dtype=y.dtype, device=y.device)
    return torch.stack([loss.d2(f, target.expand_as(f)) for target in y.unique()[[0, -1]]])


def _constant_curvature(loss: Any, y: Tensor) -> float | None:
    """The second derivative of a loss if it is the same number for all outputs, else None."""
    found = _curvatures(loss, y)
    return float(found[0, 0]) if bool((found == found[0, 0]).all()) and found[0, 0] > 0 else None


def _without_jumps(loss: Any, y: Tensor, derivatives: Derivatives, width: float) -> Derivatives:
    """Derivatives of a loss of labels ±1; if it is piecewise linear, difference quotients over a width."""
    if bool((_curvatures(loss, y) != 0).any()):
        return derivatives
    if not width > 0:
        raise ValueError(f"tolerance: expected more than 0 for a loss with a kink, got {width}")

    def quotient(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda f, y: (function(f + width * y, y) - function(f, y)) / (width * y)

    return quotient(loss), quotient(derivatives[0])


def _by_eigenvectors(
    kernel: Tensor, y: Tensor, f0: Tensor, times: Tensor, curvature: float
) -> Float[Tensor, "times n"]:
    """a(t) in f(t) = f(0) - K a(t): (f(0) - y) times (1 - exp(-c λ t/n)) / λ on each eigenvector."""
    n = len(y)
    values, vectors = torch.linalg.eigh(kernel)
    values = values.clamp_min(0)
    zero = values <= n * torch.finfo(values.dtype).eps * values[-1]
    rates = curvature * values / n
    # On eigenvectors of eigenvalue zero a grows without bound, and K a stays zero: a is set to zero there.
    growth = torch.where(zero, 0.0, -torch.expm1(-rates * times[:, None]) / values.where(~zero, 1.0))
    return (growth * (vectors.T @ (f0 - y))) @ vectors.T


def _by_integrator(
    kernel: Tensor,
    y: Tensor,
    f0: Tensor,
    derivatives: Derivatives,
    times: Sequence[float],
    max_time: float,
    stop: float | None,
    accuracy: float,
) -> tuple[Float[Tensor, " times"], Float[Tensor, "times n"], str]:
    """Times, a(t) there, and the verdict; the flow ends when y f >= stop for all patterns."""
    n = len(y)
    # a is integrated in units in which K a is of the size of a, so that its accuracy is that of outputs.
    scale = max(float(kernel.diagonal().mean()), torch.finfo(kernel.dtype).tiny)
    unit = kernel / scale
    matrix = unit.cpu().numpy()

    def outputs(a: np.ndarray) -> Tensor:
        return f0 - unit @ torch.from_numpy(a).to(f0)

    def slope(_: float, a: np.ndarray) -> np.ndarray:
        return derivatives[0](outputs(a), y).cpu().numpy() * (scale / n)

    def jacobian(_: float, a: np.ndarray) -> np.ndarray:
        return -(derivatives[1](outputs(a), y).cpu().numpy() * (scale / n))[:, None] * matrix

    def unsatisfied(_: float, a: np.ndarray) -> float:
        assert stop is not None
        return stop - float((y * outputs(a)).min())

    unsatisfied.terminal = True  # pyright: ignore[reportFunctionMemberAccess]
    start = np.zeros(n)
    if stop is not None and unsatisfied(0.0, start) <= 0:
        return y.new_zeros(1), y.new_zeros(1, n), "SAT"
    # A time after which float64 does not resolve any change.
    end = max_time if math.isfinite(max_time) else 1e15 * n / scale
    solution: Any = solve_ivp(
        slope,
        (0.0, end),
        start,
        method="BDF",
        t_eval=None if not times else np.asarray(times),
        events=None if stop is None else unsatisfied,
        jac=jacobian,
        rtol=accuracy,
        atol=accuracy,
        dense_output=True,
    )
    if solution.status < 0:
        raise RuntimeError(f"kernel_flow: the integrator failed: {solution.message}")
    satisfied = solution.status == 1
    last = float(solution.t_events[0][0]) if satisfied else end
    reached = [t for t in times if t < last] + [last]
    weights = torch.from_numpy(np.stack([solution.sol(t) for t in reached])).to(f0) / scale
    return y.new_tensor(reached), weights, "SAT" if satisfied else "TIME"
