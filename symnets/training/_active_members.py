"""Active members: the nets of an ensemble that are still trained, as a smaller ensemble."""

import copy
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.optim import Optimizer

from symnets.data import Batch
from symnets.training._losses import PointwiseLoss
from symnets.training._members import Criterion, Members, Verdict
from symnets.training._state import TrainState


class MemberStatus(NamedTuple):
    """Result of a check of the active members, on the CPU."""

    loss: Float[Tensor, " active"]
    n_unsatisfied: Int[Tensor, " active"]
    at_minimum: Bool[Tensor, " active"]


class ActiveMembers:
    """The active members of an ensemble, as a smaller ensemble with an optimiser of its own.

    While all members are active, model and optimiser are those of the state; afterwards they are copies of
    the active part, so that a finished member costs nothing. `write_back` copies weights and optimiser state
    back.

    The patterns are moved to the device of the model. `Members`, the progress, is kept on the CPU and updated
    at checks only: between two checks nothing waits for the device.

    Args:
        state: its model has a member axis first in every parameter, and `select(indices)`.
        batch: inputs (n, ...) shared by all members or (S, n, ...), targets (n,) or (S, n). Inputs have a
            member axis when they have one axis more than `model.input_axes`; a model without it (`Ensemble`)
            shares its inputs.

    Raises:
        ValueError: the model has no members or no trainable parameters, or the targets have another shape.
    """

    def __init__(self, state: TrainState, batch: Batch | tuple[Tensor, Tensor]) -> None:
        n = getattr(state.model, "members", None)
        if n is None:
            raise ValueError(
                "state.model: expected an ensemble such as Dense(..., members=S), got a single net "
                f"({type(state.model).__name__}); build it with members=1"
            )
        weights = trainable(state.model)
        if not weights:
            raise ValueError("state.model: expected parameters with requires_grad=True, found none")
        if state.members is None:
            state.members = Members.start(n)
        self.device = weights[0].device
        self.state, self.members = state, state.members
        inputs, targets = Batch(*batch).to(self.device)
        axes = getattr(state.model, "input_axes", None)
        self.own_inputs = axes is not None and inputs.ndim > axes
        self.batch = Batch(inputs, self._checked(inputs, targets).to(weights[0].dtype))
        self.closed_form = False  # whether gradients of the model are known in closed form
        # Steps and time since the last check: indexing into `Members` at each step would take as long as a
        # matrix product.
        self.steps, self.time = 0, 0.0
        self._select()

    def _checked(self, inputs: Tensor, targets: Tensor) -> Float[Tensor, "*members n"]:
        """Targets of shape (n,) or (S, n); columns (n, 1) and (S, n, 1) lose their last axis."""
        shape = tuple(targets.shape)
        n, members = inputs.shape[1 if self.own_inputs else 0], len(self.members.active)
        if n == 0:
            raise ValueError(f"batch: expected at least one pattern, got inputs {tuple(inputs.shape)}")
        if shape in ((n, 1), (members, n, 1)) and shape != (members, n):
            targets = targets[..., 0]
        if tuple(targets.shape) not in ((n,), (members, n)):
            raise ValueError(
                f"batch: expected targets ({n},) or ({members}, {n}) for inputs {tuple(inputs.shape)} and "
                f"{members} members, got {shape}"
            )
        return targets

    def outputs(self) -> Float[Tensor, "active n"]:
        """Scalar outputs of the active members on all patterns."""
        return self.scalar(self.model(self.inputs), self.targets.shape[-1])

    def scalar(self, outputs: Tensor, n: int) -> Float[Tensor, "active n"]:
        """Outputs of n patterns without a last axis of length 1, (S, n).

        Raises:
            ValueError: the model has several outputs for each pattern.
        """
        if outputs.shape == (len(self.index), n, 1):
            return outputs[..., 0]
        if outputs.shape != (len(self.index), n):
            raise ValueError(
                f"model: expected one output for each pattern, ({len(self.index)}, {n}), got "
                f"{tuple(outputs.shape)}; train nets of several outputs with descend"
            )
        return outputs

    def _select(self) -> None:
        """Set model, optimiser and patterns to those of the members that are active now."""
        state, active = self.state, self.members.active
        self.cpu_index = active.nonzero()[:, 0]  # among all members
        self.index = self.cpu_index.to(self.device)
        all_active = len(self.index) == len(active)
        inputs, targets = self.batch
        self.inputs = inputs[self.index] if self.own_inputs and not all_active else inputs
        self.targets = targets[self.index] if targets.ndim == 2 and not all_active else targets
        self.model: Any = state.model if all_active else state.model.select(self.index)  # pyright: ignore
        optimizer = state.optimizer
        self.optimizer = optimizer if all_active or optimizer is None else _part(optimizer, state.model, self)

    def add_steps(self) -> None:
        """Add steps and time since the last check to those of the active members."""
        active = self.members.active
        self.members.steps[active] += self.steps
        self.members.time[active] += self.time
        self.steps, self.time = 0, 0.0

    def gather(self, columns: Sequence[Tensor]) -> tuple[Float[Tensor, " active"], ...]:
        """Active rows of columns of `Members`, in float64 on the device, in one transfer."""
        rows = [column[self.members.active].double() for column in columns]
        return torch.stack(rows).to(self.device).unbind()

    def scatter(self, columns: Sequence[Tensor], values: Iterable[Float[Tensor, " active"]]) -> None:
        """Write values of the active members into columns of `Members`, in one transfer."""
        for column, row in zip(columns, torch.stack(list(values)).cpu(), strict=True):
            column[self.members.active] = row.to(column.dtype)

    def update_status(
        self, criterion: Criterion, loss: PointwiseLoss, value: Tensor, outputs: Tensor, norm: Tensor
    ) -> MemberStatus:
        """Write losses, gradient norms and N_Δ of the active members into `Members`, in one transfer."""
        members = self.members
        unsatisfied = criterion.n_unsatisfied(outputs, self.targets, labels=loss.labels)
        minimum = criterion.at_minimum(value, norm)
        columns = torch.stack([t.double() for t in (value, norm, unsatisfied, minimum)]).cpu()
        losses, norms, n_unsatisfied, at_minimum = columns
        members.loss[members.active] = losses
        members.gradient_norm[members.active] = norms
        members.n_unsatisfied[members.active] = n_unsatisfied.long()
        self.state.loss = members.mean_loss
        return MemberStatus(losses, n_unsatisfied.long(), at_minimum.bool())

    def verdicts(
        self,
        criterion: Criterion,
        status: MemberStatus,
        *,
        budget_over: bool,
        also: Sequence[tuple[Bool[Tensor, " active"], Verdict]] = (),
    ) -> dict[int, Verdict]:
        """Verdicts on the members that end now, by their place among the active ones.

        The first of these that applies: DIVERGED, SAT, UNSAT at a minimum, those of `also`, and, if the
        budget is over, `criterion.out_of_budget`.

        Args:
            criterion: gives the verdict on members that are active when the budget is over.
            status: result of the check.
            budget_over: whether all members end now.
            also: verdicts of the dynamics, each with a mask of the active members to which it applies.
        """
        finite = status.loss.isfinite()
        verdicts: dict[int, Verdict] = {}
        for k, member in enumerate(self.cpu_index.tolist()):
            if not finite[k]:
                verdicts[k] = Verdict.DIVERGED
            elif status.n_unsatisfied[k] == 0:
                verdicts[k] = Verdict.SAT
            elif status.at_minimum[k]:
                verdicts[k] = Verdict.UNSAT
            elif given := [verdict for where, verdict in also if where[k]]:
                verdicts[k] = given[0]
            elif budget_over:
                at_half = float(self.members.loss_at_half[member])
                verdicts[k] = criterion.out_of_budget(float(status.loss[k]), at_half)
        return verdicts

    def finish(self, verdicts: dict[int, Verdict]) -> None:
        """End the training of some members, given by their indices among the active ones."""
        if not verdicts:
            return
        self.write_back()
        for place, verdict in verdicts.items():
            self.members.finish(int(self.cpu_index[place]), verdict)
        self._select()

    def write_back(self) -> None:
        """Copy weights, buffers and optimiser state of the active members into the state."""
        if self.model is self.state.model:
            return
        pairs: Any = list(zip(self.state.model.parameters(), self.model.parameters(), strict=True))
        with torch.no_grad():
            for whole, part in zip(self.state.model.buffers(), self.model.buffers(), strict=True):
                if whole.shape != part.shape:  # equal shapes: a buffer without an axis of members
                    whole[self.index] = part
            for whole, part in pairs:
                whole[self.index] = part
                if self.state.optimizer is None or self.optimizer is None:
                    continue
                source = self.optimizer.state.get(part)
                if not source:  # requires no gradient, or no step has been taken: nothing to copy
                    continue
                slots = self.state.optimizer.state[whole]  # pyright: ignore
                for name, value in source.items():
                    if isinstance(value, Tensor) and value.shape == part.shape:
                        if name not in slots:  # members ended before the first step of the optimiser
                            slots[name] = value.new_zeros(whole.shape)
                        slots[name][self.index] = value
                    else:
                        slots[name] = value


