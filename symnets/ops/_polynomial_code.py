"""The polynomial of one node and its partials, as machine code on a register full of channels.

All derivatives of P_o(x) = Σ_t C_t Π_{i in t} x_i, the sum over the terms t of component o, are partials of

    F(g, C, x, a1 ... ak) = d/de1 ... d/dek Σ_o g_o P_o(x + e1 a1 + ... + ek ak)   at e = 0

by g, C or x with some argument replaced. The program computes with numbers
Σ_S v_S Π_{j in S} e_j, S a set of directions, whose product drops the squares of e; F is the part of all
directions. It walks through the tree of the terms' factors, in which a monomial q x_i hangs below the
monomial q: products are formed on the way down, their adjoints on the way up.

Loops of a polynomial over nodes, species and channels, as machine code.

A function takes some terms of the polynomial and the nodes of one species, at a register full of channels:
these coefficients stay in the cache while the nodes pass, and no two items write to the same memory.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from llvmlite import ir

from symnets.ops._contraction_plan import ContractionPlan
from symnets.ops._vector_code import I64, REALS, REGISTER, Value, VectorCode

Parts = dict[int, Value]
"""v_S by the set S, in binary."""


class Needed(NamedTuple):
    """Which partials: by g, C, x."""

    by_g: bool
    by_c: bool
    by_x: bool


class Tree:
    """Monomials that begin with some factors: the terms that end here, and those with one factor more."""

    def __init__(self) -> None:
        self.terms: list[int] = []
        self.longer: dict[int, Tree] = {}

    def add(self, factors: Iterable[int], term: int) -> None:
        """A term by its number."""
        node = self
        for factor in factors:
            node = node.longer.setdefault(factor, Tree())
        node.terms.append(term)


class PolynomialCode:
    """Writes some terms of one node's F.

    Args:
        code: where it is written.
        plan: the polynomial.
        lanes: channels at a time.
        needed: which partials.
        d_c: pointer to dF/dC, which is added to.
        g: pointer to g; rows are (components, channels), in C (terms, channels).
        c: pointer to C.
        vectors: pointers to x, a1 ... ak.

    Attributes:
        by_g: dF/dg of the components that the terms belong to.
        by_x: dF/dx of the variables that the terms hold.
    """

    def __init__(
        self,
        code: VectorCode,
        plan: ContractionPlan,
        lanes: int,
        needed: Needed,
        *,
        d_c: Value,
        g: Value,
        c: Value,
        vectors: Sequence[Value],
    ) -> None:
        self.code, self.plan, self.lanes, self.needed = code, plan, lanes, needed
        self.d_c, self.g, self.c, self.vectors = d_c, g, c, vectors
        self.all_directions = (1 << len(vectors) - 1) - 1
        self.by_g: dict[int, Value] = {}
        self.by_x: dict[int, Value] = {}
        self._read: dict[tuple[Value, int], Value] = {}

    def write(self, terms: Iterable[int]) -> None:
        """Terms by their numbers."""
        tree = Tree()
        for term in terms:
            tree.add(self.plan.terms[term].factors, term)
        self._walk(tree, {0: self.code.constant(1.0, self.lanes)})

    def _walk(self, tree: Tree, before: Parts) -> Parts:
        """Writes what lies below a monomial of value `before`, and returns its adjoint."""
        adjoint: Parts = {}
        for number, below in tree.longer.items():
            x = {0: self._of(self.vectors[0], number)}
            x |= {1 << j: self._of(a, number) for j, a in enumerate(self.vectors[1:])}
            value, more = {}, {}
            if below.longer:
                value = self._add_product({}, before, x)
                more = self._walk(below, value)
            elif self.needed.by_g or self.needed.by_c:
                value = self._add_product({}, before, x, only=self.all_directions)
            for term in below.terms:
                self._term(term, value.get(self.all_directions), more)
            if self.needed.by_x:
                held = {self.all_directions: self.by_x[number]} if number in self.by_x else {}
                held = self._add_product(held, before, more, only=self.all_directions)
                if held:
                    self.by_x[number] = held[self.all_directions]
                adjoint = self._add_product(adjoint, more, x)
        return adjoint

    def _term(self, term: int, value: Value | None, adjoint: Parts) -> None:
        """Adds C value to dF/dg, g value to dF/dC, and C g to the adjoint of the monomial."""
        code, out = self.code, self.plan.terms[term].out
        if self.needed.by_x:
            adjoint[0] = code.fma(adjoint.get(0), self._of(self.c, term), self._of(self.g, out))
        if self.needed.by_g and value is not None:
            self.by_g[out] = code.fma(self.by_g.get(out), self._of(self.c, term), value)
        if self.needed.by_c and value is not None:
            place = code.offset(self.d_c, term * self.plan.channels)
            code.add_to(place, code.mul(self._of(self.g, out), value), self.lanes)

    def _of(self, table: Value, row: int) -> Value:
        if (table, row) not in self._read:
            place = self.code.offset(table, row * self.plan.channels)
            self._read[table, row] = self.code.load(place, self.lanes)
        return self._read[table, row]

    def _add_product(self, total: Parts, a: Parts, b: Parts, only: int | None = None) -> Parts:
        """total + a b, all parts or one of them."""
        for one, v in a.items():
            for other, w in b.items():
                both = one | other
                if not one & other and only in (None, both):
                    total[both] = self.code.fma(total.get(both), v, w)
        return total


MAX_TERMS = 120
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
    species s are order[start[s]], ... Partials that are not needed are ignored, dF/dC is added to.
    """
    return "rrrrrr" + "r" * directions + "iinn"


