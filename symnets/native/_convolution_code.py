"""Machine code for all derivatives of a tabulated tensor product at one edge.

With the features x of the sender, the cotangent g of the receiver, harmonics Y and weights w(r), and

    F_ak = Σ_b CG_abk Y_b,     t_a = Σ_k F_ak g_k,     M_ak = Σ_c w x_a g_k

for each path, and in t for each channel c, the derivatives are

    dx_a += w t_a,     dr += Σ_c w' Σ_a x_a t_a,     dY_b += Σ_ak CG_abk M_ak.

Coefficients CG with one b for each pair (a, k) occur only in sums without channels.
"""

from collections.abc import Callable, Sequence

from llvmlite import ir

from symnets.ops import I64, Plan, Term, Value, VectorCode, WeightSplines

Pair = tuple[int, int, int]
"""Path, column of x (a) and column of g (k)."""


def write_reverse_part(
    module: ir.Module,
    plan: Plan,
    group: list[tuple[int, list[Term]]],
    name: str,
    dtype: str,
    weights: WeightSplines,
    *,
    senders: bool,
) -> ir.Function:
    """Write a function that adds the derivatives of a group of paths at one edge.

    Its arguments are the row dx if `senders`, the row dY, a register of lanes of dr, the rows g, x and Y, and
    the values `WeightSplines.internal`.
    """
    kinds = "r" * (5 + senders) + weights.internal
    code = VectorCode(module, name, dtype, kinds, public=False)
    *d_x, d_y, d_r, g, x, y, row, coefficients = code.arguments
    writer = _Part(code, plan, group, weights)
    writer.write_features(g, x, y, [row, coefficients], d_x[0] if senders else None, d_r)
    writer.write_moments(g)
    writer.write_filters(d_y)
    code.build.ret_void()
    return code.function


