"""Nets of two hidden layers on the parity of MNIST digits, what the experiments on test errors share.

Nets on patterns that they were not trained on: outputs, error, and norm of the predictor.

From the start: what a net has learned, f(w, x) - f(w0, x).

Early stopping: each member of an ensemble as it was when it did best on a validation set.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from symnets.config import at_least, check_ranges
from symnets.data import Batch
from symnets.models import Dense
from symnets.setups._dense_nets import NetConfig
from symnets.training import Callback, TrainState


@dataclass(frozen=True)
class ImageNetConfig(NetConfig):
    """A net that is tested on patterns it was not trained on."""

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
    """Outputs of nets on labelled patterns.

    Attributes:
        outputs: f.
        targets: y, +1 or -1.
    """

    outputs: Float[Tensor, "members n"]
    targets: Float[Tensor, "members n"]

    @property
    def error(self) -> Float[Tensor, " members"]:
        """Fraction of patterns with y f <= 0; NaN is an error as well."""
        return (~(self.targets * self.outputs > 0)).double().mean(-1)

    @property
    def norm(self) -> Float[Tensor, " members"]:
        """Norm of the predictor, <f²>^(1/2) over patterns (Geiger et al. 2019, arXiv:1901.01608)."""
        return self.outputs.double().square().mean(-1).sqrt()

    def halves(self) -> tuple["HeldOut", "HeldOut"]:
        """First and second half of the patterns, one to choose by and one to report."""
        middle = self.outputs.shape[-1] // 2
        return (
            HeldOut(self.outputs[:, :middle], self.targets[:, :middle]),
            HeldOut(self.outputs[:, middle:], self.targets[:, middle:]),
        )


@torch.no_grad()
def held_out(model: nn.Module, patterns: Batch, *, chunk: int = 2000) -> HeldOut:
    """Outputs of members, each on its own patterns, brought to the CPU.

    Args:
        model: S members, outputs (S, n).
        patterns: inputs (S, n, d), labels (S, n); on any device.
        chunk: patterns evaluated at a time; bounds memory.
    """
    device = next((p.device for p in model.parameters()), patterns.inputs.device)
    parts = [model(x.to(device)) for x in patterns.inputs.split(chunk, dim=-2)]
    return HeldOut(torch.cat(parts, dim=-1).cpu(), patterns.targets.cpu())


class FromStart(nn.Module):
    """Members less what they answered before they were trained: f(w, x) - f(w0, x), zero at first.

    A wide net answers with a random function of order one before it is trained, and on patterns that it is
    not trained on part of that function stays. It does not get smaller with the width, so it hides what
    does (Chizat, Oyallon, Bach 2019, arXiv:1812.07956, use the same difference).

    w0 are buffers, copied: no optimiser sees them, and `to` and `state_dict` take them along.

    Args:
        net: w, its parameters are those that are trained.
        start: w0, of the same shape; `net` as it is now, if not given.
    """

    def __init__(self, net: Dense, start: Dense | None = None) -> None:
        super().__init__()
        self.net = net
        # Dots are not allowed in the names of buffers.
        self._names = {f"start_{k}": name for k, (name, _) in enumerate(net.named_parameters())}
        for name, value in zip(self._names, (start or net).parameters(), strict=True):
            self.register_buffer(name, value.detach().clone())

    @property
    def members(self) -> int | None:
        """Number of nets."""
        return self.net.members

    @property
    def input_axes(self) -> int:
        """As of the net."""
        return self.net.input_axes

    @property
    def start(self) -> Dense:
        """The nets before they were trained, copied."""
        values = [getattr(self, name) for name in self._names]
        return self.net._with(values, self.members).requires_grad_(False)

    def forward(self, x: Float[Tensor, "*members n d_in"]) -> Float[Tensor, "members n"]:
        """f(w, x) - f(w0, x)."""
        weights = {name: getattr(self, buffer) for buffer, name in self._names.items()}
        with torch.no_grad():
            before = functional_call(self.net, weights, (x,))
        return self.net(x) - before

    def select(self, indices: Sequence[int] | Tensor) -> "FromStart":
        """Some of the members, copied."""
        return FromStart(self.net.select(indices), self.start.select(indices))


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
