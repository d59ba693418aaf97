"""Damped Gauss-Newton steps of dense nets, from Jacobians in closed form.

Levenberg-Marquardt: damped Gauss-Newton steps of many nets at once, for smooth activations.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.data import Batch
from symnets.models import Dense, Signals, signals
from symnets.training._active_members import Moving, Point, Standing, Weights, flat, point, put_weights
from symnets.training._losses import PointwiseLoss, check_targets
from symnets.training._members import Criterion, Verdict
from symnets.training._state import TrainState

Each = Float[Tensor, " members"]
LARGEST_JACOBIAN = 2**26  # numbers held at once: half a gigabyte in float64


@dataclass(frozen=True)
class Step:
    """A Gauss-Newton step that may be taken or not.

    Attributes:
        change: of the weights.
        promised: by how much the loss falls according to the quadratic model.
        damping: λ.
        diagonal: mean of the diagonal of JᵀJ, the size λ is to be compared with.
    """

    change: Weights
    promised: Each
    damping: Each
    diagonal: Each


@torch.no_grad()
def damped_step(
    model: Dense,
    x: Float[Tensor, "*members n d_in"],
    targets: Float[Tensor, "*members n"],
    loss: PointwiseLoss,
    at: Point,
    damping: Each,
    first_damping: float,
) -> Step:
    """δ = -(JᵀJ + λ)⁻¹ Jᵀr = -Jᵀ(JJᵀ + λ)⁻¹ r, whichever system is smaller, by Cholesky.

    Members with fewer active patterns than others get rows of zeros, which change nothing.

    Args:
        model: with members.
        x: inputs.
        targets: labels.
        loss: convex, with ℓ'' > 0 wherever ℓ' is not 0.
        at: outputs at the weights of the model.
        damping: λ of each member; where NaN, `first_damping` times the mean diagonal of JᵀJ.
        first_damping: see there.

    Raises:
        ValueError: the loss has a slope where it has no curvature.
    """
    slope, bend = loss.d1(at.outputs, targets), loss.d2(at.outputs, targets)
    # Both questions with one transfer: the second decides how large the system is.
    unbent, n_active = ((slope != 0) & (bend <= 0)).any(), (bend > 0).sum(1).max()
    refused, columns = torch.stack([unbent.long(), n_active]).tolist()
    if refused:
        raise ValueError(
            f"loss: {type(loss).__name__} has a slope where its second derivative is not positive; "
            "Gauss-Newton steps need a convex loss such as QuadraticHinge or MSE"
        )
    order = bend.argsort(dim=1, descending=True, stable=True)
    order = order[:, : max(1, columns)]  # active patterns of each member come first
    root = bend.gather(1, order).sqrt()
    residual = (slope.gather(1, order) / root).where(root > 0, 0.0)
    passed = signals(model, x)
    n, parts = at.outputs.shape[1], []
    chunk = max(1, LARGEST_JACOBIAN // (order.shape[1] * at.gradient.shape[1]))
    for rows in torch.arange(len(order), device=order.device).split(chunk):
        jacobian = (
            _jacobian(passed, rows, order[rows], biases=bool(len(model.biases))) * root[rows][..., None]
        )
        parts.append(_solve(jacobian, residual[rows], damping.to(root)[rows], first_damping, n))
    change, promised, used, diagonal = (torch.cat(column) for column in zip(*parts, strict=True))
    return Step(change, promised, used.double(), diagonal.double())


def _jacobian(passed: Signals, rows: Tensor, order: Tensor, *, biases: bool) -> Tensor:
    """∂f_μ/∂w of some members at patterns of their own, (members, patterns, N), w as the model has it."""

    def taken(features: Tensor) -> Tensor:  # (S, units, n), or (units, n) where all see the same
        mine = features.expand(len(rows), -1, -1) if features.ndim == 2 else features[rows]
        return mine.gather(2, order[:, None].expand(-1, mine.shape[1], -1)).transpose(1, 2)

    signal = [taken(d) for d in passed.signals]
    pairs = zip(passed.scales, signal, map(taken, passed.activations), strict=True)
    blocks = [(s * d[..., :, None] * a[..., None, :]).flatten(2) for s, d, a in pairs]
    return torch.cat([*blocks, *(signal if biases else [])], 2)


def _solve(
    jacobian: Tensor, residual: Tensor, damping: Tensor, first_damping: float, n: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Step, promised fall of the loss, λ used and mean diagonal."""
    diagonal = jacobian.square().sum((1, 2)) / jacobian.shape[2]
    used = damping.where(~damping.isnan(), first_damping * diagonal)
    wide = jacobian.shape[1] < jacobian.shape[2]
    gram = jacobian @ jacobian.mT if wide else jacobian.mT @ jacobian
    # A net without any slope must not stop the others.
    ridge = used.clamp_min(torch.finfo(used.dtype).tiny) + torch.finfo(used.dtype).eps * diagonal
    gram.diagonal(dim1=1, dim2=2).add_(ridge[:, None])
    right = residual[..., None] if wide else jacobian.mT @ residual[..., None]
    factor, failed = torch.linalg.cholesky_ex(gram)
    solution = torch.cholesky_solve(right, factor)
    change = -(jacobian.mT @ solution if wide else solution)
    change = change.where(failed[:, None, None] == 0, torch.nan)  # not taken; the next λ is larger
    after = residual[..., None] + jacobian @ change
    promised = (residual.square().sum(1) - after.square().sum((1, 2))) / (2 * n)
    return change[..., 0], promised, used, diagonal


