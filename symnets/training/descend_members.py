"""Descent of many nets at once on all of their patterns, each until it is finished."""

from collections.abc import Iterator

import torch
from torch import Tensor

from symnets.data.loader import Batch
from symnets.training.moving import Moving
from symnets.training.pointwise import PointwiseLoss, check_targets
from symnets.training.state import TrainState
from symnets.training.verdict import Criterion, Verdict


def descend_members(
    state: TrainState,
    loss: PointwiseLoss,
    batch: Batch,
    *,
    budget: int,
    criterion: Criterion | None = None,
    stride: int = 10,
) -> Iterator[TrainState]:
    """Full-batch steps of the state's optimiser, on L = (1/n) Σ_μ ℓ(f_μ, y_μ) of each member.

    Every `stride` steps members are looked at: one whose patterns are all satisfied is SAT, one at a
    minimum is UNSAT, one whose loss is not finite is DIVERGED; they stop, cost nothing any more, and
    the state is yielded. After `budget` steps those left are UNSAT or UNCONVERGED (`Criterion.fall`).
    The generator ends when nobody moves.

    The optimiser must act on each number by itself (SGD, Adam and their kin), or members would feel
    each other; clipping the gradient is left out for that reason.

    Args:
        state: model with members, optimiser, perhaps a scheduler, stepped with it.
        loss: of labels ±1, or of any targets (MSE).
        batch: inputs (n, d) seen by all members or (S, n, d); targets (n,) or (S, n).
        budget: steps after which those that still move are judged.
        criterion: when a member is finished.
        stride: steps between two looks.
    """
    check_targets(loss, batch.targets)
    if state.optimizer is None:
        raise ValueError("descend_members: state.optimizer is None; give one, such as torch.optim.Adam(...)")
    criterion = criterion or Criterion()
    seen = -1 if state.members is None else state.step  # a resumed state was yielded at this step
    moving = Moving(state, batch)
    members = moving.members
    while bool(members.moving.any()):
        outputs = _gradient(moving, loss)
        if state.step == budget // 2:
            members.loss_at_half[members.moving] = _loss(loss, outputs, moving).double().cpu()
        if state.step != seen and (state.step % stride == 0 or state.step >= budget):
            value = _loss(loss, outputs, moving)
            found = _judge(state, moving, criterion, loss, value, outputs, state.step >= budget)
            moving.finish(found)
            moving.write_back()
            yield state
            if found:
                if not bool(members.moving.any()):
                    return
                _gradient(moving, loss)
        _step(state, moving)


def _gradient(moving: Moving, loss: PointwiseLoss) -> Tensor:
    """Outputs of the moving members; the gradients of their losses are left on their weights."""
    moving.model.zero_grad()
    outputs = moving.model(moving.inputs)
    outside = outputs.detach()
    # ∂L/∂f in closed form: for small nets autograd through the loss costs as much as through the net.
    outputs.backward(loss.d1(outside, moving.targets) / outside.shape[-1])
    return outside


def _loss(loss: PointwiseLoss, outputs: Tensor, moving: Moving) -> Tensor:
    return loss(outputs, moving.targets).mean(-1)


def _step(state: TrainState, moving: Moving) -> None:
    whole, part = state.optimizer, moving.optimizer
    assert whole is not None
    assert part is not None
    for of_part, of_whole in zip(part.param_groups, whole.param_groups, strict=True):
        of_part["lr"] = of_whole["lr"]
    state.learning_rate = float(whole.param_groups[0]["lr"])
    part.step()
    if state.scheduler is not None:
        state.scheduler.step()
    state.step += 1
    state.epoch = float(state.step)
    members = moving.members
    members.steps[members.moving] += 1
    members.time[members.moving] += state.learning_rate


def _judge(
    state: TrainState,
    moving: Moving,
    criterion: Criterion,
    loss: PointwiseLoss,
    value: Tensor,
    outputs: Tensor,
    last: bool,
) -> dict[int, Verdict]:
    """Bring the members' standing up to date; verdicts on those that are finished."""
    members = moving.members
    unsatisfied = criterion.n_unsatisfied(outputs, moving.targets, labels=loss.labels)
    norm = gradient_norm(moving.model)
    place = members.moving.clone()
    members.loss[place] = value.double().cpu()
    members.gradient_norm[place] = norm.double().cpu()
    members.n_unsatisfied[place] = unsatisfied.cpu()
    state.loss = members.mean_loss
    finite, minimum = value.isfinite(), criterion.at_minimum(value, norm)
    verdicts: dict[int, Verdict] = {}
    for k, whole in enumerate(moving.index.tolist()):
        if not finite[k]:
            verdicts[k] = Verdict.DIVERGED
        elif unsatisfied[k] == 0:
            verdicts[k] = Verdict.SAT
        elif minimum[k]:
            verdicts[k] = Verdict.UNSAT
        elif last:
            verdicts[k] = criterion.out_of_budget(float(value[k]), float(members.loss_at_half[whole]))
    return verdicts


def gradient_norm(model: torch.nn.Module) -> Tensor:
    """|∇L| of each member, from the gradients its parameters hold."""
    squares = [p.grad.flatten(1).square().sum(1) for p in model.parameters() if p.grad is not None]
    return torch.stack(squares).sum(0).sqrt()
