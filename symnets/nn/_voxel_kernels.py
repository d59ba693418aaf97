"""Kernels of VoxelConvolution: eigenfunctions of a harmonic oscillator as sums of products along the axes."""

import math
from functools import cache
from itertools import product

import numpy as np
import torch
from e3nn import o3
from jaxtyping import Float
from numpy.polynomial import hermite
from scipy.special import eval_genlaguerre
from torch import Tensor

from symnets.ops import wigner_3j


def products_of_filters(degree: int) -> list[tuple[int, int, int]]:
    """Degrees of the Hermite functions along depth, rows and columns in each product, in lexicographic order.

    The axis named `jets` of other tensors runs over these products.
    """
    return [(i, j, k) for i, j, k in product(range(degree + 1), repeat=3) if i + j + k <= degree]


def kernel_irreps(degree: int) -> list[o3.Irrep]:
    """Irreps of the functions of a kernel: spherical harmonics up to a degree."""
    return [o3.Irrep(l, (-1) ** l) for l in range(degree + 1)]  # noqa: E741


@cache
def axis_filters(
    n: int, size: int, stride: int, degree: int, sigma: float, padding: str
) -> Float[Tensor, "filters n_out n"]:
    """Matrices of the filters along an axis of n voxels, with padding and low-pass, in float64.

    Filter a is the Hermite function of degree a, at ceil(n / stride) output voxels. Other arguments are those
    of `VoxelConvolution`.
    """
    n_out = -(-n // stride)
    first = (n - 1 - stride * (n_out - 1)) / 2  # the first output voxel: a voxel, or halfway between two
    n_taps = size + 1 if first % 1 else size
    taps = hermite_functions(np.arange(n_taps) - (n_taps - 1) / 2, size, degree, sigma)
    extended = round(first - (n_taps - 1) / 2) + np.arange(stride * (n_out - 1) + n_taps)
    variance = (stride**2 - 1) * sigma**2
    reach = math.ceil(3 * variance**0.5)
    steps = np.arange(-reach, reach + 1)
    low_pass = np.exp(-(steps**2) / (2 * variance or 1.0))
    extension = np.zeros((len(extended), n))
    for step, weight in zip(steps, low_pass / low_pass.sum(), strict=True):
        voxels = extended + step
        inside = (voxels >= 0) & (voxels < n) | (padding == "replicate")
        extension[np.flatnonzero(inside), voxels.clip(0, n - 1)[inside]] += weight
    filters = np.zeros((degree + 1, n_out, len(extended)))
    for row in range(n_out):
        filters[:, row, row * stride : row * stride + n_taps] = taps
    return torch.from_numpy(filters @ extension)


def hermite_functions(x: np.ndarray, size: int, degree: int, sigma: float) -> np.ndarray:
    """Hermite functions H_a(x / σ) exp(-x² / 2σ²), a <= degree, of unit norm on the voxels of a kernel."""
    functions = []
    for a in range(degree + 1):
        coefficients = [0.0] * a + [1.0]
        values, on_kernel = (
            hermite.hermval(y / sigma, coefficients) * np.exp(-((y / sigma) ** 2) / 2)
            for y in (x, kernel_voxels(size))
        )
        functions.append(values / np.linalg.norm(on_kernel))
    return np.stack(functions)


def kernel_voxels(size: int) -> np.ndarray:
    """Coordinates of the voxels of a kernel along an axis, from its centre."""
    return np.arange(size) - (size - 1) / 2


@cache
def kernel_paths(
    ir_in: o3.Irrep, ir_out: o3.Irrep, size: int, degree: int, sigma: float
) -> Float[Tensor, "paths jets ir_in ir_out"] | None:
    """Kernels between two irreps for each degree l and radial function n, as sums of products of filters.

    None if there is no path from one irrep to the other.
    """
    kernels = []
    for ir in ir_in * ir_out:
        if ir in kernel_irreps(degree):
            coupling = wigner_3j(ir_in.l, ir.l, ir_out.l) * ir_out.dim**0.5
            for n in range((degree - ir.l) // 2 + 1):
                harmonic = _oscillator(n, ir.l, size, degree, sigma)
                kernels.append(torch.einsum("imo,mj->jio", coupling, harmonic))
    return torch.stack(kernels) if kernels else None


@cache
def _oscillator(n: int, l: int, size: int, degree: int, sigma: float) -> Float[Tensor, "m jets"]:  # noqa: E741
    """Functions φ_ln Y_lm as sums of products of Hermite functions along the axes, in float64.

    The mean over m of their squared norms on the voxels of the kernel is 1. Coefficients are found by least
    squares at random points; the functions are such sums exactly, so that the residual is zero.
    """
    jets = products_of_filters(degree)
    points = sigma * np.random.default_rng(0).standard_normal((4 * len(jets), 3))
    grid = kernel_voxels(size)
    voxels = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1).reshape(-1, 3)

    def products(x: np.ndarray) -> np.ndarray:
        one = hermite_functions(x.T, size, degree, sigma)  # degree, axis, points
        return np.stack([one[i, 0] * one[j, 1] * one[k, 2] for i, j, k in jets], axis=-1)

    r2 = (points**2).sum(1) / sigma**2
    harmonics = o3.spherical_harmonics(l, torch.from_numpy(points / sigma), normalize=False).numpy()
    values = harmonics * (eval_genlaguerre(n, l + 0.5, r2) * np.exp(-r2 / 2))[:, None]
    coefficients = np.linalg.lstsq(products(points), values, rcond=None)[0]
    norm = np.linalg.norm(products(voxels) @ coefficients) / (2 * l + 1) ** 0.5
    return torch.from_numpy(coefficients.T / norm)
