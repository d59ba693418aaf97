"""Derivatives of a tensor product in what each edge has of its own, as machine code."""

from typing import NamedTuple

from llvmlite import ir

from symnets.ops._node_code import Group
from symnets.ops._paths import Plan
from symnets.ops._vector_code import Value, VectorCode
from symnets.ops._weight_code import Weights


class EdgeSum(NamedTuple):
    """Derivatives in the filters of each edge and the weights of each pair of edges: with one g, and
    sources x, filters Y and weights w counted from 0,

        h_b = Σ_ak CG_abk g_k x_a,     dY_b = Σ_c w h_b,     dw = Σ_{edges of the pair} Σ_b Y_b h_b.
    """

    d_filters: tuple[tuple[int, int], ...]
    """dY is the sum over these (source, weight); not computed if there are none."""
    d_weights: tuple[tuple[tuple[int, int], ...], ...]
    """Each dw is the sum over some (source, filter)."""

    @property
    def counts(self) -> tuple[int, int, int]:
        """Of sources, filters and weights."""
        pairs = [pair for pairs in self.d_weights for pair in pairs]
        n_sources = 1 + max(source for source, _ in (*pairs, *self.d_filters))
        n_filters = 1 + max((n for _, n in pairs), default=0)
        return n_sources, n_filters, 1 + max((n for _, n in self.d_filters), default=0)

    def signature(self, weights: Weights) -> str:
        """Arguments of `loop`, as `VectorCode` counts them: dY if wanted, each dw, g, sources, filters,
        weights; sender and receiver of each edge; edges in the order of pairs, where each pair's start;
        pairs from, to."""
        n_sources, n_filters, n_weights = self.counts
        outputs = "r" * (bool(self.d_filters) + len(self.d_weights))
        return f"{outputs}r{'r' * (n_sources + n_filters)}{weights.public * n_weights}iiiinn"


def write_edge_sum(
    module: ir.Module, plan: Plan, groups: list[Group], dtype: str, weights: Weights, loop: EdgeSum
) -> None:
    """`loop`: writes, and does not add to, the rows of edges and pairs."""
    n_sources, n_filters, n_weights = loop.counts
    parts = [_part(module, plan, group, f"part_{k}", dtype, weights, loop) for k, group in enumerate(groups)]
    code = VectorCode(module, "loop", dtype, loop.signature(weights), public=True)
    *tables, sender, receiver, order, start, low, high = code.arguments
    d_filters = tables.pop(0) if loop.d_filters else None
    d_weights, (g, *tables) = tables[: len(loop.d_weights)], tables[len(loop.d_weights) :]
    sources, filters, given = (
        tables[:n_sources],
        tables[n_sources:][:n_filters],
        tables[n_sources + n_filters :],
    )
    columns, size = plan.irreps_filter.dim, len(weights.public)
    # Sums over channels of an edge's dY, and in the last row of what weights sum of a pair: a register each.
    sums = code.space((columns + 1) * code.width)
    last = code.at(sums, columns * code.width)
    zeros = code.constant(0.0, code.width)
    weights.prepare(code)
    with code.loop(low, high) as pair:
        outputs = [code.row(d_weight, pair, weights.columns) for d_weight in d_weights]
        for out in outputs:
            weights.clear(code, out)
        code.store(zeros, last, code.width)
        of_pair = []
        for k in range(n_weights):
            of_pair += weights.of_pair(code, given[k * size : (k + 1) * size], pair)
        with code.loop(code.integer(start, pair), code.integer(start, code.at_sum(pair, 1))) as n:
            edge = code.integer(order, n)
            here = code.integer(sender, edge)
            rows = [code.row(g, code.integer(receiver, edge), plan.irreps_out.dim)]
            rows += [code.row(source, here, plan.irreps_in.dim) for source in sources]
            rows += [code.row(table, edge, columns) for table in filters]
            for b in range(columns if d_filters is not None else 0):
                code.store(zeros, code.at(sums, b * code.width), code.width)
            for part in parts:
                code.build.call(part, [sums, *outputs, *rows, *of_pair])
            if d_filters is not None:
                d_y = code.row(d_filters, edge, columns)
                for b in range(columns):
                    code.store(code.total(code.at(sums, b * code.width)), code.at(d_y, b))
        if outputs:
            weights.finish(code, outputs[0], last)
    code.build.ret_void()


def _part(
    module: ir.Module, plan: Plan, group: Group, name: str, dtype: str, weights: Weights, loop: EdgeSum
) -> ir.Function:
    """A function (sums, dweights, g, sources, filters, weights): one edge, the paths of a group."""
    n_sources, n_filters, n_weights = loop.counts
    n_outputs = len(loop.d_weights)
    kinds = "r" * (1 + n_outputs + 1 + n_sources + n_filters) + weights.internal * n_weights
    code = VectorCode(module, name, dtype, kinds, public=False)
    sums, *tables = code.arguments
    d_weights, (g, *tables) = tables[:n_outputs], tables[n_outputs:]
    sources, filters, given = (
        tables[:n_sources],
        tables[n_sources:][:n_filters],
        tables[n_sources + n_filters :],
    )
    last = code.at(sums, plan.irreps_filter.dim * code.width)
    size = len(weights.internal)

    def body(first: Value, lanes: int) -> None:
        here = {pointer: code.at(pointer, first) for pointer in (g, *sources)}
        read: dict[tuple[Value, int], Value] = {}
        products: dict[tuple[int, int, int], Value] = {}
        d_y: dict[int, Value] = {}

        def of(table: Value, column: int) -> Value:
            if (table, column) not in read:
                read[table, column] = code.load(code.at(here[table], column), lanes)
            return read[table, column]

        for number, terms in group:
            column = code.at_sum(first, plan.weight_starts[number])
            h: dict[tuple[int, int], Value] = {}
            for term in terms:
                for s, source in enumerate(sources):
                    key = (s, term.out, term.inp)
                    if key not in products:
                        products[key] = code.times(of(g, term.out), of(source, term.inp))
                    value = code.constant(term.value, lanes)
                    h[s, term.filter] = code.add_times(h.get((s, term.filter)), value, products[key])
            for k in range(n_weights if loop.d_filters else 0):
                weight = weights.value(code, given[k * size : (k + 1) * size], column, lanes)
                for (s, b), value in h.items():
                    if (s, k) in loop.d_filters:
                        d_y[b] = code.add_times(d_y.get(b), weight, value)
            for out, pairs in zip(d_weights, loop.d_weights, strict=True):
                total: Value | None = None
                for (s, b), value in h.items():
                    for f in (f for source, f in pairs if source == s):
                        total = code.add_times(total, code.spread(code.at(filters[f], b), lanes), value)
                weights.differentiate(code, given[:size], column, lanes, total, out, last)
        for b, value in d_y.items():
            code.add_to(code.at(sums, b * code.width), value, lanes)

    code.channels(plan.channels(group[0][0]), body)
    code.build.ret_void()
    return code.function
