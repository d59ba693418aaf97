"""Batches for curvature: one or several, and derivatives of their losses with respect to the outputs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils._pytree import tree_map

from symnets.data import Batch, Labels, check_binary_labels
from symnets.loss import Loss, derivatives_of, matched, mean_loss

Batches = Batch | tuple[Any, Any] | Iterable[Batch | tuple[Any, Any]]
"""A pair (inputs, targets), or an iterable of pairs such as a `Loader`."""


def list_batches(batch: Batches) -> list[Batch]:
    """List of batches from a pair or an iterable of pairs, which is read once.

    Raises:
        ValueError: there is no batch, or one is not a pair.
    """
    pairs: Any = batch
    if isinstance(pairs, Batch) or _is_pair(pairs):
        pairs = [pairs]
    elif isinstance(pairs, Mapping | Tensor) or not isinstance(pairs, Iterable):
        pairs = [Batch.of(pairs)]  # raises the error
    batches = [tree_map(_differentiable, Batch.of(pair)) for pair in pairs]
    if not batches:
        raise ValueError("batch: expected at least one batch, got none")
    for one in batches:
        if n_examples(one) == 0:
            raise ValueError("batch: expected at least one example, got an empty batch")
    return batches


def _differentiable(part: Any) -> Any:
    """The part, or its copy if it is a tensor made in inference mode, which autograd cannot save."""
    return part.clone() if isinstance(part, Tensor) and part.is_inference() else part


def _is_pair(batch: Any) -> bool:
    """Whether this is one pair (inputs, targets), not a sequence of two pairs."""
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        return False
    return not any(isinstance(part, tuple | list) and not isinstance(part, Labels) for part in batch)


def n_examples(batch: Batch) -> int:
    """Number of examples of a batch, from its targets."""
    targets = batch.targets.energy if isinstance(batch.targets, Labels) else batch.targets
    if not hasattr(targets, "__len__") or getattr(targets, "ndim", 1) == 0:
        raise ValueError(f"batch: expected targets with an axis of examples, got {type(targets).__name__}")
    return len(targets)


def joined(batches: list[Batch]) -> Batch:
    """Batches of tensors as one batch, joined along the first axis, which must be that of the examples.

    Raises:
        ValueError: several batches that are not tensors.
    """
    if len(batches) == 1:
        return batches[0]
    if not all(isinstance(part, Tensor) for batch in batches for part in batch):
        raise ValueError("batch: expected tensors in each of several batches; use HessianOperator for graphs")
    return Batch(torch.cat([b.inputs for b in batches]), torch.cat([b.targets for b in batches]))


def check_other_dependence(value: Tensor, parameters: Sequence[Tensor]) -> None:
    """Check that a loss depends on the parameters through the outputs alone.

    Args:
        value: the loss of outputs that are detached from these parameters.
        parameters: parameters of the model.

    Raises:
        ValueError: the loss still depends on them, as by weight decay, which H0 and Hp do not contain.
    """
    if not value.requires_grad or not parameters:
        return
    gradients = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    if any(gradient is not None for gradient in gradients):
        raise ValueError(
            "loss: expected a function of outputs and targets, but it depends on the parameters themselves "
            "(weight decay?); leave that term out and add its own Hessian: 2 λ times the identity for λ |w|²"
        )


def loss_derivatives(
    loss: Loss, outputs: Float[Tensor, " n"], targets: Float[Tensor, " n"], parameters: Sequence[Tensor] = ()
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """First and second derivatives ℓ' and ℓ'' of the loss of each pattern, whose output is one number.

    They are those that the loss has as `d1` and `d2`, and otherwise the derivatives of n L, with L the mean
    over the patterns.

    Args:
        loss: per example or a mean.
        outputs: f.
        targets: y.
        parameters: parameters of the model, on which the loss may depend through the outputs alone.

    Raises:
        ValueError: the loss is neither per example nor a mean, or it couples patterns.
    """
    outputs, targets = matched(outputs, targets)
    if closed := derivatives_of(loss):
        if getattr(loss, "labels", False):
            check_binary_labels(targets)
        d1, d2 = closed
        return d1(outputs, targets), d2(outputs, targets)
    with torch.enable_grad():
        f = outputs.detach().requires_grad_()
        value = len(f) * mean_loss(loss, f, targets)
        check_other_dependence(value, parameters)
        (first,) = torch.autograd.grad(value, f, create_graph=True)
        second = torch.zeros_like(f)
        if first.requires_grad:  # not where ℓ' is piecewise constant
            # If ∂²/∂f∂f is diagonal, its product with a vector of signs is the diagonal times the signs.
            signs = torch.ones_like(f)
            signs[::2] = -1
            (second,) = torch.autograd.grad(
                first.sum(), f, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            (mixed,) = torch.autograd.grad(first, f, signs, allow_unused=True, materialize_grads=True)
            if not torch.allclose(mixed, signs * second, rtol=1e-4, atol=0, equal_nan=True):
                raise ValueError("loss: expected a sum over patterns, got a loss that couples them")
    return first.detach(), second