DAMPING_LIMIT = 1e10  # times the mean diagonal of J^T J: no step is left of a Gauss-Newton step


def levenberg_marquardt(
    state: TrainState,
    loss: PointwiseLoss,
    batch: Batch,
    *,
    budget: int,
    criterion: Criterion | None = None,
    damping: float = 1e-3,
    stride: int = 1,
) -> Iterator[TrainState]:
    """Steps -(JᵀJ + λ)⁻¹ Jᵀr on the weighted residuals of L = (1/n) Σ_μ ℓ(f_μ, y_μ), for each member.

    With r_μ = ℓ'/√ℓ'' and rows of J √ℓ'' ∂f_μ/∂w, over the n_active patterns with ℓ'' > 0, JᵀJ / n is
    the Gauss-Newton part of the Hessian and Jᵀr / n the gradient. For the quadratic hinge r is -y Δ on
    unsatisfied patterns, and JᵀJ / n is H_0. J is written in closed form, and the smaller of the systems
    N × N and n_active × n_active is solved (`damped_step`).

    A step is taken when the loss falls by at least 1e-4 of what the quadratic model says. With ϱ the
    ratio of the two, λ is then multiplied by 1 - (2 ϱ - 1)³, kept within 0.1 and 2 (after Nielsen 1999,
    IMM-REP-1999-05), and after a refusal by 4. `members.step_size` is λ; `members.steps` counts steps
    taken and `state.step` trials.

    Verdicts as in `descend_members`, and one more: a member for which no step is taken however large
    λ ends as UNSAT if the activation is smooth (a minimum to rounding), and as KINK for ReLU. With
    ReLU steps are small and often refused, because the model knows nothing of the kinks
    around it (figures: docs/how-to/landscape_dynamics.md). Use gradient descent there.

    On a GPU λ is kept there; each trial waits once, to learn the largest number of active patterns.

    Steps of second order end on the margin itself, with gaps of 1e-13; `Criterion(tolerance=1e-10)`
    lets them get there.

    Args:
        state: a `Dense` with members, scalar output, in float64, nothing frozen; no optimiser.
        loss: of labels ±1 or of any targets (MSE), with ℓ'' > 0 wherever ℓ' is not 0 (so no `Hinge`).
        batch: inputs (n, d) seen by all members or (S, n, d); targets (n,) or (S, n).
        budget: trials after which those that still move are judged.
        criterion: when a member is finished.
        damping: first λ, times the mean diagonal element of JᵀJ.
        stride: trials between two looks.
    """
    check_targets(loss, batch.targets)
    if state.optimizer is not None:
        raise ValueError("levenberg_marquardt: takes its own steps, expected state.optimizer=None, got one")
    if not isinstance(state.model, Dense):
        raise TypeError(f"levenberg_marquardt: expected a Dense, got {type(state.model).__name__}")
    if not all(p.requires_grad for p in state.model.parameters()):
        raise ValueError(
            "levenberg_marquardt: moves all weights, expected none frozen, got some; use descend_members or "
            "gradient_flow"
        )
    criterion = criterion or Criterion()
    seen = -1 if state.members is None else state.step  # a resumed state was yielded at this step
    moving = Moving(state, batch)
    members = moving.members
    columns = _columns(moving)
    λ, steps, relative = moving.fetch(columns)
    while bool(members.moving.any()):
        weights, start = flat(list(moving.model.parameters())), point(moving, loss)
        if state.step == budget // 2:
            members.loss_at_half[members.moving] = start.loss.double().cpu()
        if state.step != seen and (state.step % stride == 0 or state.step >= budget):
            moving.store(columns, (λ, steps, relative))
            standing = moving.stand(criterion, loss, start.loss, start.outputs, start.gradient_norm)
            found = _judge(state, moving, criterion, budget, standing)
            moving.finish(found)
            moving.write_back()
            yield state
            columns = _columns(moving)
            λ, steps, relative = moving.fetch(columns)
            if found:
                seen = state.step
                continue
        step = damped_step(moving.model, moving.inputs, moving.targets, loss, start, λ, damping)
        with torch.no_grad():
            put_weights(moving.model, weights + step.change)
            value = loss(moving.model(moving.inputs), moving.targets).mean(-1)
        quality = ((start.loss - value) / step.promised).nan_to_num(nan=-1.0)
        taken = quality > 1e-4
        put_weights(moving.model, _where(taken, weights + step.change, weights))
        factor = torch.where(taken, (1 - (2 * quality - 1) ** 3).clamp(0.1, 2.0), 4.0)
        λ = step.damping * factor.double()
        steps, relative = steps + taken, λ / step.diagonal
        state.step += 1
        state.epoch = float(state.step)


