"""Sums over the edges of each node, of a tensor product, as machine code."""

from typing import NamedTuple

from llvmlite import ir

from symnets.ops._paths import Plan, Term
from symnets.ops._vector_code import I64, Value, VectorCode
from symnets.ops._weight_code import Weights

Group = list[tuple[int, list[Term]]]
"""Paths by number, with their coefficients."""


class NodeSum(NamedTuple):
    """What comes to a node along its edges: a sum of terms (source, filter, weight), each counted from 0, of

        receivers: g_k += w Σ_a (Σ_b CG_abk Y_b) x_a,     senders: x_a += w Σ_k (Σ_b CG_abk Y_b) g_k.

    The sums in brackets are the same for all channels and formed once an edge. Channels lie next to each
    other in memory and fill a register.
    """

    receivers: bool
    terms: tuple[tuple[int, int, int], ...]

    @property
    def counts(self) -> tuple[int, int, int]:
        """Of sources, filters and weights."""
        n_sources, n_filters, n_weights = (1 + max(column) for column in zip(*self.terms, strict=True))
        return n_sources, n_filters, n_weights

    def signature(self, weights: Weights) -> str:
        """Arguments of `loop`, as `VectorCode` counts them: total, sources, filters, weights; end and pair of
        each edge, edges in the order of nodes, where each node's start; nodes from, to."""
        n_sources, n_filters, n_weights = self.counts
        return "r" + "r" * (n_sources + n_filters) + weights.public * n_weights + "iiiinn"


def write_node_sum(
    module: ir.Module, plan: Plan, groups: list[Group], dtype: str, weights: Weights, loop: NodeSum
) -> None:
    """`loop`: adds to the row of each node what comes along its edges order[start[node]], ... from the rows
    of sources that end[edge] names."""
    n_sources, n_filters, n_weights = loop.counts
    parts = [_part(module, plan, group, f"part_{k}", dtype, weights, loop) for k, group in enumerate(groups)]
    columns_to, columns_from = plan.irreps_out.dim, plan.irreps_in.dim
    if not loop.receivers:
        columns_to, columns_from = columns_from, columns_to
    code = VectorCode(module, "loop", dtype, loop.signature(weights), public=True)
    total, *tables, end, pair, order, start, low, high = code.arguments
    sources, filters, given = (
        tables[:n_sources],
        tables[n_sources:][:n_filters],
        tables[n_sources + n_filters :],
    )
    weights.prepare(code)
    with code.loop(low, high) as node:
        row = code.row(total, node, columns_to)
        first, last = code.integer(start, node), code.integer(start, code.build.add(node, I64(1)))
        with code.loop(first, last) as n:
            edge = code.integer(order, n)
            other = code.integer(end, edge)
            rows = [code.row(source, other, columns_from) for source in sources]
            rows += [code.row(table, edge, plan.irreps_filter.dim) for table in filters]
            for k in range(n_weights):
                size = len(weights.public)
                mine = code.integer(pair, edge)
                rows += weights.of_pair(code, given[k * size : (k + 1) * size], mine)
            for part in parts:
                code.build.call(part, [row, *rows])
    code.build.ret_void()


def _part(
    module: ir.Module, plan: Plan, group: Group, name: str, dtype: str, weights: Weights, loop: NodeSum
) -> ir.Function:
    """A function (row, sources, filters, weights): one edge, the paths of a group."""
    n_sources, n_filters, n_weights = loop.counts
    kinds = "r" + "r" * (n_sources + n_filters) + weights.internal * n_weights
    code = VectorCode(module, name, dtype, kinds, public=False)
    row, *tables = code.arguments
    sources, filters, given = (
        tables[:n_sources],
        tables[n_sources:][:n_filters],
        tables[n_sources + n_filters :],
    )
    # Σ_b CG_abk Y_b of each filter Y and pair (where to, where from) of a path.
    factors: dict[tuple[int, int, int, int], Value] = {}
    for number, terms in group:
        for term in terms:
            pair = (term.out, term.inp) if loop.receivers else (term.inp, term.out)
            for f, filter_ in enumerate(filters):
                before = factors.get((number, f, *pair))
                value = code.load(code.at(filter_, term.filter))
                factors[number, f, *pair] = code.add_times(before, code.constant(term.value), value)
    held = code.space(len(factors))
    places = {key: code.at(held, place) for place, key in enumerate(factors)}
    for key, factor in factors.items():
        code.store(factor, places[key])

    def body(first: Value, lanes: int) -> None:
        here = {pointer: code.at(pointer, first) for pointer in (row, *sources)}
        read: dict[tuple[int, int], Value] = {}
        sums: dict[int, Value] = {}

        def of(source: int, column: int) -> Value:
            if (source, column) not in read:
                read[source, column] = code.load(code.at(here[sources[source]], column), lanes)
            return read[source, column]

        for number, _ in group:
            column = code.at_sum(first, plan.weight_starts[number])
            mine = [
                (f, to, origin, place) for (owner, f, to, origin), place in places.items() if owner == number
            ]
            size = len(weights.internal)
            for k in range(n_weights):
                weight = weights.value(code, given[k * size : (k + 1) * size], column, lanes)
                path: dict[int, Value] = {}
                for f, to, origin, place in mine:
                    for source in (
                        s for s, filter_, of_weight in loop.terms if (filter_, of_weight) == (f, k)
                    ):
                        factor = code.spread(place, lanes)
                        path[to] = code.add_times(path.get(to), factor, of(source, origin))
                for to, value in path.items():
                    if to not in sums:
                        sums[to] = code.load(code.at(here[row], to), lanes)
                    sums[to] = code.add_times(sums[to], weight, value)
        for to, value in sums.items():
            code.store(value, code.at(here[row], to), lanes)

    code.channels(plan.channels(group[0][0]), body)
    code.build.ret_void()
    return code.function
