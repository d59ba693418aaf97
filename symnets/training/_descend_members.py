"""Minibatches: which patterns a step of stochastic descent sees.

Descent of many nets at once, on all of their patterns or on minibatches, each until it is finished.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor

from symnets.data import Batch, Loader
from symnets.models import Dense
from symnets.training._active_members import Moving
from symnets.training._losses import PointwiseLoss, check_targets
from symnets.training._members import Criterion, Verdict
from symnets.training._state import TrainState


class Minibatches:
    """Numbers of the patterns of each step, the same for all members.

    Step n sees part n mod m of epoch n div m, where m is the number of batches of an epoch, in the order
    that a shuffled `Loader` of the same seed has: a function of the seed and n alone.

    Args:
        n: patterns.
        batch_size: patterns a step; the last step of an epoch sees what remains.
        seed: of the orders.
    """

    def __init__(self, n: int, batch_size: int, seed: int) -> None:
        numbers = torch.arange(n)
        self.loader = Loader(list(zip(numbers, numbers, strict=True)), batch_size, shuffle=True, seed=seed)
        self._epoch, self._order = -1, numbers

    def __len__(self) -> int:
        """Steps of an epoch."""
        return len(self.loader)

    def at(self, step: int) -> Int[Tensor, " patterns"]:
        """Numbers of the patterns of a step."""
        epoch, part = divmod(step, len(self))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, torch.tensor(self.loader.order(epoch))
        return self._order[part * self.loader.batch_size :][: self.loader.batch_size]


def descend_members(
    state: TrainState,
    loss: PointwiseLoss,
    batch: Batch,
    *,
    budget: int,
    criterion: Criterion | None = None,
    stride: int = 10,
    batch_size: int | None = None,
    seed: int = 0,
) -> Iterator[TrainState]:
    """Steps of the state's optimiser, on L = (1/n) Σ_μ ℓ(f_μ, y_μ) of each member.

    With `batch_size` the sum of a step goes over that many patterns, the same ones for all members
    (`Minibatches`); members are still looked at on all patterns, and loss, gradient and verdicts are
    those of all patterns.

    Every `stride` steps members are looked at: one whose patterns are all satisfied is SAT, one at a
    minimum is UNSAT, one whose loss is not finite is DIVERGED; they stop, cost nothing any more, and
    the state is yielded. After `budget` steps those left are UNSAT or UNCONVERGED (`Criterion.fall`).
    The generator ends when nobody moves.

    The optimiser must act on each number by itself (SGD, Adam and their kin), or members would feel
    each other; clipping the gradient is left out for that reason.

    On a GPU steps between two looks are queued and nothing waits for them; a look waits, and takes one
    transfer. A finished member is taken out of the batch at that look, as on a CPU: verdicts and numbers of
    steps are those of a CPU but for rounding.

    Args:
        state: model with members, optimiser, perhaps a scheduler, stepped with it. The patterns are brought
            to the device of the model.
        loss: of labels ±1, or of any targets (MSE).
        batch: inputs (n, d) seen by all members or (S, n, d); targets (n,) or (S, n).
        budget: steps after which those that still move are judged.
        criterion: when a member is finished.
        stride: steps between two looks.
        batch_size: patterns a step; None for all of them.
        seed: of the order of the patterns, which depends on it and the epoch alone.
    """
    check_targets(loss, batch.targets)
    if state.optimizer is None:
        raise ValueError("descend_members: state.optimizer is None; give one, such as torch.optim.Adam(...)")
    criterion = criterion or Criterion()
    seen = -1 if state.members is None else state.step  # a resumed state was yielded at this step
    moving = Moving(state, batch)
    members = moving.members
    parts = None if batch_size is None else Minibatches(batch.targets.shape[-1], batch_size, seed)
    while bool(members.moving.any()):
        half = state.step == budget // 2
        look = state.step != seen and (state.step % stride == 0 or state.step >= budget)
        if parts is not None and not (half or look):
            _gradient(moving, loss, parts.at(state.step))
            _step(state, moving, len(parts))
            continue
        outputs = _gradient(moving, loss)
        if half:
            members.loss_at_half[members.moving] = _loss(loss, outputs, moving).double().cpu()
        if look:
            moving.count()
            value = _loss(loss, outputs, moving)
            found = _judge(moving, criterion, loss, value, outputs, state.step >= budget)
            moving.finish(found)
            moving.write_back()
            yield state
            if found and not bool(members.moving.any()):
                return
            if found and parts is None:
                _gradient(moving, loss)
        if parts is not None:
            _gradient(moving, loss, parts.at(state.step))
        _step(state, moving, 1 if parts is None else len(parts))


def _gradient(moving: Moving, loss: PointwiseLoss, patterns: Tensor | None = None) -> Tensor:
    """Outputs of the moving members on all or some patterns; gradients are left on their weights."""
    inputs, targets = moving.inputs, moving.targets
    if patterns is not None:
        if inputs.is_cuda:  # from memory that is not pinned a copy would wait for all that is queued
            patterns = patterns.pin_memory().to(inputs.device, non_blocking=True)
        inputs = inputs[:, patterns] if moving.own_inputs else inputs[patterns]
        targets = targets[..., patterns]

    def slope(outputs: Tensor) -> Tensor:
        # In closed form: for small nets autograd through the loss costs as much as through the net.
        return loss.d1(outputs, targets) / outputs.shape[-1]

    if isinstance(moving.model, Dense):
        return moving.model.backpropagate(inputs, slope)
    moving.model.zero_grad()
    outputs = moving.model(inputs)
    outputs.backward(slope(outputs.detach()))
    return outputs.detach()


def _loss(loss: PointwiseLoss, outputs: Tensor, moving: Moving) -> Tensor:
    return loss(outputs, moving.targets).mean(-1)


def _step(state: TrainState, moving: Moving, steps_of_an_epoch: int) -> None:
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
    state.epoch = state.step / steps_of_an_epoch
    moving.steps += 1
    moving.time += state.learning_rate


def _judge(
    moving: Moving,
    criterion: Criterion,
    loss: PointwiseLoss,
    value: Tensor,
    outputs: Tensor,
    last: bool,
) -> dict[int, Verdict]:
    """Bring the members' standing up to date; verdicts on those that are finished."""
    seen = moving.stand(criterion, loss, value, outputs, gradient_norm(moving.model))
    finite = seen.loss.isfinite()
    verdicts: dict[int, Verdict] = {}
    for k, whole in enumerate(moving.places.tolist()):
        if not finite[k]:
            verdicts[k] = Verdict.DIVERGED
        elif seen.n_unsatisfied[k] == 0:
            verdicts[k] = Verdict.SAT
        elif seen.at_minimum[k]:
            verdicts[k] = Verdict.UNSAT
        elif last:
            at_half = float(moving.members.loss_at_half[whole])
            verdicts[k] = criterion.out_of_budget(float(seen.loss[k]), at_half)
    return verdicts


def gradient_norm(model: torch.nn.Module) -> Tensor:
    """|∇L| of each member, from the gradients its parameters hold."""
    squares = [p.grad.flatten(1).square().sum(1) for p in model.parameters() if p.grad is not None]
    return torch.stack(squares).sum(0).sqrt()
