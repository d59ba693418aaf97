"""How small an eigenvalue must be to be taken for zero."""

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.observables.curvature.symmetric import strips


def rounding(matrix: Float[Tensor, "*members n n"]) -> Float[Tensor, "*members"]:
    """n ε |H|_F, with ε of the dtype: a bound on what rounding does to eigenvalues, in float64."""
    scale = torch.linalg.matrix_norm(matrix).double().cpu()
    return matrix.shape[-1] * torch.finfo(matrix.dtype).eps * scale


def check_symmetric(matrix: Tensor) -> None:
    """Refuse what has no real spectrum.

    Raises:
        ValueError: not square, not finite, or not symmetric to √ε |H|_F.
    """
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] or matrix.shape[-1] == 0:
        raise ValueError(f"matrix: expected shape (..., n, n), got {tuple(matrix.shape)}")
    if not bool(torch.isfinite(matrix).all()):
        raise ValueError("matrix: expected finite numbers, got NaN or infinity; has the training diverged?")
    worst = max(
        float((matrix[..., rows, :] - matrix[..., rows].mT).abs().amax()) for rows in strips(matrix.shape[-1])
    )
    if worst > torch.finfo(matrix.dtype).eps ** 0.5 * float(torch.linalg.matrix_norm(matrix).amax()):
        raise ValueError(f"matrix: expected a symmetric one, entries differ from their mirror by {worst:.3g}")