class _Part:
    """Writer of the code of a group of paths, in three steps.

    Args:
        code: function that is written.
        plan: the tensor product.
        group: paths with equal numbers of channels, and their coefficients.
        weights: weights of the paths.
    """

    def __init__(
        self, code: VectorCode, plan: Plan, group: list[tuple[int, list[Term]]], weights: WeightSplines
    ) -> None:
        self.code, self.plan, self.group, self.weights = code, plan, group, weights
        self.channels = plan.channels(group[0][0])
        self.tiles = [tile for number, terms in group for tile in _tiles(number, terms)]
        self.place = {pair: n for n, pair in enumerate(pair for tile in self.tiles for pair in tile)}
        # Numbers of a register of 16 bytes, and of the sums of a pair's channels before they are added up.
        self.quarter = 16 // code.size
        self.columns = {(number, term.inp) for number, terms in group for term in terms}
        stride = -(-self.channels // code.width) * code.width
        self.factors = code.allocate(len(self.place))
        memory = code.allocate(stride * len(self.columns))
        self.weighted = {
            column: code.offset(memory, n * stride) for n, column in enumerate(sorted(self.columns))
        }
        self.n_groups = -(-len(self.place) // self.quarter)
        self.lanes = code.allocate(self.n_groups * self.quarter * 2 * self.quarter)
        self.moments = code.allocate(self.n_groups * self.quarter)

    def write_features(
        self, g: Value, x: Value, y: Value, values: Sequence[Value], d_x: Value | None, d_r: Value
    ) -> None:
        """Write F, the sums dx and dr, and store w x_a."""
        code = self.code
        factors: dict[Pair, Value] = {}
        for number, terms in self.group:
            for term in terms:
                pair = number, term.inp, term.out
                value = code.load(code.offset(y, term.filter))
                factors[pair] = code.fma(factors.get(pair), code.constant(term.value), value)
        for pair, factor in factors.items():
            code.store(factor, code.offset(self.factors, self.place[pair]))

        def body(first: Value, lanes: int) -> None:
            loaded: dict[tuple[Value, int], Value] = {}
            sums: dict[int, Value] = {}

            def load(table: Value, column: int) -> Value:
                if (table, column) not in loaded:
                    place = code.offset(code.offset(table, first), column)
                    loaded[table, column] = code.load(place, lanes)
                return loaded[table, column]

            total = None
            for number, _ in self.group:
                column = code.add_int(first, self.plan.weight_starts[number])
                t: dict[int, Value] = {}
                for pair, place in self.place.items():
                    owner, a, k = pair
                    if owner == number:
                        factor = code.broadcast(code.offset(self.factors, place), lanes)
                        t[a] = code.fma(t.get(a), factor, load(g, k))
                scalar = None
                for a, value in t.items():
                    scalar = code.fma(scalar, load(x, a), value)
                weight, slope = self.weights.value_and_slope(code, values, column, lanes)
                total = code.fma(total, slope, scalar)
                for a, value in t.items():
                    place = code.offset(self.weighted[number, a], first)
                    code.store(code.mul(weight, load(x, a)), place, lanes)
                    if d_x is not None:
                        before = sums[a] if a in sums else load(d_x, a)
                        sums[a] = code.fma(before, weight, value)
            code.add_to(d_r, total, lanes)
            for a, value in sums.items():
                assert d_x is not None
                code.store(value, code.offset(code.offset(d_x, first), a), lanes)

        code.for_channels(self.channels, body)

    def write_moments(self, g: Value) -> None:
        """Write M: sums of products w x_a g_k in registers, one tile of pairs after the other."""
        code, half = self.code, 2 * self.quarter
        for n in range(len(self.place), self.n_groups * self.quarter):
            code.store(code.constant(0.0, half), code.offset(self.lanes, n * half), half)
        for tile in self.tiles:

            def add(
                first: Value, lanes: int, sums: list[Value | None], tile: list[Pair] = tile
            ) -> list[Value]:
                rows = {a: code.load(code.offset(self.weighted[n, a], first), lanes) for n, a, _ in tile}
                columns = {k: code.load(code.offset(code.offset(g, first), k), lanes) for _, _, k in tile}
                return [
                    code.fma(total, rows[a], columns[k]) for (_, a, k), total in zip(tile, sums, strict=True)
                ]

            totals = _sum_channels(code, self.channels, len(tile), add)
            for pair, total in zip(tile, totals, strict=True):
                place = code.offset(self.lanes, self.place[pair] * half)
                code.store(_fold(code, total, code.width, half), place, half)
        with code.loop(I64(0), I64(self.n_groups)) as number:
            start = code.row_pointer(self.lanes, number, self.quarter * half)
            rows = [code.load(code.offset(start, n * half), half) for n in range(self.quarter)]
            place = code.row_pointer(self.moments, number, self.quarter)
            code.store(_sum_each(code, rows), place, self.quarter)

    def write_filters(self, d_y: Value) -> None:
        """Write the sums dY."""
        code = self.code
        sums: dict[int, Value] = {}
        for number, terms in self.group:
            for term in terms:
                place = self.place[number, term.inp, term.out]
                if term.filter not in sums:
                    sums[term.filter] = code.load(code.offset(d_y, term.filter))
                moment = code.load(code.offset(self.moments, place))
                sums[term.filter] = code.fma(sums[term.filter], code.constant(term.value), moment)
        for b, total in sums.items():
            code.store(total, code.offset(d_y, b))


def _tiles(number: int, terms: list[Term]) -> list[list[Pair]]:
    """Pairs of a path with a coefficient, in tiles of at most six, for which AVX2 has enough registers."""
    pairs = {(number, term.inp, term.out) for term in terms}
    rows, columns = (sorted({pair[axis] for pair in pairs}) for axis in (1, 2))
    height, tiles = 6 if len(columns) == 1 else 3, []
    for i in range(0, len(rows), height):
        some = rows[i : i + height]
        width = 6 // len(some)
        for j in range(0, len(columns), width):
            tile = [(number, a, k) for a in some for k in columns[j : j + width] if (number, a, k) in pairs]
            tiles += [tile] if tile else []
    return tiles


def _sum_channels(
    code: VectorCode,
    n: int,
    count: int,
    add: Callable[[Value, int, list[Value | None]], list[Value]],
) -> list[Value]:
    """Registers of sums over n channels; `add(first, lanes, sums)` adds the channels from `first` on."""
    build, width = code.build, code.width
    full, zero = n // width * width, code.constant(0.0, width)
    sums: list[Value] = [None] * count
    if full > width:
        before = build.block
        head, body, after = (build.append_basic_block() for _ in range(3))
        build.branch(head)
        build.position_at_end(head)
        index = build.phi(I64)
        index.add_incoming(I64(0), before)
        totals = [build.phi(zero.type) for _ in range(count)]
        for total in totals:
            total.add_incoming(zero, before)
        build.cbranch(build.icmp_signed("<", index, I64(full)), body, after)
        build.position_at_end(body)
        for total, value in zip(totals, add(index, width, list(totals)), strict=True):
            total.add_incoming(value, body)
        index.add_incoming(code.add_int(index, width), body)
        build.branch(head)
        build.position_at_end(after)
        sums = list(totals)
    elif full:
        sums = add(I64(0), width, sums)
    if n > full:
        rest = add(I64(full), n - full, [None] * count)
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), width), [min(k, n - full) for k in range(width)])
        for k, value in enumerate(rest):
            if n - full == 1:
                extended = build.insert_element(zero, value, ir.IntType(32)(0))
            else:
                extended = build.shuffle_vector(value, code.constant(0.0, n - full), lanes)
            sums[k] = extended if sums[k] is None else build.fadd(sums[k], extended)
    return sums


def _fold(code: VectorCode, value: Value, lanes: int, to: int) -> Value:
    """Sum of the parts of `to` lanes of a register."""
    while lanes > to:
        lanes //= 2
        value = code.build.fadd(
            *(_select(code, value, value, range(start, start + lanes)) for start in (0, lanes))
        )
    return value


def _sum_each(code: VectorCode, rows: list[Value]) -> Value:
    """Sum of each row, as one register; a row is two registers of as many numbers as there are rows."""
    count = len(rows)
    half = range(0, 2 * count, count)  # first lanes of the two registers of 16 bytes
    while len(rows) > 1:
        pairs = []
        for u, v in zip(rows[::2], rows[1::2], strict=True):
            lanes = [
                [start + offset + 2 * count * of for start in half for of in (0, 1) for offset in offsets]
                for offsets in (range(0, count, 2), range(1, count, 2))
            ]
            pairs.append(code.build.fadd(*(_select(code, u, v, chosen) for chosen in lanes)))
        rows = pairs
    return _fold(code, rows[0], 2 * count, count)


def _select(code: VectorCode, u: Value, v: Value, lanes: Sequence[int] | range) -> Value:
    chosen = list(lanes)
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(chosen)), chosen)
    return code.build.shuffle_vector(u, v, mask)
