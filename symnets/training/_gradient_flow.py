"""One trial step of gradient flow by an embedded pair of Runge-Kutta methods, a step size for each member.

Gradient flow of many nets at once, each with a step size of its own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from symnets.data import Batch
from symnets.training._active_members import Moving, Point, Weights, flat, point, put_weights, trainable
from symnets.training._dense_output import Snapshots
from symnets.training._losses import PointwiseLoss, check_targets
from symnets.training._members import Criterion, Members, Verdict
from symnets.training._state import TrainState


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


Each = Float[Tensor, " members"]
Taken = Bool[Tensor, " members"]


def gradient_flow(
    state: TrainState,
    loss: PointwiseLoss,
    batch: Batch,
    *,
    budget: int,
    max_time: float | None = None,
    tolerance: float = 1e-3,
    slope_tolerance: float = 1e-2,
    criterion: Criterion | None = None,
    snapshots: Snapshots | None = None,
    patience: int = 200,
    stride: int = 10,
) -> Iterator[TrainState]:
    """w' = -∇L of each member's own L = (1/n) Σ_μ ℓ(f_μ, y_μ), by an embedded pair of orders 3(2).

    A trial step is taken when the two methods of the pair agree on outputs, max_μ |δf_μ| <=
    `tolerance`, and on the mean slope, |δk| <= `slope_tolerance` |k|. The second keeps the flow stable
    where outputs hardly change any more. Otherwise the member tries again with a smaller step; the
    other members go on.

    **Kinks.** Where a ReLU or a hinge flips, the gradient jumps, and no smaller step makes the slopes
    agree: their disagreement falls as h² in a smooth place, and not at all across a jump. When it
    falls by less than √h while outputs agree, the step is taken and counted in `members.kinks`. So
    the error in function space is always below the tolerance, and kinks stall nobody.

    Verdicts, at every `stride`-th trial, when the state is yielded: SAT and UNSAT as the criterion
    has it; KINK for a member that crossed `patience` kinks without its loss falling by 0.1 %, or
    whose step no longer moves the weights; UNCONVERGED at `max_time`; DIVERGED when the loss is not
    finite; after `budget` trials UNSAT or UNCONVERGED (`Criterion.fall`). The generator ends when
    nobody moves.

    `members.time` is t, `members.step_size` the step to come, `members.steps` counts steps taken and
    `state.step` trials. Frozen at a yield and thawed, the flow goes on with the same bits.

    On a GPU step sizes are controlled there, and between two looks nothing waits for it. Whether all members
    have arrived at `max_time` is asked at looks alone: those that have take steps of size zero until then,
    which leaves weights and `members.steps` as they are, and `state.step` may exceed that of a CPU by
    less than a stride. With `snapshots` each trial waits for the times it has come to.

    Args:
        state: model with members; float64 unless the tolerance is above the noise of float32. Frozen
            parameters stay.
        loss: of labels ±1, or of any targets (MSE).
        batch: inputs (n, ...) seen by all members or (S, n, ...); targets (n,) or (S, n).
        budget: trials after which those that still move are judged.
        max_time: t at which a member ends.
        tolerance: error of outputs allowed in one step.
        slope_tolerance: relative error of the slope allowed in one step.
        criterion: when a member is finished.
        snapshots: filled on the way.
        patience: kinks without progress that a member survives.
        stride: trials between two looks.
    """
    check_targets(loss, batch.targets)
    if state.optimizer is not None:
        raise ValueError("gradient_flow: takes its own steps, expected state.optimizer=None, got one")
    criterion = criterion or Criterion()
    seen = -1 if state.members is None else state.step  # a resumed state was yielded at this step
    moving = Moving(state, batch)
    members = moving.members
    if not bool(members.moving.any()):
        return
    weights, start = flat(trainable(moving.model)), point(moving, loss)
    if snapshots is not None:
        snapshots.begin(moving, weights)
    if seen < 0:
        members.step_size = _first_step(weights, start)
        nan = torch.full_like(members.step_size, torch.nan)
        names = ("refused_step", "refused_jump", "lowest_loss")
        members.memory = {name: nan.clone() for name in names} | {"stalled_kinks": torch.zeros_like(nan)}
    horizon = torch.inf if max_time is None else max_time
    pace = _Pace(*moving.fetch(_Pace.columns(members)))
    while bool(members.moving.any()):
        if state.step == budget // 2:
            members.loss_at_half[members.moving] = start.loss.double().cpu()
        arrived = pace.time.device.type == "cpu" and bool(_arrived(pace.time, horizon).all())
        if state.step != seen and (state.step % stride == 0 or state.step >= budget or arrived):
            put_weights(moving.model, weights)
            moving.store(_Pace.columns(members), vars(pace).values())
            found = _judge(state, moving, criterion, loss, start, weights, patience, horizon, budget)
            moving.finish(found)
            moving.write_back()
            yield state
            if found and bool(members.moving.any()):
                weights, start = flat(trainable(moving.model)), point(moving, loss)
            pace = _Pace(*moving.fetch(_Pace.columns(members)))
        if not bool(members.moving.any()):
            return
        left, wanted = horizon - pace.time, pace.step_size
        step = torch.minimum(wanted, left)
        trial = bogacki_shampine(lambda w: point(moving, loss, w), weights, start, step)
        taken = _control(moving, pace, trial, step, tolerance, slope_tolerance)
        # One that was cut short by the end of time has not asked for less.
        cut = taken & (step < wanted)
        pace.step_size = torch.where(cut, wanted, pace.step_size)
        before = pace.time
        after = torch.where(step < left, before + step, horizon).where(taken, before)
        pace.time = after
        pace.steps = pace.steps + (after > before)
        if snapshots is not None:
            slopes = -start.gradient, -trial.end.gradient
            snapshots.passed(moving, before, after, (weights, trial.weights), slopes)
        weights, start = _merge(taken, weights, start, trial)
        state.step += 1
        state.epoch = float(state.step)


@dataclass
class _Pace:
    """What trials change of the moving members, on their device; see `Members`."""

    time: Each
    step_size: Each
    steps: Each
    kinks: Each
    stalled_kinks: Each
    refused_step: Each
    refused_jump: Each

    @staticmethod
    def columns(members: Members) -> list[Tensor]:
        """Where members keep the same."""
        names = ("stalled_kinks", "refused_step", "refused_jump")
        memory = [members.memory[name] for name in names]
        return [members.time, members.step_size, members.steps, members.kinks, *memory]


def _first_step(weights: Weights, start: Point) -> Each:
    """A hundredth of |w| / |∇L| (Hairer, Nørsett, Wanner, Solving ODEs I, II.4); soon corrected."""
    return (0.01 * weights.norm(dim=1) / start.gradient_norm).clamp(1e-10, 1.0).double().cpu()


def _arrived(time: Each, horizon: float) -> Taken:
    """To rounding: a kink right before the end may leave a bit of time that no step crosses."""
    return time >= horizon * (1 - 1e-12)


def _control(
    moving: Moving, pace: _Pace, trial: Trial, step: Each, tolerance: float, slope_tolerance: float
) -> Taken:
    """Which members take the trial step; sets their next step size, and counts kinks."""
    outputs_of_twin = _outputs(moving, trial.twin)
    off = (trial.end.outputs - outputs_of_twin).flatten(1).abs().amax(1)
    output_error, slope_error, jump = (
        e.double().nan_to_num(nan=torch.inf, posinf=torch.inf)
        for e in (off / tolerance, trial.slope_error / slope_tolerance, trial.jump)
    )
    refused, refused_jump = pace.refused_step, pace.refused_jump
    agree = (output_error <= 1) & (slope_error <= 1)
    # NaN, when no step has been refused here, compares as False.
    kink = (output_error <= 1) & jump.isfinite() & (jump > refused_jump * (step / refused).sqrt())
    taken = agree | kink
    factor = 0.9 * torch.minimum(output_error ** (-1 / 3), slope_error ** (-1 / 2))
    # Never smaller after a step that is taken: the error of crossing a small kink stays as it is however
    # small the steps become. Nor larger when a larger one has just been refused, unless a kink was the
    # reason and lies beyond the step taken.
    may_grow = refused.isnan() | (jump < 0.5 * refused_jump * step / refused)
    grown, shrunk = factor.clamp(1.0, 5.0).where(may_grow, 1.0), factor.nan_to_num(nan=0.0).clamp(0.1, 0.7)
    following = step * torch.where(taken, grown, shrunk)
    # A kink says nothing about the step that is good behind it. Across one, outputs are off by O(h).
    beyond = torch.minimum(0.9 * step / output_error, 5 * refused)
    pace.step_size = torch.where(kink, torch.maximum(beyond, step), following)
    pace.kinks, pace.stalled_kinks = pace.kinks + kink, pace.stalled_kinks + kink
    pace.refused_step = torch.where(taken, torch.nan, step)
    pace.refused_jump = torch.where(taken, torch.nan, jump)
    return taken


@torch.no_grad()
def _outputs(moving: Moving, weights: Weights) -> Tensor:
    put_weights(moving.model, weights)
    return moving.model(moving.inputs)


def _merge(taken: Taken, weights: Weights, start: Point, trial: Trial) -> tuple[Weights, Point]:
    """Weights and what is known there: of the trial for the members that take it."""
    pairs = [(trial.end.loss, start.loss), (trial.end.outputs, start.outputs)]
    loss, outputs, gradient = (
        torch.where(taken.view(-1, *[1] * (new.ndim - 1)), new, old)
        for new, old in [*pairs, (trial.end.gradient, start.gradient)]
    )
    return torch.where(taken[:, None], trial.weights, weights), Point(loss, outputs, gradient)


def _judge(
    state: TrainState,
    moving: Moving,
    criterion: Criterion,
    loss: PointwiseLoss,
    start: Point,
    weights: Weights,
    patience: int,
    horizon: float,
    budget: int,
) -> dict[int, Verdict]:
    """Bring the members' standing up to date; verdicts on those that are finished."""
    members, memory = moving.members, moving.members.memory
    seen = moving.stand(criterion, loss, start.loss, start.outputs, start.gradient_norm)
    some = members.moving.clone()
    falls = ~(members.loss >= (1 - 1e-3) * memory["lowest_loss"])  # also when there is none yet
    memory["lowest_loss"] = torch.where(falls & some, members.loss, memory["lowest_loss"])
    memory["stalled_kinks"][falls & some] = 0.0
    resolution = torch.finfo(weights.dtype).eps * weights.norm(dim=1).double().cpu()
    stuck = members.step_size[some] * members.gradient_norm[some] < resolution
    stuck = stuck | (memory["stalled_kinks"][some] >= patience)
    finite, arrived = seen.loss.isfinite(), _arrived(members.time[some], horizon)
    verdicts: dict[int, Verdict] = {}
    for k, whole in enumerate(moving.places.tolist()):
        if not finite[k]:
            verdicts[k] = Verdict.DIVERGED
        elif seen.n_unsatisfied[k] == 0:
            verdicts[k] = Verdict.SAT
        elif seen.at_minimum[k]:
            verdicts[k] = Verdict.UNSAT
        elif arrived[k]:
            verdicts[k] = Verdict.UNCONVERGED
        elif stuck[k]:
            verdicts[k] = Verdict.KINK
        elif state.step >= budget:
            verdicts[k] = criterion.out_of_budget(float(seen.loss[k]), float(members.loss_at_half[whole]))
    return verdicts
