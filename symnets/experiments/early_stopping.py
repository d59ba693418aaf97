"""Early stopping: each member of an ensemble as it was when it did best on a validation set."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from symnets.data.loader import Batch
from symnets.experiments.held_out import held_out
from symnets.training.callback import Callback
from symnets.training.state import TrainState

_MEMORY = ("validation_error", "error", "norm", "step", "_moving")


class EarlyStopping(Callback):
    """Looks at members on held-out patterns while they descend, and keeps what the best moment gave.

    It looks at steps in geometric progression, and once when a member is finished. The first half of the
    patterns tells the best moment, the second half what the error was then: chosen and reported on the same
    patterns, the smallest of many errors would be too small.

    Args:
        patterns: inputs (S, n, d), labels (S, n); on any device.
        per_decade: looks from one step to ten times that.

    Attributes:
        validation_error: smallest so far, on the first half.
        error: on the second half, at the same moment.
        norm: of the predictor on the second half, at the same moment.
        step: the moment.
    """

    def __init__(self, patterns: Batch, *, per_decade: int = 10) -> None:
        self.patterns, self.factor = patterns, 10 ** (1 / per_decade)
        n = len(patterns.targets)
        self.validation_error = torch.full((n,), math.inf, dtype=torch.float64)
        self.error = torch.full((n,), math.nan, dtype=torch.float64)
        self.norm = torch.full((n,), math.nan, dtype=torch.float64)
        self.step = torch.zeros(n, dtype=torch.int64)
        self._next = 0.0
        self._moving = torch.ones(n, dtype=torch.bool)

    def after_step(self, state: TrainState) -> None:
        """Look, if it is time to, at those that moved; otherwise at those that have just finished."""
        assert state.members is not None
        moving = state.members.moving
        due = state.step >= self._next
        if due:
            self._next = state.step * self.factor
        places = (self._moving if due else self._moving & ~moving).nonzero()[:, 0]
        self._moving = moving.clone()
        if len(places):
            self._look(state, places)

    def freeze(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON from which `thaw` restores what was seen; the patterns are not among them."""
        return {name: getattr(self, name) for name in _MEMORY}, {"next": self._next}

    def thaw(self, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
        """Restore what `freeze` took."""
        for name in _MEMORY:
            setattr(self, name, tensors[name].clone())
        self._next = header["next"]

    def _look(self, state: TrainState, places: Tensor) -> None:
        batch = Batch(self.patterns.inputs[places], self.patterns.targets[places])
        validation, rest = held_out(state.model.select(places), batch).halves()  # pyright: ignore
        better = validation.error < self.validation_error[places]
        chosen = places[better]
        self.validation_error[chosen] = validation.error[better]
        self.error[chosen], self.norm[chosen] = rest.error[better], rest.norm[better]
        self.step[chosen] = state.step
