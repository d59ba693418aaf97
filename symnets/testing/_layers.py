"""Equivariance of layers: a function of features commutes with rotations and reflections."""

import copy
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from symnets.device import model_device
from symnets.testing._check import deviation, require
from symnets.testing._structures import random_rotation


def assert_equivariant(
    function: Callable[..., Tensor],
    irreps_in: o3.Irreps | str | Sequence[o3.Irreps | str],
    irreps_out: o3.Irreps | str,
    *,
    parity: bool = True,
    layout: Literal["ir_mul", "mul_ir"] = "ir_mul",
    n: int = 5,
    tolerance: float = 1e-10,
    seed: int = 0,
) -> None:
    """Assert that a function of features is equivariant: f(D_in(R) x, ...) = D_out(R) f(x, ...).

    R is a random rotation, then a random rotation with inversion. D_in(R) and D_out(R) are the matrices by
    which features of `irreps_in` and `irreps_out` are rotated.

    Args:
        function: takes a float64 tensor (n, dim) for each of `irreps_in`, sampled from N(0, 1), and returns
            (rows, dim) of `irreps_out`, with any number of rows. A module is copied to float64 and evaluation
            mode, and evaluated on its device. Positions are an input of irreps "1o".
        irreps_in: irreps of the input, or of each input.
        irreps_out: irreps of the output.
        parity: whether to check inversion too, for O(3); otherwise only rotations, SO(3).
        layout: order within the block of an irrep: (2l+1, channels) in symnets, its transpose in e3nn.
        n: number of rows of each input.
        tolerance: largest relative error.
        seed: seed of inputs and R.

    Example:
        The cross product of two vectors is a pseudovector.

        >>> assert_equivariant(torch.linalg.cross, ["1o", "1o"], "1e")

    Raises:
        AssertionError: the relative error is above the tolerance, or the shape is wrong.
    """
    device = torch.device("cpu")
    if isinstance(function, nn.Module):
        device = model_device(function)
        function = copy.deepcopy(function).double().eval()
    irreps_of_inputs = [irreps_in] if isinstance(irreps_in, str | o3.Irreps) else irreps_in
    parsed_irreps: list[o3.Irreps] = [o3.Irreps(irreps) for irreps in irreps_of_inputs]  # pyright: ignore[reportAssignmentType]
    target = o3.Irreps(irreps_out)
    generator = torch.Generator().manual_seed(seed)
    samples = [
        torch.randn(n, irreps.dim, dtype=torch.float64, generator=generator) for irreps in parsed_irreps
    ]
    inputs = [x.to(device) for x in samples]
    with torch.no_grad():
        output = function(*inputs)
        if output.shape[-1] != target.dim:
            raise AssertionError(
                f"the law 'equivariance' is broken: expected {target.dim} columns for irreps {target}, "
                f"got shape {tuple(output.shape)}"
            )
        for name, improper in {"rotation": False, "reflection": True}.items():
            if improper and not parity:
                continue
            rotation = torch.as_tensor(random_rotation(seed, improper=improper))
            rotated = [
                transform(x, irreps, rotation, layout)
                for x, irreps in zip(inputs, parsed_irreps, strict=True)
            ]
            expected = transform(output, target, rotation, layout)  # pyright: ignore[reportArgumentType]
            error = deviation(function(*rotated), expected)
            require(f"equivariance under {name}", {f"{parsed_irreps} -> {target}": error}, tolerance)


def transform(
    features: Float[Tensor, "*rows dim"],
    irreps: o3.Irreps,
    rotation: Float[Tensor, "3 3"],
    layout: Literal["ir_mul", "mul_ir"] = "ir_mul",
) -> Float[Tensor, "*rows dim"]:
    """Features after a rotation R of space: D(R) times the block of each irrep."""
    parts = []
    for block, (mul, ir) in zip(features.split([m.dim for m in irreps], dim=-1), irreps, strict=True):
        matrix = representation(ir, rotation).to(features)
        if layout == "ir_mul":
            part = torch.einsum("ab,...bc->...ac", matrix, block.unflatten(-1, (ir.dim, mul)))
        else:
            part = torch.einsum("ab,...cb->...ca", matrix, block.unflatten(-1, (mul, ir.dim)))
        parts.append(part.flatten(-2))
    return torch.cat(parts, dim=-1)


def representation(ir: o3.Irrep, rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "ir ir"]:
    """Matrix D(R) of an irrep, in float64, defined by Y(R x) = D(R) Y(x).

    It is the solution of this equation for e3nn's spherical harmonics (l <= 11) at random points. e3nn's
    `D_from_matrix` is not used: it has the precision of torch's default dtype, usually float32, and the
    tolerances of the laws are smaller.
    """
    sign = rotation.det().sign()
    generator = torch.Generator().manual_seed(ir.l)
    points = torch.randn(4 * ir.dim, 3, dtype=torch.float64, generator=generator)
    before = o3.spherical_harmonics(ir.l, points, normalize=True)
    after = o3.spherical_harmonics(ir.l, points @ (sign * rotation).mT, normalize=True)
    matrix = torch.linalg.lstsq(before, after).solution.mT
    return matrix * (ir.p if sign < 0 else 1)
