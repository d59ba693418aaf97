"""Losses of force fields: weighted sums of terms, one value a structure.

Cross-entropy of classes, one value an example.

Losses of a scalar output and a label, with two derivatives; what decides whether jamming is sharp.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from symnets.data import Labels, check_signs

Term = Callable[[Any, Labels], Float[Tensor, " graphs"]]
"""(prediction with energy, forces, stress; labels) -> one number a structure."""


def weighted_sum(*terms: tuple[float, Term]) -> Term:
    """Σ weight · term, one value a structure; terms of weight zero are not computed."""
    kept = [(weight, term) for weight, term in terms if weight]
    if not kept:
        raise ValueError("weighted_sum: expected a term of positive weight, got none")

    def loss(outputs: Any, labels: Labels) -> Tensor:
        first, *rest = [weight * term(outputs, labels) for weight, term in kept]
        return sum(rest, first)

    return loss


def energy_term(huber: float | None = None) -> Term:
    """ρ((E - E*) / n_atoms): error of the energy per atom, in eV."""

    def term(outputs: Any, labels: Labels) -> Tensor:
        # Subtracted in float64: total energies may be near -10⁴ eV.
        return _rho(_error(outputs.energy, labels.energy) / labels.n_atoms, huber)

    return term


def forces_term(huber: float | None = None) -> Term:
    """Mean of ρ(F - F*) over the atoms of a structure and the three components, in eV/Å."""

    def term(outputs: Any, labels: Labels) -> Tensor:
        if labels.forces is None:
            raise ValueError("the loss weighs forces, but the data holds none; set the weight of forces to 0")
        each = _rho(_error(outputs.forces, labels.forces), huber).mean(1)
        total = each.new_zeros(labels.n_atoms.shape[0]).index_add(0, labels.owner, each)
        return total / labels.n_atoms

    return term


def stress_term(huber: float | None = None) -> Term:
    """Mean of ρ(σ - σ*) over the nine components, in eV/Å³."""

    def term(outputs: Any, labels: Labels) -> Tensor:
        if labels.stress is None:
            raise ValueError("the loss weighs stress, but the data holds none; set the weight of stress to 0")
        if outputs.stress is None:  # a batch of molecules
            if not labels.stress.isnan().all():
                raise ValueError("a structure that is not periodic has a stress label; remove it")
            return labels.stress.new_zeros(labels.stress.shape[0])
        return _rho(_error(outputs.stress, labels.stress), huber).flatten(1).mean(1)

    return term


def _error(prediction: Tensor, label: Tensor) -> Tensor:
    """Prediction minus label, zero where there is no label (NaN)."""
    return torch.where(label.isnan(), 0.0, prediction - label)


def _rho(error: Tensor, huber: float | None) -> Tensor:
    """error², or twice Huber's function: quadratic up to `huber`, linear beyond."""
    if huber is None:
        return error**2
    return 2 * torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=huber)


def cross_entropy(
    outputs: Float[Tensor, "*members n classes"], labels: Int[Tensor, " n"]
) -> Float[Tensor, "*members n"]:
    """-log p_y with p = softmax of the outputs f: log Σ_k exp(f_k) - f_y, in nats.

    Equal outputs for k classes give log k. For two classes it is `CrossEntropy` of f = f_1 - f_0.

    Args:
        outputs: logits; of an ensemble with a leading axis of members.
        labels: number of the class of each example.

    Raises:
        ValueError: labels that are no whole numbers, not one an example, or no class. On a GPU, which would
            have to be waited for, labels that are no class are left to torch's own assertion.
    """
    n_classes = outputs.shape[-1]
    if outputs.ndim < 2 or tuple(labels.shape) != (outputs.shape[-2],):
        raise ValueError(
            f"cross_entropy: expected outputs (n, classes) and labels (n,), "
            f"got {tuple(outputs.shape)} and {tuple(labels.shape)}"
        )
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(f"labels: expected numbers of classes (torch.int64), got {labels.dtype}")
    at_hand = labels.device.type == "cpu" and labels.numel() > 0
    if at_hand and not 0 <= int(labels.min()) <= int(labels.max()) < n_classes:
        raise ValueError(
            f"labels: expected 0 to {n_classes - 1} for {n_classes} outputs, "
            f"got {int(labels.min())} to {int(labels.max())}"
        )
    chosen = labels.long().expand(outputs.shape[:-1])[..., None]
    return -outputs.log_softmax(-1).gather(-1, chosen)[..., 0]


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
