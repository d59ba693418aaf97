"""Machine code for a tabulated tensor product, and for its first derivatives, at one edge.

With the features x of the sender, harmonics Y and weights w(r), each path adds

    out_k += w Σ_a F_ak x_a,     F_ak = Σ_b CG_abk Y_b,

in each channel. With the cotangent g of the receiver, and t_a = Σ_k F_ak g_k, the derivatives are

    dx_a += w t_a,     dr += Σ_c w' Σ_a x_a t_a,     dY_b += Σ_c w Σ_ak CG_abk x_a g_k.

The weights of an edge are interpolated first, all in one loop over the columns of the table. dx and dr are
computed next, in one loop over the channels for each input, and dY last. The coefficients CG_abk of one path
and one b have only a few different absolute values. The products w x_a g_k that belong to one such value are
first added over all channels, and the sum is multiplied by it once.
"""

from collections.abc import Callable, Sequence

from llvmlite import ir

from symnets.ops import I32, I64, Plan, Term, Value, VectorCode, WeightSplines

Group = list[tuple[int, list[Term]]]
"""Paths with equal numbers of channels, by index, and their coefficients."""
LANE_BYTES = 32
"""Bytes of a register in derivatives, those of AVX2: derivatives need many registers at once."""
SUMS = 12
"""Largest number of sums over channels of a loop that serves several paths; AVX2 has 16 registers."""


def write_forward_part(
    module: ir.Module, plan: Plan, group: Group, name: str, dtype: str, weights: WeightSplines
) -> ir.Function:
    """Write a function that adds a group of paths at one edge to the row of the receiver.

    Its arguments are the rows out, x and Y, and the values `WeightSplines.internal`.
    """
    code = VectorCode(module, name, dtype, "rrr" + weights.internal, public=False)
    out, x, y, *values = code.arguments
    factors = _Factors(code, group, y)

    for number, terms in group:

        def body(first: Value, lanes: int, number: int = number, terms: list[Term] = terms) -> None:
            x_row, out_row = code.offset(x, first), code.offset(out, first)
            sums: dict[int, Value] = {}
            for a, columns in _coupled_columns(terms).items():
                value = code.load(code.offset(x_row, a), lanes)
                for k in columns:
                    sums[k] = code.fma(sums.get(k), factors.load(number, a, k, lanes), value)
            weight = weights.value(code, values, code.add_int(first, plan.weight_starts[number]), lanes)
            for k, value in sums.items():
                place = code.offset(out_row, k)
                code.store(code.fma(code.load(place, lanes), weight, value), place, lanes)

        code.for_channels(plan.channels(number), body)
    code.build.ret_void()
    return code.function


def write_reverse_part(
    module: ir.Module,
    plan: Plan,
    group: Group,
    name: str,
    dtype: str,
    weights: WeightSplines,
    *,
    senders: bool,
) -> ir.Function:
    """Write a function that adds the derivatives of a group of paths at one edge.

    Its arguments are the row dx if `senders`, registers of `reverse_lanes` for each column of dY and for dr,
    the rows g, x and Y, and the values `WeightSplines.internal`.
    """
    code = VectorCode(module, name, dtype, "r" * (4 + senders) + weights.internal, public=False)
    *d_x, registers, g, x, y = code.arguments[: 4 + senders]
    derivatives = _Derivatives(code, plan, group, g, x, registers)
    derivatives.interpolate(weights, code.arguments[4 + senders :])
    derivatives.write_features(_Factors(code, group, y), d_x[0] if senders else None)
    derivatives.write_filters()
    code.build.ret_void()
    return code.function


