"""Classification error: how many examples a net puts into the wrong class."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Int, Shaped
from torch import Tensor, nn

from symnets.observables._as_found import as_found


@dataclass(frozen=True)
class ClassificationError:
    """Fraction of examples in the wrong class."""

    error: float
    """ε, from 0 to 1."""
    n: int
    """Number of examples."""
    standard_error: float
    """√(ε (1 - ε) / n), binomial: of the examples as a sample, not of the training. 0 if ε is 0 or 1."""


@torch.no_grad()
def classification_error(
    model: nn.Module,
    images: Shaped[Tensor, "n *shape"],
    labels: Int[Tensor, " n"],
    *,
    batch_size: int = 500,
) -> ClassificationError:
    """Error of the class of the largest output.

    An example with an output that is no number counts as wrong; among equal largest outputs the first
    counts. The model is evaluated in eval mode, a batch at a time on the device of its parameters, and
    left as found.

    Args:
        model: any module with outputs (n, classes).
        images: or any other inputs of the model.
        labels: numbers of the classes.
        batch_size: examples a call of the model.

    Raises:
        ValueError: no example, not as many labels as images, outputs of another shape, or labels that
            are no class of the model.
    """
    n = len(labels)
    if n == 0 or len(images) != n:
        raise ValueError(f"images, labels: expected as many of both, got {len(images)} and {n}")
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
    device = next((parameter.device for parameter in model.parameters()), images.device)
    low, high = int(labels.min()), int(labels.max())
    wrong, answers = torch.zeros((), dtype=torch.int64, device=device), labels.to(device)
    with as_found(model):
        model.eval()
        for part, answer in zip(images.split(batch_size), answers.split(batch_size), strict=True):
            outputs = model(part.to(device))
            if outputs.ndim != 2 or len(outputs) != len(part):
                raise ValueError(
                    f"model: expected outputs ({len(part)}, classes), got {tuple(outputs.shape)}"
                )
            if low < 0 or high >= outputs.shape[1]:
                raise ValueError(
                    f"labels: the model knows classes 0 to {outputs.shape[1] - 1}, got {low} to {high}"
                )
            # Counted on the device: only the sum is waited for.
            wrong += ((outputs.argmax(1) != answer) | outputs.isnan().any(1)).sum()
    error = int(wrong) / n
    return ClassificationError(error, n, math.sqrt(error * (1 - error) / n))
