"""Machine code for a tabulated tensor product, and for all of its derivatives, at one edge.

With the features x of the sender, harmonics Y and weights w(r), each path adds

    out_k += w Σ_a F_ak x_a,     F_ak = Σ_b CG_abk Y_b,

in each channel. With the cotangent g of the receiver, and t_a = Σ_k F_ak g_k, the derivatives are

    dx_a += w t_a,     dr += Σ_c w' Σ_a x_a t_a,     dY_b += Σ_c w Σ_ak CG_abk x_a g_k.

Coefficients of a path and b are equal up to the sign but for a few values: products x_a g_k of equal
coefficients are added before they are multiplied.
"""

from collections.abc import Callable, Sequence

from llvmlite import ir

from symnets.ops import I32, I64, Plan, Term, Value, VectorCode, WeightSplines

Group = list[tuple[int, list[Term]]]
"""Paths with equal numbers of channels, by index, and their coefficients."""
LANE_BYTES = 32
"""Bytes of a register in derivatives, which need many; those of AVX2."""


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
            for a, columns in _columns(terms, by="inp").items():
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
    values = code.arguments[4 + senders :]
    factors = _Factors(code, group, y)
    width = reverse_lanes(code)

    for number, terms in group:

        def add(
            first: Value,
            lanes: int,
            sums: list[Value | None],
            number: int = number,
            terms: list[Term] = terms,
        ) -> list[Value]:
            x_row, g_row = code.offset(x, first), code.offset(g, first)
            rows, columns = ({getattr(term, side): None for term in terms} for side in ("inp", "out"))
            g_of = {k: code.load(code.offset(g_row, k), lanes) for k in columns}
            t: dict[int, Value] = {}
            for a, outs in _columns(terms, by="inp").items():
                for k in outs:
                    t[a] = code.fma(t.get(a), factors.load(number, a, k, lanes), g_of[k])
            x_of = {a: code.load(code.offset(x_row, a), lanes) for a in rows}
            scalar = None
            for a, value in t.items():
                scalar = code.fma(scalar, x_of[a], value)
            column = code.add_int(first, plan.weight_starts[number])
            weight, slope = weights.value_and_slope(code, values, column, lanes)
            added = [code.fma(sums[0], slope, scalar)]
            for a, value in t.items() if senders else ():
                place = code.offset(code.offset(d_x[0], first), a)
                code.store(code.fma(code.load(place, lanes), weight, value), place, lanes)
            for before, equal in zip(sums[1:], _equal_coefficients(terms).values(), strict=True):
                product = None
                for coefficient, signed in equal:
                    same = None
                    for a, k, sign in signed:
                        same = code.fma(same, x_of[a] if sign > 0 else code.build.fneg(x_of[a]), g_of[k])
                    product = code.fma(product, code.constant(coefficient, lanes), same)
                added.append(code.fma(before, weight, product))
            return added

        results = [plan.irreps_filter.dim, *_equal_coefficients(terms)]
        for result, total in zip(
            results, _sum_channels(code, plan.channels(number), width, len(results), add), strict=True
        ):
            code.add_to(code.offset(registers, result * width), total, width)
    code.build.ret_void()
    return code.function


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


def _columns(terms: Sequence[Term], *, by: str) -> dict[int, list[int]]:
    """Columns of the result that each column of x is coupled to."""
    found: dict[int, dict[int, None]] = {}
    for term in terms:
        found.setdefault(getattr(term, by), {})[term.out] = None
    return {column: list(others) for column, others in found.items()}


def _equal_coefficients(
    terms: Sequence[Term],
) -> dict[int, list[tuple[float, list[tuple[int, int, int]]]]]:
    """For each column b of Y: coefficients, and the (a, k, sign) of the terms that have them."""
    found: dict[int, dict[float, list[tuple[int, int, float]]]] = {}
    for term in terms:
        of_b = found.setdefault(term.filter, {})
        size = next((v for v in of_b if abs(v - abs(term.value)) < 1e-9 * v), abs(term.value))
        of_b.setdefault(size, []).append((term.inp, term.out, term.value))
    result: dict[int, list[tuple[float, list[tuple[int, int, int]]]]] = {}
    for b, of_b in found.items():
        for members in of_b.values():
            first = members[0][2]
            signed = [(a, k, 1 if value * first > 0 else -1) for a, k, value in members]
            result.setdefault(b, []).append((first, signed))
    return result


def _sum_channels(
    code: VectorCode,
    n: int,
    width: int,
    count: int,
    add: Callable[[Value, int, list[Value | None]], list[Value]],
) -> list[Value]:
    """Registers of sums over n channels; `add(first, lanes, sums)` adds the channels from `first` on."""
    b, zero = code.build, code.constant(0.0, width)
    full = n // width * width
    sums: list[Value] = [zero] * count
    if full > width:
        before = b.block
        head, body, after = (b.append_basic_block() for _ in range(3))
        b.branch(head)
        b.position_at_end(head)
        first, *sums = (b.phi(kind) for kind in (I64, *[zero.type] * count))
        for phi, value in zip((first, *sums), (I64(0), *[zero] * count), strict=True):
            phi.add_incoming(value, before)
        b.cbranch(b.icmp_signed("<", first, I64(full)), body, after)
        b.position_at_end(body)
        for phi, value in zip(sums, add(first, width, list(sums)), strict=True):
            phi.add_incoming(value, b.block)
        first.add_incoming(code.add_int(first, width), b.block)
        b.branch(head)
        b.position_at_end(after)
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