class _Derivatives:
    """Writer of the derivatives of a group of paths at one edge, in three steps.

    Args:
        code: the function that is written.
        plan: the tensor product.
        group: the paths.
        g, x: rows of the receiver's cotangent and of the sender's features.
        registers: sums of dY and dr, see `write_reverse_part`.
    """

    def __init__(
        self, code: VectorCode, plan: Plan, group: Group, g: Value, x: Value, registers: Value
    ) -> None:
        self.code, self.plan, self.group, self.g, self.x = code, plan, group, g, x
        self.registers, self.width = registers, reverse_lanes(code)
        self.channels = plan.channels(group[0][0])

    def interpolate(self, weights: WeightSplines, values: Sequence[Value]) -> None:
        """Write the weights w and their derivatives w' to memory."""
        first, n = self.plan.weight_starts[self.group[0][0]], len(self.group) * self.channels
        rows = [self.code.allocate(n) for _ in range(2)]
        weights.write_values_and_slopes(self.code, values, first, n, *rows)
        self.weight, self.slope = (
            {number: self.code.offset(row, k * self.channels) for k, (number, _) in enumerate(self.group)}
            for row in rows
        )

    def write_features(self, factors: "_Factors", d_x: Value | None) -> None:
        """Write dx, if it is needed, and dr."""
        code, load = self.code, self._load
        inputs: dict[int, Group] = {}
        for number, terms in self.group:
            inputs.setdefault(min(term.inp for term in terms), []).append((number, terms))
        for paths in inputs.values():

            def add(
                first: Value, lanes: int, sums: list[Value | None], paths: Group = paths
            ) -> list[Value | None]:
                rows = dict.fromkeys(term.inp for _, terms in paths for term in terms)
                totals = {} if d_x is None else {a: load(d_x, first, a, lanes) for a in rows}
                d_r = sums[0]
                for number, terms in paths:
                    g_of = {k: load(self.g, first, k, lanes) for k in dict.fromkeys(t.out for t in terms)}
                    weight, slope = (load(row[number], first, 0, lanes) for row in (self.weight, self.slope))
                    scalar = None
                    for a, columns in _coupled_columns(terms).items():
                        t = None
                        for k in columns:
                            t = code.fma(t, factors.load(number, a, k, lanes), g_of[k])
                        scalar = code.fma(scalar, load(self.x, first, a, lanes), t)
                        if a in totals:
                            totals[a] = code.fma(totals[a], weight, t)
                    d_r = code.fma(d_r, slope, scalar)
                for a, value in totals.items():
                    code.store(value, code.offset(code.offset(d_x, first), a), lanes)
                return [d_r]

            (total,) = _sum_channels(code, self.channels, self.width, 1, add)
            self._add_to_register(self.plan.irreps_filter.dim, total)

    def write_filters(self) -> None:
        """Write dY, the derivative with respect to the harmonics."""
        paths: list[list[tuple[int, _Products]]] = []
        n_sums = SUMS
        for number, terms in self.group:
            products = _Products(terms)
            n_sums += len(products.sums)
            if n_sums > SUMS:
                paths.append([])
                n_sums = len(products.sums)
            paths[-1].append((number, products))
        for members in paths:
            coefficients = [pair for _, products in members for pair in products.sums]

            def add(
                first: Value,
                lanes: int,
                sums: list[Value | None],
                members: list[tuple[int, _Products]] = members,
            ) -> list[Value | None]:
                start, result = 0, list(sums)
                for number, products in members:
                    self._add_products(number, products, first, lanes, result, start)
                    start += len(products.sums)
                return result

            sums = _sum_channels(self.code, self.channels, self.width, len(coefficients), add)
            d_y: dict[int, Value] = {}
            for (b, coefficient), value in zip(coefficients, sums, strict=True):
                d_y[b] = self.code.fma(d_y.get(b), self.code.constant(coefficient, self.width), value)
            for b, value in d_y.items():
                self._add_to_register(b, value)

    def _add_products(
        self,
        number: int,
        products: "_Products",
        first: Value,
        lanes: int,
        sums: list[Value | None],
        start: int,
    ) -> None:
        """Add the products of a path to its sums, which are those from `start` on."""
        code = self.code
        held_row, row = (self.g, self.x) if products.holds_g else (self.x, self.g)
        weight = self._load(self.weight[number], first, 0, lanes)
        held = {k: code.mul(weight, self._load(held_row, first, k, lanes)) for k in products.held}
        for a, members in products.members.items():
            value = self._load(row, first, a, lanes)
            for n, k, sign in members:
                signed = value if sign > 0 else code.build.fneg(value)
                sums[start + n] = code.fma(sums[start + n], signed, held[k])

    def _load(self, row: Value, first: Value, column: int, lanes: int) -> Value:
        return self.code.load(self.code.offset(self.code.offset(row, first), column), lanes)

    def _add_to_register(self, number: int, value: Value) -> None:
        self.code.add_to(self.code.offset(self.registers, number * self.width), value, self.width)


