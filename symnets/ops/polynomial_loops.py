"""Loops of a polynomial over nodes, species and channels, as machine code.

A function takes some terms of the polynomial and the nodes of one species, at a register full of channels:
these coefficients stay in the cache while the nodes pass, and no two items write to the same memory.
"""

from typing import NamedTuple

from llvmlite import ir

from symnets.ops.contraction_plan import ContractionPlan
from symnets.ops.polynomial_code import PolynomialCode, Wanted
from symnets.ops.vector_code import I64, REALS, REGISTER, VectorCode

LONGEST = 120
"""Terms of a function, times 3^directions, the products that one takes."""


class Width(NamedTuple):
    """A function that takes some neighbouring channels at a time.

    An item of it is a species and one of `times` groups of channels, numbered in this order.
    """

    name: str
    first: int
    times: int
    lanes: int


def widths(channels: int, dtype: str) -> list[Width]:
    """Registers full of channels, then those that are left."""
    lanes = REGISTER // REALS[dtype][1]
    times, rest = divmod(channels, lanes)
    found = [Width("full", 0, times, lanes), Width("rest", times * lanes, 1, rest)]
    return [width for width in found if width.times * width.lanes]


def arguments(directions: int) -> str:
    """Of the functions: dF/dg, dF/dC, dF/dx, g, C, x, a1 ... ak, order, start, low, high.

    Rows are (components, channels) of each node and (terms, channels) of each species; the nodes of
    species s are order[start[s]], ... Partials that are not wanted are ignored, dF/dC is added to.
    """
    return "rrrrrr" + "r" * directions + "iinn"


def polynomial_loops(plan: ContractionPlan, dtype: str, directions: int, wanted: Wanted) -> ir.Module:
    """A module with a function for each of the `widths`."""
    module = ir.Module("polynomial")
    length = max(1, LONGEST // 3**directions)
    numbers = range(len(plan.terms))
    chunks = [numbers[first : first + length] for first in range(0, len(numbers), length)]
    for width in widths(plan.channels, dtype):
        parts = []
        for chunk in chunks:
            name, kinds = f"{width.name}_{chunk.start}", arguments(directions).replace("ii", "i")
            code = VectorCode(module, name, dtype, kinds, public=False)
            parts.append(_write_part(code, plan, width.lanes, wanted, chunk))
        code = VectorCode(module, width.name, dtype, arguments(directions), public=True)
        *tables, order, start, low, high = code.arguments
        with code.loop(low, high) as item:
            species = code.build.sdiv(item, I64(width.times))
            group = code.build.srem(item, I64(width.times))
            channel = code.build.add(code.build.mul(group, I64(width.lanes)), I64(width.first))
            nodes = [code.integer(start, code.build.add(species, I64(later))) for later in (0, 1)]
            here = [code.at(table, channel) for table in tables]
            for place in (1, 4):  # dF/dC and C
                here[place] = code.row(here[place], species, len(plan.terms) * plan.channels)
            for part in parts:
                code.build.call(part, [*here, order, *nodes])
        code.build.ret_void()
    return module


def _write_part(
    code: VectorCode, plan: ContractionPlan, lanes: int, wanted: Wanted, terms: range
) -> ir.Function:
    """Some terms, the nodes of one species at some channels; the first part writes, the others add."""
    d_g, d_c, d_x, g, c, *vectors, order, low, high = code.arguments
    n_in, n_out = plan.variables.dim, plan.outputs.dim
    with code.loop(low, high) as number:
        node = code.integer(order, number)
        outward = [code.row(table, node, n_out * plan.channels) for table in (d_g, g)]
        inward = [code.row(table, node, n_in * plan.channels) for table in (d_x, *vectors)]
        polynomial = PolynomialCode(code, plan, lanes, wanted, d_c=d_c, g=outward[1], c=c, vectors=inward[1:])
        polynomial.write(terms)
        for is_wanted, row, sums, components in (
            (wanted.by_g, outward[0], polynomial.by_g, n_out),
            (wanted.by_x, inward[0], polynomial.by_x, n_in),
        ):
            for component in range(components) if is_wanted else ():
                place = code.at(row, component * plan.channels)
                if terms.start == 0:
                    value = sums.get(component, code.constant(0.0, lanes))
                    code.store(value, place, lanes)
                elif component in sums:
                    code.add_to(place, sums[component], lanes)
    code.build.ret_void()
    return code.function
