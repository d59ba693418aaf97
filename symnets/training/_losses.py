"""Losses for classification and regression: cross-entropy, and pointwise losses of a scalar output."""

import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.data import check_binary_labels
from symnets.loss import Loss, TorchLoss, check_loss, class_labels, derivatives_of


def cross_entropy(
    outputs: Float[Tensor, "*members n classes"], labels: Int[Tensor, " n"]
) -> Float[Tensor, "*members n"]:
    """Cross-entropy of each example, -log softmax(f)_y = log Σ_k exp(f_k) - f_y, in nats.

    Equal outputs for k classes give log k. For two classes it is `CrossEntropy` of f = f_1 - f_0.

    Args:
        outputs: logits f; those of an ensemble have a leading axis of members.
        labels: class index y of each example, integers (n,) or (n, 1).

    Raises:
        ValueError: the labels are not integers, there is not one for each example, or one is not the index of
            a class. On a GPU the last is left to torch's own assertion, since the check would wait for the
            device.
    """
    n_classes = outputs.shape[-1]
    if outputs.ndim < 2:
        raise ValueError(
            f"cross_entropy: expected outputs (n, classes) and labels (n,), "
            f"got {tuple(outputs.shape)} and {tuple(labels.shape)}"
        )
    labels = class_labels(labels, outputs.shape[-2])
    on_cpu = labels.device.type == "cpu" and labels.numel() > 0
    if on_cpu and not 0 <= int(labels.min()) <= int(labels.max()) < n_classes:
        raise ValueError(
            f"labels: expected 0 to {n_classes - 1} for {n_classes} outputs, "
            f"got {int(labels.min())} to {int(labels.max())}"
        )
    chosen = labels.expand(outputs.shape[:-1])[..., None]
    return -outputs.log_softmax(-1).gather(-1, chosen)[..., 0]


Points = Float[Tensor, "*members n"]


class PointwiseLoss(Protocol):
    """Loss ℓ(f, y) of a scalar output, with its first and second derivative in f."""

    finite_range: ClassVar[bool]
    """Whether ℓ = 0 wherever f y exceeds a margin; SAT and UNSAT are then sharply distinct."""
    labels: ClassVar[bool]
    """Whether targets are labels ±1, satisfied beyond a margin; otherwise targets are any numbers."""

    def __call__(self, outputs: Points, targets: Points) -> Points:
        """Loss ℓ(f, y) of each pattern."""
        ...

    def d1(self, outputs: Points, targets: Points) -> Points:
        """First derivative ∂ℓ/∂f of the loss of each pattern."""
        ...

    def d2(self, outputs: Points, targets: Points) -> Points:
        """Second derivative ∂²ℓ/∂f² of the loss of each pattern."""
        ...


@dataclass(frozen=True)
class QuadraticHinge:
    """Quadratic hinge loss ½ max(0, Δ)², Δ = margin - y f, of labels ±1 (arXiv:1809.09349)."""

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
    """Hinge loss max(0, Δ), Δ = margin - y f, of labels ±1."""

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
    """Smooth hinge loss log(1 + e^(β Δ)) / β, Δ = margin - y f, of labels ±1; β → ∞ is the hinge."""

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
    """Binary cross-entropy log(1 + e^(-y f)) of labels ±1, never zero (torch's `SoftMarginLoss`)."""

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
    """Exponential loss e^(-y f) of labels ±1."""

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
    """Squared error ½ (f - y)², for targets of any value (half of torch's `MSELoss`)."""

    finite_range: ClassVar[bool] = False
    labels: ClassVar[bool] = False

    def __call__(self, outputs: Points, targets: Points) -> Points:
        return 0.5 * (outputs - targets) ** 2

    def d1(self, outputs: Points, targets: Points) -> Points:
        return outputs - targets

    def d2(self, outputs: Points, targets: Points) -> Points:
        return torch.ones_like(outputs - targets)


_TORCH_LABELS = {
    nn.MSELoss: False,
    nn.L1Loss: False,
    nn.SmoothL1Loss: False,
    nn.HuberLoss: False,
    nn.SoftMarginLoss: True,
}
"""Pointwise losses of torch, and whether their targets are labels ±1."""


@dataclass(frozen=True)
class ByAutodiff:
    """Pointwise loss, such as `nn.MSELoss()`, with derivatives by autodiff."""

    loss: Any
    labels: bool
    finite_range: bool = False

    def __call__(self, outputs: Points, targets: Points) -> Points:
        return self.loss(outputs, targets.expand_as(outputs))

    def d1(self, outputs: Points, targets: Points) -> Points:
        return self._derivatives(outputs, targets)[0]

    def d2(self, outputs: Points, targets: Points) -> Points:
        return self._derivatives(outputs, targets)[1]

    @torch.enable_grad()
    def _derivatives(self, outputs: Points, targets: Points) -> tuple[Points, Points]:
        f = outputs.detach().requires_grad_()
        (d1,) = torch.autograd.grad(self(f, targets).sum(), f, create_graph=True)
        if not d1.requires_grad:  # piecewise linear
            return d1, torch.zeros_like(f)
        (d2,) = torch.autograd.grad(d1.sum(), f, allow_unused=True, materialize_grads=True)
        return d1.detach(), d2


def pointwise(loss: PointwiseLoss | Loss, targets: Tensor) -> PointwiseLoss:
    """Pointwise loss with derivatives `d1` and `d2`; checks the loss and the targets.

    Losses of torch, and subclasses of a loss with a `__call__` of their own, are differentiated by autodiff.

    Dynamics take the mean over the patterns themselves, so a loss with reduction="mean" is evaluated at each
    pattern.

    Raises:
        ValueError: the loss is not a function of one output and its target, its reduction is "sum", or it
            takes labels ±1 and the targets are others.
    """
    check_loss(loss)
    if isinstance(loss, TorchLoss):
        if type(loss) not in _TORCH_LABELS:
            raise ValueError(
                f"loss: expected a loss of one output per pattern, got {type(loss).__name__}; for two "
                "classes use symnets.training.CrossEntropy() with labels ±1; for more classes train with "
                "descend"
            )
        if loss.reduction == "sum":
            raise ValueError("loss: expected reduction='mean' or 'none', got 'sum'; symnets takes the mean")
        each = copy.copy(loss)
        each.reduction = "none"
        loss = ByAutodiff(each, _TORCH_LABELS[type(loss)])
    elif derivatives_of(loss) is None and hasattr(loss, "labels") and hasattr(loss, "d1"):
        # A subclass with another value, for which the derivatives of its base class do not hold.
        loss = ByAutodiff(loss, loss.labels, getattr(loss, "finite_range", False))  # pyright: ignore
    missing = [name for name in ("d1", "d2", "labels") if not hasattr(loss, name)]
    if missing:
        raise ValueError(
            f"loss: expected a pointwise loss such as QuadraticHinge() or nn.MSELoss(), got "
            f"{name_of(loss)} without {', '.join(missing)}"
        )
    checked: Any = loss
    if checked.labels:
        check_binary_labels(targets)
    return checked


def name_of(loss: Any) -> str:
    """Name of a loss for error messages."""
    loss = getattr(loss, "loss", loss)
    return getattr(loss, "__name__", type(loss).__name__)
