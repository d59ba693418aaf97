"""Gradient flow of many nets at once, by embedded Runge-Kutta steps with a step size for each net."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from symnets.data import Batch
from symnets.loss import Loss
from symnets.training._active_members import (
    ActiveMembers,
    Point,
    Weights,
    flat,
    point,
    set_weights,
    trainable,
)
from symnets.training._dense_output import DenseOutput
from symnets.training._dynamics import without_optimizer
from symnets.training._losses import PointwiseLoss, pointwise
from symnets.training._members import Criterion, Members, Verdict
from symnets.training._runge_kutta import (
    MAX_STAGES,
    Trial,
    bogacki_shampine,
    chebyshev,
    n_stages,
    spectral_radius,
    stable_step,
)
from symnets.training._state import TrainState

Each = Float[Tensor, " members"]
Accepted = Bool[Tensor, " members"]


def gradient_flow(
    state: TrainState,
    loss: PointwiseLoss | Loss,
    batch: Batch | tuple[Tensor, Tensor],
    *,
    budget: int,
    max_time: float | None = None,
    tolerance: float = 1e-3,
    slope_tolerance: float = 1e-2,
    weight_tolerance: float = 0.0,
    method: Literal["bogacki_shampine", "chebyshev"] = "bogacki_shampine",
    criterion: Criterion | None = None,
    dense_output: DenseOutput | None = None,
    patience: int = 200,
    stride: int = 10,
) -> Iterator[TrainState]:
    """Gradient flow w' = -∇L of each member on its own L = (1/n) Σ_μ ℓ(f_μ, y_μ), by Runge-Kutta steps.

    A trial step of size h is accepted when its estimated error δ is small in the outputs, max_μ |δf_μ| <=
    `tolerance`, and in the mean slope k, |δk| <= `slope_tolerance` |k|. The second condition keeps the flow
    stable where outputs hardly change any more. It is not needed where the error of the weights is small,
    |δw| <= `weight_tolerance` |w|. Otherwise the member tries again with a smaller step; the other members
    continue.

    **Stiffness.** Steps of "bogacki_shampine" take three gradients, and are at most 2.5/ρ however little the
    outputs change, with ρ the largest eigenvalue of the Hessian. Those of "chebyshev" take as many gradients
    as stability needs: s for a step of 0.65 (s² - 1)/ρ, up to 24. At tolerances of some percent "chebyshev"
    takes a fraction of the gradients; where accuracy limits the step, "bogacki_shampine" is better.

    **Kinks.** Where a ReLU or a hinge flips, the gradient jumps, and the slopes disagree however small the
    step. Within a step of size h, the gradient changes by O(h) at a smooth point, but by a constant across a
    jump. When a refused step is repeated with a smaller h and this change falls by less than √h, while the
    outputs agree, the step is accepted and counted in `members.kinks`. The error in function space therefore
    stays below the tolerance in every step, and kinks do not stall the flow.

    Members are checked at every `stride`-th trial, when the state is yielded. Verdicts: SAT and UNSAT by the
    criterion; KINK for a member that crossed `patience` kinks without its loss falling by 0.1 %, or whose
    step no longer changes the weights; UNCONVERGED at `max_time`; DIVERGED when the loss is not finite; after
    `budget` trials UNSAT or UNCONVERGED (`Criterion.fall`). The generator ends when no member is active.

    `members.time` is the time t, `members.step_size` the next step size, `members.steps` the number of
    accepted steps, and `state.step` the number of trials. A flow resumed from the state dict of a yielded
    state continues bit for bit.

    On a GPU step sizes are controlled on the device, and nothing waits for it between two checks. Whether all
    members have reached `max_time` is tested at checks only. Until then members that have reached it take
    steps of size zero, which leaves weights and `members.steps` unchanged; `state.step` may exceed that of a
    CPU by less than `stride`. With `dense_output` every trial waits for the device.

    Args:
        state: its model has members, and is in float64 unless the tolerance is above the noise of float32; it
            has no optimiser. Parameters that require no gradient stay fixed.
        loss: pointwise, of labels ±1 or of any targets (`MSE`, `nn.MSELoss()`).
        batch: inputs (n, ...) shared by all members or (S, n, ...); targets (n,) or (S, n).
        budget: number of trials after which all members end.
        max_time: t at which a member ends.
        tolerance: largest error of the outputs in one step.
        slope_tolerance: largest relative error of the mean slope in one step.
        weight_tolerance: largest error of the weights in one step, relative to their norm, for which the
            error of the slope does not count; 0 if it always counts. With a loose `slope_tolerance` alone,
            steps at the beginning may be too large: weights change much before outputs do.
        method: Runge-Kutta method, "bogacki_shampine" of order 3(2), or "chebyshev" of order 2 with many
            stages.
        criterion: when a member ends.
        dense_output: filled during the flow with weights at given times.
        patience: number of kinks without progress after which a member ends.
        stride: number of trials between two checks.

    Raises:
        ValueError: the model has no members, the state has an optimiser, or the loss is not pointwise or does
            not take these targets.
    """
    batch = Batch.of(batch)
    loss = pointwise(loss, batch.targets)
    without_optimizer(state, "gradient_flow")
    if method not in ("bogacki_shampine", "chebyshev"):
        raise ValueError(f"method: expected 'bogacki_shampine' or 'chebyshev', got {method!r}")
    criterion = criterion or Criterion()
    checked = -1 if state.members is None else state.step  # a resumed state was yielded at this step
    active = ActiveMembers(state, batch)
    members = active.members
    if not bool(members.active.any()):
        return
    weights, start = flat(trainable(active.model)), point(active, loss)
    if dense_output is not None:
        dense_output.start(active, weights)
    if checked < 0:
        members.step_size = _first_step(weights, start)
        nan = torch.full_like(members.step_size, torch.nan)
        names = ("refused_step", "refused_jump", "lowest_loss")
        members.memory = {name: nan.clone() for name in names} | {"stalled_kinks": torch.zeros_like(nan)}
    horizon = torch.inf if max_time is None else max_time
    pace = _StepSizes(*active.gather(_StepSizes.columns(members)))
    rho = _stiffness(method, active, loss, weights, start)
    while bool(members.active.any()):
        if state.step == budget // 2:
            members.loss_at_half[members.active] = start.loss.double().cpu()
        arrived = pace.time.device.type == "cpu" and bool(_at_end(pace.time, horizon).all())
        if state.step != checked and (state.step % stride == 0 or state.step >= budget or arrived):
            set_weights(active.model, weights)
            active.scatter(_StepSizes.columns(members), vars(pace).values())
            verdicts = _verdicts(state, active, criterion, loss, start, weights, patience, horizon, budget)
            active.finish(verdicts)
            active.write_back()
            yield state
            if verdicts and bool(members.active.any()):
                weights, start = flat(trainable(active.model)), point(active, loss)
            pace = _StepSizes(*active.gather(_StepSizes.columns(members)))
            if bool(members.active.any()):
                rho = _stiffness(method, active, loss, weights, start)
        if not bool(members.active.any()):
            return
        left, proposed = horizon - pace.time, pace.step_size
        step = torch.minimum(proposed, left)
        if rho is None:
            trial = bogacki_shampine(lambda w: point(active, loss, w), weights, start, step)
        else:
            step = torch.minimum(step, stable_step(MAX_STAGES, rho))
            s = n_stages(step, rho)
            trial = chebyshev(lambda w: point(active, loss, w), weights, start, step, s)
        accepted = _control(active, pace, trial, step, tolerance, slope_tolerance, weight_tolerance)
        # A step cut short by `max_time` or stability does not shorten the next one.
        cut = accepted & (step < proposed)
        pace.step_size = torch.where(cut, proposed, pace.step_size)
        before = pace.time
        after = torch.where(step < left, before + step, horizon).where(accepted, before)
        pace.time = after
        pace.steps = pace.steps + (after > before)
        if dense_output is not None:
            slopes = -start.gradient, -trial.end.gradient
            dense_output.record(active, before, after, (weights, trial.weights), slopes)
        weights, start = _merge(accepted, weights, start, trial)
        state.step += 1
        state.epoch = float(state.step)


@dataclass
class _StepSizes:
    """Step-size control of the active members, on their device; see the columns of `Members`."""

    time: Each
    step_size: Each
    steps: Each
    kinks: Each
    stalled_kinks: Each
    refused_step: Each
    refused_jump: Each

    @staticmethod
    def columns(members: Members) -> list[Tensor]:
        """The columns of `Members` with the same values."""
        names = ("stalled_kinks", "refused_step", "refused_jump")
        memory = [members.memory[name] for name in names]
        return [members.time, members.step_size, members.steps, members.kinks, *memory]


def _first_step(weights: Weights, start: Point) -> Each:
    """First step size, |w| / (100 |∇L|) (Hairer, Nørsett, Wanner, Solving ODEs I, II.4)."""
    return (0.01 * weights.norm(dim=1) / start.gradient_norm).clamp(1e-10, 1.0).double().cpu()


def _stiffness(
    method: str, active: ActiveMembers, loss: PointwiseLoss, weights: Weights, start: Point
) -> Each | None:
    """Upper estimate of the largest eigenvalue of the Hessian, which `chebyshev` needs."""
    if method == "bogacki_shampine":
        return None
    # Power iteration approaches the eigenvalue from below, and it may grow until the next check.
    return 1.2 * spectral_radius(lambda w: point(active, loss, w), weights, start)


def _at_end(time: Each, horizon: float) -> Accepted:
    """Whether members have reached the end, up to rounding: a kink close to it may make steps too small."""
    return time >= horizon * (1 - 1e-12)


def _control(
    active: ActiveMembers,
    pace: _StepSizes,
    trial: Trial,
    step: Each,
    tolerance: float,
    slope_tolerance: float,
    weight_tolerance: float,
) -> Accepted:
    """Which members accept the trial step; sets their next step size and counts kinks."""
    embedded_outputs = _outputs(active, trial.embedded)
    difference = (trial.end.outputs - embedded_outputs).flatten(1).abs().amax(1)
    slope_error = trial.slope_error / slope_tolerance
    weight_error = (trial.weights - trial.embedded).norm(dim=1) / trial.weights.norm(dim=1)
    if weight_tolerance:
        slope_error = torch.minimum(slope_error, weight_error / weight_tolerance)
    output_error, slope_error, jump = (
        e.double().nan_to_num(nan=torch.inf, posinf=torch.inf)
        for e in (difference / tolerance, slope_error, trial.jump)
    )
    refused, refused_jump = pace.refused_step, pace.refused_jump
    agree = (output_error <= 1) & (slope_error <= 1)
    # `refused` is NaN where no step has been refused at these weights, and compares as False.
    kink = (output_error <= 1) & jump.isfinite() & (jump > refused_jump * (step / refused).sqrt())
    if weight_tolerance:
        # Weights agree once the step is small, also across a kink. Without this condition a step so large
        # that it turns off all ReLU units would be accepted as a kink while outputs are still small.
        kink = kink & (weight_error <= weight_tolerance)
    accepted = agree | kink
    factor = 0.9 * torch.minimum(output_error ** (-1 / 3), slope_error ** (-1 / 2))
    # After an accepted step the next is never smaller: the error of crossing a small kink does not fall with
    # the step. It is not larger either when a larger step has just been refused, unless the refusal was due
    # to a kink beyond the end of the accepted step.
    may_grow = refused.isnan() | (jump < 0.5 * refused_jump * step / refused)
    grown, shrunk = factor.clamp(1.0, 5.0).where(may_grow, 1.0), factor.nan_to_num(nan=0.0).clamp(0.1, 0.7)
    following = step * torch.where(accepted, grown, shrunk)
    # The step before a kink does not predict the one after it. Across a kink the error of the outputs is
    # O(h).
    beyond = torch.minimum(0.9 * step / output_error, 5 * refused)
    pace.step_size = torch.where(kink, torch.maximum(beyond, step), following)
    pace.kinks, pace.stalled_kinks = pace.kinks + kink, pace.stalled_kinks + kink
    pace.refused_step = torch.where(accepted, torch.nan, step)
    pace.refused_jump = torch.where(accepted, torch.nan, jump)
    return accepted


@torch.no_grad()
def _outputs(active: ActiveMembers, weights: Weights) -> Tensor:
    set_weights(active.model, weights)
    return active.outputs()


def _merge(accepted: Accepted, weights: Weights, start: Point, trial: Trial) -> tuple[Weights, Point]:
    """Weights and `Point` after the trial: its end for members that accept it, its start for the others."""
    pairs = [(trial.end.loss, start.loss), (trial.end.outputs, start.outputs)]
    loss, outputs, gradient = (
        torch.where(accepted.view(-1, *[1] * (new.ndim - 1)), new, old)
        for new, old in [*pairs, (trial.end.gradient, start.gradient)]
    )
    return torch.where(accepted[:, None], trial.weights, weights), Point(loss, outputs, gradient)


def _verdicts(
    state: TrainState,
    active: ActiveMembers,
    criterion: Criterion,
    loss: PointwiseLoss,
    start: Point,
    weights: Weights,
    patience: int,
    horizon: float,
    budget: int,
) -> dict[int, Verdict]:
    """Update `Members`, and return the verdicts on the members that end now."""
    members, memory, was_active = active.members, active.members.memory, active.members.active.clone()
    status = active.update_status(criterion, loss, start.loss, start.outputs, start.gradient_norm)
    falls = ~(members.loss >= (1 - 1e-3) * memory["lowest_loss"])  # also when there is none yet
    memory["lowest_loss"] = torch.where(falls & was_active, members.loss, memory["lowest_loss"])
    memory["stalled_kinks"][falls & was_active] = 0.0
    resolution = torch.finfo(weights.dtype).eps * weights.norm(dim=1).double().cpu()
    stuck = members.step_size[was_active] * members.gradient_norm[was_active] < resolution
    stuck = stuck | (memory["stalled_kinks"][was_active] >= patience)
    arrived = _at_end(members.time[was_active], horizon)
    return active.verdicts(
        criterion,
        status,
        budget_over=state.step >= budget,
        also=[(arrived, Verdict.UNCONVERGED), (stuck, Verdict.KINK)],
    )
