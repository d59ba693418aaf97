"""Folds: where a deformation is not one-to-one."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from symnets.diffeo.basis import Basis
from symnets.diffeo.expansion import Expansion


class FoldingWarning(UserWarning):
    """Deformations are so strong that some of them are not one-to-one."""


def on_grid(basis: Basis, coefficients: Float[Tensor, "n dim *modes"], shape: Sequence[int]) -> Expansion:
    """The same deformations on a grid of another number of points, whatever grid they came with.

    Component b of displacements scales as coordinate b does, so that ∂h and its determinant do not.
    """
    extents = [n - 1.0 for n in shape]
    scale = [new / old for new, old in zip(extents, basis.extents, strict=True)]
    factor = coefficients.new_tensor(scale).reshape(1, -1, *[1] * len(shape))
    return Expansion(basis.resized(extents), coefficients * factor, shape)


def one_to_one(diffeo: Expansion, *, refine: int = 2, numbers: int = 2**22) -> Bool[Tensor, " n"]:
    """`Diffeo.is_bijective` of many, some at a time: at most `numbers` points of the grid at once."""
    points = torch.tensor([(n - 1) * refine + 1 for n in diffeo.grid_shape]).prod()
    step = max(1, numbers // int(points))
    parts = [diffeo[i : i + step].is_bijective(refine=refine) for i in range(0, diffeo.n, step)]
    return torch.cat(parts)
