"""Batches for curvature: one batch or several, and the derivatives of their losses in the output."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.data import Batch, Labels
from symnets.loss import Loss, mean_loss

Batches = Batch | tuple[Any, Any] | Iterable[Batch | tuple[Any, Any]]
"""A pair (inputs, targets), or an iterable of pairs such as a `Loader`."""


def list_batches(batch: Batches) -> list[Batch]:
    """The batches, read once.

    Raises:
        ValueError: there is no batch, or one is not a pair.
    """
    if isinstance(batch, Batch):
        return [batch]
    if isinstance(batch, tuple) and len(batch) == 2 and not isinstance(batch[0], tuple):
        return [Batch(*batch)]
    pairs: list[Any] = list(batch)
    if not pairs:
        raise ValueError("batch: expected at least one batch, got none")
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(
                f"batch: expected (inputs, targets) or an iterable of such pairs, got a {type(pair).__name__}"
            )
    return [Batch(*pair) for pair in pairs]


def n_examples(batch: Batch) -> int:
    """Number of examples of a batch, from its targets."""
    return len(batch.targets.energy if isinstance(batch.targets, Labels) else batch.targets)


def joined(batches: list[Batch]) -> Batch:
    """Batches of tensors as one; a leading axis of members, inputs (S, n, ...), is not joined.

    Raises:
        ValueError: several batches that are not tensors.
    """
    if len(batches) == 1:
        return batches[0]
    if not all(isinstance(part, Tensor) for batch in batches for part in batch):
        raise ValueError("batch: expected tensors in each of several batches; use HessianOperator for graphs")
    return Batch(torch.cat([b.inputs for b in batches]), torch.cat([b.targets for b in batches]))


def loss_derivatives(
    loss: Loss, outputs: Float[Tensor, " n"], targets: Float[Tensor, " n"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """ℓ' and ℓ'' of each pattern, for one output a pattern: in closed form if the loss has `d1` and `d2`.

    Otherwise they are the derivatives of n L, with L the mean over the patterns.

    Raises:
        ValueError: the loss is neither per example nor a mean, or it couples patterns.
    """
    d1, d2 = getattr(loss, "d1", None), getattr(loss, "d2", None)
    if d1 is not None and d2 is not None:
        return d1(outputs, targets), d2(outputs, targets)
    with torch.enable_grad():
        f = outputs.detach().requires_grad_()
        value = len(f) * mean_loss(loss, f, targets)
        (first,) = torch.autograd.grad(value, f, create_graph=True)
        second = torch.zeros_like(f)
        if first.requires_grad:  # not where ℓ' is piecewise constant
            # ∂²/∂f∂f is diagonal, so that its product with any signs gives the diagonal.
            signs = torch.ones_like(f)
            signs[::2] = -1
            (second,) = torch.autograd.grad(
                first.sum(), f, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            (mixed,) = torch.autograd.grad(first, f, signs, allow_unused=True, materialize_grads=True)
            if not torch.allclose(mixed, signs * second, rtol=1e-4, atol=0, equal_nan=True):
                raise ValueError("loss: expected a sum over patterns, got a loss that couples them")
    return first.detach(), second
