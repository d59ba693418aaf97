"""The polynomial of one node and its partials, as machine code on a register full of channels.

All derivatives of P_o(x) = Σ_t C_t Π_{i in t} x_i, the sum over the terms t of component o, are partials of

    F(g, C, x, a1 ... ak) = d/de1 ... d/dek Σ_o g_o P_o(x + e1 a1 + ... + ek ak)   at e = 0

by g, C or x with some argument replaced. The program computes with numbers
Σ_S v_S Π_{j in S} e_j, S a set of directions, whose product drops the squares of e; F is the part of all
directions. It walks through the tree of the terms' factors, in which a monomial q x_i hangs below the
monomial q: products are formed on the way down, their adjoints on the way up.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from symnets.ops.contraction_plan import ContractionPlan
from symnets.ops.vector_code import Value, VectorCode

Parts = dict[int, Value]
"""v_S by the set S, in binary."""


class Wanted(NamedTuple):
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
        wanted: which partials.
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
        wanted: Wanted,
        *,
        d_c: Value,
        g: Value,
        c: Value,
        vectors: Sequence[Value],
    ) -> None:
        self.code, self.plan, self.lanes, self.wanted = code, plan, lanes, wanted
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
            elif self.wanted.by_g or self.wanted.by_c:
                value = self._add_product({}, before, x, only=self.all_directions)
            for term in below.terms:
                self._term(term, value.get(self.all_directions), more)
            if self.wanted.by_x:
                held = {self.all_directions: self.by_x[number]} if number in self.by_x else {}
                held = self._add_product(held, before, more, only=self.all_directions)
                if held:
                    self.by_x[number] = held[self.all_directions]
                adjoint = self._add_product(adjoint, more, x)
        return adjoint

    def _term(self, term: int, value: Value | None, adjoint: Parts) -> None:
        """Adds C value to dF/dg, g value to dF/dC, and C g to the adjoint of the monomial."""
        code, out = self.code, self.plan.terms[term].out
        if self.wanted.by_x:
            adjoint[0] = code.add_times(adjoint.get(0), self._of(self.c, term), self._of(self.g, out))
        if self.wanted.by_g and value is not None:
            self.by_g[out] = code.add_times(self.by_g.get(out), self._of(self.c, term), value)
        if self.wanted.by_c and value is not None:
            place = code.at(self.d_c, term * self.plan.channels)
            code.add_to(place, code.times(self._of(self.g, out), value), self.lanes)

    def _of(self, table: Value, row: int) -> Value:
        if (table, row) not in self._read:
            place = self.code.at(table, row * self.plan.channels)
            self._read[table, row] = self.code.load(place, self.lanes)
        return self._read[table, row]

    def _add_product(self, total: Parts, a: Parts, b: Parts, only: int | None = None) -> Parts:
        """total + a b, all parts or one of them."""
        for one, v in a.items():
            for other, w in b.items():
                both = one | other
                if not one & other and only in (None, both):
                    total[both] = self.code.add_times(total.get(both), v, w)
        return total
