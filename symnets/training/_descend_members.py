"""Gradient descent of many nets at once, on all patterns or on minibatches; each net ends by itself."""

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor

from symnets.data import Batch, Loader
from symnets.loss import Loss
from symnets.models import Dense
from symnets.nn import modification
from symnets.training._active_members import ActiveMembers
from symnets.training._dynamics import stepping_optimizer
from symnets.training._losses import PointwiseLoss, pointwise
from symnets.training._members import Criterion
from symnets.training._state import TrainState


class Minibatches:
    """Indices of the patterns of each step, the same for all members.

    With m batches per epoch, step n takes batch n mod m of epoch n div m, in the order of a shuffled `Loader`
    of the same seed. The indices depend on the seed and n alone.

    Args:
        n: number of patterns.
        batch_size: patterns per step; the last step of an epoch takes the remaining ones.
        seed: seed of the shuffling.
    """

    def __init__(self, n: int, batch_size: int, seed: int) -> None:
        numbers = torch.arange(n)
        self.loader = Loader(list(zip(numbers, numbers, strict=True)), batch_size, shuffle=True, seed=seed)
        self._epoch, self._order = -1, numbers

    def __len__(self) -> int:
        """Number of steps per epoch."""
        return len(self.loader)

    def at(self, step: int) -> Int[Tensor, " patterns"]:
        """Indices of the patterns of a step."""
        epoch, part = divmod(step, len(self))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, torch.tensor(self.loader.order(epoch))
        return self._order[part * self.loader.batch_size :][: self.loader.batch_size]


def descend_members(
    state: TrainState,
    loss: PointwiseLoss | Loss,
    batch: Batch | tuple[Tensor, Tensor],
    *,
    budget: int,
    criterion: Criterion | None = None,
    stride: int = 10,
    batch_size: int | None = None,
    seed: int = 0,
) -> Iterator[TrainState]:
    """Gradient descent of every member on its own L = (1/n) Σ_μ ℓ(f_μ, y_μ), by the optimiser of the state.

    Every `stride` steps the members are checked on all patterns. A member whose patterns are all satisfied is
    SAT, one at a minimum is UNSAT, one whose loss is not finite is DIVERGED. Such members end and cost
    nothing any more. After each check the state is yielded. After `budget` steps the remaining members end
    as UNSAT or UNCONVERGED (`Criterion.fall`). The generator ends when no member is active.

    With `batch_size`, each step uses that many patterns, the same ones for all members (`Minibatches`). Loss,
    gradient norm and verdicts are always those of all patterns.

    The optimiser must treat each number by itself (SGD, Adam and similar), otherwise members would influence
    each other. For that reason the gradient is not clipped.

    On a GPU the steps between two checks are queued without waiting. A check waits for the GPU, and copies
    its results to the CPU in one transfer. Verdicts and numbers of steps are those of a CPU except for
    rounding.

    Args:
        state: model with members, optimiser, and possibly a scheduler, which is stepped with it.
        loss: pointwise, of labels ±1 or of any targets (`MSE`, `nn.MSELoss()`).
        batch: inputs (n, d) shared by all members or (S, n, d); targets (n,) or (S, n). Moved to the model's
            device.
        budget: number of steps after which all members end.
        criterion: when a member ends.
        stride: number of steps between two checks.
        batch_size: patterns per step; None for all.
        seed: seed of the order of the patterns, which depends on it and the epoch alone.

    Raises:
        ValueError: the model has no members; the state has no optimiser, or one that needs a closure; the
            loss is not pointwise, or does not take these targets.
    """
    batch = Batch.of(batch)
    loss = pointwise(loss, batch.targets)
    stepping_optimizer(state, "descend_members")
    criterion = criterion or Criterion()
    checked = -1 if state.members is None else state.step  # a resumed state was yielded at this step
    active = ActiveMembers(state, batch)
    members = active.members
    parts = None if batch_size is None else Minibatches(active.targets.shape[-1], batch_size, seed)
    active.closed_form = modification(active.model, Dense) is None
    while bool(members.active.any()):
        half = state.step == budget // 2
        check = state.step != checked and (state.step % stride == 0 or state.step >= budget)
        if parts is not None and not (half or check):
            _gradient(active, loss, parts.at(state.step))
            _step(state, active, len(parts))
            continue
        outputs = _gradient(active, loss)
        if half:
            members.loss_at_half[members.active] = _loss(loss, outputs, active).double().cpu()
        if check:
            _check_elementwise(active.optimizer)
            active.add_steps()
            value = _loss(loss, outputs, active)
            status = active.update_status(criterion, loss, value, outputs, gradient_norm(active.model))
            verdicts = active.verdicts(criterion, status, budget_over=state.step >= budget)
            active.finish(verdicts)
            active.write_back()
            yield state
            active.closed_form = modification(active.model, Dense) is None
            if verdicts and not bool(members.active.any()):
                return
            if verdicts and parts is None:
                _gradient(active, loss)
        if parts is not None:
            _gradient(active, loss, parts.at(state.step))
        _step(state, active, 1 if parts is None else len(parts))


