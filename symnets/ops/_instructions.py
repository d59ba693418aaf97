"""Conversion of e3nn's instructions of a tensor product to a `Plan`."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from e3nn import o3
from jaxtyping import Int
from torch import Tensor

from symnets.ops._paths import Plan

IrrepNormalization = Literal["component", "norm", "none"]
PathNormalization = Literal["element", "path", "none"]

DEFAULTS: list[Any] = ["uvu", True, 1.0]
"""Defaults of the last three entries of an instruction: connection mode, has_weight, path_weight."""


class Instruction(NamedTuple):
    """Path in1[i_in1] ⊗ in2[i_in2] -> out[i_out] of e3nn's connection mode 'uvu', with weights w[u, v]."""

    i_in1: int
    i_in2: int
    i_out: int
    path_weight: float = 1.0


def read(instruction: Sequence[Any]) -> Instruction:
    """Parse e3nn's `(i_in1, i_in2, i_out, "uvu", True[, path_weight])`, or a triple of numbers.

    Raises:
        ValueError: another length, connection mode or path_weight, or a path without weights.
    """
    entries = tuple(instruction)
    if len(entries) not in (3, 5, 6):
        raise ValueError(
            f'instructions: expected (i_in1, i_in2, i_out, "uvu", True[, path_weight]), got {entries}; '
            "TensorProduct.instructions are normalised: pass those that it was constructed from"
        )
    i_in1, i_in2, i_out, *rest = entries
    mode, has_weight, path_weight = rest + DEFAULTS[len(rest) :]
    if mode != "uvu" or has_weight is not True:
        raise ValueError(
            f'instructions: expected connection mode "uvu" with weights (True), got {entries}; '
            "use e3nn.o3.TensorProduct and a scatter for the other paths"
        )
    if not (path_weight >= 0 and math.isfinite(path_weight)):
        raise ValueError(f"instructions: expected a path_weight of at least 0, got {entries}")
    return Instruction(i_in1, i_in2, i_out, float(path_weight))


def check(
    irreps_in1: o3.Irreps, irreps_in2: o3.Irreps, irreps_out: o3.Irreps, paths: list[Instruction]
) -> None:
    """Raise ValueError if there are no paths, or if O(3), the irreps or their multiplicities forbid one."""
    operands = {"irreps_in1": irreps_in1, "irreps_in2": irreps_in2, "irreps_out": irreps_out}
    for name, irreps in operands.items():
        if any(mul < 1 for mul, _ in irreps):
            raise ValueError(
                f"{name}: expected multiplicities of at least 1, got {irreps}; remove the others"
            )
    if not paths:
        raise ValueError("instructions: expected at least one, got none")
    for path in paths:
        for number, (name, irreps) in zip(path[:3], operands.items(), strict=True):
            if not 0 <= number < len(irreps):
                raise ValueError(
                    f"{path}: expected a number from 0 to {len(irreps) - 1} for {name}={irreps}, got {number}"
                )
        (mul_in, ir_in), in2 = irreps_in1[path.i_in1], irreps_in2[path.i_in2]
        mul_out, ir_out = irreps_out[path.i_out]
        if ir_out not in ir_in * in2.ir or mul_in != mul_out:
            raise ValueError(
                f"{path}: expected u x ir1 ⊗ v x ir2 -> u x ir_out allowed by O(3), "
                f"got {mul_in}x{ir_in} ⊗ {in2} -> {mul_out}x{ir_out}"
            )


def coefficients(
    irreps_in1: o3.Irreps,
    irreps_in2: o3.Irreps,
    irreps_out: o3.Irreps,
    paths: list[Instruction],
    irrep_normalization: IrrepNormalization,
    path_normalization: PathNormalization,
) -> list[float]:
    """e3nn's factor of `wigner_3j` for each path p, (path_weight α / n)^(1/2).

    α is dim_out ('component'), dim_in1 dim_in2 ('norm') or 1 ('none'). With v_q the multiplicity of in2 in
    path q, n is the sum of v_q over the paths q into the same output as p ('element'), v_p times the number
    of these paths ('path'), or 1 ('none').

    Raises:
        ValueError: an unknown normalisation.
    """
    for name, value, known in (
        ("irrep_normalization", irrep_normalization, ("component", "norm", "none")),
        ("path_normalization", path_normalization, ("element", "path", "none")),
    ):
        if value not in known:
            raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
    factors = []
    for path in paths:
        in1, in2, out = irreps_in1[path.i_in1], irreps_in2[path.i_in2], irreps_out[path.i_out]
        alpha = {"component": out.ir.dim, "norm": in1.ir.dim * in2.ir.dim, "none": 1}[irrep_normalization]
        multiplicities = [irreps_in2[other.i_in2].mul for other in paths if other.i_out == path.i_out]
        n_path = in2.mul * len(multiplicities)
        n = {"element": sum(multiplicities), "path": n_path, "none": 1}[path_normalization]
        factors.append((path.path_weight * alpha / n) ** 0.5)
    return factors


def plan_of(
    irreps_in1: o3.Irreps,
    irreps_in2: o3.Irreps,
    irreps_out: o3.Irreps,
    instructions: Iterable[Sequence[Any]],
    irrep_normalization: IrrepNormalization,
    path_normalization: PathNormalization,
) -> tuple[Plan, Int[Tensor, " weight_numel"]]:
    """`Plan` of e3nn's instructions, in which a filter irrep v x ir becomes v irreps 1 x ir with a path each.

    Returns:
        the plan, and for each of its weights the index in e3nn's row: w[u, v] of path 0, of path 1, ...

    Raises:
        ValueError: instructions, irreps or normalisations that are not allowed.
    """
    paths = [read(instruction) for instruction in instructions]
    check(irreps_in1, irreps_in2, irreps_out, paths)
    factors = coefficients(irreps_in1, irreps_in2, irreps_out, paths, irrep_normalization, path_normalization)
    filters = o3.Irreps([(1, ir) for mul, ir in irreps_in2 for _ in range(mul)])
    first_filter = [0, *itertools.accumulate(mul for mul, _ in irreps_in2)]
    plan_paths, path_factors, order, start = [], [], [], 0
    for path, factor in zip(paths, factors, strict=True):
        u, v = irreps_in1[path.i_in1].mul, irreps_in2[path.i_in2].mul
        plan_paths += [(path.i_in1, first_filter[path.i_in2] + n, path.i_out) for n in range(v)]
        path_factors += [factor] * v
        order.append((start + torch.arange(u * v)).view(u, v).mT.flatten())
        start += u * v
    return Plan(irreps_in1, filters, irreps_out, plan_paths, path_factors), torch.cat(order)
