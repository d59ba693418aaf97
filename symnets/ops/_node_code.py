"""Machine code for the sums of a tensor product over the edges of each node."""

from typing import NamedTuple

from llvmlite import ir

from symnets.ops._paths import Plan, Term
from symnets.ops._vector_code import I64, Value, VectorCode
from symnets.ops._weight_code import Weights

Group = list[tuple[int, list[Term]]]
"""Indices of paths, with the coefficients of each."""


class NodeSum(NamedTuple):
    """Loop over nodes that computes sums over the edges of each node, for each path and channel:

        receivers: g_k += w Σ_a (Σ_b CG_abk Y_b) x_a,     senders: x_a += w Σ_k (Σ_b CG_abk Y_b) g_k.

    The sums in brackets do not depend on the channel and are computed once for each edge. Channels are
    contiguous in memory and fill a register. Second derivatives are sums of several such terms with other
    sources (x or g), filters Y and weights w.
    """

    receivers: bool
    """Whether the nodes are receivers; if not, they are senders."""
    terms: tuple[tuple[int, int, int], ...]
    """(source, filter, weight) of each term, each numbered from 0."""

    @property
    def counts(self) -> tuple[int, int, int]:
        """Numbers of sources, filters and weights."""
        n_sources, n_filters, n_weights = (1 + max(column) for column in zip(*self.terms, strict=True))
        return n_sources, n_filters, n_weights

    def signature(self, weights: Weights) -> str:
        """Argument types of the function `loop`, in the letters of `VectorCode`.

        The arguments are: result, sources, filters, weights; node at the other end and pair of each edge;
        edges sorted by node, position of each node's first edge; first node, last node + 1.
        """
        n_sources, n_filters, n_weights = self.counts
        return "r" + "r" * (n_sources + n_filters) + weights.public * n_weights + "iiiinn"


def write_node_sum(
    module: ir.Module, plan: Plan, groups: list[Group], dtype: str, weights: Weights, loop: NodeSum
) -> None:
    """Write the function `loop`, which adds the terms of a node's edges to the node's row of the result.

    Edges of node n are order[start[n]], ..., order[start[n + 1] - 1]; end[edge] is the row of the sources.
    """
    n_sources, n_filters, n_weights = loop.counts
    parts = [_part(module, plan, group, f"part_{k}", dtype, weights, loop) for k, group in enumerate(groups)]
    columns_to, columns_from = plan.irreps_out.dim, plan.irreps_in.dim
    if not loop.receivers:
        columns_to, columns_from = columns_from, columns_to
    code = VectorCode(module, "loop", dtype, loop.signature(weights), public=True)
    total, *tables, end, pair, order, start, low, high = code.arguments
    sources, filters, weight_args = (
        tables[:n_sources],
        tables[n_sources:][:n_filters],
        tables[n_sources + n_filters :],
    )
    weights.prepare(code)
    with code.loop(low, high) as node:
        row = code.row_pointer(total, node, columns_to)
        first, last = code.load_int(start, node), code.load_int(start, code.build.add(node, I64(1)))
        with code.loop(first, last) as position:
            edge = code.load_int(order, position)
            other_node = code.load_int(end, edge)
            rows = [code.row_pointer(source, other_node, columns_from) for source in sources]
            rows += [code.row_pointer(table, edge, plan.irreps_filter.dim) for table in filters]
            for k in range(n_weights):
                size = len(weights.public)
                row_of_weights = code.load_int(pair, edge)
                rows += weights.of_pair(code, weight_args[k * size : (k + 1) * size], row_of_weights)
            for part in parts:
                code.build.call(part, [row, *rows])
    code.build.ret_void()


def _part(
    module: ir.Module, plan: Plan, group: Group, name: str, dtype: str, weights: Weights, loop: NodeSum
) -> ir.Function:
    """Write a function (row, sources, filters, weights) for one edge and a group of paths."""
    n_sources, n_filters, n_weights = loop.counts
    kinds = "r" + "r" * (n_sources + n_filters) + weights.internal * n_weights
    code = VectorCode(module, name, dtype, kinds, public=False)
    row, *tables = code.arguments
    sources, filters, weight_args = (
        tables[:n_sources],
        tables[n_sources:][:n_filters],
        tables[n_sources + n_filters :],
    )
    # Σ_b CG_abk Y_b for each path, filter Y and pair (column of the result, column of the source).
    factors: dict[tuple[int, int, int, int], Value] = {}
    for number, terms in group:
        for term in terms:
            pair = (term.out, term.inp) if loop.receivers else (term.inp, term.out)
            for f, filter_ in enumerate(filters):
                before = factors.get((number, f, *pair))
                value = code.load(code.offset(filter_, term.filter))
                factors[number, f, *pair] = code.fma(before, code.constant(term.value), value)
    factor_memory = code.allocate(len(factors))
    places = {key: code.offset(factor_memory, place) for place, key in enumerate(factors)}
    for key, factor in factors.items():
        code.store(factor, places[key])

    def body(first: Value, lanes: int) -> None:
        at_channel = {pointer: code.offset(pointer, first) for pointer in (row, *sources)}
        loaded: dict[tuple[int, int], Value] = {}
        sums: dict[int, Value] = {}

        def load(source: int, column: int) -> Value:
            if (source, column) not in loaded:
                loaded[source, column] = code.load(code.offset(at_channel[sources[source]], column), lanes)
            return loaded[source, column]

        for number, _ in group:
            column = code.add_int(first, plan.weight_starts[number])
            own_factors = [
                (f, to, origin, place) for (owner, f, to, origin), place in places.items() if owner == number
            ]
            size = len(weights.internal)
            for k in range(n_weights):
                weight = weights.value(code, weight_args[k * size : (k + 1) * size], column, lanes)
                path_sums: dict[int, Value] = {}
                for f, to, origin, place in own_factors:
                    for source in (
                        s for s, filter_, weight_index in loop.terms if (filter_, weight_index) == (f, k)
                    ):
                        factor = code.broadcast(place, lanes)
                        path_sums[to] = code.fma(path_sums.get(to), factor, load(source, origin))
                for to, value in path_sums.items():
                    if to not in sums:
                        sums[to] = code.load(code.offset(at_channel[row], to), lanes)
                    sums[to] = code.fma(sums[to], weight, value)
        for to, value in sums.items():
            code.store(value, code.offset(at_channel[row], to), lanes)

    code.for_channels(plan.channels(group[0][0]), body)
    code.build.ret_void()
    return code.function