def _part(optimizer: Optimizer, whole: nn.Module, active: ActiveMembers) -> Optimizer:
    """An optimiser of the same class, settings and state, for the active members."""
    part_of: dict[Any, Any] = dict(zip(whole.parameters(), active.model.parameters(), strict=True))
    groups = []
    for group in optimizer.param_groups:
        settings = {k: v for k, v in group.items() if k != "params"}
        groups.append(settings | {"params": [part_of[p] for p in group["params"]]})
    # A copy: the constructor of the class need not take parameter groups (Muon).
    small = copy.copy(optimizer)
    # Without `step` of the instance: that of a scheduler wraps the step of the whole optimiser.
    vars(small).update({k: v for k, v in vars(optimizer).items() if k not in vars(small) and k != "step"})
    small.param_groups, small.state = groups, defaultdict(dict)
    for p, slots in optimizer.state.items():
        small.state[part_of[p]] = {
            name: value[active.index]
            if isinstance(value, Tensor) and value.shape == p.shape
            else _copy(value)
            for name, value in slots.items()
        }
    return small


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


Weights = Float[Tensor, "members N"]


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """Parameters that require a gradient, in the order of `model.parameters()`."""
    return [p for p in model.parameters() if p.requires_grad]


def flat(tensors: Sequence[Tensor]) -> Weights:
    """Tensors with a leading axis of members as one matrix, with one row for each member."""
    return torch.cat([t.detach().reshape(len(t), -1) for t in tensors], 1)


