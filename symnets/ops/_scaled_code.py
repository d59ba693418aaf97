"""Machine code of `ScaledSum`: loops over edges, compiled for one plan, dtype and kind of weights."""

from collections.abc import Iterable, Sequence

from llvmlite import ir

from symnets.ops._node_code import Group
from symnets.ops._paths import Plan, Term
from symnets.ops._scaled_sum import A, G, Input, ScaledSum, W, X, Y, factor_columns, factor_starts
from symnets.ops._vector_code import Value, VectorCode
from symnets.ops._weight_code import Weights

Triple = tuple[int, int, int]
"""Versions of g, x and Y."""
Coupling = tuple[int, int, int, int]
"""Path, version of Y, column k of g, column a of x."""


def write_scaled_sum(
    module: ir.Module, plan: Plan, groups: list[Group], dtype: str, weights: Weights, loop: ScaledSum
) -> None:
    """Write the function `loop`, which adds to rows of dg or dx, or overwrites rows of dY, dw and da."""
    code = VectorCode(module, "loop", dtype, loop.signature(weights), public=True)
    n_outputs = len(loop.outputs)
    outputs = code.arguments[:n_outputs]
    tables = loop.by_input(code.arguments[n_outputs:-6], len(weights.public))
    columns = [plan.irreps_out.dim, plan.irreps_in.dim, plan.irreps_filter.dim, weights.columns]
    columns.append(factor_columns(plan))
    weights.prepare(code)

    def of_pair(pair: Value) -> dict[Input, list[Value]]:
        """Values of the weights of a pair."""
        return {item: weights.of_pair(code, table, pair) for item, table in tables.items() if item[0] == W}

    def rows(index: Sequence[Value], pair_values: dict[Input, list[Value]]) -> list[Value]:
        """Pointers to the rows of an edge in all inputs, from its row in each argument."""
        values: list[Value] = []
        for (n, version), table in tables.items():
            of_weights = pair_values.get((n, version))
            values += of_weights or [code.row_pointer(table[0], index[n], columns[n])]
        return values

    if loop.outputs[0] in (G, X):
        parts = [
            _node_part(module, plan, group, f"part_{k}", dtype, weights, loop)
            for k, group in enumerate(groups)
        ]
        end, pair, order, start, low, high = code.arguments[-6:]
        with code.loop(low, high) as node:
            total = code.row_pointer(outputs[0], node, columns[loop.outputs[0]])
            first, last = code.load_int(start, node), code.load_int(start, code.add_int(node, 1))
            with code.loop(first, last) as position:
                edge = code.load_int(order, position)
                other = code.load_int(end, edge)
                row_of_weights = code.load_int(pair, edge)
                inputs = rows([other, other, edge, row_of_weights, edge], of_pair(row_of_weights))
                for part in parts:
                    code.build.call(part, [total, *inputs])
        code.build.ret_void()
        return

    parts = [
        _edge_part(module, plan, group, f"part_{k}", dtype, weights, loop) for k, group in enumerate(groups)
    ]
    sender, receiver, order, start, low, high = code.arguments[-6:]
    out = dict(zip(loop.outputs, outputs, strict=True))
    # A register for each column of an edge's dY, and one for the sum of a pair (dL/dr of splines).
    sums = code.allocate((columns[Y] + 1) * code.width)
    pair_sum = code.offset(sums, columns[Y] * code.width)

    with code.loop(low, high) as pair:
        d_weights = code.row_pointer(out[W], pair, columns[W]) if W in out else sums
        if W in out:
            weights.clear(code, d_weights)
            code.fill_zeros(pair_sum, code.width)
        pair_values = of_pair(pair)
        with code.loop(code.load_int(start, pair), code.load_int(start, code.add_int(pair, 1))) as position:
            edge = code.load_int(order, position)
            ends = code.load_int(receiver, edge), code.load_int(sender, edge)
            d_factors = code.row_pointer(out[A], edge, columns[A]) if A in out else sums
            if A in out:
                code.fill_zeros(d_factors, columns[A])
            if Y in out:
                code.fill_zeros(sums, columns[Y] * code.width)
            inputs = rows([*ends, edge, pair, edge], pair_values)
            for part in parts:
                code.build.call(part, [sums, d_weights, d_factors, *inputs])
            if Y in out:
                d_y = code.row_pointer(out[Y], edge, columns[Y])
                for b in range(columns[Y]):
                    code.store(code.sum_lanes(code.offset(sums, b * code.width)), code.offset(d_y, b))
        if W in out:
            weights.finish(code, d_weights, pair_sum)
    code.build.ret_void()