class _Products:
    """Sums of ± w x_a g_k over channels, one for each b and coefficient, from which dY of a path is computed.

    Attributes:
        sums: b and coefficient of each sum.
        holds_g: whether w g_k stays in registers while the x_a are loaded one by one; otherwise, w x_a does.
        held: columns k, or a, that stay in registers.
        members: for each column that is loaded: number of the sum, held column and sign of its products.
    """

    def __init__(self, terms: Sequence[Term]) -> None:
        rows, columns = (
            list(dict.fromkeys(getattr(term, side) for term in terms)) for side in ("inp", "out")
        )
        self.holds_g = len(columns) <= len(rows)
        self.held = columns if self.holds_g else rows
        self.sums: list[tuple[int, float]] = []
        self.members: dict[int, list[tuple[int, int, int]]] = {}
        for term in terms:
            number = self._sum_of(term)
            loaded, held = (term.inp, term.out) if self.holds_g else (term.out, term.inp)
            sign = 1 if term.value * self.sums[number][1] > 0 else -1
            self.members.setdefault(loaded, []).append((number, held, sign))

    def _sum_of(self, term: Term) -> int:
        """Number of the sum to which a term belongs; a new one if there is none."""
        for number, (b, coefficient) in enumerate(self.sums):
            size = abs(coefficient)
            if b == term.filter and abs(size - abs(term.value)) < 1e-9 * size:
                return number
        self.sums.append((term.filter, term.value))
        return len(self.sums) - 1


def reverse_lanes(code: VectorCode) -> int:
    """Numbers of a register in derivatives."""
    return LANE_BYTES // code.size


class _Factors:
    """F_ak of a group of paths at one edge, in memory."""

    def __init__(self, code: VectorCode, group: Group, y: Value) -> None:
        sums: dict[tuple[int, int, int], Value] = {}
        for number, terms in group:
            for term in terms:
                key = number, term.inp, term.out
                value = code.load(code.offset(y, term.filter))
                sums[key] = code.fma(sums.get(key), code.constant(term.value), value)
        memory = code.allocate(len(sums))
        self.code = code
        self.places = {key: code.offset(memory, place) for place, key in enumerate(sums)}
        for key, value in sums.items():
            code.store(value, self.places[key])

    def load(self, number: int, a: int, k: int, lanes: int) -> Value:
        """F_ak of a path in every lane."""
        return self.code.broadcast(self.places[number, a, k], lanes)


def _coupled_columns(terms: Sequence[Term]) -> dict[int, dict[int, None]]:
    """Columns of the result that each column of x is coupled to, in the order of the terms."""
    coupled: dict[int, dict[int, None]] = {}
    for term in terms:
        coupled.setdefault(term.inp, {})[term.out] = None
    return coupled


def _sum_channels(
    code: VectorCode,
    n: int,
    width: int,
    count: int,
    add: Callable[[Value, int, list[Value | None]], list[Value | None]],
) -> list[Value]:
    """Registers of sums over n channels; `add(first, lanes, sums)` adds the channels from `first` on."""
    b, zero = code.build, code.constant(0.0, width)
    full = n // width * width
    sums: list[Value] = [zero] * count
    if full > width:
        with code.loop_carrying(sums, I64(0), I64(full), width) as first:
            sums[:] = add(first, width, list(sums))
    elif full:
        sums = add(I64(0), width, [None] * count)
    if n > full:
        lanes = ir.Constant(ir.VectorType(I32, width), [min(k, n - full) for k in range(width)])
        for number, value in enumerate(add(I64(full), n - full, [None] * count)):
            if n - full == 1:
                extended = b.insert_element(zero, value, I32(0))
            else:
                extended = b.shuffle_vector(value, code.constant(0.0, n - full), lanes)
            sums[number] = b.fadd(sums[number], extended)
    return sums
