"""Held-out patterns: test errors of dense nets on the parity of images, and early stopping."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.config import at_least, check_ranges
from symnets.data import Batch
from symnets.device import model_device
from symnets.setups._dense_nets import NetConfig
from symnets.training import Callback, TrainState


@dataclass(frozen=True)
class ParityNetConfig(NetConfig):
    """Configuration of a net of two hidden layers for the parity of MNIST digits, tested on unseen digits."""

    n_train: int = 500
    width: int = 20
    depth: int = 2
    data: str = "mnist"
    n_test: int = 8000

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges("", self, n_test=at_least(1))


@dataclass(frozen=True)
class HeldOut:
    """Outputs of nets on held-out patterns, with their labels.

    Attributes:
        outputs: f, (members, n).
        targets: y, +1 or -1, (members, n).
    """

    outputs: Float[Tensor, "members n"]
    targets: Float[Tensor, "members n"]

    @property
    def error(self) -> Float[Tensor, " members"]:
        """Fraction of patterns with y f <= 0; NaN counts as an error."""
        return (~(self.targets * self.outputs > 0)).double().mean(-1)

    @property
    def norm(self) -> Float[Tensor, " members"]:
        """Norm of the predictor, <f²>^(1/2) over patterns (Geiger et al. 2019, arXiv:1901.01608)."""
        return self.outputs.double().square().mean(-1).sqrt()

    def halves(self) -> tuple["HeldOut", "HeldOut"]:
        """First and second half of the patterns: one to select by, one to report."""
        middle = self.outputs.shape[-1] // 2
        return (
            HeldOut(self.outputs[:, :middle], self.targets[:, :middle]),
            HeldOut(self.outputs[:, middle:], self.targets[:, middle:]),
        )


@torch.no_grad()
def held_out(model: nn.Module, patterns: Batch, *, chunk: int = 2000) -> HeldOut:
    """Outputs of members on held-out patterns, each on its own patterns, copied to the CPU.

    Args:
        model: a module of S members, outputs (S, n).
        patterns: inputs (S, n, d), labels (S, n); on any device.
        chunk: patterns evaluated at a time, which bounds memory.
    """
    device = model_device(model, patterns.inputs.device)
    parts = [model(x.to(device)) for x in patterns.inputs.split(chunk, dim=-2)]
    return HeldOut(torch.cat(parts, dim=-1).cpu(), patterns.targets.cpu())


_BEST = ("validation_error", "error", "norm", "step")


class EarlyStopping(Callback):
    """Test error of each member at the step with the smallest validation error.

    Members are evaluated on held-out patterns at steps in geometric progression, and once when they finish.
    The first half of the patterns selects the best step, the second half measures the error there: if both
    used the same patterns, the smallest of many errors would be biased.

    Args:
        patterns: inputs (S, n, d), labels (S, n); on any device.
        per_decade: evaluations per decade of steps.

    Attributes:
        validation_error: smallest error on the first half so far, (S,).
        error: error on the second half, at the same step, (S,).
        norm: norm of the predictor on the second half, at the same step, (S,).
        step: that step, (S,).
    """

    def __init__(self, patterns: Batch, *, per_decade: int = 10) -> None:
        self.patterns, self.factor = patterns, 10 ** (1 / per_decade)
        n = len(patterns.targets)
        self.validation_error = torch.full((n,), math.inf, dtype=torch.float64)
        self.error = torch.full((n,), math.nan, dtype=torch.float64)
        self.norm = torch.full((n,), math.nan, dtype=torch.float64)
        self.step = torch.zeros(n, dtype=torch.int64)
        self._next = 0.0
        self._was_active = torch.ones(n, dtype=torch.bool)

    def after_step(self, state: TrainState) -> None:
        """Evaluate the active members if a step is due, otherwise those that have just finished."""
        assert state.members is not None
        active = state.members.active
        due = state.step >= self._next
        if due:
            self._next = state.step * self.factor
        places = (self._was_active if due else self._was_active & ~active).nonzero()[:, 0]
        self._was_active = active.clone()
        if len(places):
            self._evaluate(state, places)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers for a checkpoint; the patterns are not included."""
        best = {name: getattr(self, name) for name in _BEST}
        return best | {"_moving": self._was_active, "next": self._next}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name in _BEST:
            setattr(self, name, state[name].clone())
        self._was_active = state["_moving"].clone()
        self._next = state["next"]

    def _evaluate(self, state: TrainState, places: Tensor) -> None:
        batch = Batch(self.patterns.inputs[places], self.patterns.targets[places])
        validation, rest = held_out(state.model.select(places), batch).halves()  # pyright: ignore
        better = validation.error < self.validation_error[places]
        chosen = places[better]
        self.validation_error[chosen] = validation.error[better]
        self.error[chosen], self.norm[chosen] = rest.error[better], rest.norm[better]
        self.step[chosen] = state.step
