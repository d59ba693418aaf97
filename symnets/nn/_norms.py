"""Normalisations of equivariant features: RMSNorm, LayerNorm and BatchNorm."""

from collections.abc import Sequence

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from symnets.native import Matrix, NormalizeRows, Program
from symnets.ops import blocks, join

EVEN = o3.Irrep("0e")


class _Norm(nn.Module):
    """Base class of normalisations: irreps, the trained gain γ and the trained bias β.

    A mean is subtracted, and a bias added, only for even scalars (0e): for other irreps a constant would
    single out a direction or a sign.
    """

    def __init__(self, irreps: o3.Irreps | str, eps: float, affine: bool, bias: bool) -> None:
        super().__init__()
        self.irreps_in = self.irreps_out = o3.Irreps(irreps)
        if not self.irreps_in or any(mul == 0 for mul, _ in self.irreps_in):
            raise ValueError(f"irreps: expected one channel or more of every irrep, got '{self.irreps_in}'")
        self.eps = eps
        self.channels = [mul for mul, _ in self.irreps_in]
        self.scalar_channels = [mul for mul, ir in self.irreps_in if ir == EVEN]
        self.weight = nn.Parameter(torch.ones(sum(self.channels))) if affine else None
        self.bias = nn.Parameter(torch.zeros(sum(self.scalar_channels))) if affine and bias else None

    def _affine(self, parts: list[Float[Tensor, "n _ir _mul"]]) -> Float[Tensor, "n dim"]:
        """γ x + β of normalised blocks."""
        if self.weight is not None:
            parts = [part * gain for part, gain in zip(parts, self.weight.split(self.channels), strict=True)]
        if self.bias is not None:
            biases = iter(self.bias.split(self.scalar_channels))
            parts = [
                part + next(biases) if ir == EVEN else part
                for part, (_, ir) in zip(parts, self.irreps_in, strict=True)
            ]
        return join(parts)


