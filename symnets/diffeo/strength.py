"""Strength: numbers that say how strong deformations are."""

import torch
from jaxtyping import Float64
from torch import Tensor


def not_negative(given: float | Tensor, n: int, name: str) -> Float64[Tensor, " n"]:
    """One number for each of n fields, or one for all, on the CPU.

    Raises:
        ValueError: a negative or infinite number, or as many as do not fit.
    """
    values = torch.as_tensor(given, dtype=torch.float64).cpu()
    if values.ndim > 1 or values.numel() not in (1, n):
        raise ValueError(f"{name}: expected one number, or {n}, got shape {tuple(values.shape)}")
    if not bool(((values >= 0) & values.isfinite()).all()):
        raise ValueError(f"{name}: expected numbers >= 0, got {given}")
    return values.expand(n)
