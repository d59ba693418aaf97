"""The partials of a tensor product as machine code, its Clebsch-Gordan coefficients written into it.

All derivatives of the product are first partials of the 4-linear form

    L(g, x, Y, w) = Σ_{edges e} Σ_{paths p} Σ_{a, b, k, c} CG^p_abk g[receiver(e), k, c] x[sender(e), a, c]
                    Y[e, b] w[e, p, c]

with some argument replaced, and a plan becomes three functions, none of which stores a message:

    to_receivers   dL/dg        g_k += w Σ_a (Σ_b CG_abk Y_b) x_a     over the edges of each receiver
    to_senders     dL/dx        x_a += w Σ_k (Σ_b CG_abk Y_b) g_k     over the edges of each sender
    on_edges       dL/dY, dL/dw     h_b = Σ_ak CG_abk g_k x_a,   Y_b += Σ_c w h_b,   w = Σ_b Y_b h_b

The sums in brackets are the same for all channels c and formed once an edge. Channels lie next to each other
in memory and fill a register. A function calls one for each group of paths: programs of moderate length
compile in a time that grows as their length, and no faster.

Weights are rows of a table with one for each edge, or functions of the edges' lengths, interpolated where
they are needed (`weight_code`); on_edges then gives dL/dr in place of dL/dw.
"""

from collections.abc import Iterator

from llvmlite import ir

from symnets.ops.paths import Plan, Term
from symnets.ops.vector_code import I64, Value, VectorCode
from symnets.ops.weight_code import Given, Weights

LONGEST = 120
"""Coefficients of a group of paths."""

Groups = list[list[tuple[int, list[Term]]]]
"""Of each group, its paths by number with their coefficients."""


def product_code(plan: Plan, dtype: str, weights: Weights | None = None) -> ir.Module:
    """The module of a plan: functions `to_receivers`, `to_senders` and `on_edges`.

    Args:
        plan: the product.
        dtype: of all numbers.
        weights: where weights come from; rows of a table if None.
    """
    module = ir.Module("tensor_product")
    groups, weights = list(_groups(plan)), weights or Given(plan.weight_numel)
    _sums_at_nodes(module, plan, groups, dtype, weights, to_receivers=True)
    _sums_at_nodes(module, plan, groups, dtype, weights, to_receivers=False)
    _on_edges(module, plan, groups, dtype, weights)
    return module


def signatures(weights: Weights) -> dict[str, str]:
    """Arguments of the public functions, as `VectorCode` counts them."""
    at_nodes = f"rrr{weights.public}iiinn"
    return {"to_receivers": at_nodes, "to_senders": at_nodes, "on_edges": f"rrrrr{weights.public}iinn"}


def _groups(plan: Plan) -> Iterator[list[tuple[int, list[Term]]]]:
    """Neighbouring paths of as many channels, up to a length of the program."""
    held: list[tuple[int, list[Term]]] = []
    for number in range(len(plan.paths)):
        terms = plan.terms(number)
        length = sum(len(others) for _, others in held) + len(terms)
        if held and (length > LONGEST or plan.channels(held[0][0]) != plan.channels(number)):
            yield held
            held = []
        held.append((number, terms))
    if held:
        yield held


def _sums_at_nodes(
    module: ir.Module, plan: Plan, groups: Groups, dtype: str, weights: Weights, *, to_receivers: bool
) -> None:
    """to_receivers or to_senders(total, other, Y, *weights, end, order, start, low, high).

    Adds to the row of each node from low to high what comes along its edges order[start[node]], ... from the
    rows of `other` that end[edge] names.
    """
    name = "to_receivers" if to_receivers else "to_senders"
    parts = [
        _part_at_nodes(module, plan, group, f"{name}_{k}", dtype, weights, to_receivers)
        for k, group in enumerate(groups)
    ]
    columns_to, columns_from = plan.irreps_out.dim, plan.irreps_in.dim
    if not to_receivers:
        columns_to, columns_from = columns_from, columns_to
    code = VectorCode(module, name, dtype, signatures(weights)[name], public=True)
    total, other, filters, *given, end, order, start, low, high = code.arguments
    weights.prepare(code)
    with code.loop(low, high) as node:
        row = code.row(total, node, columns_to)
        first, last = code.integer(start, node), code.integer(start, code.build.add(node, I64(1)))
        with code.loop(first, last) as n:
            edge = code.integer(order, n)
            source = code.row(other, code.integer(end, edge), columns_from)
            y = code.row(filters, edge, plan.irreps_filter.dim)
            held = weights.of_edge(code, given, edge)
            for part in parts:
                code.build.call(part, [row, source, y, *held])
    code.build.ret_void()


