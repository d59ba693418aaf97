"""Decompression of a net: patterns are removed until the rest can be satisfied."""

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
"""Largest number of budgets of steps at one number of patterns, as long as the loss still falls."""


@dataclass(frozen=True)
class DecompressedConfig(NetConfig):
    """Configuration of a net that is decompressed to jamming; float64, since overlaps are small there."""

    tolerance: float = 1e-5
    dtype: Literal["float32", "float64"] = "float64"
    removed: float = 0.02
    """Fraction of patterns removed in the first step; later steps cover half of the distance to jamming."""
    steps_again: int = 600
    """Budget of steps after patterns were removed."""
    reheat: float = 10.0
    """Ratio of the learning rate at which a net starts again to the last one."""
    enough: float = 1e-6
    """A net whose loss falls below this is not jammed."""

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
        net: the net, with one member.
        train: remaining patterns, inputs (1, n, d) and targets (1, n).
        gaps: gaps Δ = 1 - y f of the remaining patterns.
        loss: mean quadratic hinge over the remaining patterns.
    """

    net: Dense
    train: Batch
    gaps: Float[Tensor, "n"]
    loss: float

    @property
    def n_train(self) -> int:
        """Number of remaining patterns."""
        return len(self.gaps)


def decompress_net(net: Dense, train: Batch, config: DecompressedConfig) -> list[JammedState]:
    """Minima of positive loss for fewer and fewer patterns, down to jamming; none if the net fits them all.

    √L is about linear in the number of patterns, which gives the distance to jamming; each step covers half
    of it. If the net then satisfies all patterns, or its loss keeps falling, the step was too large: it is
    undone and halved, until a single pattern is too many. Trapped patterns (`trapped`) are removed as they
    occur: like rattlers of a packing they are not part of the jammed state.

    Args:
        net: a net with one member, whose loss was minimised.
        train: inputs (1, P, d) and targets (1, P); the last patterns are removed first.
        config: configuration of the run.
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
            half_way = new.loss**0.5 / fall * step / 2 if fall > 0 else step
            step = max(min(round(half_way), 2 * step), 1)
        elif step > 1:
            step //= 2
        else:
            break
    return minima


def trapped(net: Dense, train: Batch) -> Bool[Tensor, "members n"]:
    """Patterns for which all units of a layer are off, so that f has no gradient in the weights below it."""
    slopes = signals(net, train.inputs).slopes
    return torch.stack([(slope == 0).all(1) for slope in slopes]).any(0)


def _minimise(net: Dense, train: Batch, config: DecompressedConfig) -> JammedState | None:
    """Minimise the loss of the net; None if the net is not jammed."""
    model = net.select([0])
    for _ in range(ROUNDS):
        verdict = _descend(model, train, config)
        if verdict not in ("UNSAT", "UNCONVERGED"):
            return None
        measured = margins(model, train, tolerance=config.tolerance)
        rattlers = (measured.unsatisfied & trapped(model, train))[0]
        if bool(rattlers.any()):
            train = Batch(train.inputs[:, ~rattlers], train.targets[:, ~rattlers])
        elif verdict == "UNSAT":
            return JammedState(model, train, measured.gaps[0].cpu(), float(measured.loss[0]))
    return None


def _descend(model: Dense, train: Batch, config: DecompressedConfig) -> str:
    """Train for one budget of steps; the verdict, or "" if the loss fell below `enough`."""
    last = config.rate * config.width**-1.5 * config.final_rate
    optimizer = torch.optim.Adam(model.parameters(), lr=last * config.reheat, eps=1e-16, fused=True)
    schedule = learning_rate(optimizer, config.steps_again, decay="exponential", final=1 / config.reheat)
    # With `members` given, members are not checked before their first step.
    state = TrainState(model, optimizer, schedule, members=Members.start(1))
    criterion = Criterion(tolerance=config.tolerance)
    dynamics = descend_members(
        state, LOSSES[config.loss](), train, budget=config.steps_again, criterion=criterion, stride=10
    )

    def stop(state: TrainState) -> str | None:
        unjammed = state.members is not None and bool((state.members.loss < config.enough).all())
        return "not jammed" if unjammed else all_finished()(state)

    identity = fingerprint({"n_left": train.targets.shape[1], **vars(config)})
    trainer = Trainer(
        stop,
        record=every(10 * config.steps_again),
        callbacks=checkpoint(state, identity),
        on_interrupt="raise",
    )
    # A checkpoint may hold a descent that had already ended.
    if stop(state) is None:
        trainer.fit(dynamics)
    assert state.members is not None
    return state.members.verdicts[0]


def _first(batch: Batch, n: int) -> Batch:
    return Batch(batch.inputs[:, :n], batch.targets[:, :n])
