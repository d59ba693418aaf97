"""ChannelProduct: tensor product of features of edges with features of their centres, channel by channel."""

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.ops._contraction_plan import Monomial
from symnets.ops._implementation import (
    Implementation,
    check_option,
    check_tensors,
    is_transformed,
    use_fused,
    without_autocast,
)
from symnets.ops._paths import Plan, all_paths
from symnets.ops._polynomial import FusedPolynomial, polynomial


class ChannelPlan:
    """Irreps, paths and coefficients of a tensor product of features channel by channel.

    For given features of the centre the product is linear in the features x of the edge: a polynomial of
    degree one in the components of x, whose coefficients are shared by all edges of the centre.

    Args:
        irreps_in1: irreps of x, all with the same number of channels.
        irreps_in2: irreps of the features of the centres, with the same number of channels.
        targets: irreps to compute; multiplicities are ignored.

    Attributes:
        irreps_out: irreps of the result, each with the channels of all paths into it.
        channels: number of channels of a path.
        variables: irreps of one channel of x.
        outputs: irreps of one channel of the result.
        terms: pairs of a component of x and a component of the result that depends on it.
        expansion: coefficient of each term in each component of the features of the centre,
            (terms, components), float64.

    Raises:
        ValueError: unequal numbers of channels, or no path.
    """

    def __init__(
        self, irreps_in1: o3.Irreps | str, irreps_in2: o3.Irreps | str, targets: o3.Irreps | str
    ) -> None:
        self.irreps_in1, self.irreps_in2 = o3.Irreps(irreps_in1), o3.Irreps(irreps_in2)
        self.variables, centre = (
            o3.Irreps([(1, ir) for _, ir in irreps]) for irreps in (self.irreps_in1, self.irreps_in2)
        )
        channels = {mul for mul, _ in (*self.irreps_in1, *self.irreps_in2)}
        slots, paths = all_paths(self.variables, centre, targets)
        if len(channels) != 1 or not paths:
            raise ValueError(
                "expected the same number of channels in every irrep and a path to one of the targets, "
                f"got {self.irreps_in1} ⊗ {self.irreps_in2} -> {targets}"
            )
        (self.channels,) = channels
        plan = Plan(self.variables, centre, slots, paths, [slot.ir.dim**0.5 for slot in slots])
        self.outputs = plan.irreps_out
        self.irreps_out = o3.Irreps([(mul * self.channels, ir) for mul, ir in self.outputs])
        coefficients: dict[tuple[int, int], dict[int, float]] = {}
        for number in range(len(paths)):
            for term in plan.terms(number):
                coefficients.setdefault((term.inp, term.out), {})[term.filter] = term.value
        self.terms = [Monomial(out, (inp,)) for inp, out in sorted(coefficients)]
        self.expansion = torch.zeros(len(self.terms), centre.dim, dtype=torch.float64)
        for row, key in zip(self.expansion, sorted(coefficients), strict=True):
            for column, value in coefficients[key].items():
                row[column] = value
        self._selection = torch.zeros(self.outputs.dim, len(self.terms), dtype=torch.float64)
        for column, term in enumerate(self.terms):
            self._selection[term.out, column] = 1.0
        self._inputs = torch.tensor([term.factors[0] for term in self.terms])
        self._tables: dict[tuple[torch.dtype, torch.device], tuple[Tensor, Tensor, Tensor]] = {}

    def tables(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tables in the dtype and on the device of a tensor, copied there once.

        Returns:
            `expansion`; the component of x of each term; the matrix (components of the result, terms) that
            adds terms.
        """
        key = (like.dtype, like.device)
        if key not in self._tables:
            with torch.inference_mode(False):  # tensors made in inference mode cannot be used in training
                expansion, selection = (
                    t.to(like.device, like.dtype) for t in (self.expansion, self._selection)
                )
                tables = expansion, self._inputs.to(like.device), selection
            if is_transformed():  # tensors made within a torch.func transform cannot be used after it
                return tables
            self._tables[key] = tables
        return self._tables[key]


class ChannelProduct(nn.Module):
    """Tensor product of features of edges with features of their centres, channel by channel.

    With paths p = (irrep of x, irrep of A, output irrep) and e3nn's 'component' normalisation,

        out[e, k, (p, c)] = (2 l_out + 1)^(1/2) Σ_{a, b} w3j_p[a, b, k] x[e, (p, a), c] A[i(e), (p, b), c],

    where i(e) is the centre of edge e. Every path has its own output channels. This is e3nn's connection mode
    'uuu' without weights, in the `ir_mul` layout: the product of Allegro (Musaelian et al. 2023,
    arXiv:2204.05249).

    The coefficients Σ_b w3j A of a centre are computed once for all of its edges. The compiled loops keep
    them in the cache; features of centres are not copied to the edges. Differentiable to any order.

    Args:
        irreps_in1: irreps of x, all with the same number of channels.
        irreps_in2: irreps of A, with the same number of channels.
        targets: irreps to compute; multiplicities are ignored.
        implementation: "fused" (compiled CPU loops), "plain" (torch, any device), or "auto": "fused" on
            the CPU in float32 and float64, else "plain".

    Attributes:
        irreps_out: irreps of the result: those of `targets` that a path reaches, in their order, each with
            the channels of all paths into it.

    Raises:
        ValueError: unequal numbers of channels, no path, or an unknown implementation.
    """

    def __init__(
        self,
        irreps_in1: o3.Irreps | str,
        irreps_in2: o3.Irreps | str,
        targets: o3.Irreps | str,
        *,
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        check_option("implementation", implementation, Implementation)
        self.plan = ChannelPlan(irreps_in1, irreps_in2, targets)
        self.irreps_in1, self.irreps_in2 = self.plan.irreps_in1, self.plan.irreps_in2
        self.irreps_out = self.plan.irreps_out
        # Plain integers, which torch.compile can trace.
        self._dims = self.irreps_in1.dim, self.irreps_in2.dim
        self.implementation = implementation
        self._fused = FusedPolynomial(self.plan)

    def forward(
        self,
        features: Float[Tensor, "edges dim_in1"],
        centres: Float[Tensor, "nodes dim_in2"],
        node: Int[Tensor, " edges"],
    ) -> Float[Tensor, "edges dim_out"]:
        """Products for each edge.

        Args:
            features: x.
            centres: A.
            node: i(e), row of `centres` of each edge.

        Raises:
            ValueError: wrong shapes, dtypes or devices; in the compiled loops, also a node out of range.
        """
        n_nodes, channels = len(centres), self.plan.channels
        expected = {
            "features": (features, (len(node), self._dims[0])),
            "centres": (centres, (n_nodes, self._dims[1])),
        }
        check_tensors(features, expected)
        expansion, inputs, selection = self.plan.tables(features)
        with without_autocast():
            coefficients = expansion @ centres.unflatten(1, (-1, channels))
            if use_fused(self.implementation, features):
                if len(node) and not 0 <= node.min() <= node.max() < n_nodes:
                    raise ValueError(f"node: expected 0 to {n_nodes - 1}, got {node.min()} to {node.max()}")
                return polynomial(self._fused, features, coefficients, node)
            terms = coefficients[node] * features.unflatten(1, (-1, channels))[:, inputs]
            return (selection @ terms).flatten(1)
