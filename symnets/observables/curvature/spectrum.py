"""Spectra of dense symmetric matrices."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symnets.observables.curvature.rounding import check_symmetric


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues in ascending order."""

    eigenvalues: Float[Tensor, "*members k"]

    @property
    def largest(self) -> Float[Tensor, "*members"]:
        """max |λ|, the spectral norm."""
        return self.eigenvalues.abs().amax(-1)

    def n_below(self, level: float) -> Int[Tensor, "*members"]:
        """Number of λ < level."""
        return (self.eigenvalues < level).sum(-1)

    def n_flat(self, width: float) -> Int[Tensor, "*members"]:
        """Number of |λ| < width: the weight of the peak at zero, flat directions of the landscape."""
        return (self.eigenvalues.abs() < width).sum(-1)


def spectrum(matrix: Float[Tensor, "*members n n"]) -> Spectrum:
    """All eigenvalues of a symmetric matrix.

    Raises:
        ValueError: not a square symmetric matrix of finite numbers.
    """
    check_symmetric(matrix)
    return Spectrum(torch.linalg.eigvalsh(matrix.detach()))
