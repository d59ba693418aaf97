"""Moving: the members of an ensemble that are not finished, as a smaller ensemble.

Trainable weights and gradients of all members as one matrix, a row each: what integrators want.
"""

from collections.abc import Callable, Iterable, Sequence
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


class Standing(NamedTuple):
    """What a look at the moving members tells, on the CPU."""

    loss: Float[Tensor, " moving"]
    n_unsatisfied: Int[Tensor, " moving"]
    at_minimum: Bool[Tensor, " moving"]


class Moving:
    """The members of a state that still move, as a smaller model with its own optimiser.

    While all move, model and optimiser are those of the state; afterwards copies of the parts that
    move, so that a finished member costs nothing. `write_back` brings the state up to date.

    Patterns are brought to the device of the model. Where members stand (`Members`) is kept on the CPU, and
    brought up to date at looks alone: between two looks nothing waits for the device.

    Args:
        state: its model has a member axis first in every parameter, and `select(indices)`.
        batch: inputs (n, ...) for all, or (S, n, ...) for each; targets (n,) or (S, n). Inputs are of each
            when they have one axis more than `model.input_axes`; a model without it (`Ensemble`) shows
            its inputs to all.
    """

    def __init__(self, state: TrainState, batch: Batch) -> None:
        n = getattr(state.model, "members", None)
        if n is None:
            raise ValueError(
                "state.model: expected an ensemble such as Dense(..., members=S), got a single net "
                f"({type(state.model).__name__}); members=1 will do"
            )
        if state.members is None:
            state.members = Members.start(n)
        self.device = next(state.model.parameters()).device
        self.state, self.batch, self.members = state, batch.to(self.device), state.members
        axes = getattr(state.model, "input_axes", None)
        self.own_inputs = axes is not None and batch.inputs.ndim > axes
        self.steps, self.time = 0, 0.0  # since the last look: indexing costs as much as a product
        self._shrink(state.members.moving)

    def _shrink(self, moving: Tensor) -> None:
        state = self.state
        self.places = moving.nonzero()[:, 0]  # among all members; on the CPU
        self.index = self.places.to(self.device)
        everyone = len(self.index) == len(moving)
        chosen: Callable[[Tensor], Tensor] = (lambda t: t) if everyone else (lambda t: t[self.index])
        inputs, targets = self.batch
        self.inputs = chosen(inputs) if self.own_inputs else inputs
        self.targets = chosen(targets) if targets.ndim == 2 else targets
        self.model: Any = state.model if everyone else state.model.select(self.index)  # pyright: ignore
        whole = state.optimizer
        self.optimizer = whole if everyone or whole is None else _part(whole, state.model, self)

    def count(self) -> None:
        """Steps and time since the last look, into the standing of those that moved."""
        moving = self.members.moving
        self.members.steps[moving] += self.steps
        self.members.time[moving] += self.time
        self.steps, self.time = 0, 0.0

    def fetch(self, columns: Sequence[Tensor]) -> tuple[Float[Tensor, " moving"], ...]:
        """Columns of `Members` for those that move, in float64, on the device: one transfer."""
        rows = [column[self.members.moving].double() for column in columns]
        return torch.stack(rows).to(self.device).unbind()

    def store(self, columns: Sequence[Tensor], values: Iterable[Float[Tensor, " moving"]]) -> None:
        """Values of those that move, into columns of `Members`: one transfer."""
        for column, row in zip(columns, torch.stack(list(values)).cpu(), strict=True):
            column[self.members.moving] = row.to(column.dtype)

    def stand(
        self, criterion: Criterion, loss: PointwiseLoss, value: Tensor, outputs: Tensor, norm: Tensor
    ) -> Standing:
        """Losses, gradient norms and N_Δ into the standing of those that move, with one transfer."""
        members = self.members
        unsatisfied = criterion.n_unsatisfied(outputs, self.targets, labels=loss.labels)
        minimum = criterion.at_minimum(value, norm)
        found, slope, n, ended = torch.stack([t.double() for t in (value, norm, unsatisfied, minimum)]).cpu()
        members.loss[members.moving] = found
        members.gradient_norm[members.moving] = slope
        members.n_unsatisfied[members.moving] = n.long()
        self.state.loss = members.mean_loss
        return Standing(found, n.long(), ended.bool())

    def write_back(self) -> None:
        """Weights and optimiser slots of the moving members, into the state."""
        if self.model is self.state.model:
            return
        pairs: Any = list(zip(self.state.model.parameters(), self.model.parameters(), strict=True))
        with torch.no_grad():
            for whole, part in pairs:
                whole[self.index] = part
                if self.state.optimizer is None or self.optimizer is None:
                    continue
                memory = self.optimizer.state.get(part)
                if not memory:  # frozen, or no step has been done: an entry would be one too many
                    continue
                slots = self.state.optimizer.state[whole]  # pyright: ignore
                for name, value in memory.items():
                    if isinstance(value, Tensor) and value.shape == part.shape:
                        if name not in slots:  # members finished before the first step of the optimiser
                            slots[name] = value.new_zeros(whole.shape)
                        slots[name][self.index] = value
                    else:
                        slots[name] = value

    def finish(self, verdicts: dict[int, Verdict]) -> None:
        """Members, by their place among the moving ones, stop for good."""
        if not verdicts:
            return
        self.write_back()
        for place, verdict in verdicts.items():
            self.members.finish(int(self.places[place]), verdict)
        self._shrink(self.members.moving)


def _part(optimizer: Optimizer, whole: nn.Module, moving: Moving) -> Optimizer:
    """An optimiser of the same class, settings and memory, for the moving members."""
    part_of: dict[Any, Any] = dict(zip(whole.parameters(), moving.model.parameters(), strict=True))
    groups = []
    for group in optimizer.param_groups:
        settings = {k: v for k, v in group.items() if k != "params"}
        groups.append(settings | {"params": [part_of[p] for p in group["params"]]})
    small = type(optimizer)(groups)  # pyright: ignore[reportCallIssue]
    for p, slots in optimizer.state.items():
        small.state[part_of[p]] = {
            name: value[moving.index]
            if isinstance(value, Tensor) and value.shape == p.shape
            else _copy(value)
            for name, value in slots.items()
        }
    return small


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


Weights = Float[Tensor, "members N"]


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """Parameters that are not frozen, in the order of `model.parameters()`."""
    return [p for p in model.parameters() if p.requires_grad]


def flat(tensors: Sequence[Tensor]) -> Weights:
    """Tensors with a member axis first, side by side."""
    return torch.cat([t.detach().reshape(len(t), -1) for t in tensors], 1)


@torch.no_grad()
def put_weights(model: nn.Module, weights: Weights) -> None:
    """Write rows of weights into the parameters, in the order of `trainable`."""
    start = 0
    for p in trainable(model):
        width = p[0].numel()
        p.copy_(weights[:, start : start + width].view_as(p))
        start += width


@dataclass(frozen=True)
class Point:
    """What is known of the loss at some weights, for each member.

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
        """|∇L|."""
        return self.gradient.norm(dim=1)


def point(moving: Moving, loss: PointwiseLoss, weights: Weights | None = None) -> Point:
    """Loss and gradient of the moving members, at other weights if any are given (they stay in the model)."""
    if weights is not None:
        put_weights(moving.model, weights)
    outputs = moving.model(moving.inputs)
    value = loss(outputs, moving.targets).mean(-1)
    gradient = torch.autograd.grad(value.sum(), trainable(moving.model))
    return Point(value.detach(), outputs.detach(), flat(gradient))
