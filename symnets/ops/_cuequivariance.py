"""The tensor product and scatter by NVIDIA's cuequivariance, an optional package, for CUDA.

The tests run its generic implementation ("naive") on a CPU. The CUDA kernels ("uniform_1d") are untested.
"""

import math
from functools import cache, cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from symnets.ops._paths import Plan

REGISTER = 32
"""NVIDIA's kernels need a multiple of this number of channels."""


@cache
def has_cuequivariance() -> bool:
    """Whether `cuequivariance_torch` can be imported."""
    return find_spec("cuequivariance_torch") is not None


@cache
def has_cuequivariance_kernels() -> bool:
    """Whether the CUDA kernels of cuequivariance (`cuequivariance_ops_torch`) can be imported."""
    return has_cuequivariance() and find_spec("cuequivariance_ops_torch") is not None


class CuequivariancePlan:
    """A `Plan` as a segmented polynomial of cuequivariance, built at first use.

    Rows of features, weights and results are split into segments of `channels` numbers, the greatest common
    divisor of all multiplicities. A Clebsch-Gordan coefficient of a path of C channels becomes
    C / `channels` terms of the polynomial, one for each segment: the form that "uniform_1d" requires.

    Raises:
        ImportError: at first use, if `cuequivariance_torch` is not installed.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.channels = math.gcd(*(mul for mul, _ in (*plan.irreps_in, *plan.irreps_out, *plan.slots)))
        self._modules: dict[tuple[str, torch.dtype, torch.device], Any] = {}

    def __reduce__(self) -> tuple[type["CuequivariancePlan"], tuple[Plan]]:
        return CuequivariancePlan, (self.plan,)  # the rest is rebuilt on the machine that unpickles

    @property
    def fits(self) -> bool:
        """Whether the CUDA kernels are installed and `channels` is a multiple of `REGISTER`."""
        return self.channels % REGISTER == 0 and has_cuequivariance_kernels()

    @cached_property
    def polynomial(self) -> Any:
        """A `cuequivariance.SegmentedPolynomial` of (weights, features, filters)."""
        import cuequivariance as cue  # pyright: ignore[reportMissingImports]

        plan, width = self.plan, self.channels
        product = cue.SegmentedTensorProduct.from_subscripts("u,u,,u")
        rows = (plan.weight_numel, width), (plan.irreps_in.dim, width), (plan.irreps_filter.dim, None)
        for operand, (columns, size) in enumerate((*rows, (plan.irreps_out.dim, width))):
            product.add_segments(operand, [(size,)] * (columns // size) if size else [()] * columns)
        for number, weight in enumerate(plan.weight_starts):
            for term in plan.terms(number):
                for first in range(0, plan.channels(number), width):
                    w, x, out = ((column + first) // width for column in (weight, term.inp, term.out))
                    product.add_path(w, x, term.filter, out, c=np.array(term.value))
        return cue.SegmentedPolynomial.eval_last_operand(product)

    def module(self, x: Tensor) -> Any:
        """The `SegmentedPolynomial` of cuequivariance_torch for the dtype and device of x."""
        import cuequivariance_torch as cuet  # pyright: ignore[reportMissingImports]

        method = "uniform_1d" if x.device.type == "cuda" and has_cuequivariance_kernels() else "naive"
        key = method, x.dtype, x.device
        if key not in self._modules:
            with torch.inference_mode(False):  # tensors made in inference mode cannot be used in training
                module = cuet.SegmentedPolynomial(self.polynomial, method=method, math_dtype=x.dtype)
                self._modules[key] = module.to(x.device)
        return self._modules[key]


def cuequivariance(
    cue_plan: CuequivariancePlan,
    x: Tensor,
    y: Tensor,
    w: Tensor,
    edge_index: Int[Tensor, "2 edges"],
    n_nodes: int,
) -> Tensor:
    """Tensor product of gathered features, summed at the receivers, in one call of cuequivariance."""
    sender, receiver = edge_index
    (out,) = cue_plan.module(x)([w, x, y], {1: sender}, {0: x.new_empty(n_nodes, 1)}, {0: receiver})
    return out
