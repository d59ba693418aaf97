"""Rotations and reflections of fields on voxels by the 48 elements of the group of the cube."""

import itertools
from collections.abc import Iterator
from functools import cache
from typing import Literal, NamedTuple

import torch
from e3nn import o3
from torch import Tensor

from symnets.testing._layers import representation


class CubeElement(NamedTuple):
    """The orthogonal matrix with entries R[a, permutation[a]] = sign[a]."""

    permutation: tuple[int, ...]
    sign: tuple[int, ...]

    def matrix(self) -> Tensor:
        """R, in float64."""
        matrix = torch.zeros(3, 3, dtype=torch.float64)
        for row, (column, sign) in enumerate(zip(self.permutation, self.sign, strict=True)):
            matrix[row, column] = sign
        return matrix

    def of_grid(self, fields: Tensor) -> Tensor:
        """f(R⁻¹ x): voxels (n, channels, depth, rows, columns) moved, channels as they are."""
        moved = fields.permute(0, 1, *(2 + axis for axis in self.permutation))
        return moved.flip([2 + axis for axis in range(3) if self.sign[axis] < 0])

    def of_field(
        self, fields: Tensor, irreps: o3.Irreps | str, layout: Literal["ir_mul", "mul_ir"] = "ir_mul"
    ) -> Tensor:
        """D(R) f(R⁻¹ x)."""
        parts, irreps = [], o3.Irreps(irreps)
        for block, (mul, ir) in zip(
            self.of_grid(fields).split([m.dim for m in irreps], 1), irreps, strict=True
        ):
            sizes = (ir.dim, mul) if layout == "ir_mul" else (mul, ir.dim)
            channels = "bc" if layout == "ir_mul" else "cb"
            formula = f"ab,n{channels}xyz->n{channels.replace('b', 'a')}xyz"
            part = torch.einsum(formula, self.of_irrep(ir), block.unflatten(1, sizes))
            parts.append(part.flatten(1, 2))
        return torch.cat(parts, dim=1)

    @cache  # noqa: B019
    def of_irrep(self, ir: o3.Irrep) -> Tensor:
        """D(R)."""
        return representation(ir, self.matrix())


def cube_group() -> Iterator[CubeElement]:
    """All 48 elements."""
    for permutation in itertools.permutations(range(3)):
        for sign in itertools.product((1, -1), repeat=3):
            yield CubeElement(permutation, sign)
