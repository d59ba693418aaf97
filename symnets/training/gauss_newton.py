"""Damped Gauss-Newton steps of dense nets, from Jacobians in closed form."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.models.dense import Dense
from symnets.models.signals import Signals, signals
from symnets.training.flow_weights import Point, Weights
from symnets.training.pointwise import PointwiseLoss

Each = Float[Tensor, " members"]
LARGEST_JACOBIAN = 2**26  # numbers held at once: half a gigabyte in float64


@dataclass(frozen=True)
class Step:
    """A Gauss-Newton step that may be taken or not.

    Attributes:
        change: of the weights.
        promised: by how much the loss falls according to the quadratic model.
        damping: λ.
        diagonal: mean of the diagonal of JᵀJ, the size λ is to be compared with.
    """

    change: Weights
    promised: Each
    damping: Each
    diagonal: Each


@torch.no_grad()
def damped_step(
    model: Dense,
    x: Float[Tensor, "*members n d_in"],
    targets: Float[Tensor, "*members n"],
    loss: PointwiseLoss,
    at: Point,
    damping: Each,
    first_damping: float,
) -> Step:
    """δ = -(JᵀJ + λ)⁻¹ Jᵀr = -Jᵀ(JJᵀ + λ)⁻¹ r, whichever system is smaller, by Cholesky.

    Members with fewer active patterns than others get rows of zeros, which change nothing.

    Args:
        model: with members.
        x: inputs.
        targets: labels.
        loss: convex, with ℓ'' > 0 wherever ℓ' is not 0.
        at: outputs at the weights of the model.
        damping: λ of each member; where NaN, `first_damping` times the mean diagonal of JᵀJ.
        first_damping: see there.

    Raises:
        ValueError: the loss has a slope where it has no curvature.
    """
    slope, bend = loss.d1(at.outputs, targets), loss.d2(at.outputs, targets)
    # Both questions with one transfer: the second decides how large the system is.
    unbent, n_active = ((slope != 0) & (bend <= 0)).any(), (bend > 0).sum(1).max()
    refused, columns = torch.stack([unbent.long(), n_active]).tolist()
    if refused:
        raise ValueError(
            f"loss: {type(loss).__name__} has a slope where its second derivative is not positive; "
            "Gauss-Newton steps need a convex loss such as QuadraticHinge or MSE"
        )
    order = bend.argsort(dim=1, descending=True, stable=True)
    order = order[:, : max(1, columns)]  # active patterns of each member come first
    root = bend.gather(1, order).sqrt()
    residual = (slope.gather(1, order) / root).where(root > 0, 0.0)
    passed = signals(model, x)
    n, parts = at.outputs.shape[1], []
    chunk = max(1, LARGEST_JACOBIAN // (order.shape[1] * at.gradient.shape[1]))
    for rows in torch.arange(len(order), device=order.device).split(chunk):
        jacobian = (
            _jacobian(passed, rows, order[rows], biases=bool(len(model.biases))) * root[rows][..., None]
        )
        parts.append(_solve(jacobian, residual[rows], damping.to(root)[rows], first_damping, n))
    change, promised, used, diagonal = (torch.cat(column) for column in zip(*parts, strict=True))
    return Step(change, promised, used.double(), diagonal.double())


def _jacobian(passed: Signals, rows: Tensor, order: Tensor, *, biases: bool) -> Tensor:
    """∂f_μ/∂w of some members at patterns of their own, (members, patterns, N), w as the model has it."""

    def taken(features: Tensor) -> Tensor:  # (S, units, n), or (units, n) where all see the same
        mine = features.expand(len(rows), -1, -1) if features.ndim == 2 else features[rows]
        return mine.gather(2, order[:, None].expand(-1, mine.shape[1], -1)).transpose(1, 2)

    signal = [taken(d) for d in passed.signals]
    pairs = zip(passed.scales, signal, map(taken, passed.activations), strict=True)
    blocks = [(s * d[..., :, None] * a[..., None, :]).flatten(2) for s, d, a in pairs]
    return torch.cat([*blocks, *(signal if biases else [])], 2)


def _solve(
    jacobian: Tensor, residual: Tensor, damping: Tensor, first_damping: float, n: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Step, promised fall of the loss, λ used and mean diagonal."""
    diagonal = jacobian.square().sum((1, 2)) / jacobian.shape[2]
    used = damping.where(~damping.isnan(), first_damping * diagonal)
    wide = jacobian.shape[1] < jacobian.shape[2]
    gram = jacobian @ jacobian.mT if wide else jacobian.mT @ jacobian
    # A net without any slope must not stop the others.
    ridge = used.clamp_min(torch.finfo(used.dtype).tiny) + torch.finfo(used.dtype).eps * diagonal
    gram.diagonal(dim1=1, dim2=2).add_(ridge[:, None])
    right = residual[..., None] if wide else jacobian.mT @ residual[..., None]
    factor, failed = torch.linalg.cholesky_ex(gram)
    solution = torch.cholesky_solve(right, factor)
    change = -(jacobian.mT @ solution if wide else solution)
    change = change.where(failed[:, None, None] == 0, torch.nan)  # not taken; the next λ is larger
    after = residual[..., None] + jacobian @ change
    promised = (residual.square().sum(1) - after.square().sum((1, 2))) / (2 * n)
    return change[..., 0], promised, used, diagonal