def polynomial_loops(plan: ContractionPlan, dtype: str, directions: int, needed: Needed) -> ir.Module:
    """A module with a function for each of the `widths`."""
    module = ir.Module("polynomial")
    length = max(1, MAX_TERMS // 3**directions)
    numbers = range(len(plan.terms))
    chunks = [numbers[first : first + length] for first in range(0, len(numbers), length)]
    for width in widths(plan.channels, dtype):
        parts = []
        for chunk in chunks:
            name, kinds = f"{width.name}_{chunk.start}", arguments(directions).replace("ii", "i")
            code = VectorCode(module, name, dtype, kinds, public=False)
            parts.append(_write_part(code, plan, width.lanes, needed, chunk))
        code = VectorCode(module, width.name, dtype, arguments(directions), public=True)
        *tables, order, start, low, high = code.arguments
        with code.loop(low, high) as item:
            species = code.build.sdiv(item, I64(width.times))
            group = code.build.srem(item, I64(width.times))
            channel = code.build.add(code.build.mul(group, I64(width.lanes)), I64(width.first))
            nodes = [code.load_int(start, code.build.add(species, I64(later))) for later in (0, 1)]
            here = [code.offset(table, channel) for table in tables]
            for place in (1, 4):  # dF/dC and C
                here[place] = code.row_pointer(here[place], species, len(plan.terms) * plan.channels)
            for part in parts:
                code.build.call(part, [*here, order, *nodes])
        code.build.ret_void()
    return module


def _write_part(
    code: VectorCode, plan: ContractionPlan, lanes: int, needed: Needed, terms: range
) -> ir.Function:
    """Some terms, the nodes of one species at some channels; the first part writes, the others add."""
    d_g, d_c, d_x, g, c, *vectors, order, low, high = code.arguments
    n_in, n_out = plan.variables.dim, plan.outputs.dim
    with code.loop(low, high) as number:
        node = code.load_int(order, number)
        outward = [code.row_pointer(table, node, n_out * plan.channels) for table in (d_g, g)]
        inward = [code.row_pointer(table, node, n_in * plan.channels) for table in (d_x, *vectors)]
        polynomial = PolynomialCode(code, plan, lanes, needed, d_c=d_c, g=outward[1], c=c, vectors=inward[1:])
        polynomial.write(terms)
        for is_needed, row, sums, components in (
            (needed.by_g, outward[0], polynomial.by_g, n_out),
            (needed.by_x, inward[0], polynomial.by_x, n_in),
        ):
            for component in range(components) if is_needed else ():
                place = code.offset(row, component * plan.channels)
                if terms.start == 0:
                    value = sums.get(component, code.constant(0.0, lanes))
                    code.store(value, place, lanes)
                elif component in sums:
                    code.add_to(place, sums[component], lanes)
    code.build.ret_void()
    return code.function
