"""Compiled loops for a tensor product and its partial derivatives.

The Clebsch-Gordan coefficients are constants of the machine code. All derivatives of the product are first
partials of the 4-linear form

    L(g, x, Y, w) = Σ_{edges e} Σ_{paths p} Σ_{a, b, k, c} CG^p_abk g[receiver(e), k, c] x[sender(e), a, c]
                    Y[e, b] w[e, p, c]

with some argument replaced. The product itself is dL/dg, and in a backward pass g is its cotangent. dL/dg
and dL/dx are sums over the edges of a node (`_node_code`); dL/dY and dL/dw have a row for each edge
(`_edge_code`). Messages are never stored.

The gradient of these partials, with cotangents a of dL/dx, b of dL/dY and c of dL/dw, is that of

    L(g, a, Y, w) + L(g, x, b, w) + L(g, x, Y, c),

sums of the same partials with arguments replaced, each written as one loop that reads every row once.
"""

import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from llvmlite import ir
from torch import Tensor

from symnets.ops._adjacency import Adjacency
from symnets.ops._compiled_module import CompiledModule, LoopCall
from symnets.ops._edge_code import EdgeSum, write_edge_sum
from symnets.ops._node_code import NodeSum, write_node_sum
from symnets.ops._paths import Plan, Term
from symnets.ops._scaled_code import write_scaled_sum
from symnets.ops._scaled_sum import ScaledSum
from symnets.ops._vector_code import MAX_TERMS
from symnets.ops._weight_code import WeightRows, Weights, WeightSplines
from symnets.threads import run


def empty_hugepages(rows: int, columns: int, like: Tensor) -> Tensor:
    """Uninitialised CPU matrix of the dtype of another tensor, allocated by numpy.

    numpy requests huge pages from Linux for arrays of several megabytes, torch does not. The first write to
    56 MB takes 12 ms instead of 45 ms; the loop that computes the numbers takes less than 45 ms.
    """
    dtype = np.float32 if like.dtype == torch.float32 else np.float64
    return torch.from_numpy(np.empty((rows, columns), dtype=dtype))


# Loops of the product dL/dg, of dL/dx, of (dL/dY, dL/dw), and of dL/dw alone.
TO_RECEIVERS = NodeSum(receivers=True, terms=((0, 0, 0),))
TO_SENDERS = NodeSum(receivers=False, terms=((0, 0, 0),))
ON_EDGES = EdgeSum(d_filters=((0, 0),), d_weights=(((0, 0),),))
WEIGHTS_ON_EDGES = EdgeSum(d_filters=(), d_weights=(((0, 0),),))


class GivenCotangents(NamedTuple):
    """Which cotangents a, b, c (of dL/dx, dL/dY, dL/dw) are given, and the loops for the gradient.

    A loop numbers its arguments from 0. Sources are (x, a) in sums at receivers and on edges, and (g,) in
    sums at senders; filters are (Y, b) and weights (w, c). A cotangent that is not given is left out.
    """

    a: bool
    b: bool
    c: bool

    def to_receivers(self) -> NodeSum:
        """Loop for the gradient in g."""
        terms = [(1, 0, 0)] * self.a + [(0, 1, 0)] * self.b + [(0, 0, 1)] * self.c
        return NodeSum(receivers=True, terms=tuple(terms))

    def to_senders(self) -> NodeSum:
        """Loop for the gradient in x."""
        return NodeSum(receivers=False, terms=tuple([(0, 1, 0)] * self.b + [(0, 0, 1)] * self.c))

    def on_edges(self, *, filters: bool, first: bool) -> EdgeSum:
        """Loop for the gradients in Y (if `filters`) and in w, and for dL/dw (g, x, Y, w) if `first`."""
        d_filters = [(1, 0)] * self.a + [(0, 1)] * self.c if filters else []
        d_weights = [tuple([(1, 0)] * self.a + [(0, 1)] * self.b)] if self.a or self.b else []
        return EdgeSum(tuple(d_filters), (*d_weights, *[((0, 0),)] * first))


Loop = NodeSum | EdgeSum | ScaledSum


def product_code(plan: Plan, dtype: str, weights: Weights, loop: Loop) -> ir.Module:
    """LLVM module of one loop, with the public function `loop`.

    Args:
        plan: the product.
        dtype: dtype of all numbers, "float32" or "float64".
        weights: representation of the weights.
        loop: the sum to compute.
    """
    module = ir.Module("tensor_product")
    groups = list(path_groups(plan))
    if isinstance(loop, NodeSum):
        write_node_sum(module, plan, groups, dtype, weights, loop)
    elif isinstance(loop, ScaledSum):
        write_scaled_sum(module, plan, groups, dtype, weights, loop)
    else:
        write_edge_sum(module, plan, groups, dtype, weights, loop)
    return module


