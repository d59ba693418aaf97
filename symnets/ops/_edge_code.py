"""Machine code for the derivatives of a tensor product with respect to filters and weights, edge by edge."""

from typing import NamedTuple

from llvmlite import ir

from symnets.ops._node_code import Group
from symnets.ops._paths import Plan
from symnets.ops._vector_code import Value, VectorCode
from symnets.ops._weight_code import Weights


class EdgeSum(NamedTuple):
    """Loop over edges that computes derivatives with respect to filters (edges) and weights (pairs of edges).

        h_b = Σ_ak CG_abk g_k x_a,     dY_b = Σ_c w h_b,     dw = Σ_{edges of the pair} Σ_b Y_b h_b

    for each path and channel c, with the cotangent g of the receiver and the features x of the sender. First
    derivatives have one source x, one filter Y and one weight w for each path and channel. Second derivatives
    are sums over several sources, filters and weights (`_fused_plan`), which are numbered from 0.
    """

    d_filters: tuple[tuple[int, int], ...]
    """dY is the sum over these (source, weight); empty if dY is not needed."""
    d_weights: tuple[tuple[tuple[int, int], ...], ...]
    """For each dw, the (source, filter) over which it is a sum."""

    @property
    def counts(self) -> tuple[int, int, int]:
        """Numbers of sources, filters and weights."""
        pairs = [pair for pairs in self.d_weights for pair in pairs]
        n_sources = 1 + max(source for source, _ in (*pairs, *self.d_filters))
        n_filters = 1 + max((n for _, n in pairs), default=0)
        return n_sources, n_filters, 1 + max((n for _, n in self.d_filters), default=0)

    def signature(self, weights: Weights) -> str:
        """Argument types of the function `loop`, in the letters of `VectorCode`.

        The arguments are: dY if needed, each dw, g, sources, filters, weights; sender and receiver of each
        edge; edges sorted by pair, position of each pair's first edge; first pair, last pair + 1.
        """
        n_sources, n_filters, n_weights = self.counts
        outputs = "r" * (bool(self.d_filters) + len(self.d_weights))
        return f"{outputs}r{'r' * (n_sources + n_filters)}{weights.public * n_weights}iiiinn"


def write_edge_sum(
    module: ir.Module, plan: Plan, groups: list[Group], dtype: str, weights: Weights, loop: EdgeSum
) -> None:
    """Write the function `loop`, which overwrites the rows of dY and dw of a range of pairs."""
    n_sources, n_filters, n_weights = loop.counts
    parts = [_part(module, plan, group, f"part_{k}", dtype, weights, loop) for k, group in enumerate(groups)]
    code = VectorCode(module, "loop", dtype, loop.signature(weights), public=True)
    *tables, sender, receiver, order, start, low, high = code.arguments
    d_filters = tables.pop(0) if loop.d_filters else None
    d_weights, (g, *tables) = tables[: len(loop.d_weights)], tables[len(loop.d_weights) :]
    sources, filters, weight_args = (
        tables[:n_sources],
        tables[n_sources:][:n_filters],
        tables[n_sources + n_filters :],
    )
    columns, size = plan.irreps_filter.dim, len(weights.public)
    # A register for each column of an edge's dY, and one for the sum of a pair (dL/dr of splines).
    sums = code.allocate((columns + 1) * code.width)
    pair_sum = code.offset(sums, columns * code.width)
    zeros = code.constant(0.0, code.width)
    weights.prepare(code)
    with code.loop(low, high) as pair:
        outputs = [code.row_pointer(d_weight, pair, weights.columns) for d_weight in d_weights]
        for out in outputs:
            weights.clear(code, out)
        code.store(zeros, pair_sum, code.width)
        pair_args = []
        for k in range(n_weights):
            pair_args += weights.of_pair(code, weight_args[k * size : (k + 1) * size], pair)
        with code.loop(code.load_int(start, pair), code.load_int(start, code.add_int(pair, 1))) as position:
            edge = code.load_int(order, position)
            sender_row = code.load_int(sender, edge)
            rows = [code.row_pointer(g, code.load_int(receiver, edge), plan.irreps_out.dim)]
            rows += [code.row_pointer(source, sender_row, plan.irreps_in.dim) for source in sources]
            rows += [code.row_pointer(table, edge, columns) for table in filters]
            for b in range(columns if d_filters is not None else 0):
                code.store(zeros, code.offset(sums, b * code.width), code.width)
            for part in parts:
                code.build.call(part, [sums, *outputs, *rows, *pair_args])
            if d_filters is not None:
                d_y = code.row_pointer(d_filters, edge, columns)
                for b in range(columns):
                    code.store(code.sum_lanes(code.offset(sums, b * code.width)), code.offset(d_y, b))
        if outputs:
            weights.finish(code, outputs[0], pair_sum)
    code.build.ret_void()


def _part(
    module: ir.Module, plan: Plan, group: Group, name: str, dtype: str, weights: Weights, loop: EdgeSum
) -> ir.Function:
    """Write a function (sums, d_weights, g, sources, filters, weights) for one edge and a group of paths."""
    n_sources, n_filters, n_weights = loop.counts
    n_outputs = len(loop.d_weights)
    kinds = "r" * (1 + n_outputs + 1 + n_sources + n_filters) + weights.internal * n_weights
    code = VectorCode(module, name, dtype, kinds, public=False)
    sums, *tables = code.arguments
    d_weights, (g, *tables) = tables[:n_outputs], tables[n_outputs:]
    sources, filters, weight_args = (
        tables[:n_sources],
        tables[n_sources:][:n_filters],
        tables[n_sources + n_filters :],
    )
    pair_sum = code.offset(sums, plan.irreps_filter.dim * code.width)
    size = len(weights.internal)

    def body(first: Value, lanes: int) -> None:
        at_channel = {pointer: code.offset(pointer, first) for pointer in (g, *sources)}
        loaded: dict[tuple[Value, int], Value] = {}
        products: dict[tuple[int, int, int], Value] = {}
        d_y: dict[int, Value] = {}

        def load(table: Value, column: int) -> Value:
            if (table, column) not in loaded:
                loaded[table, column] = code.load(code.offset(at_channel[table], column), lanes)
            return loaded[table, column]

        for number, terms in group:
            column = code.add_int(first, plan.weight_starts[number])
            h: dict[tuple[int, int], Value] = {}
            for term in terms:
                for s, source in enumerate(sources):
                    key = (s, term.out, term.inp)
                    if key not in products:
                        products[key] = code.mul(load(g, term.out), load(source, term.inp))
                    value = code.constant(term.value, lanes)
                    h[s, term.filter] = code.fma(h.get((s, term.filter)), value, products[key])
            for k in range(n_weights if loop.d_filters else 0):
                weight = weights.value(code, weight_args[k * size : (k + 1) * size], column, lanes)
                for (s, b), value in h.items():
                    if (s, k) in loop.d_filters:
                        d_y[b] = code.fma(d_y.get(b), weight, value)
            for out, pairs in zip(d_weights, loop.d_weights, strict=True):
                total: Value | None = None
                for (s, b), value in h.items():
                    for f in (f for source, f in pairs if source == s):
                        total = code.fma(total, code.broadcast(code.offset(filters[f], b), lanes), value)
                weights.differentiate(code, weight_args[:size], column, lanes, total, out, pair_sum)
        for b, value in d_y.items():
            code.add_to(code.offset(sums, b * code.width), value, lanes)

    code.for_channels(plan.channels(group[0][0]), body)
    code.build.ret_void()
    return code.function
