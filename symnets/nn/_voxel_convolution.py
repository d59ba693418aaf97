"""VoxelConvolution: steerable convolution of fields on voxels, between any irreps."""

import math
from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from e3nn import o3
from jaxtyping import Float
from numpy.polynomial import hermite
from scipy.special import eval_genlaguerre
from torch import Tensor, nn

from symnets.ops import is_traced

SEPARABLE_COST = 2.5
"""Time of an operation of the products along axes, relative to one of torch's conv3d (measured on CPUs)."""
FEW_CHANNELS = 8
"""Below it products along axes are slow, because channels are the columns of their matrices."""


class VoxelConvolution(nn.Module):
    """Steerable convolution of fields on voxels: of any irreps, equivariant under rotations and reflections.

    The kernel from the input irrep i to the output irrep o is a sum over the paths, which are the degrees
    l of |l_i - l_o| to l_i + l_o with parity (-1)^l = p_i p_o, and over radial functions n:

        out[o, u](x) = fan_in^(-1/2) Σ_(i, v) ∫ Σ_(l, n) w[l, n, u, v] K_ln(y) in[i, v](x + y) dy,
        K_ln(y) = (2 l_o + 1)^(1/2) Σ_m C[i, m, o] φ_ln(r) Y_lm(y / r),     r = |y|,
        φ_ln(r) ~ (r / σ)^l L_n^(l + 1/2)(r² / σ²) exp(-r² / 2σ²),     2n + l <= degree,

    with trained weights w for channels u and v, the Clebsch-Gordan coefficients C (e3nn's `wigner_3j`) and
    generalised Laguerre polynomials L. The integral is a sum over voxels up to size / 2 away on each axis.

    **Band limit.** These φ Y are all polynomials of degree 2n + l times one Gaussian, the eigenfunctions of a
    harmonic oscillator. They are smooth at the origin, unlike shells exp(-(r - a)²/2σ²) times Y, and are
    confined to r < σ (2 degree + 3)^(1/2) in space and to k < (2 degree + 3)^(1/2) / σ in frequency. With the
    defaults for size 5 these are 2.1 voxels, of 2.5, and 3.3, where the grid resolves π.

    **Symmetric grid.** The output has ceil(voxels / stride) voxels along each axis, at distances of `stride`
    and centred on the input. So the 48 rotations and reflections of the cube are exact for grids of any size,
    whereas torch's conv3d is symmetric only if voxels - 1 is divisible by the stride. In this case output
    voxels are voxels of the input; otherwise they may be halfway between two.

    **Anti-aliasing.** A stride s is preceded by a low-pass, a Gaussian of variance (s² - 1) σ². Together with
    that of the kernel its width is s σ, in output voxels the same as without a stride. Errors at rotations
    other than those of the cube are measured in docs/how-to/voxels.md.

    **Cost.** A product of polynomials and a Gaussian is separable. For more than a few channels the field is
    convolved along each axis by small matrices, and channels are mixed once for each of the (degree + 3
    choose 3) products, 10 in place of the 125 of a kernel of size 5. For few channels the kernel is
    assembled for torch's conv3d. Both give the same numbers up to rounding.

    Source: Weiler et al. 2018, arXiv:1807.02547, with other radial functions.

    Args:
        irreps_in: irreps of the input field.
        irreps_out: irreps of the output field.
        size: number of voxels along an edge of the kernel, odd, at least 3.
        stride: distance of output voxels.
        padding: whether voxels outside of the field are those of its border, or zero. With zeros the border
            of the box is seen wherever the background is not 0, and it does not turn with an object.
        degree: largest degree of polynomials; by default size - 3, and at least 2. Functions of higher degree
            do not fit into the kernel.
        sigma: width σ of the Gaussian in voxels; by default 0.9 (size / 2π)^(1/2): 0.62, 0.80, 0.95.

    Shapes: fields are (n, dim, depth, rows, columns), with the components of each irrep in the `ir_mul`
    layout, (2l+1, channels). Components x, y, z of vectors are along depth, rows and columns.

    Raises:
        ValueError: an output irrep that no path reaches, or sizes out of range.

    Example:
        >>> conv = VoxelConvolution("1x0e", "8x0e+4x1o", 5, stride=2)
        >>> conv(torch.randn(2, 1, 17, 17, 17)).shape
        torch.Size([2, 20, 9, 9, 9])
    """

    def __init__(
        self,
        irreps_in: o3.Irreps | str,
        irreps_out: o3.Irreps | str,
        size: int = 5,
        *,
        stride: int = 1,
        padding: Literal["replicate", "zeros"] = "replicate",
        degree: int | None = None,
        sigma: float | None = None,
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = o3.Irreps(irreps_in), o3.Irreps(irreps_out)
        self.size, self.stride, self.padding = size, stride, padding
        if size < 3 or size % 2 == 0:
            raise ValueError(f"size: expected an odd number of voxels, at least 3, got {size}")
        if stride < 1:
            raise ValueError(f"stride: expected at least 1, got {stride}")
        if padding not in ("replicate", "zeros"):
            raise ValueError(f"padding: expected 'replicate' or 'zeros', got {padding!r}")
        self.degree = max(2, size - 3) if degree is None else degree
        self.sigma = 0.9 * math.sqrt(size / (2 * math.pi)) if sigma is None else float(sigma)
        if self.degree < 0 or not self.sigma > 0:
            raise ValueError(f"degree, sigma: expected >= 0 and > 0, got {self.degree} and {self.sigma}")
        self.jets = [
            (c, b, a) for c, b, a in product(range(self.degree + 1), repeat=3) if a + b + c <= self.degree
        ]
        self._bases: list[list[Tensor | None]] = []  # of each output and input slot
        self.weights = nn.ParameterList()
        for mul_out, ir_out in self.irreps_out:
            row = [_paths(ir, ir_out, size, self.degree, self.sigma) for _, ir in self.irreps_in]
            fan_in = sum(
                len(basis) * mul
                for basis, (mul, _) in zip(row, self.irreps_in, strict=True)
                if basis is not None
            )
            if not fan_in:
                raise ValueError(
                    f"VoxelConvolution: no path from {self.irreps_in} to {ir_out} with l <= {self.degree}; "
                    "raise degree, or add irreps"
                )
            self._bases.append([None if basis is None else basis * fan_in**-0.5 for basis in row])
            for basis, (mul_in, _) in zip(row, self.irreps_in, strict=True):
                if basis is not None:
                    self.weights.append(nn.Parameter(torch.randn(len(basis), mul_in, mul_out)))
        self._tables: dict[tuple, tuple[list[list[Tensor | None]], list[_Axis]]] = {}

    def forward(
        self, fields: Float[Tensor, "n dim_in depth rows columns"]
    ) -> Float[Tensor, "n dim_out d r c"]:
        """The convolved field.

        Raises:
            ValueError: not a field of `irreps_in`.
        """
        if fields.ndim != 5 or fields.shape[1] != self.irreps_in.dim:
            raise ValueError(
                f"fields: expected (n, {self.irreps_in.dim}, depth, rows, columns) for irreps "
                f"{self.irreps_in}, got {tuple(fields.shape)}"
            )
        bases, axes = self._table(fields)
        mixing = self._mixing(bases)
        grid, out = fields.shape[2:], [axis.filters.shape[1] for axis in axes]
        if self._is_dense(grid, out):
            d, r, c = (axis.extension for axis in axes)
            extended = r @ (fields @ c.mT)
            extended = (d @ extended.flatten(3)).unflatten(3, extended.shape[3:])
            return F.conv3d(extended, self._assemble(mixing, axes), stride=self.stride)
        x = fields.permute(0, 2, 3, 4, 1).contiguous()
        filters = [axis.filters for axis in axes]
        mix_first = self.stride == 1 and self.irreps_out.dim <= 2 * self.irreps_in.dim
        y = (self._mix_and_filter if mix_first else self._filter_and_mix)(x, mixing, filters)
        return y.permute(0, 4, 1, 2, 3)

    @classmethod
    def reachable(cls, irreps_in: o3.Irreps | str, irreps_out: o3.Irreps | str, degree: int = 2) -> o3.Irreps:
        """Those of the output irreps to which there is a path."""
        ends = {ir for _, ir_in in o3.Irreps(irreps_in) for f in _filters(degree) for ir in ir_in * f}
        return o3.Irreps([(mul, ir) for mul, ir in o3.Irreps(irreps_out) if ir in ends])

    def kernel(self) -> Float[Tensor, "dim_out dim_in size size size"]:
        """The kernel at the voxels around an output voxel that is a voxel of the input.

        A stride does not change it: the low-pass comes before.
        """
        bases, axes = self._table(self.weights[0], grid=(1, 1, 1))
        return self._assemble(self._mixing(bases), axes)

    def _mixing(self, bases: list[list[Tensor | None]]) -> Float[Tensor, "jets dim_in dim_out"]:
        """Matrix that mixes channels after each product of filters along the axes."""
        weights, columns = iter(self.weights), []
        for (mul_out, ir_out), row in zip(self.irreps_out, bases, strict=True):
            parts = []
            for basis, (mul_in, ir_in) in zip(row, self.irreps_in, strict=True):
                shape = (len(self.jets), ir_in.dim * mul_in, ir_out.dim * mul_out)
                if basis is None:
                    parts.append(self.weights[0].new_zeros(shape))
                else:
                    parts.append(torch.einsum("pjio,pvu->jivou", basis, next(weights)).reshape(shape))
            columns.append(torch.cat(parts, dim=1))
        return torch.cat(columns, dim=2)

    def _assemble(self, mixing: Tensor, axes: list["_Axis"]) -> Float[Tensor, "dim_out dim_in d r c"]:
        """Kernel for conv3d."""
        d, r, c = (axis.taps for axis in axes)
        products = torch.stack([d[i][:, None, None] * r[j][:, None] * c[k] for i, j, k in self.jets], dim=-1)
        kernel = products.flatten(0, 2) @ mixing.flatten(1)
        return kernel.view(*products.shape[:3], *mixing.shape[1:]).permute(4, 3, 0, 1, 2)

    def _is_dense(self, grid: Sequence[int], out: Sequence[int]) -> bool:
        """Whether conv3d is the faster way: for few channels."""
        n_in, n_out, n_jets = self.irreps_in.dim, self.irreps_out.dim, len(self.jets)
        dense = self.size**3 * n_in * n_out * math.prod(out)
        along_axes = (self.degree + 1) * out[0] * math.prod(grid)
        along_axes += (self.degree + 1) * (self.degree + 2) // 2 * math.prod(out[:2]) * math.prod(grid[1:])
        along_axes += n_jets * math.prod(out) * grid[2]
        mixing = n_jets * n_in * n_out * math.prod(out)
        separable = SEPARABLE_COST * (along_axes * min(n_in, n_out) + mixing)
        return min(n_in, n_out) < FEW_CHANNELS or dense < separable

    def _filter_and_mix(self, x: Tensor, mixing: Tensor, filters: list[Tensor]) -> Tensor:
        """Filters along depth, rows and columns, then mixing of channels, in channels-last layout."""
        n, d, r, c, channels = x.shape
        matrices, out = iter(mixing.unbind()), None
        along_d, along_r, along_c = filters
        d_out, r_out, c_out = (f.shape[1] for f in filters)
        for i in range(self.degree + 1):
            u = along_d[i] @ x.view(n, d, r * c * channels)
            for j in range(self.degree + 1 - i):
                v = _along(along_r[j], u.view(n * d_out, r, c * channels))
                for k in range(self.degree + 1 - i - j):
                    w = _along(along_c[k], v.view(-1, c, channels)).view(-1, channels)
                    matrix = next(matrices)
                    out = w @ matrix if out is None else torch.addmm(out, w, matrix)
        assert out is not None
        return out.view(n, d_out, r_out, c_out, -1)

    def _mix_and_filter(self, x: Tensor, mixing: Tensor, filters: list[Tensor]) -> Tensor:
        """The same in reverse order, which keeps only x for the gradient; without a stride."""
        n, d, r, c, channels = x.shape
        matrices, rows = iter(mixing.unbind()), x.view(-1, channels)
        along_d, along_r, along_c = filters
        out = None
        for i in range(self.degree + 1):
            u = None
            for j in range(self.degree + 1 - i):
                v = None
                for k in range(self.degree + 1 - i - j):
                    mixed = (rows @ next(matrices)).view(n * d * r, c, -1)
                    v = _along(along_c[k], mixed, v)
                assert v is not None
                u = _along(along_r[j], v.view(n * d, r, -1), u)
            assert u is not None
            out = _along(along_d[i], u.view(n, d, -1), out)
        assert out is not None
        return out.view(n, d, r, c, -1)

    def _table(self, like: Tensor, grid: Sequence[int] | None = None) -> tuple:
        """Bases and axes in the dtype and on the device of a tensor, copied there once."""
        grid = tuple(like.shape[2:] if grid is None else grid)
        key = (like.dtype, like.device, grid)
        if key not in self._tables:
            with torch.inference_mode(False):  # tensors made in inference mode cannot be used in training
                bases = [[None if b is None else b.to(like) for b in row] for row in self._bases]
                options = self.size, self.stride, self.degree, self.sigma, self.padding
                axes = [_axis(n, *options).to(like) for n in grid]
            if is_traced():  # tensors made within a torch.func transform cannot be used after it
                return bases, axes
            self._tables[key] = bases, axes
        return self._tables[key]


def _filters(degree: int) -> list[o3.Irrep]:
    """Irreps of the functions of a kernel."""
    return [o3.Irrep(l, (-1) ** l) for l in range(degree + 1)]  # noqa: E741


class _Axis(NamedTuple):
    """Filters along an axis.

    Attributes:
        filters: matrix of each filter from the voxels of the input to those of the output.
        taps: the filters themselves, for conv3d.
        extension: matrix from the voxels of the input to those that conv3d reads: padding and low-pass.
    """

    filters: Float[Tensor, "filters n_out n"]
    taps: Float[Tensor, "filters taps"]
    extension: Float[Tensor, "n_extended n"]

    def to(self, like: Tensor) -> "_Axis":
        """The same in the dtype and on the device of a tensor."""
        return _Axis(*(table.to(like) for table in self))


def _along(matrix: Tensor, x: Float[Tensor, "batch n m"], total: Tensor | None = None) -> Tensor:
    """A matrix times each of a batch, plus a total."""
    matrices = matrix.expand(len(x), *matrix.shape)
    return torch.bmm(matrices, x) if total is None else torch.baddbmm(total, matrices, x)


@cache
def _axis(n: int, size: int, stride: int, degree: int, sigma: float, padding: str) -> _Axis:
    """Filters along an axis of n voxels, in float64."""
    n_out = -(-n // stride)
    first = (n - 1 - stride * (n_out - 1)) / 2  # the first output voxel: a voxel, or halfway between two
    n_taps = size + 1 if first % 1 else size
    taps = _hermite(np.arange(n_taps) - (n_taps - 1) / 2, size, degree, sigma)
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
    return _Axis(*(torch.from_numpy(table) for table in (filters @ extension, taps, extension)))


def _hermite(x: np.ndarray, size: int, degree: int, sigma: float) -> np.ndarray:
    """Hermite functions H_a(x / σ) exp(-x² / 2σ²), a <= degree, of unit norm on the voxels of a kernel."""
    grid = np.arange(size) - (size - 1) / 2
    found = []
    for a in range(degree + 1):
        of_degree = [0.0] * a + [1.0]
        values, norms = (
            hermite.hermval(y / sigma, of_degree) * np.exp(-((y / sigma) ** 2) / 2) for y in (x, grid)
        )
        found.append(values / np.linalg.norm(norms))
    return np.stack(found)


@cache
def _paths(
    ir_in: o3.Irrep, ir_out: o3.Irrep, size: int, degree: int, sigma: float
) -> Float[Tensor, "paths jets ir_in ir_out"] | None:
    """Kernels between two irreps for each degree l and radial function n, as sums of products of filters."""
    found = []
    for ir in ir_in * ir_out:
        if ir in _filters(degree):
            coupling = o3.wigner_3j(ir_in.l, ir.l, ir_out.l, dtype=torch.float64) * ir_out.dim**0.5
            for n in range((degree - ir.l) // 2 + 1):
                harmonic = _oscillator(n, ir.l, size, degree, sigma)
                found.append(torch.einsum("imo,mj->jio", coupling, harmonic))
    return torch.stack(found) if found else None


@cache
def _oscillator(n: int, l: int, size: int, degree: int, sigma: float) -> Float[Tensor, "m jets"]:  # noqa: E741
    """Functions φ_ln Y_lm as sums of products of Hermite functions along the axes, in float64.

    The mean over m of their squared norms on the voxels of the kernel is 1. Coefficients are found by least
    squares at random points, where the solution is exact.
    """
    jets = [jet for jet in product(range(degree + 1), repeat=3) if sum(jet) <= degree]
    points = sigma * np.random.default_rng(0).standard_normal((4 * len(jets), 3))
    grid = np.arange(size) - (size - 1) / 2
    voxels = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1).reshape(-1, 3)

    def products(x: np.ndarray) -> np.ndarray:
        one = _hermite(x.T, size, degree, sigma)  # degree, axis, points
        return np.stack([one[i, 0] * one[j, 1] * one[k, 2] for i, j, k in jets], axis=-1)

    r2 = (points**2).sum(1) / sigma**2
    harmonics = o3.spherical_harmonics(l, torch.from_numpy(points / sigma), normalize=False).numpy()
    values = harmonics * (eval_genlaguerre(n, l + 0.5, r2) * np.exp(-r2 / 2))[:, None]
    coefficients = np.linalg.lstsq(products(points), values, rcond=None)[0]
    norm = np.linalg.norm(products(voxels) @ coefficients) / (2 * l + 1) ** 0.5
    return torch.from_numpy(coefficients.T / norm)
