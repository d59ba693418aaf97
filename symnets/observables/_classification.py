"""Classification error: the fraction of examples whose largest output is not that of the label."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from symnets.device import model_device
from symnets.loss import class_labels
from symnets.observables._as_found import as_found, copy_inputs
from symnets.observables._tangent_kernel._points import n_points, take_points


@dataclass(frozen=True)
class ClassificationError:
    """Fraction of misclassified examples, with its standard error."""

    error: float
    """ε, from 0 to 1."""
    n: int
    """Number of examples."""
    standard_error: float
    """√(ε (1 - ε) / n), binomial: sampling error of the examples, not of the training; 0 if ε is 0 or 1."""


@torch.no_grad()
def classification_error(
    model: nn.Module,
    images: Any,
    labels: Int[Tensor, " n"],
    *,
    batch_size: int = 500,
) -> ClassificationError:
    """Classification error: the fraction of examples whose largest output is not that of the label.

    An example with a NaN among its outputs counts as wrong; of equal largest outputs the first is the
    predicted class. The model is evaluated in eval mode, in batches on the device of its parameters, and left
    as found.

    Args:
        model: any module with outputs (n, classes).
        images: images (n, ...), or any other inputs of the model: a tensor, or a batch of n graphs.
        labels: indices of the classes, integers (n,) or (n, 1).
        batch_size: examples in a forward pass.

    Raises:
        ValueError: no example, different numbers of labels and images, outputs of another shape, or labels
            that are not classes of the model.
    """
    n = len(labels) if labels.ndim else 0
    if n == 0 or n_points(images) != n:
        raise ValueError(
            f"images, labels: expected equal numbers, at least one of each, got {n_points(images)} and {n}"
        )
    labels = class_labels(labels, n)
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
    device = model_device(model, labels.device)
    low, high = int(labels.min()), int(labels.max())
    n_wrong, labels = torch.zeros((), dtype=torch.int64, device=device), labels.to(device)
    with as_found(model):
        model.eval()
        for start in range(0, n, batch_size):
            few, expected = slice(start, start + batch_size), labels[start : start + batch_size]
            outputs = model(copy_inputs(take_points(images, few)).to(device))
            if outputs.ndim != 2 or len(outputs) != len(expected):
                raise ValueError(
                    f"model: expected outputs ({len(expected)}, classes), got {tuple(outputs.shape)}"
                )
            if low < 0 or high >= outputs.shape[1]:
                raise ValueError(
                    f"labels: expected classes 0 to {outputs.shape[1] - 1} of the model, got {low} to {high}"
                )
            # Summed on the device, so that there is no synchronisation in the loop.
            n_wrong += ((outputs.argmax(1) != expected) | outputs.isnan().any(1)).sum()
    error = int(n_wrong) / n
    return ClassificationError(error, n, math.sqrt(error * (1 - error) / n))
