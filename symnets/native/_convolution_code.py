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

    def add_to_register(number: int, value: Value, lanes: int) -> None:
        code.add_to(code.offset(registers, number * width), value, lanes)

    for number, terms in group:

        def body(first: Value, lanes: int, number: int = number, terms: list[Term] = terms) -> None:
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
            total = code.mul(slope, scalar)
            for a, value in t.items() if senders else ():
                place = code.offset(code.offset(d_x[0], first), a)
                code.store(code.fma(code.load(place, lanes), weight, value), place, lanes)
            for b, equal in _equal_coefficients(terms).items():
                product = None
                for coefficient, signed in equal:
                    same = None
                    for a, k, sign in signed:
                        same = code.fma(same, x_of[a] if sign > 0 else code.build.fneg(x_of[a]), g_of[k])
                    product = code.fma(product, code.constant(coefficient, lanes), same)
                add_to_register(b, code.mul(weight, product), lanes)
            add_to_register(plan.irreps_filter.dim, total, lanes)

        _for_lanes(code, plan.channels(number), width, body)
    code.build.ret_void()
    return code.function


def reverse_lanes(code: VectorCode) -> int:
    """Numbers of a register in derivatives."""
    return LANE_BYTES // code.size


def sum_register(code: VectorCode, pointer: Value) -> Value:
    """Sum of the numbers of a register of `reverse_lanes` in memory."""
    lanes = reverse_lanes(code)
    value = code.load(pointer, lanes)
    while lanes > 1:
        lanes //= 2
        halves = [
            ir.Constant(ir.VectorType(I32, lanes), list(range(start, start + lanes))) for start in (0, lanes)
        ]
        value = code.build.fadd(*(code.build.shuffle_vector(value, value, half) for half in halves))
    return code.build.extract_element(value, I32(0))


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


def _for_lanes(code: VectorCode, n: int, width: int, body: Callable[[Value, int], None]) -> None:
    """Write body(first, lanes) for registers of `width` channels, then for the remaining channels."""
    full = n // width * width
    if full:
        with code.loop(I64(0), I64(full), width) as first:
            body(first, width)
    if n > full:
        body(I64(full), n - full)