def path_groups(plan: Plan) -> Iterator[list[tuple[int, list[Term]]]]:
    """Groups of successive paths with equal numbers of channels and at most `MAX_TERMS` coefficients.

    A loop calls a function for each group.
    """
    group: list[tuple[int, list[Term]]] = []
    for number in range(len(plan.paths)):
        terms = plan.terms(number)
        length = sum(len(group_terms) for _, group_terms in group) + len(terms)
        if group and (length > MAX_TERMS or plan.channels(group[0][0]) != plan.channels(number)):
            yield group
            group = []
        group.append((number, terms))
    if group:
        yield group


WeightsType = type[WeightRows] | type[WeightSplines]
_in_use: weakref.WeakValueDictionary[Any, CompiledModule] = weakref.WeakValueDictionary()
"""Compiled modules in use, by plan, weights, loop and dtype. Layers and copies of a network share them."""


class CompiledPlan:
    """Compiled loops of a plan, each compiled at its first use with a dtype.

    Copies share the compiled loops; a pickle contains only the plan.

    Args:
        plan: the product.
        weights: representation of the weights.
    """

    def __init__(self, plan: Plan, weights: WeightsType) -> None:
        self.plan, self.weights = plan, weights
        self._modules: dict[tuple[Loop, torch.dtype], CompiledModule] = {}

    def __deepcopy__(self, memo: object) -> "CompiledPlan":
        return self

    def __reduce__(self) -> tuple[type["CompiledPlan"], tuple[Plan, WeightsType]]:
        return CompiledPlan, (self.plan, self.weights)

    def function(self, loop: Loop, dtype: torch.dtype) -> Callable[..., None]:
        """Compiled function of a loop, see `product_code`."""
        module = self._modules.get((loop, dtype))
        if module is None:
            key = (self.plan.key, self.weights, loop, dtype)
            module = _in_use.get(key)
            if module is None:
                weights = self.weights(self.plan.weight_numel)
                code = product_code(self.plan, str(dtype).removeprefix("torch."), weights, loop)
                module = CompiledModule(code, {"loop": loop.signature(weights)})
                _in_use[key] = module
            self._modules[loop, dtype] = module
        return module.functions["loop"]


class FusedPlan:
    """Tensor product of a plan on a graph, and its derivatives, by compiled loops.

    Arguments of the loops are in the order sources (x or g), filters, weights.

    Args:
        plan: the product.
        weights: `WeightRows`, or `WeightSplines`, whose arguments are distances, table, inverse step and the
            first row of each distance.
    """

    def __init__(self, plan: Plan, weights: WeightsType = WeightRows) -> None:
        self.plan, self.compiled = plan, CompiledPlan(plan, weights)
        self._row = plan.weight_numel if weights is WeightRows else 1

    def at_nodes(
        self, loop: NodeSum, edges: Adjacency, source: Tensor, *others: Tensor | np.ndarray
    ) -> Tensor:
        """Sums over the edges of each node."""
        other_end, (order, start) = (
            (edges.sender, edges.by_receiver) if loop.receivers else (edges.receiver, edges.by_sender)
        )
        columns = (self.plan.irreps_out if loop.receivers else self.plan.irreps_in).dim
        total = source.new_zeros(len(start) - 1, columns)
        function = self.compiled.function(loop, total.dtype)
        run(
            LoopCall(function, total, source, *others, other_end, edges.pair, order, start),
            start * self.plan.work,
        )
        return total

    def on_edges(
        self,
        loop: EdgeSum,
        edges: Adjacency,
        g: Tensor,
        *arguments: Tensor | np.ndarray,
        pairs: slice = slice(None),
        d_filters: Tensor | None = None,
    ) -> list[Tensor]:
        """Derivatives at the edges: dY, if the loop computes it, then each dw (dr for splines).

        Args:
            loop: the sum to compute.
            edges: adjacency of the graph.
            g: cotangent of the result.
            arguments: sources, filters, and weights of `pairs`.
            pairs: slice of the pairs; all by default.
            d_filters: tensor to write dY to; a new one by default.
        """
        order, start = edges.by_pair
        start = start[pairs.start : None if pairs.stop is None else pairs.stop + 1]
        if d_filters is None and loop.d_filters:
            d_filters = g.new_empty(len(edges.sender), self.plan.irreps_filter.dim)
        outputs = [] if d_filters is None else [d_filters]
        outputs += [empty_hugepages(len(start) - 1, self._row, g) for _ in loop.d_weights]
        function = self.compiled.function(loop, g.dtype)
        run(
            LoopCall(function, *outputs, g, *arguments, edges.sender, edges.receiver, order, start),
            (start - start[0]) * self.plan.work,
        )
        return outputs
