"""The Hessian by differentiating twice, one row after the other."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def hessian_rows(scalar: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    """∂²(scalar)/∂w∂w, every row by a second backward pass."""
    first = torch.autograd.grad(scalar, parameters, create_graph=True)
    gradient = torch.cat([g.reshape(-1) for g in first])
    rows = []
    for entry in gradient:
        row = torch.autograd.grad(
            entry, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        rows.append(torch.cat([r.reshape(-1) for r in row]))
    return torch.stack(rows)


def gradient_rows(outputs: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    """∂f_μ/∂w, every row by a backward pass."""
    rows = []
    for f in outputs:
        row = torch.autograd.grad(f, parameters, retain_graph=True)
        rows.append(torch.cat([r.reshape(-1) for r in row]))
    return torch.stack(rows)


def split_rows(
    model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor
) -> tuple[Tensor, Tensor]:
    """H0 = (1/P) Σ ℓ'' ∇f ∇f^T and Hp = (1/P) Σ ℓ' ∇²f, with ℓ' and ℓ'' by autodiff."""
    parameters = list(model.parameters())
    outputs = model(x)
    f = outputs.detach().requires_grad_()
    (d1,) = torch.autograd.grad(loss(f, y).sum(), f, create_graph=True)
    (d2,) = torch.autograd.grad(d1.sum(), f, allow_unused=True, materialize_grads=True)
    gradients = gradient_rows(outputs, parameters)
    h0 = gradients.T @ (d2[:, None] * gradients) / len(y)
    return h0, hessian_rows((d1.detach() * outputs).sum() / len(y), parameters)
