"""Matrices of derivatives: small ones, one at each of many points."""

import torch
from jaxtyping import Float
from torch import Tensor


def determinant(matrix: Float[Tensor, "... d d"]) -> Float[Tensor, "..."]:
    """det, written out in two and three dimensions, where `torch.linalg.det` takes many times longer."""
    if matrix.shape[-1] == 2:
        return matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] * matrix[..., 1, 0]
    if matrix.shape[-1] == 3:
        return (torch.linalg.cross(matrix[..., 0, :], matrix[..., 1, :]) * matrix[..., 2, :]).sum(-1)
    return torch.linalg.det(matrix)


def identity_minus(gradient: Float[Tensor, "... d d"]) -> Float[Tensor, "... d d"]:
    """1 - ∂u, which is ∂h for h(x) = x - u(x)."""
    return torch.eye(gradient.shape[-1], dtype=gradient.dtype, device=gradient.device) - gradient
