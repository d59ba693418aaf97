"""Levenberg-Marquardt: damped Gauss-Newton steps of many dense nets at once, with closed-form Jacobians."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.data import Batch
from symnets.loss import Loss
from symnets.models import Dense, Linearized, Scaled, Signals, signals
from symnets.nn import modification
from symnets.training._active_members import ActiveMembers, Point, Weights, flat, point, set_weights
from symnets.training._dynamics import without_optimizer
from symnets.training._losses import PointwiseLoss, name_of, pointwise
from symnets.training._members import Criterion, Verdict
from symnets.training._state import TrainState

Each = Float[Tensor, " members"]
LARGEST_JACOBIAN = 2**26
"""Largest number of entries of the Jacobians held at once: half a gigabyte in float64."""


@dataclass(frozen=True)
class Step:
    """Trial step of damped Gauss-Newton.

    Attributes:
        change: change δ of the weights.
        predicted: decrease of the loss according to the quadratic model.
        damping: the λ used.
        diagonal: mean of the diagonal of JᵀJ, the scale of λ.
    """

    change: Weights
    predicted: Each
    damping: Each
    diagonal: Each


@torch.no_grad()
def damped_step(
    model: nn.Module,
    x: Float[Tensor, "*members n d_in"],
    targets: Float[Tensor, "*members n"],
    loss: PointwiseLoss,
    at: Point,
    damping: Each,
    first_damping: float,
) -> Step:
    """Damped Gauss-Newton step δ = -(JᵀJ + λ)⁻¹ Jᵀr = -Jᵀ(JJᵀ + λ)⁻¹ r, by Cholesky of the smaller system.

    Members with fewer active patterns than others are padded with rows of zeros, which change nothing.

    Args:
        model: a `Dense` with members, or one in `Scaled` or `Linearized`.
        x: inputs.
        targets: targets.
        loss: pointwise loss with ℓ'' > 0 wherever ℓ' is not 0.
        at: outputs at the weights of the model.
        damping: λ of each member; where it is NaN, `first_damping` times the mean diagonal element of JᵀJ.
        first_damping: see `damping`.

    Raises:
        ValueError: the loss has a non-zero slope where its curvature is zero.
    """
    slope, curvature = loss.d1(at.outputs, targets), loss.d2(at.outputs, targets)
    # One transfer for both: the second is the size of the system.
    flat_slope, n_active = ((slope != 0) & (curvature <= 0)).any(), (curvature > 0).sum(1).max()
    refused, columns = torch.stack([flat_slope.long(), n_active]).tolist()
    if refused:
        raise ValueError(
            f"loss: expected a second derivative > 0 wherever the slope is not 0, got {name_of(loss)}; "
            "use a convex loss such as QuadraticHinge or MSE"
        )
    order = curvature.argsort(dim=1, descending=True, stable=True)
    order = order[:, : max(1, columns)]  # active patterns of each member come first
    root = curvature.gather(1, order).sqrt()
    residual = (slope.gather(1, order) / root).where(root > 0, 0.0)
    net, factor = _net(model), root.new_ones(len(root))
    if isinstance(model, Scaled):
        factor = factor * model.alpha.to(root.dtype)
    at_start: Any = model.start if isinstance(model, Linearized) else net
    pass_ = signals(at_start, x)
    n, parts = at.outputs.shape[1], []
    chunk = max(1, LARGEST_JACOBIAN // (order.shape[1] * at.gradient.shape[1]))
    for rows in torch.arange(len(order), device=order.device).split(chunk):
        jacobian = _jacobian(pass_, rows, order[rows], biases=bool(len(net.biases)))
        jacobian = jacobian * (factor[rows, None] * root[rows])[..., None]
        parts.append(_solve(jacobian, residual[rows], damping.to(root)[rows], first_damping, n))
    change, predicted, used, diagonal = (torch.cat(column) for column in zip(*parts, strict=True))
    return Step(change, predicted, used.double(), diagonal.double())


def _net(model: Any) -> Any:
    """The dense net: the model itself, or the one that `Scaled` or `Linearized` wraps."""
    return model.model if type(model) in (Scaled, Linearized) else model


def _jacobian(pass_: Signals, rows: Tensor, order: Tensor, *, biases: bool) -> Tensor:
    """∂f_μ/∂w of some members, each at its own patterns: (members, patterns, N), in the order of weights."""

    def chosen(features: Tensor) -> Tensor:  # (S, units, n), or (units, n) if shared
        mine = features.expand(len(rows), -1, -1) if features.ndim == 2 else features[rows]
        return mine.gather(2, order[:, None].expand(-1, mine.shape[1], -1)).transpose(1, 2)

    signal = [chosen(d) for d in pass_.signals]
    pairs = zip(pass_.scales, signal, map(chosen, pass_.activations), strict=True)
    blocks = [(s * d[..., :, None] * a[..., None, :]).flatten(2) for s, d, a in pairs]
    return torch.cat([*blocks, *(signal if biases else [])], 2)


def _solve(
    jacobian: Tensor, residual: Tensor, damping: Tensor, first_damping: float, n: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Step, predicted decrease of the loss, λ used, and mean diagonal of JᵀJ."""
    diagonal = jacobian.square().sum((1, 2)) / jacobian.shape[2]
    used = damping.where(~damping.isnan(), first_damping * diagonal)
    wide = jacobian.shape[1] < jacobian.shape[2]
    gram = jacobian @ jacobian.mT if wide else jacobian.mT @ jacobian
    # Keeps the matrix positive definite for a net with zero gradient, whose factorisation would fail.
    ridge = used.clamp_min(torch.finfo(used.dtype).tiny) + torch.finfo(used.dtype).eps * diagonal
    gram.diagonal(dim1=1, dim2=2).add_(ridge[:, None])
    right = residual[..., None] if wide else jacobian.mT @ residual[..., None]
    factor, failed = torch.linalg.cholesky_ex(gram)
    solution = torch.cholesky_solve(right, factor)
    change = -(jacobian.mT @ solution if wide else solution)
    # A step of NaN is refused, and the next λ is larger.
    change = change.where(failed[:, None, None] == 0, torch.nan)
    after = residual[..., None] + jacobian @ change
    predicted = (residual.square().sum(1) - after.square().sum((1, 2))) / (2 * n)
    return change[..., 0], predicted, used, diagonal


