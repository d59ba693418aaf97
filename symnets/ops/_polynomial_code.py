"""Machine code for the polynomial of a symmetric contraction and its partial derivatives.

All derivatives of P_o(x) = Σ_t C_t Π_{i in t} x_i, the sum over the terms t of component o, are partials of

    F(g, C, x, a1 ... ak) = d/de1 ... d/dek Σ_o g_o P_o(x + e1 a1 + ... + ek ak)   at e = 0

in g, C or x with some argument replaced. The code computes with dual numbers Σ_S v_S Π_{j in S} e_j with
e_j² = 0, where S are sets of directions; F is the coefficient v_S of the set of all directions. It traverses
the tree of monomials, in which q x_i is a child of q: products are computed on the way down, their adjoints
on the way up.

A function computes a chunk of the terms for the nodes of one species and one register of channels. The
coefficients stay in the cache while the loop runs over the nodes. Different species or registers write to
different memory, so that threads can share the work.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from e3nn import o3
from llvmlite import ir

from symnets.ops._contraction_plan import Monomial
from symnets.ops._vector_code import I64, MAX_TERMS, REALS, REGISTER, Value, VectorCode

Parts = dict[int, Value]
"""Parts v_S of a dual number by the set S, encoded as a bit mask."""


class PolynomialPlan(Protocol):
    """Protocol of a polynomial: its channels, irreps and terms."""

    channels: int
    """Number of channels; they are independent of each other."""
    variables: o3.Irreps
    """Irreps of one channel of x."""
    outputs: o3.Irreps
    """Irreps of one channel of the result."""
    terms: list[Monomial]
    """Monomials of the components of x, each once for each component of the result."""


class NeededPartials(NamedTuple):
    """Which partial derivatives are needed: in g, C, x."""

    by_g: bool
    by_c: bool
    by_x: bool


class Tree:
    """Node of a tree of monomials: the terms with this monomial, and the longer ones by their next factor."""

    def __init__(self) -> None:
        self.terms: list[int] = []
        self.longer: dict[int, Tree] = {}

    def add(self, factors: Iterable[int], term: int) -> None:
        """Insert a term, given by its factors and its index."""
        node = self
        for factor in factors:
            node = node.longer.setdefault(factor, Tree())
        node.terms.append(term)


class PolynomialCode:
    """Writer of the machine code of a chunk of terms of F, for one node.

    Rows of g and of the vectors are (components, channels), those of C are (terms, channels).

    Args:
        code: function that is written.
        plan: the polynomial.
        lanes: number of channels at a time.
        needed: partial derivatives to compute.
        d_c: pointer to dF/dC, to which the terms are added.
        g: pointer to g.
        c: pointer to C.
        vectors: pointers to x, a1 ... ak.

    Attributes:
        by_g: dF/dg by component of the output.
        by_x: dF/dx by component of x.
    """

    def __init__(
        self,
        code: VectorCode,
        plan: PolynomialPlan,
        lanes: int,
        needed: NeededPartials,
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
        self._loaded: dict[tuple[Value, int], Value] = {}

    def write(self, terms: Iterable[int]) -> None:
        """Write the code of terms, given by their indices."""
        tree = Tree()
        for term in terms:
            tree.add(self.plan.terms[term].factors, term)
        self._walk(tree, {0: self.code.constant(1.0, self.lanes)})

    def _walk(self, tree: Tree, before: Parts) -> Parts:
        """Write the code of the children of a monomial of value `before`; return its adjoint."""
        adjoint: Parts = {}
        for number, child in tree.longer.items():
            x = {0: self._load(self.vectors[0], number)}
            x |= {1 << j: self._load(a, number) for j, a in enumerate(self.vectors[1:])}
            value, child_adjoint = {}, {}
            if child.longer:
                value = self._add_product({}, before, x)
                child_adjoint = self._walk(child, value)
            elif self.needed.by_g or self.needed.by_c:
                value = self._add_product({}, before, x, only=self.all_directions)
            for term in child.terms:
                self._term(term, value.get(self.all_directions), child_adjoint)
            if self.needed.by_x:
                sums_of_x = {self.all_directions: self.by_x[number]} if number in self.by_x else {}
                sums_of_x = self._add_product(sums_of_x, before, child_adjoint, only=self.all_directions)
                if sums_of_x:
                    self.by_x[number] = sums_of_x[self.all_directions]
                adjoint = self._add_product(adjoint, child_adjoint, x)
        return adjoint

    def _term(self, term: int, value: Value | None, adjoint: Parts) -> None:
        """Add C value to dF/dg, g value to dF/dC, and C g to the adjoint of the monomial."""
        code, out = self.code, self.plan.terms[term].out
        if self.needed.by_x:
            adjoint[0] = code.fma(adjoint.get(0), self._load(self.c, term), self._load(self.g, out))
        if self.needed.by_g and value is not None:
            self.by_g[out] = code.fma(self.by_g.get(out), self._load(self.c, term), value)
        if self.needed.by_c and value is not None:
            place = code.offset(self.d_c, term * self.plan.channels)
            code.add_to(place, code.mul(self._load(self.g, out), value), self.lanes)

    def _load(self, table: Value, row: int) -> Value:
        if (table, row) not in self._loaded:
            place = self.code.offset(table, row * self.plan.channels)
            self._loaded[table, row] = self.code.load(place, self.lanes)
        return self._loaded[table, row]

    def _add_product(self, total: Parts, a: Parts, b: Parts, only: int | None = None) -> Parts:
        """total + a b, all parts or only one of them."""
        for one, v in a.items():
            for other, w in b.items():
                both = one | other
                if not one & other and only in (None, both):
                    total[both] = self.code.fma(total.get(both), v, w)
        return total


class Width(NamedTuple):
    """Function for `times` registers of `lanes` neighbouring channels each, from channel `first` on.

    Item `species * times + register` of its loop is one species and one register.
    """

    name: str
    first: int
    times: int
    lanes: int


def widths(channels: int, dtype: str) -> list[Width]:
    """Functions for full registers of channels, and for the remaining channels."""
    lanes = REGISTER // REALS[dtype][1]
    times, rest = divmod(channels, lanes)
    both = [Width("full", 0, times, lanes), Width("rest", times * lanes, 1, rest)]
    return [width for width in both if width.times * width.lanes]


def arguments(directions: int) -> str:
    """Argument types of the functions, in the letters of `VectorCode`.

    The arguments are: dF/dg, dF/dC, dF/dx, g, C, x, a1 ... ak, order, start, low, high. Rows are
    (components, channels) for nodes and (terms, channels) for species; the nodes of species s are
    order[start[s]], ... Partials that are not needed are ignored; dF/dC is accumulated.
    """
    return "rrrrrr" + "r" * directions + "iinn"


def polynomial_loops(plan: PolynomialPlan, dtype: str, directions: int, needed: NeededPartials) -> ir.Module:
    """LLVM module with one public function for each of the `widths`."""
    module = ir.Module("polynomial")
    chunks = term_chunks(plan, directions)
    for width in widths(plan.channels, dtype):
        parts = []
        for chunk in chunks:
            name, kinds = f"{width.name}_{chunk.start}", arguments(directions).replace("ii", "i")
            code = VectorCode(module, name, dtype, kinds, public=False)
            parts.append(write_polynomial_part(code, plan, width.lanes, needed, chunk))
        code = VectorCode(module, width.name, dtype, arguments(directions), public=True)
        *tables, order, start, low, high = code.arguments
        with code.loop(low, high) as item:
            species = code.build.sdiv(item, I64(width.times))
            group = code.build.srem(item, I64(width.times))
            channel = code.build.add(code.build.mul(group, I64(width.lanes)), I64(width.first))
            nodes = [code.load_int(start, code.build.add(species, I64(offset))) for offset in (0, 1)]
            pointers = [code.offset(table, channel) for table in tables]
            for place in (1, 4):  # dF/dC and C
                pointers[place] = code.row_pointer(pointers[place], species, len(plan.terms) * plan.channels)
            for part in parts:
                code.build.call(part, [*pointers, order, *nodes])
        code.build.ret_void()
    return module


def term_chunks(plan: PolynomialPlan, directions: int = 0) -> list[range]:
    """Chunks of the terms, by index, each for one function. A term takes 3^directions products."""
    numbers, length = range(len(plan.terms)), max(1, MAX_TERMS // 3**directions)
    return [numbers[first : first + length] for first in range(0, len(numbers), length)]


def write_polynomial_part(
    code: VectorCode,
    plan: PolynomialPlan,
    lanes: int,
    needed: NeededPartials,
    terms: range,
    *,
    add: bool = False,
) -> ir.Function:
    """Write a function of a chunk of terms for the nodes of one species and one register of channels.

    Args:
        code: function with the arguments dF/dg, dF/dC, dF/dx, g, C, x, a1 ... ak, order, low, high.
        plan: the polynomial.
        lanes: number of channels at a time.
        needed: partial derivatives to compute.
        terms: indices of the terms. The chunk with the first term overwrites dF/dg and dF/dx, others add.
        add: whether the chunk with the first term adds, too.
    """
    d_g, d_c, d_x, g, c, *vectors, order, low, high = code.arguments
    n_in, n_out = plan.variables.dim, plan.outputs.dim
    with code.loop(low, high) as number:
        node = code.load_int(order, number)
        output_rows = [code.row_pointer(table, node, n_out * plan.channels) for table in (d_g, g)]
        input_rows = [code.row_pointer(table, node, n_in * plan.channels) for table in (d_x, *vectors)]
        polynomial = PolynomialCode(
            code, plan, lanes, needed, d_c=d_c, g=output_rows[1], c=c, vectors=input_rows[1:]
        )
        polynomial.write(terms)
        for is_needed, row, sums, components in (
            (needed.by_g, output_rows[0], polynomial.by_g, n_out),
            (needed.by_x, input_rows[0], polynomial.by_x, n_in),
        ):
            for component in range(components) if is_needed else ():
                place = code.offset(row, component * plan.channels)
                if terms.start == 0 and not add:
                    value = sums.get(component, code.constant(0.0, lanes))
                    code.store(value, place, lanes)
                elif component in sums:
                    code.add_to(place, sums[component], lanes)
    code.build.ret_void()
    return code.function
