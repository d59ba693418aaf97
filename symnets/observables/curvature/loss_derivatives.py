"""Derivatives of a per-example loss in the output: closed form where the loss has it, else autodiff."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Loss = Callable[[Any, Any], Tensor]
"""(outputs, targets) -> (n,), not reduced. Methods `d1` and `d2` of the same arguments are used if
it has them, as all of `symnets.training.pointwise` do."""


def loss_derivatives(
    loss: Loss, outputs: Float[Tensor, " n"], targets: Float[Tensor, " n"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """ℓ' and ℓ'' of each pattern, for outputs of one number a pattern.

    Raises:
        ValueError: the loss is reduced.
    """
    d1, d2 = getattr(loss, "d1", None), getattr(loss, "d2", None)
    if d1 is not None and d2 is not None:
        return d1(outputs, targets), d2(outputs, targets)
    with torch.enable_grad():
        f = outputs.detach().requires_grad_()
        values = per_example(loss, f, targets)
        (first,) = torch.autograd.grad(values.sum(), f, create_graph=True)
        second = torch.zeros_like(f)
        if first.requires_grad:  # not so where ℓ' is piecewise constant
            (second,) = torch.autograd.grad(first.sum(), f, allow_unused=True, materialize_grads=True)
    return first.detach(), second


def per_example(loss: Loss, outputs: Any, targets: Any) -> Float[Tensor, " n"]:
    """ℓ of each example.

    Raises:
        ValueError: the loss returns another number of axes.
    """
    values = loss(outputs, targets)
    if values.ndim != 1:
        raise ValueError(
            f"loss: expected one value an example, (n,), got shape {tuple(values.shape)}; use "
            "reduction='none', and take the members of an ensemble one by one"
        )
    return values
