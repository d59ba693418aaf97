"""Decompression of a net: patterns are taken away until the rest can be satisfied."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.data.loader import Batch
from symnets.experiments.gap_distribution.config import Config
from symnets.experiments.nets import LOSSES
from symnets.models.dense import Dense
from symnets.observables.margins import margins
from symnets.training.descend_members import descend_members
from symnets.training.members import Members
from symnets.training.schedule import every, learning_rate
from symnets.training.state import TrainState
from symnets.training.stopping import all_finished
from symnets.training.trainer import INTERRUPTED, Trainer
from symnets.training.verdict import Criterion

ROUNDS = 6
"""Budgets that a net gets at most at one number of patterns, as long as its loss still falls."""


@dataclass(frozen=True)
class State:
    """A net that is not satisfied.

    Attributes:
        net: of one member.
        gaps: Δ of the patterns that are left.
        loss: mean quadratic hinge.
        minimum: whether its loss no longer falls.
    """

    net: Dense
    gaps: Float[Tensor, "n"]
    loss: float
    minimum: bool

    @property
    def n_train(self) -> int:
        """Patterns that are left."""
        return len(self.gaps)


@dataclass(frozen=True)
class Decompressed:
    """What was found on the way to the jamming point.

    Attributes:
        minima: minima of positive loss, of ever fewer patterns.
        verge: the state in which the loss of a net fell below `Config.verge`, from the last of the minima or
            close by; at the verge of being satisfied. None if that did not happen.
    """

    minima: list[State]
    verge: State | None


def decompress(net: Dense, train: Batch, config: Config) -> Decompressed:
    """Takes patterns away, and minimises again, until the loss falls below `Config.verge`.

    √L falls about linearly with the number of patterns, which tells how far it is: half of that way is gone
    at a time. A net that falls to the verge by a step of more than `Config.fine` P was taken too far: back to
    the last minimum, and half as far.

    Args:
        net: one member, minimised.
        train: inputs (1, P, d) and targets (1, P), of which the last are taken away first.
        config: of the run.
    """
    state = _minimise(net, train, config, len(train.targets[0]))
    if state is None or not state.minimum:
        return Decompressed([], state)
    minima, verge = [state], None
    step, fine = (max(round(share * config.n_train), 1) for share in (config.removed, config.fine))
    while minima[-1].n_train > config.n_train // 2:
        last = minima[-1]
        new = _minimise(last.net, train, config, last.n_train - step)
        if new is not None and new.minimum:
            minima.append(new)
            fall = last.loss**0.5 - new.loss**0.5
            half = new.loss**0.5 / fall * step / 2 if fall > 0 else step
            step = max(min(round(half), 2 * step), 1)
            continue
        verge = new or verge
        if step <= fine:
            break
        step = max(step // 2, 1)
    return Decompressed(minima, verge)


def _minimise(net: Dense, train: Batch, config: Config, n: int) -> State | None:
    """The net with the first n patterns, at a minimum or at the verge; None if it is neither."""
    model = net.select([0])
    batch = Batch(train.inputs[:, :n], train.targets[:, :n])
    for _ in range(ROUNDS):
        verdict = _descend(model, batch, config)
        found = margins(model, batch, tolerance=config.tolerance)
        loss = float(found.loss[0])
        if verdict == "UNSAT" or 0 < loss < config.verge:
            return State(model, found.gaps[0].cpu(), loss, loss >= config.verge)
    return None


def _descend(model: Dense, batch: Batch, config: Config) -> str:
    """One budget of steps, or until the verge; the verdict, "" at the verge."""
    last = config.rate * config.width**-1.5 * config.final_rate
    optimizer = torch.optim.Adam(model.parameters(), lr=last * config.reheat, eps=1e-16, fused=True)
    schedule = learning_rate(optimizer, config.steps_again, decay="exponential", final=1 / config.reheat)
    # Members that are told from the start are not looked at before their first step.
    state = TrainState(model, optimizer, schedule, members=Members.start(1))
    criterion = Criterion(tolerance=config.tolerance)
    dynamics = descend_members(
        state, LOSSES[config.loss](), batch, budget=config.steps_again, criterion=criterion, stride=10
    )

    def stop(state: TrainState) -> str | None:
        below = state.members is not None and bool((state.members.loss < config.verge).all())
        return "verge" if below else all_finished()(state)

    if Trainer(stop, record=every(10 * config.steps_again)).fit(dynamics).reason == INTERRUPTED:
        raise KeyboardInterrupt
    assert state.members is not None
    return state.members.verdicts[0]