class _Part:
    """Writer of a function for one edge and a group of paths: what sums at nodes and on edges share.

    Args:
        outputs: number of pointers to outputs, before those to the inputs of the loop.
    """

    def __init__(
        self,
        module: ir.Module,
        plan: Plan,
        group: Group,
        name: str,
        dtype: str,
        weights: Weights,
        loop: ScaledSum,
        outputs: int,
    ) -> None:
        letters = "r" * outputs + loop.letters(weights.internal)
        self.code = VectorCode(module, name, dtype, letters, public=False)
        self.plan, self.group, self.weights = plan, group, weights
        self.outputs = self.code.arguments[:outputs]
        inputs = loop.by_input(self.code.arguments[outputs:], len(weights.internal))
        self.of_weights = {version: values for (n, version), values in inputs.items() if n == W}
        self.input = {item: values[0] for item, values in inputs.items() if item[0] != W}
        self.channels = plan.channels(group[0][0])
        self.first_factor = factor_starts(plan)[self.channels]

    def couplings(self, filters: Iterable[int]) -> dict[Coupling, Value]:
        """Pointers to Σ_b CG_abk Y_b for each path, version of Y, and pair of columns (k of g, a of x).

        These sums do not depend on the channel: they are computed first and stored.
        """
        code = self.code
        sums: dict[Coupling, Value] = {}
        for number, terms in self.group:
            for term in terms:
                for version in filters:
                    key = number, version, term.out, term.inp
                    value = code.load(code.offset(self.input[Y, version], term.filter))
                    sums[key] = code.fma(sums.get(key), code.constant(term.value), value)
        memory = code.allocate(max(len(sums), 1))
        places = {key: code.offset(memory, place) for place, key in enumerate(sums)}
        for key, value in sums.items():
            code.store(value, places[key])
        return places

    def finish(self) -> ir.Function:
        """End the function."""
        self.code.build.ret_void()
        return self.code.function


class _Registers:
    """Registers with some channels of the rows of an edge, each loaded once."""

    def __init__(self, part: _Part, first: Value, lanes: int) -> None:
        self.part, self.code, self.first, self.lanes = part, part.code, first, lanes
        self._loaded: dict[tuple[int, int, int], Value] = {}
        self._products: dict[tuple[int, int, int, int], Value] = {}
        self.at_channel = {key: part.code.offset(p, first) for key, p in part.input.items() if key[0] != Y}

    def load(self, argument: int, version: int, column: int) -> Value:
        """Channels of an argument; `column` is that of channel 0."""
        key = argument, version, column
        if key not in self._loaded:
            pointer = self.code.offset(self.at_channel[argument, version], column)
            self._loaded[key] = self.code.load(pointer, self.lanes)
        return self._loaded[key]

    def product(self, g: int, k: int, x: int, a: int) -> Value:
        """Product of a column of g and one of x."""
        key = g, k, x, a
        if key not in self._products:
            self._products[key] = self.code.mul(self.load(G, g, k), self.load(X, x, a))
        return self._products[key]

    def weight(self, number: int, version: int) -> Value:
        """Weights w of a path."""
        key = W, version, number
        if key not in self._loaded:
            column, values = self.column(number), self.part.of_weights[version]
            self._loaded[key] = self.part.weights.value(self.code, values, column, self.lanes)
        return self._loaded[key]

    def column(self, number: int) -> Value:
        """Column of the weights of a path for the first of the channels."""
        return self.code.add_int(self.first, self.part.plan.weight_starts[number])

    def factor(self, version: int) -> Value:
        """Factors a of the channels."""
        return self.load(A, version, self.part.first_factor)

    def scaled(self, number: int, products: Iterable[tuple[int, int]]) -> Value:
        """Σ w a over versions of w and a."""
        total: Value | None = None
        for w, a in products:
            total = self.code.fma(total, self.weight(number, w), self.factor(a))
        return total