@torch.no_grad()
def set_weights(model: nn.Module, weights: Weights) -> None:
    """Write rows of weights into the parameters, in the order of `trainable`."""
    start = 0
    for p in trainable(model):
        width = p[0].numel()
        p.copy_(weights[:, start : start + width].view_as(p))
        start += width


@dataclass(frozen=True)
class Point:
    """Loss, outputs and gradient of each member at some weights.

    Attributes:
        loss: L = (1/n) Σ_μ ℓ(f_μ, y_μ).
        outputs: f.
        gradient: ∇L.
    """

    loss: Float[Tensor, " members"]
    outputs: Float[Tensor, "members n"]
    gradient: Weights

    @property
    def gradient_norm(self) -> Float[Tensor, " members"]:
        """Norm |∇L| of the gradient of each member."""
        return self.gradient.norm(dim=1)


def point(active: ActiveMembers, loss: PointwiseLoss, weights: Weights | None = None) -> Point:
    """Loss and gradient of the active members, at other weights if given; these then stay in the model."""
    if weights is not None:
        set_weights(active.model, weights)
    outputs = active.outputs()
    value = loss(outputs, active.targets).mean(-1)
    gradient = torch.autograd.grad(value.sum(), trainable(active.model))
    return Point(value.detach(), outputs.detach(), flat(gradient))
