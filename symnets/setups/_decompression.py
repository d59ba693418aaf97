"""Decompression of a net: patterns are taken away until the rest can be satisfied."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from symnets.config import at_least, between, check_ranges, fingerprint
from symnets.data import Batch
from symnets.models import Dense, signals
from symnets.observables import margins
from symnets.setups._dense_nets import LOSSES, NetConfig
from symnets.sweeps import checkpoint
from symnets.training import (
    Criterion,
    Members,
    Trainer,
    TrainState,
    all_finished,
    descend_members,
    every,
    learning_rate,
)

ROUNDS = 6
"""Budgets that a net gets at most at one number of patterns, as long as its loss still falls."""


@dataclass(frozen=True)
class DecompressedConfig(NetConfig):
    """A net that is decompressed, in float64: near jamming all overlaps are small."""

    tolerance: float = 1e-5
    dtype: Literal["float32", "float64"] = "float64"
    removed: float = 0.02
    """Patterns taken away at first, as a share of P; then half the way to jamming at a time."""
    steps_again: int = 600
    """Budget of steps after patterns were taken away."""
    reheat: float = 10.0
    """Factor from the last learning rate to that with which a net starts again."""
    enough: float = 1e-6
    """A net that falls below this loss is not jammed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(
            "",
            self,
            removed=between(0, 0.5),
            steps_again=at_least(1),
            reheat=at_least(1),
            enough=between(0, 1),
        )


@dataclass(frozen=True)
class JammedState:
    """A net at a minimum of positive loss.

    Attributes:
        net: of one member.
        train: patterns that are left, (1, n, d) and (1, n).
        gaps: their Δ.
        loss: mean quadratic hinge.
    """

    net: Dense
    train: Batch
    gaps: Float[Tensor, "n"]
    loss: float

    @property
    def n_train(self) -> int:
        """Patterns that are left."""
        return len(self.gaps)


def decompress_net(net: Dense, train: Batch, config: DecompressedConfig) -> list[JammedState]:
    """Minima of positive loss of ever fewer patterns, down to jamming; none if the net is satisfied.

    √L falls about linearly with the number of patterns, which tells how far it is: half of that way is gone
    at a time. A net that is satisfied, or falls on, was taken too far: back to the last minimum, and half as
    far, until a single pattern is too many. Trapped patterns, as they occur, are taken away first: like
    rattlers of a packing they are no part of what is jammed.

    Args:
        net: one member, minimised.
        train: inputs (1, P, d) and targets (1, P), of which the last are taken away first.
        config: of the run.
    """
    first = _minimise(net, train, config)
    minima = [] if first is None else [first]
    step = max(round(config.removed * config.n_train), 1)
    while minima and minima[-1].n_train > max(config.n_train // 2, step):
        last = minima[-1]
        new = _minimise(last.net, _first(last.train, last.n_train - step), config)
        if new is not None:
            minima.append(new)
            fall = last.loss**0.5 - new.loss**0.5
            half = new.loss**0.5 / fall * step / 2 if fall > 0 else step
            step = max(min(round(half), 2 * step), 1)
        elif step > 1:
            step //= 2
        else:
            break
    return minima


def trapped(net: Dense, train: Batch) -> Bool[Tensor, "members n"]:
    """Patterns for which all units of a layer are off: no small change of the weights below moves their f."""
    slopes = signals(net, train.inputs).slopes
    return torch.stack([(slope == 0).all(1) for slope in slopes]).any(0)


def _minimise(net: Dense, train: Batch, config: DecompressedConfig) -> JammedState | None:
    """The net at a minimum, or None if it is not jammed."""
    model = net.select([0])
    for _ in range(ROUNDS):
        verdict = _descend(model, train, config)
        if verdict not in ("UNSAT", "UNCONVERGED"):
            return None
        found = margins(model, train, tolerance=config.tolerance)
        lost = (found.unsatisfied & trapped(model, train))[0]
        if bool(lost.any()):
            train = Batch(train.inputs[:, ~lost], train.targets[:, ~lost])
        elif verdict == "UNSAT":
            return JammedState(model, train, found.gaps[0].cpu(), float(found.loss[0]))
    return None


def _descend(model: Dense, train: Batch, config: DecompressedConfig) -> str:
    """One budget of steps; the verdict, "" of a net that fell below the loss that is enough."""
    last = config.rate * config.width**-1.5 * config.final_rate
    optimizer = torch.optim.Adam(model.parameters(), lr=last * config.reheat, eps=1e-16, fused=True)
    schedule = learning_rate(optimizer, config.steps_again, decay="exponential", final=1 / config.reheat)
    # Members that are told from the start are not looked at before their first step.
    state = TrainState(model, optimizer, schedule, members=Members.start(1))
    criterion = Criterion(tolerance=config.tolerance)
    dynamics = descend_members(
        state, LOSSES[config.loss](), train, budget=config.steps_again, criterion=criterion, stride=10
    )

    def stop(state: TrainState) -> str | None:
        falls = state.members is not None and bool((state.members.loss < config.enough).all())
        return "not jammed" if falls else all_finished()(state)

    said = fingerprint({"n_left": train.targets.shape[1], **vars(config)})
    trainer = Trainer(
        stop,
        record=every(10 * config.steps_again),
        callbacks=checkpoint(state, said),
        on_interrupt="raise",
    )
    # A descent that ended in an earlier session is not to go on.
    if stop(state) is None:
        trainer.fit(dynamics)
    assert state.members is not None
    return state.members.verdicts[0]


def _first(batch: Batch, n: int) -> Batch:
    return Batch(batch.inputs[:, :n], batch.targets[:, :n])
