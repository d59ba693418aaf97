"""VoxelConvolution: steerable convolution of fields on voxels, between any irreps."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from symnets.nn._voxel_kernels import (
    axis_filters,
    hermite_functions,
    kernel_irreps,
    kernel_paths,
    kernel_voxels,
    products_of_filters,
)
from symnets.ops import is_traced

FEW_CHANNELS = 12
"""Smallest number of input components for which channels are mixed before they are filtered: with fewer, the
mixing would be a slow product of narrow matrices."""


class VoxelConvolution(nn.Module):
    """Steerable convolution of fields of any irreps on voxels, equivariant under rotations and reflections.

    The kernel from the input irrep i to the output irrep o is a sum over the paths, which are the degrees
    l from |l_i - l_o| to l_i + l_o with parity (-1)^l = p_i p_o, and over radial functions n:

        out[o, u](x) = fan_in^(-1/2) Σ_(i, v) ∫ Σ_(l, n) w[l, n, u, v] K_ln(y) in[i, v](x + y) dy,
        K_ln(y) = (2 l_o + 1)^(1/2) Σ_m C[i, m, o] φ_ln(r) Y_lm(y / r),     r = |y|,
        φ_ln(r) ~ (r / σ)^l L_n^(l + 1/2)(r² / σ²) exp(-r² / 2σ²),     2n + l <= degree,

    with trained weights w between channels v of the input and u of the output, the number fan_in of terms
    (i, l, n, v), the Clebsch-Gordan coefficients C (e3nn's `wigner_3j`) and generalised Laguerre polynomials
    L. The factor in φ_ln, for which ~ stands, makes the mean over m of the squared norm of φ_ln Y_lm on the
    voxels 1. The integral is a sum over voxels up to size / 2 away on each axis.

    **Band limit.** The functions φ Y are polynomials of degree 2n + l times one Gaussian, eigenfunctions of a
    harmonic oscillator. They are smooth at the origin, unlike shells exp(-(r - a)²/2σ²) times Y, and are
    confined to r < σ (2 degree + 3)^(1/2) in space and to k < (2 degree + 3)^(1/2) / σ in frequency. With the
    defaults for size 5 these radii are 2.1 voxels, where the kernel ends at 2.5, and 3.3 radians per voxel,
    where the grid resolves π.

    **Symmetric grid.** The output has ceil(voxels / stride) voxels along each axis, at distances of `stride`
    and centred on the input. Equivariance under the 48 rotations and reflections of the cube is exact for
    grids of any size, whereas torch's conv3d is symmetric only if voxels - 1 is divisible by the stride. If
    it is divisible, output voxels are voxels of the input; otherwise they may be halfway between two.

    **Anti-aliasing.** A stride s is preceded by a low-pass, a Gaussian of variance (s² - 1) σ². Together with
    the Gaussian of the kernel the width is s σ, which is σ output voxels, as without a stride. Errors at
    rotations other than those of the cube are measured in docs/how-to/voxels.md.

    **Cost.** A polynomial times a Gaussian is a sum of products of functions of one coordinate each. The
    field is convolved along each axis by small matrices, and channels are mixed once for each of the
    (degree + 3 choose 3) products: for degree 2 these are 10, in place of the 125 voxels of a kernel of size
    5 x 5 x 5. Channels are mixed before or after the filters, whichever is faster; both give the same numbers
    up to rounding.

    Source: Weiler et al. 2018, arXiv:1807.02547, with other radial functions.

    Args:
        irreps_in: irreps of the input field.
        irreps_out: irreps of the output field.
        size: number of voxels along an edge of the kernel, odd, at least 3.
        stride: distance between output voxels, in voxels of the input.
        padding: voxels outside the field are equal to the nearest one of its border ("replicate") or zero
            ("zeros"). If the background is not 0, padding with zeros makes the border of the box visible to
            the network, and the border does not rotate with an object.
        degree: largest degree of polynomials; by default size - 3, and at least 2. Functions of higher degree
            do not fit into the kernel.
        sigma: width σ of the Gaussian in voxels; by default 0.9 (size / 2π)^(1/2): 0.62, 0.80, 0.95 for sizes
            3, 5, 7.

    Shapes: fields are (n, dim, depth, rows, columns), with the components of each irrep in the `ir_mul`
    layout, (2l+1, channels). Components x, y, z of vectors are along depth, rows and columns.

    Raises:
        ValueError: an output irrep that no path reaches, or `size`, `stride`, `degree` or `sigma` out of
            range.

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
        self.jets = products_of_filters(self.degree)  # degrees along depth, rows, columns
        self._bases: list[list[Tensor | None]] = []  # basis of kernels from irrep [i] to irrep [o], at [o][i]
        self.weights = nn.ParameterList()
        for mul_out, ir_out in self.irreps_out:
            row = [kernel_paths(ir, ir_out, size, self.degree, self.sigma) for _, ir in self.irreps_in]
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
        self._tables: dict[tuple, tuple[list[list[Tensor | None]], list[Tensor]]] = {}

    def forward(
        self, fields: Float[Tensor, "n dim_in depth rows columns"]
    ) -> Float[Tensor, "n dim_out d r c"]:
        """The convolved field.

        Raises:
            ValueError: `fields` is not a batch of fields of `irreps_in`.
        """
        if fields.ndim != 5 or fields.shape[1] != self.irreps_in.dim:
            raise ValueError(
                f"fields: expected (n, {self.irreps_in.dim}, depth, rows, columns) for irreps "
                f"{self.irreps_in}, got {tuple(fields.shape)}"
            )
        bases, filters = self._table(fields)
        n_in, n_out = self.irreps_in.dim, self.irreps_out.dim
        mix_first = self.stride == 1 and n_in >= FEW_CHANNELS and n_out <= 2 * n_in
        convolved = self._mix_and_filter if mix_first else self._filter_and_mix
        return convolved(fields, self._mixing(bases), filters)

    @classmethod
    def reachable(cls, irreps_in: o3.Irreps | str, irreps_out: o3.Irreps | str, degree: int = 2) -> o3.Irreps:
        """Irreps of `irreps_out` that kernels of degrees up to `degree` reach from `irreps_in`."""
        ends = {ir for _, ir_in in o3.Irreps(irreps_in) for f in kernel_irreps(degree) for ir in ir_in * f}
        return o3.Irreps([(mul, ir) for mul, ir in o3.Irreps(irreps_out) if ir in ends])

    def kernel(self) -> Float[Tensor, "dim_out dim_in size size size"]:
        """The kernel at the voxels around an output voxel that is a voxel of the input.

        It does not depend on the stride, whose low-pass is applied before and is not included.
        """
        bases, _ = self._table(self.weights[0], grid=())
        taps = hermite_functions(kernel_voxels(self.size), self.size, self.degree, self.sigma)
        taps = torch.from_numpy(taps).to(self.weights[0])
        products = torch.stack([torch.einsum("x,y,z->xyz", *(taps[a] for a in jet)) for jet in self.jets])
        return torch.einsum("jxyz,jio->oixyz", products, self._mixing(bases))

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

    def _filter_and_mix(self, x: Tensor, mixing: Tensor, filters: list[Tensor]) -> Tensor:
        """Filters along columns, rows and depth, then one mixing of the channels of all products."""
        n, channels, d, r, c = x.shape
        along_d, along_r, along_c = filters
        d_out, r_out, c_out = (f.shape[1] for f in filters)
        products = {}
        u = _along_last(along_c, x.reshape(n * channels, d * r, c))
        for k, u_k in enumerate(u.unbind(1)):
            v = _along_last(along_r[: self.degree + 1 - k], u_k.view(n * channels, c_out * d, r))
            for j, v_j in enumerate(v.unbind(1)):
                rest = along_d[: self.degree + 1 - j - k]
                w = _along_last(rest, v_j.view(n * channels, r_out * c_out, d))
                for i, product in enumerate(w.unbind(1)):
                    products[i, j, k] = product.view(n, channels, d_out * r_out * c_out)
        stacked = torch.stack([products[jet] for jet in self.jets], dim=1).flatten(1, 2)
        out = _along(mixing.flatten(0, 1).mT, stacked)
        return out.view(n, mixing.shape[2], d_out, r_out, c_out)

    def _mix_and_filter(self, x: Tensor, mixing: Tensor, filters: list[Tensor]) -> Tensor:
        """Mixing of channels for each product, then the filters, in channels-last layout, without a stride.

        For the gradient with respect to the weights only x is stored.
        """
        x = x.permute(0, 2, 3, 4, 1).contiguous()
        n, d, r, c, channels = x.shape
        matrices, rows = iter(mixing.unbind()), x.view(-1, channels)
        along_d, along_r, along_c = filters
        n_out, out = mixing.shape[2], None
        for i in range(self.degree + 1):
            u = None
            for j in range(self.degree + 1 - i):
                v = None
                for k in range(self.degree + 1 - i - j):
                    mixed = (rows @ next(matrices)).view(n * d * r, c, n_out)
                    v = _along(along_c[k], mixed, v)
                assert v is not None
                u = _along(along_r[j], v.view(n * d, r, c * n_out), u)
            assert u is not None
            out = _along(along_d[i], u.view(n, d, r * c * n_out), out)
        assert out is not None
        return out.view(n, d, r, c, n_out).permute(0, 4, 1, 2, 3)

    def _table(self, like: Tensor, grid: Sequence[int] | None = None) -> tuple:
        """Bases and filters along the axes in the dtype and on the device of a tensor, copied there once."""
        grid = tuple(like.shape[2:] if grid is None else grid)
        key = (like.dtype, like.device, grid)
        if key not in self._tables:
            with torch.inference_mode(False):  # tensors made in inference mode cannot be used in training
                bases = [[None if b is None else b.to(like) for b in row] for row in self._bases]
                options = self.size, self.stride, self.degree, self.sigma, self.padding
                filters = [axis_filters(n, *options).to(like) for n in grid]
            if is_traced():  # tensors made within a torch.func transform cannot be used after it
                return bases, filters
            self._tables[key] = bases, filters
        return self._tables[key]


def _along(matrix: Tensor, x: Float[Tensor, "batch n m"], total: Tensor | None = None) -> Tensor:
    """Product of a matrix with each matrix of a batch, added to `total` if that is given."""
    matrices = matrix.expand(len(x), *matrix.shape)
    return torch.bmm(matrices, x) if total is None else torch.baddbmm(total, matrices, x)


def _along_last(
    filters: Float[Tensor, "filters n_out n"], x: Float[Tensor, "batch m n"]
) -> Float[Tensor, "batch filters n_out m"]:
    """Results of all filters along the last axis of x; the other axis m of x becomes the last."""
    return _along(filters.flatten(0, 1), x.mT).view(len(x), *filters.shape[:2], x.shape[1])