DAMPING_LIMIT = 1e10
"""Largest λ, times the mean diagonal of JᵀJ; beyond it no accepted step can be expected."""


def levenberg_marquardt(
    state: TrainState,
    loss: PointwiseLoss | Loss,
    batch: Batch | tuple[Tensor, Tensor],
    *,
    budget: int,
    criterion: Criterion | None = None,
    damping: float = 1e-3,
    stride: int = 1,
) -> Iterator[TrainState]:
    """Levenberg-Marquardt for each member: steps -(JᵀJ + λ)⁻¹ Jᵀr on L = (1/n) Σ_μ ℓ(f_μ, y_μ).

    r_μ = ℓ'/√ℓ'' are the residuals and √ℓ'' ∂f_μ/∂w the rows of J, over the n_active patterns with ℓ'' > 0.
    Then JᵀJ/n is the Gauss-Newton part H_0 of the Hessian and Jᵀr/n the gradient. For the quadratic hinge r
    is -y Δ on unsatisfied patterns, with Δ = margin - y f. J is computed in closed form, and the smaller of
    the systems N × N and n_active × n_active is solved, with N the number of weights.

    A step is accepted when the loss falls by at least 1e-4 of the decrease that the quadratic model predicts.
    With ϱ the ratio of the two, λ is then multiplied by 1 - (2 ϱ - 1)³, clamped to [0.1, 2] (after Nielsen
    1999, IMM-REP-1999-05). After a refused step λ is multiplied by 4. `members.step_size` is λ,
    `members.steps` the number of accepted steps, and `state.step` the number of trials.

    Verdicts are those of `descend_members`. In addition, a member for which no step is accepted, however
    large λ, ends as UNSAT if the activation is smooth (a minimum up to rounding), and as KINK for ReLU. With
    ReLU, steps are small and often refused, because the quadratic model does not include kinks; use gradient
    descent there (figures: docs/how-to/landscape_dynamics.md).

    On a GPU λ is kept on the device. Each trial waits for it once, for the largest number of active patterns.

    Second-order steps converge to the margin itself, with gaps of 1e-13. With the default tolerance of 1e-6
    they end earlier; `Criterion(tolerance=1e-10)` lets them converge.

    Args:
        state: its model is a `Dense` with members and a scalar output, in float64, all weights trainable, or
            such a net in `Scaled` or `Linearized`; it has no optimiser.
        loss: pointwise, of labels ±1 or of any targets, with ℓ'' > 0 wherever ℓ' is not 0 (so not `Hinge`).
        batch: inputs (n, d) shared by all members or (S, n, d); targets (n,) or (S, n).
        budget: number of trials after which all members end.
        criterion: when a member ends.
        damping: first λ, relative to the mean diagonal element of JᵀJ.
        stride: number of trials between two checks.

    Raises:
        TypeError: the model is not a `Dense`, or has hooks or other changes, so that the closed form of the
            Jacobian does not hold.
        ValueError: the model has no members, or weights that require no gradient; the state has an optimiser;
            the loss is not pointwise or not convex, or does not take these targets.
    """
    batch = Batch.of(batch)
    loss = pointwise(loss, batch.targets)
    without_optimizer(state, "levenberg_marquardt")
    if problem := modification(_net(state.model), Dense):
        raise TypeError(
            f"levenberg_marquardt: expected an unmodified Dense, but {problem}; use descend_members or "
            "gradient_flow, which differentiate any module"
        )
    if not all(p.requires_grad for p in state.model.parameters()):
        raise ValueError(
            "levenberg_marquardt: expected all weights trainable, got some with requires_grad=False; use "
            "descend_members or gradient_flow"
        )
    criterion = criterion or Criterion()
    checked = -1 if state.members is None else state.step  # a resumed state was yielded at this step
    active = ActiveMembers(state, batch)
    members = active.members
    columns = _columns(active)
    λ, steps, relative = active.gather(columns)
    while bool(members.active.any()):
        weights, start = flat(list(active.model.parameters())), point(active, loss)
        if state.step == budget // 2:
            members.loss_at_half[members.active] = start.loss.double().cpu()
        if state.step != checked and (state.step % stride == 0 or state.step >= budget):
            active.scatter(columns, (λ, steps, relative))
            status = active.update_status(criterion, loss, start.loss, start.outputs, start.gradient_norm)
            stuck = members.memory["relative_damping"][members.active] > DAMPING_LIMIT
            verdicts = active.verdicts(
                criterion,
                status,
                budget_over=state.step >= budget,
                also=[(stuck, _without_step(active.model))],
            )
            active.finish(verdicts)
            active.write_back()
            yield state
            columns = _columns(active)
            λ, steps, relative = active.gather(columns)
            if verdicts:
                checked = state.step
                continue
        step = damped_step(active.model, active.inputs, active.targets, loss, start, λ, damping)
        with torch.no_grad():
            set_weights(active.model, weights + step.change)
            value = loss(active.model(active.inputs), active.targets).mean(-1)
        quality = ((start.loss - value) / step.predicted).nan_to_num(nan=-1.0)
        accepted = quality > 1e-4
        set_weights(active.model, _where(accepted, weights + step.change, weights))
        factor = torch.where(accepted, (1 - (2 * quality - 1) ** 3).clamp(0.1, 2.0), 4.0)
        λ = step.damping * factor.double()
        steps, relative = steps + accepted, λ / step.diagonal
        state.step += 1
        state.epoch = float(state.step)


def _where(accepted: Tensor, new: Weights, old: Weights) -> Weights:
    return torch.where(accepted[:, None], new, old)


def _columns(active: ActiveMembers) -> list[Tensor]:
    """Columns of `Members` for λ, accepted steps, and λ relative to the mean diagonal."""
    members = active.members
    relative = members.memory.setdefault("relative_damping", torch.zeros_like(members.loss))
    return [members.step_size, members.steps, relative]


def _without_step(model: nn.Module) -> Verdict:
    """Verdict on a member for which no step is accepted."""
    activation = _net(model).activation
    piecewise_linear = activation.curvature is None and activation.name != "linear"
    return Verdict.KINK if piecewise_linear and not isinstance(model, Linearized) else Verdict.UNSAT