class RMSNorm(_Norm):
    """Normalisation of each node's features by one root mean square, which keeps the ratios between irreps:

        x_c ← γ_c x_c / (Σ_i a_i <x_i²> + ε)^(1/2),     a_i = 1 / (number of irreps) by default,

    for channel c, with a trained gain γ_c and the mean <x_i²> of squares over the channels and components of
    irrep i. By default all irreps have the same weight a_i, however many components they have. There is no
    bias.

    Source: the norm of EquiformerV2 (Liao et al. 2024, arXiv:2306.12059) and eSEN (Fu et al. 2025,
    arXiv:2502.12147), without their centring of scalars.

    Args:
        irreps: irreps of the features.
        weights: a_i, one for each entry of `irreps`; None for equal weights whose sum is 1.
        eps: ε.
        affine: whether to have gains.

    Raises:
        ValueError: the number of weights is not that of the entries of `irreps`, or features have another
            number of components than `irreps`.

    Example:
        The mean squares of the scalars (9 and 9) and of the vector (1, 0 and 2) are 9 and 1, their mean is 5.

        >>> features = torch.tensor([[3.0, -3.0, 1.0, 0.0, 2**0.5]])
        >>> RMSNorm("2x0e+1x1o", eps=0)(features).square() * 5
        tensor([[9.0000, 9.0000, 1.0000, 0.0000, 2.0000]], grad_fn=<MulBackward0>)
    """

    irrep_of_column: Tensor
    channel_of_column: Tensor

    def __init__(
        self,
        irreps: o3.Irreps | str,
        *,
        weights: Sequence[float] | None = None,
        eps: float = 1e-5,
        affine: bool = True,
    ) -> None:
        super().__init__(irreps, eps, affine, bias=False)
        n = len(self.irreps_in)
        self.irrep_weights = (1 / n,) * n if weights is None else tuple(weights)
        if len(self.irrep_weights) != n:
            raise ValueError(
                f"weights: expected {n} numbers, one for each entry of '{self.irreps_in}', got {weights}"
            )
        # One matrix product and two elementwise products of all irreps are faster than operations on each.
        sizes = torch.tensor([mul_ir.dim for mul_ir in self.irreps_in])
        blocks_of_gains = torch.arange(sum(self.channels)).split(self.channels)
        channels = [
            part.repeat(ir.dim) for part, (_, ir) in zip(blocks_of_gains, self.irreps_in, strict=True)
        ]
        self.register_buffer("irrep_of_column", torch.arange(n).repeat_interleave(sizes), persistent=False)
        self.register_buffer("channel_of_column", torch.cat(channels), persistent=False)

    @classmethod
    def nequix(cls, irreps: o3.Irreps | str) -> "RMSNorm":
        """The norm of the published Nequix models, with a_i = C_i / (n (2l_i + 1)) and ε = 10⁻¹².

        C_i is the number of channels of the i-th of n entries of `irreps`. That is, squares are summed over
        channels and components and divided by (2l+1)² n.

        Source: `nequix/layer_norm.py` of github.com/atomicarchitects/nequix.
        """
        irreps = o3.Irreps(irreps)
        return cls(irreps, weights=[mul / (len(irreps) * ir.dim) for mul, ir in irreps], eps=1e-12)

    def forward(self, features: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """Normalised features."""
        if features.shape[-1] != self.irreps_in.dim:
            raise ValueError(f"features: expected {self.irreps_in.dim} columns, got {features.shape[-1]}")
        of_columns = features.new_tensor(self._weights_of_squares()).index_select(0, self.irrep_of_column)
        normalised = features * ((features.square() @ of_columns)[:, None] + self.eps).rsqrt()
        if self.weight is None:
            return normalised
        return normalised * self.weight.index_select(0, self.channel_of_column)

    def lower(self, program: Program, features: Matrix) -> Matrix:
        """Normalised features in a native program."""
        if features.table is not None:
            return program.lookup(self(features.table))
        of_columns = torch.tensor(self._weights_of_squares(), dtype=torch.float64)[self.irrep_of_column.cpu()]
        gains = torch.ones_like(of_columns)
        if self.weight is not None:
            gains = self.weight.detach().double().cpu()[self.channel_of_column.cpu()]
        operation = NormalizeRows(program, features, of_columns.numpy(), gains.numpy(), self.eps)
        program.add(operation)
        return operation.out

    def _weights_of_squares(self) -> list[float]:
        """Weight of the square of each component of an irrep: a_i / (its channels times components)."""
        return [a / mul_ir.dim for a, mul_ir in zip(self.irrep_weights, self.irreps_in, strict=True)]


class LayerNorm(_Norm):
    """Normalisation of each irrep of a node's features over its channels:

        x_c ← γ_c (x_c - <x>) / (<(x - <x>)²> + ε)^(1/2) + β_c     for even scalars,
        x_c ← γ_c x_c / (<x²> + ε)^(1/2)                           for all other irreps,

    for channel c, with means <...> over the channels and components of one entry of `irreps`, and trained γ
    and β. On even scalars this is `torch.nn.LayerNorm`. With a single even scalar the result is always β.

    Source: Liao and Smidt 2023, Equiformer, arXiv:2206.11990, with the mean over components in place of the
    sum, so that components and not norms are of order one.

    Args:
        irreps: irreps of the features.
        eps: ε.
        affine: whether to have γ and β.
    """

    def __init__(self, irreps: o3.Irreps | str, *, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__(irreps, eps, affine, bias=True)

    def forward(self, features: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """Normalised features."""
        parts = []
        for part, (_, ir) in zip(blocks(features, self.irreps_in), self.irreps_in, strict=True):
            centred = part - part.mean(-1, keepdim=True) if ir == EVEN else part
            parts.append(centred * (centred.square().mean((1, 2), keepdim=True) + self.eps).rsqrt())
        return self._affine(parts)


class BatchNorm(_Norm):
    """Normalisation of each channel of the features over the nodes of a batch, as in `e3nn.nn.BatchNorm`:

        x_c ← γ_c (x_c - <x_c>) / (<(x_c - <x_c>)²> + ε)^(1/2) + β_c     for even scalars,
        x_c ← γ_c x_c / (<x_c²> + ε)^(1/2)                               for all other irreps,

    for channel c, with means <...> over all nodes and the components of c. In training mode the means are
    those of the batch, and running averages r ← (1 - momentum) r + momentum <...> are updated. In evaluation
    mode the running averages are used instead. In training mode the energy of a structure therefore depends
    on the other structures of its batch; `RMSNorm` and `LayerNorm` act on each node alone.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167; Weiler et al. 2018, arXiv:1807.02547, for irreps.

    Args:
        irreps: irreps of the features.
        eps: ε.
        momentum: weight of the batch in the running averages.
        affine: whether to have γ and β.

    Attributes:
        running_mean: running averages of <x_c> for even scalars.
        running_var: running averages of the mean squares of all channels, centred for even scalars.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self, irreps: o3.Irreps | str, *, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True
    ) -> None:
        super().__init__(irreps, eps, affine, bias=True)
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(sum(self.scalar_channels)))
        self.register_buffer("running_var", torch.ones(sum(self.channels)))

    def forward(self, features: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """Normalised features.

        Raises:
            ValueError: no rows in training mode.
        """
        parts = blocks(features, self.irreps_in)
        even = [i for i, (_, ir) in enumerate(self.irreps_in) if ir == EVEN]
        means, squares = self.running_mean, self.running_var
        if self.training:
            if not len(features):
                raise ValueError("BatchNorm: expected one row or more in training mode, got none")
            means = torch.cat([features.new_empty(0), *(parts[i].mean((0, 1)) for i in even)])
        for i, mean in zip(even, means.split(self.scalar_channels), strict=True):
            parts[i] = parts[i] - mean
        if self.training:
            squares = torch.cat([part.square().mean((0, 1)) for part in parts])
            with torch.no_grad():
                self.running_mean.lerp_(means, self.momentum)
                self.running_var.lerp_(squares, self.momentum)
        factors = (squares + self.eps).rsqrt().split(self.channels)
        return self._affine([part * factor for part, factor in zip(parts, factors, strict=True)])