def _node_part(
    module: ir.Module, plan: Plan, group: Group, name: str, dtype: str, weights: Weights, loop: ScaledSum
) -> ir.Function:
    """Write a function (row of dg or dx, inputs)."""
    part = _Part(module, plan, group, name, dtype, weights, loop, 1)
    code, (output,) = part.code, loop.outputs
    source = X if output == G else G
    terms = loop.terms(output)
    # Terms with the same source and filter differ in their weights, which are added first.
    products: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for term in terms:
        products.setdefault((term[source], term[Y]), []).append((term[W], term[A]))
    by_weight: dict[tuple[tuple[int, int], ...], list[tuple[int, int]]] = {}
    for key, pairs in products.items():
        by_weight.setdefault(tuple(pairs), []).append(key)
    places = part.couplings(sorted({term[Y] for term in terms}))

    def body(first: Value, lanes: int) -> None:
        registers, row = _Registers(part, first, lanes), code.offset(part.outputs[0], first)
        sums: dict[int, Value] = {}
        for number, _ in group:
            own = [(key[1:], place) for key, place in places.items() if key[0] == number]
            for pairs, keys in by_weight.items():
                path_sums: dict[int, Value] = {}
                for (filter_version, k, a), place in own:
                    to, origin = (k, a) if output == G else (a, k)
                    for s in (s for s, f in keys if f == filter_version):
                        factor, value = code.broadcast(place, lanes), registers.load(source, s, origin)
                        path_sums[to] = code.fma(path_sums.get(to), factor, value)
                weight = registers.scaled(number, pairs)
                for to, value in path_sums.items():
                    if to not in sums:
                        sums[to] = code.load(code.offset(row, to), lanes)
                    sums[to] = code.fma(sums[to], weight, value)
        for to, value in sums.items():
            code.store(value, code.offset(row, to), lanes)

    code.for_channels(part.channels, body)
    return part.finish()


class _Path:
    """D = dL/d(w a) of a path for some channels of an edge, see `_edge_part`, with each part written once.

    Args:
        registers: numbers of the channels.
        number: index of the path.
        terms: its coefficients.
        places: see `_Part.couplings`; None to use h, which dY needs too.
    """

    def __init__(
        self, registers: _Registers, number: int, terms: list[Term], places: dict[Coupling, Value] | None
    ) -> None:
        self.registers, self.code, self.lanes = registers, registers.code, registers.lanes
        self.number, self.terms, self.places = number, terms, places
        self._h: dict[tuple[int, int], dict[int, Value]] = {}
        self._messages: dict[tuple[int, int], dict[int, Value]] = {}
        self._derivatives: dict[tuple[Triple, ...], Value] = {}

    def h(self, g: int, x: int) -> dict[int, Value]:
        """h_b = Σ_ak CG_abk g_k x_a for each column b, of versions of g and x."""
        if (g, x) not in self._h:
            total: dict[int, Value] = {}
            for term in self.terms:
                product = self.registers.product(g, term.out, x, term.inp)
                value = self.code.constant(term.value, self.lanes)
                total[term.filter] = self.code.fma(total.get(term.filter), value, product)
            self._h[g, x] = total
        return self._h[g, x]

    def message(self, x: int, y: int) -> dict[int, Value]:
        """Σ_a (Σ_b CG_abk Y_b) x_a for each column k, of versions of x and Y."""
        if (x, y) not in self._messages:
            total: dict[int, Value] = {}
            for (owner, version, k, a), place in (self.places or {}).items():
                if (owner, version) == (self.number, y):
                    value = self.registers.load(X, x, a)
                    total[k] = self.code.fma(total.get(k), self.code.broadcast(place, self.lanes), value)
            self._messages[x, y] = total
        return self._messages[x, y]

    def derivative(self, versions: tuple[Triple, ...]) -> Value:
        """Sum of D over versions of (g, x, Y)."""
        if versions not in self._derivatives:
            total: Value | None = None
            for g, x, y in versions:
                if self.places is None:
                    filters = self.registers.part.input[Y, y]
                    for b, value in self.h(g, x).items():
                        y_b = self.code.broadcast(self.code.offset(filters, b), self.lanes)
                        total = self.code.fma(total, y_b, value)
                else:
                    for k, value in self.message(x, y).items():
                        total = self.code.fma(total, self.registers.load(G, g, k), value)
            self._derivatives[versions] = total
        return self._derivatives[versions]


