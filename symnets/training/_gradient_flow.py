"""Gradient flow of many nets at once, by embedded Runge-Kutta steps with a step size for each net."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

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
    put_weights,
    trainable,
)
from symnets.training._dense_output import DenseOutput
from symnets.training._dynamics import without_optimizer
from symnets.training._losses import PointwiseLoss, pointwise
from symnets.training._members import Criterion, Members, Verdict
from symnets.training._state import TrainState


@dataclass(frozen=True)
class Trial:
    """Trial step of w' = -∇L, with estimates of its error.

    Attributes:
        weights: at the end of the step, of third order.
        embedded: the same of second order; the difference of the two estimates the error.
        end: loss, outputs and gradient at the end, with which the next step starts.
        slope_error: |difference of the mean slopes of the two| / |mean slope|; O(h²).
        jump: the largest |k_i - k_1| / |mean slope|; O(h), and O(1) when a stage lies across a kink.
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
    difference = (-5 * k1 + 6 * k2 + 8 * k3 + 9 * end.gradient) / 72  # slope - embedded slope
    jump = torch.stack([(k - k1).norm(dim=1) for k in (k2, k3, -end.gradient)]).amax(0)
    size = slope.norm(dim=1)
    # Where the slope is exactly zero the step is exact.
    error, jump = ((v / size).where(slope.ne(0).any(1), 0.0) for v in (difference.norm(dim=1), jump))
    return Trial(new, new - h * difference, end, error, jump)


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
    criterion: Criterion | None = None,
    dense_output: DenseOutput | None = None,
    patience: int = 200,
    stride: int = 10,
) -> Iterator[TrainState]:
    """Gradient flow w' = -∇L of each member on its own L = (1/n) Σ_μ ℓ(f_μ, y_μ), by a 3(2) pair.

    A trial step is accepted when the two methods of the pair agree on the outputs, max_μ |δf_μ| <=
    `tolerance`, and on the mean slope, |δk| <= `slope_tolerance` |k|. The second condition keeps the flow
    stable where outputs hardly change any more. Otherwise the member tries again with a smaller step; the
    other members continue.

    **Kinks.** Where a ReLU or a hinge flips, the gradient jumps, and no smaller step makes the slopes agree:
    their disagreement falls as h² at a smooth point, and not at all across a jump. When it falls by less than
    √h while the outputs agree, the step is accepted and counted in `members.kinks`. The error in function
    space therefore always stays below the tolerance, and kinks do not stall the flow.

    Members are checked at every `stride`-th trial, when the state is yielded. Verdicts: SAT and UNSAT by the
    criterion; KINK for a member that crossed `patience` kinks without its loss falling by 0.1 %, or whose
    step no longer changes the weights; UNCONVERGED at `max_time`; DIVERGED when the loss is not finite; after
    `budget` trials UNSAT or UNCONVERGED (`Criterion.fall`). The generator ends when no member is active.

    `members.time` is t, `members.step_size` the next step, `members.steps` the number of accepted steps, and
    `state.step` the number of trials. A flow resumed from the state dict of a yielded state continues with
    the same bits.

    On a GPU step sizes are controlled on the device, and nothing waits for it between two checks. Whether all
    members have reached `max_time` is tested at checks only. Until then members that have reached it take
    steps of size zero, which leaves weights and `members.steps` unchanged; `state.step` may exceed that of a
    CPU by less than `stride`. With `dense_output` every trial waits for the device.

    Args:
        state: model with members and no optimiser; in float64, unless the tolerance is above the noise of
            float32. Parameters that require no gradient stay fixed.
        loss: pointwise, of labels ±1 or of any targets (`MSE`, `nn.MSELoss()`).
        batch: inputs (n, ...) shared by all members or (S, n, ...); targets (n,) or (S, n).
        budget: number of trials after which all members end.
        max_time: t at which a member ends.
        tolerance: largest error of the outputs in one step.
        slope_tolerance: largest relative error of the mean slope in one step.
        criterion: when a member ends.
        dense_output: filled during the flow with weights at given times.
        patience: number of kinks without progress after which a member ends.
        stride: number of trials between two checks.

    Raises:
        ValueError: no members, an optimiser, a loss that is not pointwise, or targets that the loss does not
            take.
    """
    batch = Batch.of(batch)
    loss = pointwise(loss, batch.targets)
    without_optimizer(state, "gradient_flow")
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
    pace = _Pace(*active.gather(_Pace.columns(members)))
    while bool(members.active.any()):
        if state.step == budget // 2:
            members.loss_at_half[members.active] = start.loss.double().cpu()
        arrived = pace.time.device.type == "cpu" and bool(_arrived(pace.time, horizon).all())
        if state.step != checked and (state.step % stride == 0 or state.step >= budget or arrived):
            put_weights(active.model, weights)
            active.scatter(_Pace.columns(members), vars(pace).values())
            verdicts = _verdicts(state, active, criterion, loss, start, weights, patience, horizon, budget)
            active.finish(verdicts)
            active.write_back()
            yield state
            if verdicts and bool(members.active.any()):
                weights, start = flat(trainable(active.model)), point(active, loss)
            pace = _Pace(*active.gather(_Pace.columns(members)))
        if not bool(members.active.any()):
            return
        left, proposed = horizon - pace.time, pace.step_size
        step = torch.minimum(proposed, left)
        trial = bogacki_shampine(lambda w: point(active, loss, w), weights, start, step)
        accepted = _control(active, pace, trial, step, tolerance, slope_tolerance)
        # A step cut short by `max_time` does not shorten the next one.
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
class _Pace:
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


