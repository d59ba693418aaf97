"""Folds: where a deformation is not one-to-one."""

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.diffeo.basis import SineBasis
from symnets.diffeo.expansion import Expansion

POINTS_PER_WAVE = 4
"""Points of the grid on which folds are sought, to the shortest half wave."""


class FoldingWarning(UserWarning):
    """Deformations are so strong that some of them are not one-to-one."""


def on_fine_grid(basis: SineBasis, coefficients: Float[Tensor, "n dim *modes"]) -> Expansion:
    """The same deformations on a grid that resolves their waves, whatever grid they came with.

    Component b of displacements scales as coordinate b does, so that ∂h and its determinant do not.
    """
    shape = tuple(POINTS_PER_WAVE * size + 1 for size in basis.sizes)
    scale = [(n - 1) / extent for n, extent in zip(shape, basis.extents, strict=True)]
    factor = coefficients.new_tensor(scale).reshape(1, -1, *[1] * len(shape))
    fine = SineBasis(tuple(n - 1.0 for n in shape), basis.sizes)
    return Expansion(fine, coefficients * factor, shape)


def folding_fraction(basis: SineBasis, coefficients: Float[Tensor, "n dim *modes"]) -> float:
    """Which part of the deformations fold."""
    return 1 - float(on_fine_grid(basis, coefficients).is_bijective().to(torch.float64).mean())