def _edge_part(
    module: ir.Module, plan: Plan, group: Group, name: str, dtype: str, weights: Weights, loop: ScaledSum
) -> ir.Function:
    """Write a function (sums of dY, row of dw, row of da, inputs).

    With D = dL/d(w a) of a path and channel,

        dw = Σ_{edges of the pair} D a,     da = Σ_p D w,     D = Σ_b Y_b h_b,     dY_b = Σ_c w a h_b,

    and h_b = Σ_ak CG_abk g_k x_a. Without dY, D = Σ_k g_k Σ_a (Σ_b CG_abk Y_b) x_a needs fewer products.
    """
    part = _Part(module, plan, group, name, dtype, weights, loop, 3)
    code = part.code
    sums, d_weights, d_factors = part.outputs
    pair_sum = code.offset(sums, plan.irreps_filter.dim * code.width)
    # For dw the versions of (g, x, Y) that each version of a multiplies, and for da those of w.
    multiplied: dict[int, dict[int, list[Triple]]] = {W: {}, A: {}}
    for output, other in ((W, A), (A, W)):
        for term in loop.terms(output) if output in loop.outputs else ():
            multiplied[output].setdefault(term[other], []).append((term[G], term[X], term[Y]))
    # For dY the products of weights and factors that multiply h of each version of (g, x).
    products: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for term in loop.terms(Y) if Y in loop.outputs else ():
        products.setdefault((term[G], term[X]), []).append((term[W], term[A]))
    filters = {y for by_other in multiplied.values() for triples in by_other.values() for _, _, y in triples}
    places = {} if products else part.couplings(sorted(filters))

    def body(first: Value, lanes: int) -> None:
        registers = _Registers(part, first, lanes)
        d_y: dict[int, Value] = {}
        da: Value | None = None
        for number, terms in group:
            path, dw = _Path(registers, number, terms, None if products else places), None
            for gx, pairs in products.items():
                weight = registers.scaled(number, pairs)
                for b, value in path.h(*gx).items():
                    d_y[b] = code.fma(d_y.get(b), weight, value)
            for version, triples in multiplied[W].items():
                dw = code.fma(dw, registers.factor(version), path.derivative(tuple(triples)))
            for version, triples in multiplied[A].items():
                da = code.fma(da, registers.weight(number, version), path.derivative(tuple(triples)))
            if dw is not None:
                values = part.of_weights.get(0, ())  # `WeightRows.differentiate` does not read them
                column = registers.column(number)
                weights.differentiate(code, values, column, lanes, dw, d_weights, pair_sum)
        if da is not None:
            code.add_to(code.offset(d_factors, code.add_int(first, part.first_factor)), da, lanes)
        for b, value in d_y.items():
            code.add_to(code.offset(sums, b * code.width), value, lanes)

    code.for_channels(part.channels, body)
    return part.finish()