def _gradient(active: ActiveMembers, loss: PointwiseLoss, patterns: Tensor | None = None) -> Tensor:
    """Outputs of the active members on all or some patterns; sets the gradients of their weights."""
    inputs, targets = active.inputs, active.targets
    if patterns is not None:
        if inputs.is_cuda:  # a copy from memory that is not pinned would wait for all queued work
            patterns = patterns.pin_memory().to(inputs.device, non_blocking=True)
        inputs = inputs[:, patterns] if active.own_inputs else inputs[patterns]
        targets = targets[..., patterns]

    def slope(outputs: Tensor) -> Tensor:
        # In closed form: for small nets autograd through the loss takes as long as through the net.
        f = active.scalar(outputs, targets.shape[-1])
        return (loss.d1(f, targets) / f.shape[-1]).view_as(outputs)

    if active.closed_form:
        outputs = active.model._backpropagate(inputs, slope)
    else:
        active.model.zero_grad()
        outputs = active.model(inputs)
        outputs.backward(slope(outputs.detach()))
    return active.scalar(outputs.detach(), targets.shape[-1])


def _check_elementwise(optimizer: torch.optim.Optimizer | None) -> None:
    """Check that the optimiser keeps one number for each weight, or one for all.

    Raises:
        ValueError: it keeps others, as Adafactor does, through which members would influence each other.
    """
    for p, slots in optimizer.state.items() if optimizer is not None else ():
        for name, value in slots.items():
            if isinstance(value, Tensor) and value.ndim and value.shape != p.shape:
                raise ValueError(
                    f"descend_members: expected an optimiser that treats each weight by itself such as Adam, "
                    f"got {type(optimizer).__name__} with {name} of shape {tuple(value.shape)} for weights "
                    f"{tuple(p.shape)}, in which members influence each other"
                )


def _loss(loss: PointwiseLoss, outputs: Tensor, active: ActiveMembers) -> Tensor:
    return loss(outputs, active.targets).mean(-1)


def _step(state: TrainState, active: ActiveMembers, steps_per_epoch: int) -> None:
    whole, part = state.optimizer, active.optimizer
    assert whole is not None
    assert part is not None
    for part_group, whole_group in zip(part.param_groups, whole.param_groups, strict=True):
        part_group["lr"] = whole_group["lr"]
    state.learning_rate = float(whole.param_groups[0]["lr"])
    part.step()
    if state.scheduler is not None:
        state.scheduler.step()
    state.step += 1
    state.epoch = state.step / steps_per_epoch
    active.steps += 1
    active.time += state.learning_rate


def gradient_norm(model: torch.nn.Module) -> Tensor:
    """|∇L| of each member, from the gradients of its parameters."""
    squares = [p.grad.flatten(1).square().sum(1) for p in model.parameters() if p.grad is not None]
    return torch.stack(squares).sum(0).sqrt()
