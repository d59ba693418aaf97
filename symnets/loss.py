"""Loss of a batch: the mean over its examples, for losses of symnets, of torch, or a function."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.modules.loss import _Loss as TorchLoss

Loss = Callable[[Any, Any], Float[Tensor, "*n"]]
"""(outputs, targets) -> one value an example, (n,), or their mean, ().

`nn.CrossEntropyLoss()`, `nn.MSELoss()` and other losses of torch are losses, reduced or not. For a model with
members the values are (members, n).
"""


def mean_loss(
    loss: Loss, outputs: Any, targets: Any, *, members: int | None = None
) -> Float[Tensor, "*members"]:
    """L = (1/n) Σ_μ ℓ(f_μ, y_μ), of a single net or of each member of an ensemble.

    A loss that returns a single number is taken for this mean. A loss of torch is applied to one member at a
    time; outputs (n, 1) are read as (n,) where the targets are (n,).

    Args:
        loss: see `Loss`.
        outputs: of the model; of an ensemble with a leading axis of members.
        targets: of the examples.
        members: size of the ensemble; None for a single net.

    Raises:
        ValueError: the loss is a sum over examples (reduction="sum"), or its values have another shape.

    Example:
        >>> f, y = torch.tensor([1.0, 3.0]), torch.zeros(2)
        >>> mean_loss(torch.nn.MSELoss(), f, y) == mean_loss(torch.nn.MSELoss(reduction="none"), f, y)
        tensor(True)
    """
    if isinstance(loss, TorchLoss):
        if loss.reduction == "sum":
            raise ValueError(
                f"loss: expected {type(loss).__name__} with reduction='mean' or 'none', got 'sum'; "
                "symnets takes the mean over examples"
            )
        if members is not None:
            return torch.stack([mean_loss(loss, one, targets) for one in outputs])
        if (
            isinstance(outputs, Tensor)
            and isinstance(targets, Tensor)
            and outputs.shape == (*targets.shape, 1)
        ):
            outputs = outputs[..., 0]
        return loss(outputs, targets).mean()
    values = loss(outputs, targets)
    if values.ndim == 0 and members is None:
        return values
    if values.ndim != (1 if members is None else 2):
        expected = "(n,)" if members is None else f"({members}, n)"
        raise ValueError(
            f"loss: expected one value an example, {expected}, got shape {tuple(values.shape)}; use "
            "reduction='none', and take the members of an ensemble one by one"
        )
    return values.mean(-1)