def _arrived(time: Each, horizon: float) -> Accepted:
    """Whether members have reached the end, up to rounding; a kink may leave a time that no step crosses."""
    return time >= horizon * (1 - 1e-12)


def _control(
    active: ActiveMembers, pace: _Pace, trial: Trial, step: Each, tolerance: float, slope_tolerance: float
) -> Accepted:
    """Which members accept the trial step; sets their next step size and counts kinks."""
    embedded_outputs = _outputs(active, trial.embedded)
    difference = (trial.end.outputs - embedded_outputs).flatten(1).abs().amax(1)
    output_error, slope_error, jump = (
        e.double().nan_to_num(nan=torch.inf, posinf=torch.inf)
        for e in (difference / tolerance, trial.slope_error / slope_tolerance, trial.jump)
    )
    refused, refused_jump = pace.refused_step, pace.refused_jump
    agree = (output_error <= 1) & (slope_error <= 1)
    # `refused` is NaN where no step has been refused at these weights, and compares as False.
    kink = (output_error <= 1) & jump.isfinite() & (jump > refused_jump * (step / refused).sqrt())
    accepted = agree | kink
    factor = 0.9 * torch.minimum(output_error ** (-1 / 3), slope_error ** (-1 / 2))
    # After an accepted step the next is never smaller: the error of crossing a small kink does not fall with
    # the step. Nor is it larger when a larger one has just been refused, unless because of a kink beyond the
    # accepted step.
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
    put_weights(active.model, weights)
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
    """Update `Members`; verdicts on the members that end now."""
    members, memory, moved = active.members, active.members.memory, active.members.active.clone()
    status = active.update_status(criterion, loss, start.loss, start.outputs, start.gradient_norm)
    falls = ~(members.loss >= (1 - 1e-3) * memory["lowest_loss"])  # also when there is none yet
    memory["lowest_loss"] = torch.where(falls & moved, members.loss, memory["lowest_loss"])
    memory["stalled_kinks"][falls & moved] = 0.0
    resolution = torch.finfo(weights.dtype).eps * weights.norm(dim=1).double().cpu()
    stuck = members.step_size[moved] * members.gradient_norm[moved] < resolution
    stuck = stuck | (memory["stalled_kinks"][moved] >= patience)
    arrived = _arrived(members.time[moved], horizon)
    return active.verdicts(
        criterion,
        status,
        budget_over=state.step >= budget,
        also=[(arrived, Verdict.UNCONVERGED), (stuck, Verdict.KINK)],
    )
