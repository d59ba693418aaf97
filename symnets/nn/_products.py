"""Tensor products of a node's features with others or with themselves, with trained weights."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from symnets.nn._linear import Linear
from symnets.nn._many_body import ManyBodyProduct
from symnets.ops import blocks, join, wigner_3j


class WeightedPath(NamedTuple):
    """Path of a product: channels u of block i of x times channels v of block j of y, into block k of z."""

    i: int
    j: int
    k: int
    mode: Literal["uvw", "u<vw", "uuw"]
    """Pairs (u, v): all, those with u < v, or those with u = v; each has a weight for each channel w of z."""
    factor: float
    """Factor of `wigner_3j` for which a product of channels drawn from N(0, 1) has unit second moment."""


class _WeightedProduct(nn.Module):
    """Sum over paths of products of pairs of channels, with trained weights.

    x is multiplied by the weights of a path, and y by the Clebsch-Gordan coefficients. One matrix product for
    each node combines the two, so that the products of all pairs of channels are never stored.
    """

    def __init__(
        self,
        irreps_in1: o3.Irreps,
        irreps_in2: o3.Irreps,
        irreps_out: o3.Irreps,
        paths: Sequence[WeightedPath],
    ) -> None:
        super().__init__()
        self.irreps_in1, self.irreps_in2, self.irreps_out = irreps_in1, irreps_in2, irreps_out
        shapes = []
        for path in paths:
            first, second = irreps_in1[path.i].mul, irreps_in2[path.j].mul
            pairs = {"uvw": [first, second], "u<vw": [first * (first - 1) // 2], "uuw": [first]}
            shapes.append(torch.Size([*pairs[path.mode], irreps_out[path.k].mul]))
        kept = [(path, shape) for path, shape in zip(paths, shapes, strict=True) if shape.numel()]
        n_terms = [
            sum(shape[:-1].numel() for path, shape in kept if path.k == k) for k in range(len(irreps_out))
        ]
        if 0 in n_terms:
            ir = irreps_out[n_terms.index(0)].ir
            raise ValueError(
                f"{type(self).__name__}: output irrep {ir} is in no product of {irreps_in1} and {irreps_in2}"
            )
        self.paths = [path for path, _ in kept]
        self.coefficients = [path.factor * n_terms[path.k] ** -0.5 for path in self.paths]
        self.weights = nn.ParameterList(nn.Parameter(torch.randn(shape)) for _, shape in kept)
        # Not buffers: coefficients rounded to float32 would break equivariance after a move to float64.
        self._couplings = {
            (i, j, k): coupling(irreps_out[k].ir, irreps_in1[i].ir, irreps_in2[j].ir)
            for i, j, k in dict.fromkeys(path[:3] for path in self.paths)
        }

    def _multiply(
        self, features1: Float[Tensor, "n dim_in1"], features2: Float[Tensor, "n dim_in2"]
    ) -> Float[Tensor, "n dim_out"]:
        blocks1, blocks2 = blocks(features1, self.irreps_in1), blocks(features2, self.irreps_in2)
        sums: list[Tensor | None] = [None] * len(self.irreps_out)
        for (i, j, k), table in self._couplings.items():
            weights = self._matrix(i, j, k)
            weighted = (blocks1[i] @ weights.flatten(1)).unflatten(2, weights.shape[1:])
            coupled = (blocks2[j].mT @ table.to(features2)).unflatten(2, (-1, weighted.shape[1]))
            product = coupled.permute(0, 2, 3, 1).flatten(2) @ weighted.flatten(1, 2)
            before = sums[k]
            sums[k] = product if before is None else before + product
        return join([part for part in sums if part is not None])

    def _matrix(self, i: int, j: int, k: int) -> Float[Tensor, "u v w"]:
        """Weights of all pairs of channels of two blocks, with their coefficients."""
        matrix = None
        for path, coefficient, weight in zip(self.paths, self.coefficients, self.weights, strict=True):
            if path[:3] != (i, j, k):
                continue
            if path.mode == "uvw":
                return weight * coefficient
            mul = self.irreps_in1[i].mul
            if path.mode == "uuw":
                u = v = torch.arange(mul, device=weight.device)
            else:
                u, v = torch.triu_indices(mul, mul, offset=1, device=weight.device)
            matrix = weight.new_zeros(mul, mul, weight.shape[-1]) if matrix is None else matrix
            matrix = matrix.index_put((u, v), weight * coefficient)
        assert matrix is not None
        return matrix


class FullyConnectedTensorProduct(_WeightedProduct):
    """Tensor product of two sets of features with a trained weight for each path and triple of channels:

        z_w = n^(-1/2) Σ_{p, u, v} W_p[u, v, w] (x_u ⊗ y_v)_p,

    summed over the paths p = (irrep of x, irrep of y -> irrep of z) and their channels u and v. n is the
    number of terms of the sum. At initialisation z has components of unit variance if x and y have. This is
    `e3nn.o3.FullyConnectedTensorProduct`, in the `ir_mul` layout.

    Source: Thomas et al. 2018, arXiv:1802.08219; Geiger and Smidt 2022, arXiv:2207.09453.

    Args:
        irreps_in1: irreps of x.
        irreps_in2: irreps of y.
        irreps_out: irreps of z.

    Attributes:
        weights: W_p of each path, in e3nn's order.

    Raises:
        ValueError: an irrep of z is in no product of x and y; it would be zero.
    """

    def __init__(
        self, irreps_in1: o3.Irreps | str, irreps_in2: o3.Irreps | str, irreps_out: o3.Irreps | str
    ) -> None:
        first, second, out = o3.Irreps(irreps_in1), o3.Irreps(irreps_in2), o3.Irreps(irreps_out)
        paths = [
            WeightedPath(i, j, k, "uvw", ir.dim**0.5)
            for i, (_, ir1) in enumerate(first)
            for j, (_, ir2) in enumerate(second)
            for k, (_, ir) in enumerate(out)
            if ir in ir1 * ir2
        ]
        super().__init__(first, second, out, paths)

    def forward(
        self, features1: Float[Tensor, "n dim_in1"], features2: Float[Tensor, "n dim_in2"]
    ) -> Float[Tensor, "n dim_out"]:
        """Products z of the rows of x and y."""
        return self._multiply(features1, features2)


class TensorSquare(_WeightedProduct):
    """Tensor product of features with themselves, with a trained weight for each path and pair of channels:

        z_w = n^(-1/2) Σ_{p, u <= v} W_p[u, v, w] c (x_u ⊗ x_v)_p,

    summed over each unordered pair of channels once. The factor c gives the components of the product unit
    second moment for x from N(0, 1), and n is the number of terms. The product of a channel with itself has
    only components of even l. This is `e3nn.o3.TensorSquare` with `irreps_out`, in the `ir_mul` layout. The
    cost grows as the cube of the number of channels, that of the product in `SelfInteraction` linearly.

    Source: Geiger and Smidt 2022, arXiv:2207.09453.

    Args:
        irreps_in: irreps of x, each once.
        irreps_out: irreps of z.

    Attributes:
        weights: W_p of each path, in e3nn's order; u < v and u = v are different paths.

    Raises:
        ValueError: an irrep of x is repeated; an irrep of z is in no product of x with itself.
    """

    def __init__(self, irreps_in: o3.Irreps | str, irreps_out: o3.Irreps | str) -> None:
        irreps, out = o3.Irreps(irreps_in), o3.Irreps(irreps_out)
        if len(irreps_of(irreps)) < len(irreps):
            raise ValueError(f"TensorSquare: expected each irrep once, got {irreps}")
        paths = []
        for i, (_, ir1) in enumerate(irreps):
            for j, (_, ir2) in enumerate(irreps[i:], start=i):
                for k, (_, ir) in enumerate(out):
                    if ir not in ir1 * ir2:
                        continue
                    paths.append(WeightedPath(i, j, k, "uvw" if i < j else "u<vw", ir.dim**0.5))
                    if i == j and ir.l % 2 == 0:
                        # x: one channel of d components. The scalar in wigner_3j x x is |x|² / d^(1/2), with
                        # second moment d + 2. A component of another irrep has second moment 2 / dim.
                        factor = (ir.dim / 2 if ir.l else 1 / (ir1.dim + 2)) ** 0.5
                        paths.append(WeightedPath(i, i, k, "uuw", factor))
        super().__init__(irreps, irreps, out, paths)
        self.irreps_in = irreps

    def forward(self, features: Float[Tensor, "n dim_in"]) -> Float[Tensor, "n dim_out"]:
        """Products z of each row."""
        return self._multiply(features, features)


class SelfInteraction(nn.Module):
    """Products of features with themselves channel by channel, between two linear layers:

        z = linear( product( linear(x) ) ),

    where the product is `ManyBodyProduct`: polynomials, up to `degree`, of the C channels of every irrep,
    with a trained weight for each path and channel. For degree 2, and apart from terms of degree one, it is a
    `TensorSquare` whose weights have rank C,

        W_p[u, v, w] = Σ_c w_pc A_uc A_vc B_cw,

    with the weights A of the first linear layer, w_p of the product and B of the last layer. The cost of the
    product is linear in C. Its loops are compiled on the CPU.

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


def coupling(out: o3.Irrep, first: o3.Irrep, second: o3.Irrep) -> Float[Tensor, "dim_second dims"]:
    """Clebsch-Gordan coefficients in float64, (dim_second, dim_out · dim_first)."""
    return wigner_3j(out.l, first.l, second.l).flatten(0, 1).mT.contiguous()
