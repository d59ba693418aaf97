"""Muon: an optimiser whose steps of matrices are orthogonal."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonal_factor(
    matrices: Float[Tensor, "n rows columns"], steps: int = 5
) -> Float[Tensor, "n rows columns"]:
    """Approximate orthogonal factor of matrices: G = U S Vᵀ -> U S' Vᵀ with S' between 0.7 and 1.2.

        X ← a X + (b A + c A²) X,     A = X Xᵀ,     from X = G / |G|.

    Singular values of G below |G| / 1000 may end below 0.7. |G| is the Frobenius norm.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/, with its a, b, c.
    """
    a, b, c = _NEWTON_SCHULZ
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = matrices if wide else matrices.mT
    tiny = torch.finfo(x.dtype).tiny
    # Twice, so that squares of small entries do not underflow.
    x = x / x.abs().amax(dim=(-2, -1), keepdim=True).clamp(min=tiny)
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=tiny)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.mT


class Muon(torch.optim.Optimizer):
    """Muon optimiser: steps along the orthogonal factor of the momentum for matrices, Adam for other weights.

        m ← μ m + (1 - μ) ∇L,     W ← (1 - λ η) W - η √max(rows, columns) orthogonal_factor((1 - μ) ∇L + μ m).

    Entries of a matrix change by about the learning rate η per step, as with Adam, but all singular
    directions of its gradient have equal weight. Matrices of equal shape are treated in one call. A weight of
    more than two axes, such as one matrix for each species, is a stack of matrices in its last two axes. A
    matrix with zero gradient, such as that of a species that is not in the batch, only decays.

    torch's own Muon takes single matrices, no other weights, and computes in bfloat16.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/.

    Args:
        matrices: weights of two axes or more.
        others: all other weights.
        lr: η.
        momentum: μ.
        betas: decay rates of Adam's moments.
        weight_decay: λ, of the matrices only; the others are scales and frequencies, whose
            natural values are not 0.

    Raises:
        ValueError: one of `matrices` has fewer than two axes.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        lr: float = 0.01,
        *,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ) -> None:
        groups = [
            {"params": list(matrices), "orthogonal": True},
            {"params": list(others), "orthogonal": False},
        ]
        if flat := [tuple(p.shape) for p in groups[0]["params"] if p.ndim < 2]:
            raise ValueError(f"Muon: expected matrices of two axes or more, got shapes {flat}")
        defaults = {"lr": lr, "momentum": momentum, "betas": betas, "weight_decay": weight_decay}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step of all weights that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None and p.numel()]
            (self._orthogonal if group["orthogonal"] else self._adam)(group, weights)
        return loss

    def _orthogonal(self, group: dict[str, Any], weights: list[nn.Parameter]) -> None:
        by_shape: dict[tuple[torch.Size, torch.dtype, torch.device], list[nn.Parameter]] = {}
        for weight in weights:
            by_shape.setdefault((weight.shape[-2:], weight.dtype, weight.device), []).append(weight)
        for (shape, _, _), alike in by_shape.items():
            ahead, nonzero = [], []
            for weight in alike:
                nonzero.append(weight.grad.ne(0).any(-1).any(-1).reshape(-1))  # pyright: ignore
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])  # pyright: ignore
                ahead.append(weight.grad.lerp(state["momentum"], group["momentum"]))  # pyright: ignore
            steps = orthogonal_factor(torch.cat([g.reshape(-1, *shape) for g in ahead]))
            steps *= -group["lr"] * max(shape) ** 0.5 * torch.cat(nonzero)[:, None, None]
            for weight, step in zip(alike, steps.split([w.shape[:-2].numel() for w in alike]), strict=True):
                weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(step.view_as(weight))

    def _adam(self, group: dict[str, Any], weights: list[nn.Parameter]) -> None:
        first, second = group["betas"]
        for weight in weights:
            state = self.state[weight]
            if not state:
                state["step"] = torch.zeros((), dtype=torch.float64)
                state["mean"], state["square"] = torch.zeros_like(weight), torch.zeros_like(weight)
            state["step"] += 1
            n, grad = float(state["step"]), weight.grad
            state["mean"].lerp_(grad, 1 - first)  # pyright: ignore
            state["square"].mul_(second).addcmul_(grad, grad, value=1 - second)  # pyright: ignore
            size = state["square"].sqrt().div_((1 - second**n) ** 0.5).add_(1e-8)
            weight.addcdiv_(state["mean"], size, value=-group["lr"] / (1 - first**n))
