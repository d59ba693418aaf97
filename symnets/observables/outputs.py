"""Outputs of a net with one output, next to the targets they answer."""

from jaxtyping import Float
from torch import Tensor

from symnets.data.tasks import check_signs as check_signs


def scalar_outputs(outputs: Tensor, targets: Tensor) -> Float[Tensor, "*members n"]:
    """Outputs of shape (n,), (n, 1), (S, n) or (S, n, 1), without the last axis of one.

    Raises:
        ValueError: there are several outputs a pattern, or not as many patterns as targets.
    """
    n = targets.shape[-1] if targets.ndim else -1
    shape = tuple(outputs.shape)
    if outputs.ndim > 1 and shape[-1] == 1 and shape[-2] == n:
        outputs = outputs[..., 0]
    fits = outputs.ndim in (1, 2) and outputs.shape[-1] == n
    if not fits or (targets.ndim == 2 and targets.shape != outputs.shape) or targets.ndim > 2:
        raise ValueError(
            f"outputs: expected one number a pattern, (n,), (n, 1) or (members, n) with n={n} as in the "
            f"targets of shape {tuple(targets.shape)}, got {shape}"
        )
    return outputs