def _where(taken: Tensor, new: Weights, old: Weights) -> Weights:
    return torch.where(taken[:, None], new, old)


def _columns(moving: Moving) -> list[Tensor]:
    """Where members keep λ, steps taken, and λ over the mean diagonal."""
    members = moving.members
    relative = members.memory.setdefault("relative_damping", torch.zeros_like(members.loss))
    return [members.step_size, members.steps, relative]


def _judge(
    state: TrainState, moving: Moving, criterion: Criterion, budget: int, standing: Standing
) -> dict[int, Verdict]:
    members, loss = moving.members, standing.loss
    relative = members.memory["relative_damping"][members.moving]
    piecewise_linear = moving.model.activation.curvature is None and moving.model.activation.name != "linear"
    verdicts: dict[int, Verdict] = {}
    for k, whole in enumerate(moving.places.tolist()):
        if not loss[k].isfinite():
            verdicts[k] = Verdict.DIVERGED
        elif standing.n_unsatisfied[k] == 0:
            verdicts[k] = Verdict.SAT
        elif standing.at_minimum[k]:
            verdicts[k] = Verdict.UNSAT
        elif relative[k] > DAMPING_LIMIT:
            verdicts[k] = Verdict.KINK if piecewise_linear else Verdict.UNSAT
        elif state.step >= budget:
            verdicts[k] = criterion.out_of_budget(float(loss[k]), float(members.loss_at_half[whole]))
    return verdicts
