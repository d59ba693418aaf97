"""Convolutions of signals on the sphere and on rotations, with local filters, and activations."""

from collections.abc import Callable, Sequence

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from symnets.nn._rotations import SO3Grid, wigner_blocks
from symnets.nn._sphere import ExactTables


class S2Convolution(ExactTables):
    """Convolution of a signal on the sphere with local filters; the result is a signal on rotations.

    With channels i in and o out (Cohen et al. 2018, arXiv:1801.10130, eq. 4 and 7),

        out_o(R) = Σ_i ∫ f_i(x) ψ_io(R⁻¹ x) dx + b_o,

    with the mean over the sphere as integral and a bias b. In coefficients of `S2Grid` (f and the filters ψ)
    and `SO3Grid` (out), out_o,lmk = Σ_i f_i,lm ψ_io,lk / √(2l + 1): a linear map that is equivariant because
    it does not act on m. The filter is a sum of delta functions, one for each learned weight, at the north
    pole and on rings around it,

        ψ_io = (C_in n_points)^(-1/2) Σ_g w_io,g δ(x, x_g),

    with C_in channels i and n_points points x_g. The points are the pole and n_alpha equidistant longitudes
    on each ring; the rings are at the polar angles β = j · max_beta / n_rings, j = 1, ..., n_rings. Initial
    weights are drawn from N(0, 1), which keeps the mean square of the signal.

    Args:
        channels_in: number of channels of the input, on the sphere.
        channels_out: number of channels of the output, on rotations.
        lmax: highest degree of both.
        max_beta: polar angle of the outermost ring in radians, below π. By default rings are π / (lmax + 1)
            apart, and the outermost is at 0.9 π at most.
        n_rings: number of rings around the pole.
        n_alpha: number of points on each ring.
        bias: whether there is a bias b.
    """

    filters: Tensor

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        lmax: int,
        *,
        max_beta: float | None = None,
        n_rings: int = 2,
        n_alpha: int = 8,
        bias: bool = True,
    ) -> None:
        self.channels_in, self.channels_out, self.lmax = channels_in, channels_out, lmax
        self.max_beta = _outermost(lmax, n_rings, max_beta)
        self.n_rings, self.n_alpha = n_rings, n_alpha
        super().__init__()
        self.irreps_in = o3.Irreps([(channels_in, ir) for _, ir in o3.Irreps.spherical_harmonics(lmax)])
        self.irreps_out = _so3_irreps(channels_out, lmax)
        n_points = 1 + n_rings * n_alpha
        self.weight = nn.Parameter(torch.randn(channels_in, channels_out, n_points))
        self.bias = nn.Parameter(torch.zeros(channels_out)) if bias else None

    def _tables(self) -> dict[str, Tensor]:
        alpha, beta = _rings(self.max_beta, self.n_rings, self.n_alpha)
        # Y_l(x_g) = √(2l + 1) × the column m = 0 of D^l(α, β, 0).
        columns = [d[:, :, d.shape[-1] // 2] for d in wigner_blocks(self.lmax, alpha, beta, 0 * alpha)]
        return {"filters": torch.cat(columns, dim=1) * (self.channels_in * len(alpha)) ** -0.5}

    def forward(
        self, signal: Float[Tensor, "n channels_in dim_in"]
    ) -> Float[Tensor, "n channels_out dim_out"]:
        """Coefficients of the result on rotations, from those of a signal on the sphere."""
        filters = self.weight @ self.filters  # [i, o, (l, k)]
        blocks = []
        for l in range(self.lmax + 1):  # noqa: E741
            part = slice(l**2, (l + 1) ** 2)
            # [batch, m, i] times [i, (o, k)]
            mixed = signal[..., part].transpose(1, 2) @ filters[..., part].flatten(1)
            blocks.append(mixed.unflatten(-1, (self.channels_out, -1)).transpose(1, 2).flatten(2))
        return _join(blocks, self.bias)


class SO3Convolution(ExactTables):
    """Convolution of a signal on rotations with local filters.

    With channels i in and o out (Cohen et al. 2018, arXiv:1801.10130, eq. 5 and 8),

        out_o(R) = Σ_i ∫ f_i(Q) ψ_io(R⁻¹ Q) dQ + b_o,

    or, in coefficients of `SO3Grid`, out_o,lmk = Σ_i,n f_i,lmn ψ_io,lkn / √(2l + 1): one matrix product for
    each l. It is a `Linear` layer on (2l + 1) C channels of each l, for C channels of signals, whose matrices
    are functions of fewer weights. The filter is a sum of delta functions at the rotations R(α, β, γ - α),
    with (α, β) as in `S2Convolution` and n_gamma equidistant angles γ. Initial weights are drawn from
    N(0, 1), which keeps the mean square of the signal.

    Args:
        channels_in: number of channels of the input.
        channels_out: number of channels of the output.
        lmax: highest degree of both.
        max_beta: polar angle of the outermost ring in radians, below π; by default as in `S2Convolution`.
        n_rings: number of rings around the identity.
        n_alpha: number of points on each ring.
        n_gamma: number of rotations about each point.
        bias: whether there is a bias b.
    """

    filters: Tensor

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        lmax: int,
        *,
        max_beta: float | None = None,
        n_rings: int = 1,
        n_alpha: int = 8,
        n_gamma: int = 6,
        bias: bool = True,
    ) -> None:
        self.channels_in, self.channels_out, self.lmax = channels_in, channels_out, lmax
        self.max_beta = _outermost(lmax, n_rings, max_beta)
        self.n_rings, self.n_alpha, self.n_gamma = n_rings, n_alpha, n_gamma
        super().__init__()
        self.irreps_in = _so3_irreps(channels_in, lmax)
        self.irreps_out = _so3_irreps(channels_out, lmax)
        n_points = (1 + n_rings * n_alpha) * n_gamma
        self.weight = nn.Parameter(torch.randn(channels_in, channels_out, n_points))
        self.bias = nn.Parameter(torch.zeros(channels_out)) if bias else None

    def _tables(self) -> dict[str, Tensor]:
        alpha, beta = (a.repeat(self.n_gamma) for a in _rings(self.max_beta, self.n_rings, self.n_alpha))
        steps = torch.arange(self.n_gamma).repeat_interleave(len(alpha) // self.n_gamma)
        gamma = 2 * torch.pi * steps.double() / self.n_gamma - alpha
        # Transposed: [n, k], as the products below need it.
        blocks = [d.mT.flatten(1) for d in wigner_blocks(self.lmax, alpha, beta, gamma)]
        return {"filters": torch.cat(blocks, dim=1) * (self.channels_in * len(alpha)) ** -0.5}

    def forward(self, signal: Float[Tensor, "n channels_in dim"]) -> Float[Tensor, "n channels_out dim"]:
        """Coefficients of the convolved signal, from those of the signal."""
        filters = self.weight @ self.filters  # [i, o, (l, n, k)]
        blocks, start = [], 0
        for l in range(self.lmax + 1):  # noqa: E741
            dim = 2 * l + 1
            part = slice(start, start + dim**2)
            f = signal[..., part].unflatten(-1, (dim, dim)).transpose(1, 2).flatten(2)  # [batch, m, (i, n)]
            psi = filters[..., part].unflatten(-1, (dim, dim)).transpose(1, 2)  # [i, n, o, k]
            mixed = f @ psi.flatten(2).flatten(0, 1)
            blocks.append(mixed.unflatten(-1, (self.channels_out, dim)).transpose(1, 2).flatten(2))
            start += dim**2
        return _join(blocks, self.bias)


class SO3BatchNorm(nn.Module):
    """Batch normalisation of signals on rotations (Ioffe and Szegedy 2015, arXiv:1502.03167).

    For each channel, with the mean and the variance over rotations and over the batch,

        out = gain (f - mean) / √(variance + eps) + bias,   mean = <f_000>,   variance = <Σ f_lmn²> - mean²,

    where <...> is the mean over the batch, and Σ f_lmn² the mean square of f over rotations. Mean and
    variance are invariant, so that the layer is exactly equivariant. In eval mode running averages are used
    instead of those over the batch.

    Args:
        channels: number of channels.
        eps: added to the variance.
        momentum: weight of a batch in the running averages.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, signal: Float[Tensor, "n channels dim"]) -> Float[Tensor, "n channels dim"]:
        """Coefficients of the normalised signal."""
        mean, variance = self.running_mean, self.running_var
        if self.training:
            mean = signal[..., 0].mean(0)
            variance = (signal[..., 0] - mean).square().mean(0) + signal[..., 1:].square().sum(-1).mean(0)
            with torch.no_grad():
                self.running_mean.lerp_(mean.detach(), self.momentum)
                self.running_var.lerp_(variance.detach(), self.momentum)
        factor = self.gain * (variance + self.eps).rsqrt()
        scaled = signal * factor[:, None]
        return torch.cat([scaled[..., :1] + (self.bias - factor * mean)[:, None], scaled[..., 1:]], dim=-1)


class SO3Activation(nn.Module):
    """Activation of a signal on rotations: the signal is sampled on a grid, activated, and projected back.

        out_lmn = √(2l + 1) ∫ φ(f(R)) D^l_mn(R) dR,   l ≤ lmax_out,

    with the activation φ, the Wigner matrices D^l of `SO3Grid`, and the integral by quadrature on the grid.
    φ(f) has components of all degrees, of which the grid resolves the lower ones: the layer is equivariant up
    to an error that falls with the size of the grid. For lmax_out = 0 the output is the mean over all
    rotations, an invariant. Under rotations about the polar axis by multiples of 2π / n_alpha, for n_alpha
    angles α, equivariance is exact.

    Args:
        lmax_in: highest degree of the input.
        lmax_out: highest degree of the output.
        shape: numbers of angles (α, β, γ) of the grid.
        activation: φ.
    """

    def __init__(
        self,
        lmax_in: int,
        lmax_out: int,
        shape: Sequence[int],
        activation: Callable[[Tensor], Tensor] = torch.relu,
    ) -> None:
        super().__init__()
        self.synthesis, self.analysis = SO3Grid(lmax_in, shape), SO3Grid(lmax_out, shape)
        self.irreps_in, self.irreps_out = self.synthesis.irreps, self.analysis.irreps
        self.activation = activation

    def forward(self, signal: Float[Tensor, "n channels dim_in"]) -> Float[Tensor, "n channels dim_out"]:
        """Coefficients of the activated signal."""
        return self.analysis.from_grid(self.activation(self.synthesis.to_grid(signal)))


def _outermost(lmax: int, n_rings: int, max_beta: float | None) -> float:
    """Polar angle of the outermost ring of a filter, between 0 and π; by default π / (lmax + 1) per ring."""
    if max_beta is None:
        max_beta = min(n_rings / (lmax + 1), 0.9) * torch.pi
    if not 0 < max_beta < torch.pi:
        raise ValueError(f"max_beta: expected an angle between 0 and π, got {max_beta}")
    return max_beta


def _rings(max_beta: float, n_rings: int, n_alpha: int) -> tuple[Tensor, Tensor]:
    """Angles (α, β) of the pole and of points on rings around it."""
    ring, point = torch.arange(1, n_rings + 1).double(), torch.arange(n_alpha).double()
    beta = (max_beta * ring / n_rings).repeat_interleave(n_alpha)
    alpha = (2 * torch.pi * point / n_alpha).repeat(n_rings)
    zero = torch.zeros(1, dtype=torch.float64)
    return torch.cat([zero, alpha]), torch.cat([zero, beta])


def _so3_irreps(channels: int, lmax: int) -> o3.Irreps:
    """Irreps of a signal on rotations: each l occurs 2l + 1 times for each channel."""
    return o3.Irreps([(channels * (2 * l + 1), (l, (-1) ** l)) for l in range(lmax + 1)])  # noqa: E741


def _join(blocks: list[Tensor], bias: Tensor | None) -> Tensor:
    """Coefficients of all degrees, concatenated, with the bias added to that of l = 0."""
    first = blocks[0] if bias is None else blocks[0] + bias[:, None]
    return torch.cat([first, *blocks[1:]], dim=-1)