def _part_at_nodes(
    module: ir.Module,
    plan: Plan,
    group: list[tuple[int, list[Term]]],
    name: str,
    dtype: str,
    weights: Weights,
    to_receivers: bool,
) -> ir.Function:
    """A function (row, source, Y, *weights): one edge, the paths of a group."""
    code = VectorCode(module, name, dtype, f"rrr{weights.internal}", public=False)
    row, source, y, *given = code.arguments
    # Σ_b CG_abk Y_b of each pair (where to, where from) of a path.
    factors: dict[tuple[int, int, int], Value] = {}
    for number, terms in group:
        for term in terms:
            pair = (term.out, term.inp) if to_receivers else (term.inp, term.out)
            before = factors.get((number, *pair))
            value = code.load(code.at(y, term.filter))
            factors[number, *pair] = code.add_times(before, code.constant(term.value), value)
    held = code.space(len(factors))
    places = {key: code.at(held, place) for place, key in enumerate(factors)}
    for key, factor in factors.items():
        code.store(factor, places[key])

    def body(first: Value, lanes: int) -> None:
        here = {pointer: code.at(pointer, first) for pointer in (row, source)}
        read: dict[int, Value] = {}
        sums: dict[int, Value] = {}
        for number, _ in group:
            weight = weights.value(code, given, code.at_sum(first, plan.weight_starts[number]), lanes)
            path: dict[int, Value] = {}
            for (owner, to, origin), place in places.items():
                if owner == number:
                    if origin not in read:
                        read[origin] = code.load(code.at(here[source], origin), lanes)
                    path[to] = code.add_times(path.get(to), code.spread(place, lanes), read[origin])
            for to, value in path.items():
                if to not in sums:
                    sums[to] = code.load(code.at(here[row], to), lanes)
                sums[to] = code.add_times(sums[to], weight, value)
        for to, value in sums.items():
            code.store(value, code.at(here[row], to), lanes)

    code.channels(plan.channels(group[0][0]), body)
    code.build.ret_void()
    return code.function


def _on_edges(module: ir.Module, plan: Plan, groups: Groups, dtype: str, weights: Weights) -> None:
    """on_edges(dY, dweights, g, x, Y, *weights, sender, receiver, low, high): written, not added."""
    parts = [
        _part_on_edges(module, plan, group, f"on_edges_{k}", dtype, weights) for k, group in enumerate(groups)
    ]
    code = VectorCode(module, "on_edges", dtype, signatures(weights)["on_edges"], public=True)
    d_filters, d_weights, g, x, filters, *given, sender, receiver, low, high = code.arguments
    columns = plan.irreps_filter.dim
    # Sums over channels of dL/dY, and in the last row of what weights sum: a register each.
    sums = code.space((columns + 1) * code.width)
    weights.prepare(code)
    with code.loop(low, high) as edge:
        g_e = code.row(g, code.integer(receiver, edge), plan.irreps_out.dim)
        x_e = code.row(x, code.integer(sender, edge), plan.irreps_in.dim)
        y, d_y = (code.row(table, edge, columns) for table in (filters, d_filters))
        held = weights.of_edge(code, given, edge)
        d_w = code.row(d_weights, edge, weights.columns)
        for b in range(columns + 1):
            code.store(code.constant(0.0, code.width), code.at(sums, b * code.width), code.width)
        for part in parts:
            code.build.call(part, [sums, d_w, g_e, x_e, y, *held])
        for b in range(columns):
            code.store(code.total(code.at(sums, b * code.width)), code.at(d_y, b))
        weights.finish(code, d_w, code.at(sums, columns * code.width))
    code.build.ret_void()


def _part_on_edges(
    module: ir.Module,
    plan: Plan,
    group: list[tuple[int, list[Term]]],
    name: str,
    dtype: str,
    weights: Weights,
) -> ir.Function:
    """A function (sums, dweights, g, x, Y, *weights): one edge, the paths of a group."""
    code = VectorCode(module, name, dtype, f"rrrrr{weights.internal}", public=False)
    sums, d_w, g, x, y, *given = code.arguments
    last = code.at(sums, plan.irreps_filter.dim * code.width)

    def body(first: Value, lanes: int) -> None:
        here = {pointer: code.at(pointer, first) for pointer in (g, x)}
        read: dict[tuple[Value, int], Value] = {}
        products: dict[tuple[int, int], Value] = {}
        d_y: dict[int, Value] = {}

        def of(table: Value, column: int) -> Value:
            if (table, column) not in read:
                read[table, column] = code.load(code.at(here[table], column), lanes)
            return read[table, column]

        for number, terms in group:
            column = code.at_sum(first, plan.weight_starts[number])
            weight = weights.value(code, given, column, lanes)
            h: dict[int, Value] = {}
            for term in terms:
                pair = (term.out, term.inp)
                if pair not in products:
                    products[pair] = code.times(of(g, term.out), of(x, term.inp))
                h[term.filter] = code.add_times(
                    h.get(term.filter), code.constant(term.value, lanes), products[pair]
                )
            total: Value | None = None
            for b, value in h.items():
                total = code.add_times(total, code.spread(code.at(y, b), lanes), value)
                d_y[b] = code.add_times(d_y.get(b), weight, value)
            weights.differentiate(code, given, column, lanes, total, d_w, last)
        for b, value in d_y.items():
            code.add_to(code.at(sums, b * code.width), value, lanes)

    code.channels(plan.channels(group[0][0]), body)
    code.build.ret_void()
    return code.function
