"""Convolutions of images by circular harmonics, which commute with rotations of the plane."""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.special import ive
from torch import Tensor, nn

from symnets.ops import is_traced

MARGIN = 1.5
"""Distance of the largest ring from the border of the window, where a filter is cut off, in widths σ."""


class CircularConvolution(nn.Module):
    """Rotation-equivariant convolution of fields of given rotation orders on images.

    Source: Worrall et al. 2017, harmonic networks, arXiv:1612.04642.

    A field z of order m is a complex map, real for m = 0. A rotation R by θ, counterclockwise with row 0 on
    top, acts on it by (R z)(x) = e^{imθ} z(R⁻¹ x). From a channel c' of order m to a channel c of order n the
    filter has the angular order k = n - m,

        out_c(x) = Σ_c' Σ_y W_cc'(y) z_c'(x + y),     W(r, φ) = e^{i (kφ + β)} Σ_j w_j B_kj(r),

    in polar coordinates (r, φ) of y, with learned weights w_j and a learned phase β for each pair (c, c'). An
    output of order 0 is the real part of this sum. A reflection S acts on fields by (S z)(x) = z(S⁻¹ x)*,
    with the complex conjugate *. It changes the sign of phases, so that a layer without phases commutes with
    reflections too.

    The radial functions are rings of radius r_j, convolved with a Gaussian of width σ,

        B_kj(r) e^{ikφ}  ~  exp(-(r² + r_j²) / (2σ²)) I_k(r r_j / σ²) e^{ikφ},

    with the modified Bessel function I_k, sampled at pixels and divided by their norm. They are smooth at
    r = 0, and the Gaussian damps angular frequencies that pixels cannot resolve. The width is
    σ = (1 + s) / 3 pixels for stride s, so that a filter averages over the pixels between its outputs.

    Equivariance is exact under quarter turns if the border is the same on all sides, that is, if the stride
    divides size + 2 padding - kernel along each axis. Under other rotations the error falls with finer
    sampling of the filters and grows with the order (`docs/how-to/plane.md`).

    In eval mode, without gradients and on a CPU, filters are made once and kept as long as the weights have
    the same values.

    The channels of a tensor of fields are those of order 0, then the real parts of orders 1, 2, ..., then
    their imaginary parts in the same order: a + 2 (b + c) real maps for a, b and c channels of orders 0, 1
    and 2.

    Args:
        channels_in: numbers of channels of orders 0, 1, 2, ... of the input.
        channels_out: numbers of channels of orders 0, 1, 2, ... of the output.
        kernel: number of pixels along an edge of the filters, or (rows, columns). Odd ones are centred on a
            pixel, even ones between pixels.
        stride: distance between output pixels, in pixels of the input.
        padding: number of zeros on each side, or (rows, columns); (kernel - 1) // 2 by default. With stride
            2, maps are then halved symmetrically, rounded up, by even kernels if their size is even and by
            odd kernels if it is odd.
        rings: number of radii r_j, evenly spaced up to kernel / 2 - 3/2 σ.
        phases: whether phases are learned; otherwise they are 0.

    Attributes:
        dim_in: number of real maps of the input.
        dim_out: number of real maps of the output.

    Raises:
        ValueError: no channels, or a kernel that is too small for its stride.
    """

    basis: Tensor
    select: Tensor
    phased: Tensor

    def __init__(
        self,
        channels_in: Sequence[int],
        channels_out: Sequence[int],
        kernel: int | tuple[int, int] = 5,
        *,
        stride: int = 1,
        padding: int | tuple[int, int] | None = None,
        rings: int = 2,
        phases: bool = True,
    ) -> None:
        super().__init__()
        self.channels_in, self.channels_out = tuple(channels_in), tuple(channels_out)
        self.dim_in, self.dim_out = n_maps(self.channels_in), n_maps(self.channels_out)
        self.kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        self.stride = stride
        default = tuple((size - 1) // 2 for size in self.kernel) if padding is None else padding
        self.padding = (default, default) if isinstance(default, int) else default
        orders_in, orders_out = (
            torch.repeat_interleave(torch.arange(len(channels)), torch.tensor(channels))
            for channels in (self.channels_in, self.channels_out)
        )
        filter_orders = orders_out[:, None] - orders_in
        distinct = filter_orders.unique()
        harmonics = ring_harmonics(distinct.tolist(), self.kernel, rings, (1 + stride) / 3)
        # Between real fields a phase would only be one more factor of the weights.
        phased = ((orders_out[:, None] > 0) | (orders_in > 0)).flatten().nonzero().flatten()
        self.register_buffer("phased", phased, persistent=False)
        n_in, n_out = len(orders_in), len(orders_out)
        self.weight = nn.Parameter(math.sqrt(2 / (n_in * rings)) * torch.randn(n_out, n_in, rings))
        self.phase = (
            nn.Parameter(math.pi * (2 * torch.rand(len(phased)) - 1)) if phases and len(phased) else None
        )
        if self.phase is not None:  # basis functions of the weights w cos β, then of w sin β
            harmonics = torch.cat([harmonics, 1j * harmonics], dim=1)
        harmonics = torch.view_as_real(harmonics).movedim(-1, 2)  # (orders, rings, 2, rows, columns)
        basis = harmonics.flatten(0, 1).flatten(1).to(torch.get_default_dtype())
        self.register_buffer("basis", basis, persistent=False)
        select = (filter_orders[..., None] == distinct).to(basis)
        self.register_buffer("select", select[..., None], persistent=False)
        self._kept: tuple[list[Tensor], Tensor] | None = None

    def forward(
        self, fields: Float[Tensor, "n dim_in rows columns"]
    ) -> Float[Tensor, "n dim_out rows_out columns_out"]:
        """Filtered fields."""
        return F.conv2d(fields, self._kept_filters(), stride=self.stride, padding=self.padding)

    def filters(self) -> Float[Tensor, "dim_out dim_in kernel_rows kernel_columns"]:
        """Filters between real maps: those of complex fields are the matrices (Re W, -Im W; Im W, Re W)."""
        n_out, n_in, _ = self.weight.shape
        factors = self.weight
        if self.phase is not None:
            phase = self.phase.new_zeros(n_out * n_in).index_copy(0, self.phased, self.phase)
            phase = phase.view(n_out, n_in, 1)
            factors = torch.cat([factors * phase.cos(), factors * phase.sin()], dim=2)
        factors = (factors[:, :, None] * self.select).view(n_out * n_in, -1)
        parts = (factors @ self.basis).view(n_out, n_in, 2, *self.kernel)
        real, imaginary = parts.unbind(2)
        a, b = self.channels_out[0], self.channels_in[0]  # where complex channels begin
        upper = torch.cat([real, -imaginary[:, b:]], dim=1)
        lower = torch.cat([imaginary[a:], real[a:, b:]], dim=1)
        return torch.cat([upper, lower])

    def _kept_filters(self) -> Tensor:
        """Filters; in evaluation without gradients they are reused as long as no weight changes.

        Comparing weights costs much less than computing filters, and detects all changes: steps of an
        optimizer, changes in place or of `data` or of the dtype, and other weights passed by
        `functional_call`.
        """
        weights = [weight for weight in (self.weight, self.phase) if weight is not None]
        on_cpu = all(weight.device.type == "cpu" for weight in weights)  # a GPU would be synchronised
        evaluating = not (self.training or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"))
        if not (evaluating and on_cpu) or is_traced():
            return self.filters()
        if self._kept is None or not all(map(_is_same, weights, self._kept[0])):
            self._kept = [weight.clone() for weight in weights], self.filters()
        return self._kept[1]


def _is_same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of equal shape have the same dtype and values."""
    return a.dtype == b.dtype and torch.equal(a, b)


class MagnitudeActivation(nn.Module):
    """Nonlinearity of fields that changes magnitudes only, with batch normalisation of the magnitudes:

        z -> φ(ρ) z / ρ,     ρ = √(|z|² + ε),     φ(ρ) = max(0, BN(ρ)),

    and z -> φ(z) for the real fields of order 0. BN is batch normalisation with a trained factor and shift
    for each channel (Worrall et al. 2017, arXiv:1612.04642). Without batch normalisation
    φ(ρ) = max(0, ρ + b), with b = 0 at first. ε makes z / ρ smooth at z = 0.

    Args:
        channels: numbers of channels of orders 0, 1, 2, ...
        batch_norm: whether magnitudes are normalised.
        eps: ε.
    """

    def __init__(self, channels: Sequence[int], *, batch_norm: bool = True, eps: float = 1e-2) -> None:
        super().__init__()
        self.magnitudes = Magnitudes(channels, eps=eps)
        n = sum(channels)
        self.norm = nn.BatchNorm2d(n) if batch_norm else None
        self.bias = None if batch_norm else nn.Parameter(torch.zeros(n, 1, 1))

    def forward(self, fields: Float[Tensor, "n dim rows columns"]) -> Float[Tensor, "n dim rows columns"]:
        """Fields after the activation, of the same orders."""
        rho, real = self.magnitudes(fields), self.magnitudes.channels[0]
        phi = (self.norm(rho) if self.norm is not None else rho + self.bias).relu()
        if rho.shape[1] == real:
            return phi
        factor = phi[:, real:] / rho[:, real:]
        parts = fields[:, real:].unflatten(1, (2, -1))
        return torch.cat([phi[:, :real], (parts * factor[:, None]).flatten(1, 2)], dim=1)


class Magnitudes(nn.Module):
    """Invariants of fields: those of order 0 as they are, and the magnitudes √(|z|² + ε) of the others.

    Args:
        channels: numbers of channels of orders 0, 1, 2, ...
        eps: ε, which makes the magnitude smooth at z = 0.
    """

    def __init__(self, channels: Sequence[int], *, eps: float = 1e-2) -> None:
        super().__init__()
        self.channels, self.eps = tuple(channels), eps

    def forward(
        self, fields: Float[Tensor, "n dim rows columns"]
    ) -> Float[Tensor, "n channels rows columns"]:
        """Invariant maps, one for each channel."""
        scalars = fields[:, : self.channels[0]]
        if len(self.channels) == 1:
            return scalars
        real, imaginary = fields[:, self.channels[0] :].chunk(2, dim=1)
        return torch.cat([scalars, (real.square() + imaginary.square() + self.eps).sqrt()], dim=1)


def n_maps(channels: Sequence[int]) -> int:
    """Number of real maps of fields: one for each channel of order 0, two for each of the others.

    Raises:
        ValueError: no channels.
    """
    if min(channels, default=-1) < 0 or not sum(channels):
        raise ValueError(
            f"channels: expected numbers of channels of orders 0, 1, 2, ..., at least one, got {channels}"
        )
    return 2 * sum(channels) - channels[0]


def ring_harmonics(orders: Sequence[int], kernel: tuple[int, int], rings: int, width: float) -> Tensor:
    """Rings with the angular dependence e^{ikφ}, blurred by a Gaussian, at the pixels of a filter; unit norm.

    Pixels that a quarter turn maps to each other have exactly rotated values, also in float32. φ is the angle
    from the direction of increasing columns, counterclockwise with row 0 on top.

    Args:
        orders: angular orders k.
        kernel: (rows, columns) of a filter.
        rings: number of radii, evenly spaced up to `MARGIN` widths from the border.
        width: σ of the Gaussian, pixels.

    Returns:
        (orders, rings, rows, columns), complex128.

    Raises:
        ValueError: no radius fits.
    """
    largest = min(kernel) / 2 - MARGIN * width
    if largest <= 0 or rings < 1:
        raise ValueError(
            f"kernel: expected at least {math.floor(2 * MARGIN * width) + 1} rows and columns for rings of "
            f"width {width:.3g}, and at least one ring; got {kernel} and {rings} rings"
        )
    rows, columns = (np.arange(size) - (size - 1) / 2 for size in kernel)
    points = columns - 1j * rows[:, None]
    r = np.abs(points)
    unit = points / np.where(r > 0, r, 1)
    radii = largest * np.arange(1, rings + 1) / rings
    harmonics = []
    for order in orders:
        phase = np.ones_like(unit)
        for _ in range(abs(order)):  # products are symmetric to the last bit, powers are not
            phase = phase * (unit if order > 0 else unit.conj())
        for radius in radii:
            ring = np.exp(-((r - radius) ** 2) / (2 * width**2)) * ive(order, r * radius / width**2) * phase
            harmonics.append(ring / np.linalg.norm(ring))
    return torch.from_numpy(np.stack(harmonics)).unflatten(0, (len(orders), rings))
