"""Losses of a scalar output and a label, with two derivatives; what decides whether jamming is sharp."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from symnets.data.tasks import check_signs

Points = Float[Tensor, "*members n"]


class PointwiseLoss(Protocol):
    """ℓ(f, y) of each pattern, its derivatives in f, and whether it vanishes beyond a margin."""

    finite_range: ClassVar[bool]
    """ℓ = 0 for all f y beyond a finite margin: SAT and UNSAT are then sharply distinct."""
    labels: ClassVar[bool]
    """Targets are labels ±1 and a pattern is satisfied beyond a margin; otherwise any number, to be met."""

    def __call__(self, outputs: Points, targets: Points) -> Points:
        """ℓ."""
        ...

    def d1(self, outputs: Points, targets: Points) -> Points:
        """∂ℓ/∂f."""
        ...

    def d2(self, outputs: Points, targets: Points) -> Points:
        """∂²ℓ/∂f²."""
        ...


@dataclass(frozen=True)
class QuadraticHinge:
    """½ max(0, Δ)², Δ = margin - y f, with labels y = ±1 (Geiger et al. 2019, arXiv:1809.09349)."""

    margin: float = 1.0
    finite_range: ClassVar[bool] = True
    labels: ClassVar[bool] = True

    def __call__(self, outputs: Points, targets: Points) -> Points:
        return 0.5 * (self.margin - targets * outputs).relu() ** 2

    def d1(self, outputs: Points, targets: Points) -> Points:
        return -targets * (self.margin - targets * outputs).relu()

    def d2(self, outputs: Points, targets: Points) -> Points:
        return (self.margin - targets * outputs > 0).to(outputs.dtype)


@dataclass(frozen=True)
class Hinge:
    """max(0, Δ), Δ = margin - y f."""

    margin: float = 1.0
    finite_range: ClassVar[bool] = True
    labels: ClassVar[bool] = True

    def __call__(self, outputs: Points, targets: Points) -> Points:
        return (self.margin - targets * outputs).relu()

    def d1(self, outputs: Points, targets: Points) -> Points:
        return -targets * (self.margin - targets * outputs > 0).to(outputs.dtype)

    def d2(self, outputs: Points, targets: Points) -> Points:
        return torch.zeros_like(targets * outputs)


@dataclass(frozen=True)
class SoftHinge:
    """log(1 + e^(β Δ)) / β, Δ = margin - y f; β → ∞ is the hinge."""

    beta: float = 20.0
    margin: float = 1.0
    finite_range: ClassVar[bool] = False
    labels: ClassVar[bool] = True

    def __call__(self, outputs: Points, targets: Points) -> Points:
        return F.softplus(self.margin - targets * outputs, beta=self.beta, threshold=50.0)

    def d1(self, outputs: Points, targets: Points) -> Points:
        return -targets * torch.sigmoid(self.beta * (self.margin - targets * outputs))

    def d2(self, outputs: Points, targets: Points) -> Points:
        x = self.beta * (self.margin - targets * outputs)
        return self.beta * torch.sigmoid(x) * torch.sigmoid(-x)  # 1 - sigmoid(x) would round to 0


@dataclass(frozen=True)
class CrossEntropy:
    """log(1 + e^(-y f)) for labels ±1: never zero."""

    finite_range: ClassVar[bool] = False
    labels: ClassVar[bool] = True

    def __call__(self, outputs: Points, targets: Points) -> Points:
        return F.softplus(-targets * outputs)

    def d1(self, outputs: Points, targets: Points) -> Points:
        return -targets * torch.sigmoid(-targets * outputs)

    def d2(self, outputs: Points, targets: Points) -> Points:
        x = -targets * outputs
        return torch.sigmoid(x) * torch.sigmoid(-x)


@dataclass(frozen=True)
class Exponential:
    """e^(-y f)."""

    finite_range: ClassVar[bool] = False
    labels: ClassVar[bool] = True

    def __call__(self, outputs: Points, targets: Points) -> Points:
        return torch.exp(-targets * outputs)

    def d1(self, outputs: Points, targets: Points) -> Points:
        return -targets * torch.exp(-targets * outputs)

    def d2(self, outputs: Points, targets: Points) -> Points:
        return targets**2 * torch.exp(-targets * outputs)


@dataclass(frozen=True)
class MSE:
    """½ (f - y)², for targets of any value."""

    finite_range: ClassVar[bool] = False
    labels: ClassVar[bool] = False

    def __call__(self, outputs: Points, targets: Points) -> Points:
        return 0.5 * (outputs - targets) ** 2

    def d1(self, outputs: Points, targets: Points) -> Points:
        return outputs - targets

    def d2(self, outputs: Points, targets: Points) -> Points:
        return torch.ones_like(outputs - targets)


def check_targets(loss: PointwiseLoss, targets: Tensor) -> None:
    """Refuse targets that a loss cannot take: other than ±1 where it asks for labels.

    Raises:
        ValueError: with the values found.
    """
    if loss.labels:
        check_signs(targets)
