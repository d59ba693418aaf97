"""Tensor products of a node's features with others or with themselves, with trained weights."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from symnets.nn._linear import Linear
from symnets.nn._many_body import ManyBodyProduct
from symnets.ops import blocks


class ChannelPairs(NamedTuple):
    """Products of channels of block i with channels of block j, and the irreps into which they couple."""

    i: int
    j: int
    outputs: list[tuple[o3.Irrep, float]]
    """Irreps, each with the factor that gives its components unit second moment."""
    n: int
    """Number of pairs of channels."""
    channels: tuple[Tensor, Tensor] | None = None
    """Channels u and v of each pair; None for all pairs of the two blocks."""


class _ProductsThenLinear(nn.Module):
    """Clebsch-Gordan products of pairs of channels, then a linear layer, which has all the weights."""

    def __init__(
        self,
        irreps_in1: o3.Irreps,
        irreps_in2: o3.Irreps,
        irreps_out: o3.Irreps | str,
        pairs: Sequence[ChannelPairs],
    ) -> None:
        super().__init__()
        self.irreps_in1, self.irreps_in2 = irreps_in1, irreps_in2
        self.pairs = pairs
        products = o3.Irreps([(pair.n, ir) for pair in pairs for ir, _ in pair.outputs])
        self.linear = Linear(products, irreps_out)
        self.irreps_out = self.linear.irreps_out
        # Not buffers: coefficients that were float32 once would break equivariance in float64.
        self._couplings = [
            torch.cat(
                [
                    factor * o3.wigner_3j(first.l, second.l, ir.l, dtype=torch.float64).flatten(0, 1).mT
                    for ir, factor in pair.outputs
                ]
            )
            for pair in pairs
            for first, second in [(irreps_in1[pair.i].ir, irreps_in2[pair.j].ir)]
        ]

    def _multiply(
        self, features1: Float[Tensor, "n dim_in1"], features2: Float[Tensor, "n dim_in2"]
    ) -> Float[Tensor, "n dim_out"]:
        # Components first, so that coefficients multiply all nodes and channels in one matrix product.
        blocks1, blocks2 = (
            [block.transpose(0, 1) for block in blocks(x, irreps)]
            for x, irreps in ((features1, self.irreps_in1), (features2, self.irreps_in2))
        )
        parts = []
        for pair, coupling in zip(self.pairs, self._couplings, strict=True):
            first, second = blocks1[pair.i], blocks2[pair.j]
            if pair.channels is None:
                outer = first[:, None, :, :, None] * second[:, :, None]
            else:
                u, v = (index.to(first.device) for index in pair.channels)
                outer = first[:, None, :, u] * second[:, :, v]
            products = coupling.to(outer) @ outer.flatten(0, 1).flatten(1)
            coupled = products.unflatten(1, (first.shape[1], pair.n))
            parts += coupled.transpose(0, 1).split([ir.dim for ir, _ in pair.outputs], dim=1)
        return self.linear.mix(parts)


class FullyConnectedTensorProduct(_ProductsThenLinear):
    """Tensor product of two sets of features with a trained weight for each path and triple of channels:

        z_w = n^(-1/2) Σ_{p, u, v} W_p[u, v, w] (x_u ⊗ y_v)_p,

    summed over the paths p = (irrep of x, irrep of y -> irrep of z) and their channels u and v. n is the
    number of terms of the sum, and products have components of unit variance if x and y have. This is
    `e3nn.o3.FullyConnectedTensorProduct`, in the `ir_mul` layout. All products of channels are formed first,
    then one matrix product for each irrep of z mixes them.

    Source: Thomas et al. 2018, arXiv:1802.08219; Geiger and Smidt 2022, arXiv:2207.09453.

    Args:
        irreps_in1: irreps of x.
        irreps_in2: irreps of y.
        irreps_out: irreps of z, each once.

    Raises:
        ValueError: an irrep of z is in no product of x and y; it would be zero.
    """

    def __init__(
        self, irreps_in1: o3.Irreps | str, irreps_in2: o3.Irreps | str, irreps_out: o3.Irreps | str
    ) -> None:
        first, second, targets = o3.Irreps(irreps_in1), o3.Irreps(irreps_in2), irreps_of(irreps_out)
        pairs = []
        for i, (mul1, ir1) in enumerate(first):
            for j, (mul2, ir2) in enumerate(second):
                if outputs := [(ir, ir.dim**0.5) for ir in ir1 * ir2 if ir in targets]:
                    pairs.append(ChannelPairs(i, j, outputs, mul1 * mul2))
        super().__init__(first, second, irreps_out, pairs)

    def forward(
        self, features1: Float[Tensor, "n dim_in1"], features2: Float[Tensor, "n dim_in2"]
    ) -> Float[Tensor, "n dim_out"]:
        """Products z of the rows of x and y."""
        return self._multiply(features1, features2)


class TensorSquare(_ProductsThenLinear):
    """Tensor product of features with themselves, with a trained weight for each path and pair of channels:

        z_w = n^(-1/2) Σ_{p, u <= v} W_p[u, v, w] c (x_u ⊗ x_v)_p,

    summed over each unordered pair of channels once. The factor c gives the components of the product unit
    second moment for x from N(0, 1), and n is the number of terms. The product of a channel with itself has
    even l only. This is `e3nn.o3.TensorSquare` with `irreps_out`, in the `ir_mul` layout. The cost grows as
    the square of the number of channels; that of `SelfInteraction` does not.

    Args:
        irreps_in: irreps of x, each once.
        irreps_out: irreps of z, each once.

    Raises:
        ValueError: an irrep of x is repeated; an irrep of z is in no product of x with itself.
    """

    def __init__(self, irreps_in: o3.Irreps | str, irreps_out: o3.Irreps | str) -> None:
        irreps, targets = o3.Irreps(irreps_in), irreps_of(irreps_out)
        if len(irreps_of(irreps)) < len(irreps):
            raise ValueError(f"TensorSquare: expected each irrep once, got {irreps}")
        pairs = []
        for i, (mul1, ir1) in enumerate(irreps):
            for j, (mul2, ir2) in enumerate(irreps[i:], start=i):
                outputs = [(ir, ir.dim**0.5) for ir in ir1 * ir2 if ir in targets]
                if i != j:
                    pairs.append(ChannelPairs(i, j, outputs, mul1 * mul2))
                    continue
                u, v = torch.triu_indices(mul1, mul1, offset=1)
                pairs.append(ChannelPairs(i, i, outputs, len(u), (u, v)))
                # For one channel of dimension d, wigner_3j x x is |x|² / d^(1/2) in the scalar, with second
                # moment d + 2, and has 2 / dim in every component of another irrep.
                same = [(ir, (ir.dim / (2 if ir.l else ir1.dim + 2)) ** 0.5) for ir, _ in outputs]
                u = torch.arange(mul1)
                pairs.append(ChannelPairs(i, i, [(ir, c) for ir, c in same if ir.l % 2 == 0], mul1, (u, u)))
        super().__init__(irreps, irreps, irreps_out, [p for p in pairs if p.outputs and p.n])
        self.irreps_in = irreps

    def forward(self, features: Float[Tensor, "n dim_in"]) -> Float[Tensor, "n dim_out"]:
        """Products z of each row."""
        return self._multiply(features, features)


class SelfInteraction(nn.Module):
    """Products of features with themselves channel by channel, between two linear layers:

        z = linear( product( linear(x) ) ),

    where the product is `ManyBodyProduct`: polynomials up to a degree of the C channels of every irrep, with
    a trained weight for each path and channel. For degree 2, and but for its terms of degree one, it is a
    `TensorSquare` whose weights have rank C,

        W_p[u, v, w] = Σ_c w_pc A_uc A_vc B_cw,

    at a cost that is linear in C. Its loops are compiled on the CPU.

    Source: Batatia et al. 2022, arXiv:2206.07697, for the product.

    Args:
        irreps_in: irreps of x.
        irreps_out: irreps of z, each once.
        channels: C.
        degree: highest number of factors of a product.

    Raises:
        ValueError: an irrep of z is in no product of x.
    """

    def __init__(
        self, irreps_in: o3.Irreps | str, irreps_out: o3.Irreps | str, *, channels: int, degree: int = 2
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = o3.Irreps(irreps_in), o3.Irreps(irreps_out)
        factors, products = (
            o3.Irreps([(channels, ir) for ir in irreps_of(irreps)])
            for irreps in (self.irreps_in, self.irreps_out)
        )
        self.before = Linear(self.irreps_in, factors)
        self.product = ManyBodyProduct(factors, products, degree, n_species=1)
        self.after = Linear(products, self.irreps_out)

    def forward(self, features: Float[Tensor, "n dim_in"]) -> Float[Tensor, "n dim_out"]:
        """Products z of each row."""
        species = torch.zeros(len(features), dtype=torch.long, device=features.device)
        return self.after(self.product(self.before(features), species))


def irreps_of(irreps: o3.Irreps | str) -> list[o3.Irrep]:
    """Irreps without multiplicities, each once, in their order."""
    return list(dict.fromkeys(ir for _, ir in o3.Irreps(irreps)))
