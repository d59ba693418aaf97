"""Trainable weights and gradients of all members as one matrix, a row each: what integrators want."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.training.moving import Moving
from symnets.training.pointwise import PointwiseLoss

Weights = Float[Tensor, "members N"]


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """Parameters that are not frozen, in the order of `model.parameters()`."""
    return [p for p in model.parameters() if p.requires_grad]


def flat(tensors: Sequence[Tensor]) -> Weights:
    """Tensors with a member axis first, side by side."""
    return torch.cat([t.detach().reshape(len(t), -1) for t in tensors], 1)


@torch.no_grad()
def put_weights(model: nn.Module, weights: Weights) -> None:
    """Write rows of weights into the parameters, in the order of `trainable`."""
    start = 0
    for p in trainable(model):
        width = p[0].numel()
        p.copy_(weights[:, start : start + width].view_as(p))
        start += width


@dataclass(frozen=True)
class Point:
    """What is known of the loss at some weights, for each member.

    Attributes:
        loss: L = (1/n) Σ_μ ℓ(f_μ, y_μ).
        outputs: f.
        gradient: ∇L.
    """

    loss: Float[Tensor, " members"]
    outputs: Float[Tensor, "members n"]
    gradient: Weights

    @property
    def gradient_norm(self) -> Float[Tensor, " members"]:
        """|∇L|."""
        return self.gradient.norm(dim=1)


def point(moving: Moving, loss: PointwiseLoss, weights: Weights | None = None) -> Point:
    """Loss and gradient of the moving members, at other weights if any are given (they stay in the model)."""
    if weights is not None:
        put_weights(moving.model, weights)
    outputs = moving.model(moving.inputs)
    value = loss(outputs, moving.targets).mean(-1)
    gradient = torch.autograd.grad(value.sum(), trainable(moving.model))
    return Point(value.detach(), outputs.detach(), flat(gradient))
