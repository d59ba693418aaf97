"""Compression of members of a flow, read where a given fraction of their patterns is first satisfied."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.observables import compression
from symnets.training import Callback, TrainState

_MEMORY = ("factor", "path")


class CompressionCrossing(Callback):
    """Compression λ of each member where the fraction of satisfied patterns first exceeds a level.

    λ grows during training, so values of different nets are compared at one stage of it. The published code
    takes the first record with more than 10 % of patterns satisfied; here log λ is interpolated linearly in
    the fraction between the record before and that one. Before training the fraction is zero.

    Args:
        relevant: orthonormal basis of the relevant directions.
        n_train: number of training patterns of a member.
        level: fraction of satisfied patterns.

    Raises:
        ValueError: a level outside of [0, 1).

    Attributes:
        factor: λ at the crossing; NaN for members that have not reached it.
        path: fraction of satisfied patterns and λ before training and at each record, (records, 2, S).
    """

    def __init__(self, relevant: Float[Tensor, "dim relevant"], n_train: int, *, level: float = 0.1) -> None:
        if not 0 <= level < 1:
            raise ValueError(f"level: expected a fraction from 0 to below 1, got {level}")
        self.relevant, self.n_train, self.level = relevant, n_train, level
        self.factor, self.path = torch.empty(0, dtype=torch.float64), torch.empty(0, dtype=torch.float64)

    def after_step(self, state: TrainState) -> None:
        """Record λ of all members; interpolate for those that have just crossed the level."""
        assert state.members is not None
        model: Any = state.model
        if not len(self.path):
            start = self._compression(model.start)
            self.factor = torch.full_like(start, math.nan)
            self.path = torch.stack([torch.zeros_like(start), start])[None]
        before, start = self.path[-1]
        fraction, factor = 1 - state.members.n_unsatisfied.double() / self.n_train, self._compression(model)
        crossed = (fraction > self.level) & self.factor.isnan()
        share = (self.level - before) / (fraction - before)
        self.factor = torch.where(crossed, start * (factor / start) ** share, self.factor)
        self.path = torch.cat([self.path, torch.stack([fraction, factor])[None]])

    def _compression(self, model: nn.Module) -> Tensor:
        return compression(model, self.relevant).factor.double().cpu()

    def state_dict(self) -> dict[str, Any]:
        """Tensors for a checkpoint."""
        return {name: getattr(self, name) for name in _MEMORY}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name in _MEMORY:
            setattr(self, name, state[name].clone())
