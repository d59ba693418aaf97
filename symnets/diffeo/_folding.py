"""Warnings that point to the line of a user, and not into a library.

Folds: where a deformation is not one-to-one.
"""

import math
import sys
import warnings
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from symnets.diffeo._basis import Basis
from symnets.diffeo._diffeo import determinant
from symnets.diffeo._expansion import POINTS_PER_WAVE, Expansion

PASSED_ON = ("symnets", "torch", "torchvision", "jaxtyping", "beartype")
"""Packages whose lines are not a user's."""


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns of the innermost line outside of `PASSED_ON`; python then shows it once for each such line."""
    frame, level = sys._getframe(1), 2
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] not in PASSED_ON:
            break
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


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
    """`Diffeo.is_bijective` of many, some at a time: at most `numbers` points of the grid at once.

    Most folds show at a few of the points; all are looked at only where these show none.
    """
    shape = diffeo.grid_shape
    step = min((n - 1) // (POINTS_PER_WAVE * size) for n, size in zip(shape, diffeo.basis.sizes, strict=True))
    found = torch.ones(diffeo.n, dtype=torch.bool, device=diffeo.device)
    for refined_by, every in ((1, max(step, 1)), (refine, 1)):
        rows = found.nonzero()[:, 0]
        points = math.prod((n - 1) * refined_by // every + 1 for n in shape)
        for some in rows.split(max(1, numbers // points)):
            with torch.no_grad():
                det = determinant(diffeo[some].jacobian_of_some(refined_by, every))
            found[some] = det.flatten(1).amin(1) > 0
    return found
