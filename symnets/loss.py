"""Loss of a batch: the mean over its examples, for losses of symnets, of torch, or a function."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss as TorchLoss

from symnets.data import check_binary_labels

Loss = Callable[[Any, Any], Float[Tensor, "*n"]]
"""(outputs, targets) -> one value per example, of shape (n,), or their mean, of shape ().

`nn.CrossEntropyLoss()`, `nn.MSELoss()` and other losses of torch are losses, reduced or not. For a model with
members the values are (members, n).
"""


def mean_loss(
    loss: Loss, outputs: Any, targets: Any, *, members: int | None = None
) -> Float[Tensor, "*members"]:
    """Mean loss L = (1/n) Σ_μ ℓ(f_μ, y_μ) of a single net or of each member of an ensemble.

    A single number returned by the loss is taken to be this mean. A loss of torch is applied to one member at
    a time; outputs and targets (n, 1) are read as (n,).

    Args:
        loss: see `Loss`.
        outputs: outputs f of the model; those of an ensemble have a leading axis of members.
        targets: targets y of the examples.
        members: size of the ensemble; None for a single net.

    Raises:
        ValueError: the loss is a sum over examples (reduction="sum"), its values have another shape, or it
            does not take the targets.

    Example:
        >>> f, y = torch.tensor([1.0, 3.0]), torch.zeros(2)
        >>> mean_loss(torch.nn.MSELoss(), f, y) == mean_loss(torch.nn.MSELoss(reduction="none"), f, y)
        tensor(True)
    """
    check_loss(loss)
    # Functions take outputs as the model returns them, and classification losses need the axis of classes.
    if hasattr(loss, "labels") or (isinstance(loss, TorchLoss) and not isinstance(loss, _CLASS_LOSSES)):
        outputs, targets = matched(outputs, targets, members=members)
    tensors = isinstance(outputs, Tensor) and isinstance(targets, Tensor)
    if tensors and targets.device.type == "cpu":  # reading values from a GPU would wait for it
        _check_labels(loss, targets)
    if isinstance(loss, TorchLoss):
        if loss.reduction == "sum":
            raise ValueError(
                f"loss: expected {type(loss).__name__} with reduction='mean' or 'none', got 'sum'; "
                "symnets takes the mean over examples"
            )
        if members is not None:
            own = tensors and targets.ndim > 1 and targets.shape == outputs.shape
            each = targets if own else [targets] * members
            return torch.stack([mean_loss(loss, *pair) for pair in zip(outputs, each, strict=True)])
        if tensors:
            targets = _torch_targets(loss, outputs, targets)
        return loss(outputs, targets).mean()
    values = loss(outputs, targets)
    if values.ndim == 0 and members is None:
        return values
    if values.ndim != (1 if members is None else 2):
        expected = "(n,)" if members is None else f"({members}, n)"
        raise ValueError(
            f"loss: expected one value per example, {expected}, got shape {tuple(values.shape)}; use "
            "reduction='none', and take the members of an ensemble one by one"
        )
    return values.mean(-1)


def matched(outputs: Any, targets: Any, *, members: int | None = None) -> tuple[Any, Any]:
    """Outputs and targets of shape (n,) or (members, n): a last axis of one entry is dropped from both.

    Without this, torch would broadcast outputs (n,) and targets (n, 1) to all n² pairs. If a model has
    several outputs per example, outputs and targets are returned unchanged.
    """
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor) or outputs.ndim == 0:
        return outputs, targets
    n_axes = 1 if members is None else 2
    f, y = outputs, targets
    if f.ndim == n_axes + 1 and f.shape[-1] == 1:
        f = f[..., 0]
    n = f.shape[-1]
    if y.ndim > 1 and y.shape[-2:] == (n, 1) and y.shape != f.shape:
        y = y[..., 0]
    return (f, y) if f.ndim == n_axes and y.shape in (f.shape, (n,)) else (outputs, targets)


def class_labels(labels: Tensor, n: int) -> Int[Tensor, " n"]:
    """Class indices of n examples, from integers of any dtype and of shape (n,) or (n, 1).

    Raises:
        ValueError: the number of labels is not n, or they are not integers.
    """
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(
            f"labels: expected class indices (torch.int64), got {labels.dtype}; use labels.long()"
        )
    if tuple(labels.shape) not in ((n,), (n, 1)):
        raise ValueError(f"labels: expected one class index per example, ({n},), got {tuple(labels.shape)}")
    return labels.reshape(n).long()


_CLASS_LOSSES = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)
_SIGN_LOSSES = (nn.SoftMarginLoss, nn.HingeEmbeddingLoss)
_PROBABILITY_LOSSES = (nn.BCELoss, nn.BCEWithLogitsLoss)


def check_loss(loss: Any) -> None:
    """Check that a loss is a function of outputs and targets.

    Raises:
        ValueError: it is a class, is not callable, or is a loss of torch that takes other arguments.
    """
    if isinstance(loss, type):
        raise ValueError(f"loss: expected a loss, got the class {loss.__name__}; call it: {loss.__name__}()")
    if not callable(loss):
        raise ValueError(f"loss: expected a function of (outputs, targets), got {loss!r}")
    if isinstance(loss, TorchLoss) and len(names := _arguments_of(type(loss))) > 2:
        raise ValueError(
            f"loss: expected a function of (outputs, targets), got {type(loss).__name__}, which takes "
            f"{', '.join(names)}; wrap it in a function"
        )


@lru_cache
def _arguments_of(cls: type[nn.Module]) -> list[str]:
    """Names of the arguments of `forward` that have no default, without self."""
    _, *arguments = inspect.signature(cls.forward).parameters.values()
    return [a.name for a in arguments if a.default is a.empty and a.kind is a.POSITIONAL_OR_KEYWORD]


def _check_labels(loss: Any, targets: Tensor) -> None:
    """Check targets: ±1 for losses of binary labels, and from 0 to 1 for losses of probabilities."""
    if getattr(loss, "labels", False) or isinstance(loss, _SIGN_LOSSES):
        check_binary_labels(targets)
    if isinstance(loss, _PROBABILITY_LOSSES) and bool(((targets < 0) | (targets > 1)).any()):
        raise ValueError(
            f"labels: expected numbers from 0 to 1 for {type(loss).__name__}, got {float(targets.min()):g} "
            f"to {float(targets.max()):g}; convert labels +1 and -1 with (labels + 1) / 2"
        )


def _torch_targets(loss: TorchLoss, outputs: Tensor, targets: Tensor) -> Tensor:
    """Targets in the shape and dtype that a loss of torch takes.

    Raises:
        ValueError: torch would broadcast the shapes, or the targets are not class indices.
    """
    if isinstance(loss, _CLASS_LOSSES):
        if outputs.ndim < 2:
            raise ValueError(
                f"loss: expected outputs (n, classes) for {type(loss).__name__}, got {tuple(outputs.shape)}"
            )
        as_indices = outputs.ndim == 2 and (targets.shape != outputs.shape or outputs.shape[1] == 1)
        return class_labels(targets, len(outputs)) if as_indices else targets
    if isinstance(loss, nn.MultiLabelMarginLoss):  # indices, padded with -1
        return targets
    if targets.shape != outputs.shape:
        raise ValueError(
            f"loss: expected targets of the shape of the outputs, {tuple(outputs.shape)}, got "
            f"{tuple(targets.shape)}"
        )
    return targets.to(outputs.dtype) if outputs.is_floating_point() and not targets.is_complex() else targets


def derivatives_of(loss: Any) -> tuple[Any, Any] | None:
    """Derivatives d1 and d2 of a pointwise loss in closed form; None if it has none.

    The derivatives of a base class are not used for a subclass that defines its own `__call__`.
    """
    owners = [getattr(loss, "__dict__", {}), *map(vars, type(loss).__mro__)]

    def depth(name: str) -> int:
        return next((k for k, names in enumerate(owners) if name in names), len(owners))

    return (loss.d1, loss.d2) if max(depth("d1"), depth("d2")) <= depth("__call__") else None
