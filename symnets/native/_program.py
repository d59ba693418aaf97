"""Program: a model of atomic energies as a list of operations on matrices, then of their derivatives."""

from typing import Any

from symnets.native._adjacency_code import BuildAdjacency
from symnets.native._elementwise import AddTo, Ones, StoreLookup, Sum
from symnets.native._energy import Forces
from symnets.native._norm import DivideRows
from symnets.native._operation import CannotLower, Kind, Matrix, Operation, Rows
from symnets.native._pointwise import Affine, Columns

ERRORS = {
    1: "two atoms are at the same place (distance 0): remove one of them",
    2: "an edge vector is not finite, or is longer than the cutoff",
}
"""Message for each error code of a program."""


class Program:
    """List of operations that compute energies of atoms from edge vectors, and their derivatives.

    The derivatives are computed in reverse order of the operations, from the energies to the edge vectors.
    The derivative of the sum of all energies with respect to a matrix is called the cotangent of the matrix.
    Edges are sorted by receiver. All receivers are own atoms, that is, atoms that are no ghosts (`Rows`).

    Args:
        n_species: number of species of the model.
        cutoff: largest length of an edge in Å.

    Attributes:
        species: index of the species of each atom, from 0, (atoms, 1).
        sender, receiver: atoms of each edge, (edges, 1).
        vectors: from receiver to sender in Å, (edges, 3).
        sizes: numbers of own atoms, of all atoms, and of edges, (1, 3).
        error: 0, or an error code, see `ERRORS`, (1, 1).
        start, sender_order, sender_start, species_order, species_start: see `BuildAdjacency`.
        forces, virials: (atoms, 3) and (atoms, 9), see `Forces`.
        operations: the operations in the order in which they run.
        energy: energy of each atom in eV, (atoms, 1); None before `finish`.
    """

    def __init__(self, n_species: int, cutoff: float) -> None:
        self.n_species, self.cutoff = n_species, cutoff
        self.operations: list[Operation] = []
        self.energy: Matrix | None = None
        self.vectors = self.matrix("vectors", "edges", 3, "d")
        self.forces = self.matrix("forces", "atoms", 3, "d", differentiable=False)
        self.virials = self.matrix("virials", "atoms", 9, "d", differentiable=False)

        def integers(name: str, rows: Rows, columns: int = 1) -> Matrix:
            return self.matrix(name, rows, columns, "i", differentiable=False)

        self.species = integers("species", "atoms")
        self.sender, self.receiver = integers("sender", "edges"), integers("receiver", "edges")
        self.sizes, self.error = integers("sizes", "one", 3), integers("error", "one")
        # Adjacency, computed by the first operation (`BuildAdjacency`).
        self.start = integers("start", "atoms")
        self.sender_order = integers("sender_order", "edges")
        self.sender_start = integers("sender_start", "atoms")
        self.species_order = integers("species_order", "atoms")
        self.species_start = integers("species_start", "one", n_species + 1)
        self._cotangents: dict[Matrix, Matrix] = {}
        self._shared: set[Matrix] = set()
        self._stored: set[Matrix] = set()
        self._replaced: set[Matrix] = set()
        self.add(BuildAdjacency(self))

    def matrix(
        self, name: str, rows: Rows, columns: int, kind: Kind = "r", *, differentiable: bool = True
    ) -> Matrix:
        """A new matrix, which an operation must write before others read it."""
        return Matrix(self, name, rows, columns, kind, differentiable=differentiable)

    def lookup(self, table: Any, name: str = "lookup") -> Matrix:
        """A matrix with the row `table[s]` for an atom of species s.

        A layer that acts on each atom by itself needs no code for a lookup `matrix`: its result is
        `lookup(layer(matrix.table))`.
        """
        return Matrix(self, name, "atoms", table.shape[1], differentiable=False, table=table.detach())

    def add(self, operation: Operation) -> None:
        """Append an operation; lookups among its arguments are stored before their first use."""
        for argument in operation.arguments:
            if argument in self._replaced:
                raise CannotLower(f"{argument.name} is read after it was added to another matrix")
            if isinstance(argument, Matrix) and argument.table is not None and argument not in self._stored:
                self._stored.add(argument)
                self.operations.append(StoreLookup(self, argument))
        self.operations.append(operation)

    def sum(self, a: Matrix, b: Matrix) -> Matrix:
        """The matrix a + b."""
        if a.table is not None and b.table is not None:
            return self.lookup(a.table + b.table)
        for term, other in ((b, a), (a, b)):
            if (total := self._add_in_operation(term, other)) is not None:
                return total
        operation = Sum(self, a, b)
        self.add(operation)
        return operation.out

    def affine(self, x: Matrix, factor: float, constant: float) -> Matrix:
        """The matrix factor x + constant, entry by entry."""
        if x.table is not None:
            return self.lookup(factor * x.table + constant)
        operation = Affine(self, x, factor, constant)
        self.add(operation)
        return operation.out

    def divide_rows(self, x: Matrix, divisor: Matrix) -> Matrix:
        """The matrix x / divisor, for a divisor of one column, by which each row is divided."""
        operation = DivideRows(self, x, divisor)
        self.add(operation)
        return operation.out

    def take_columns(self, x: Matrix, first: int, n: int) -> Matrix:
        """The matrix of the columns first, ..., first + n - 1 of x."""
        if (first, n) == (0, x.columns):
            return x
        if x.table is not None:
            return self.lookup(x.table[:, first : first + n])
        operation = Columns(self, x, first, n)
        self.add(operation)
        return operation.out

    def _add_in_operation(self, term: Matrix, other: Matrix) -> Matrix | None:
        """term + other, computed by the operation that computes `term` if it can; None otherwise."""
        users = [operation for operation in self.operations if term in operation.arguments]
        if len(users) != 1 or term not in users[0].writes:
            return None
        total = users[0].plus(self, other)
        if total is not None:  # `other` may be computed after `term`
            self.operations.remove(users[0])
            self.add(users[0])
            self._replaced.add(term)
        return total

    def cotangent(self, matrix: Matrix) -> Matrix | None:
        """dE/d(matrix) for the sum E of all energies; None if E does not depend on the matrix."""
        return self._cotangents.get(matrix)

    def require_cotangent(self, matrix: Matrix) -> Matrix:
        """Cotangent of a matrix that has one, such as the result of an operation while it is reversed."""
        cotangent = self.cotangent(matrix)
        assert cotangent is not None, matrix.name
        return cotangent

    def add_cotangent(self, matrix: Matrix) -> tuple[Matrix, bool]:
        """Matrix for the cotangent of `matrix`, and whether to add to the values that it contains."""
        target, initial = self.extend_cotangent(matrix)
        if initial is not None and initial is not target:
            self.add(AddTo(target, initial, add=False))
        return target, initial is not None

    def extend_cotangent(self, matrix: Matrix) -> tuple[Matrix, Matrix | None]:
        """Matrix for the cotangent of `matrix`, and the matrix with earlier contributions to it, if any.

        The operation that is added next must write (contributions + its own). Both matrices may be the same.
        """
        earlier = self._cotangents.get(matrix)
        if earlier is not None and matrix not in self._shared:
            return earlier, earlier
        new = self.matrix(f"d_{matrix.name}", matrix.rows, matrix.columns, matrix.kind)
        self._cotangents[matrix] = new
        self._shared.discard(matrix)
        return new, earlier

    def share_cotangent(self, matrix: Matrix, value: Matrix) -> None:
        """Add the matrix `value`, which other operations read too, to the cotangent of `matrix`."""
        if matrix in self._cotangents:
            target, _ = self.add_cotangent(matrix)
            self.add(AddTo(target, value, add=True))
        else:
            self._cotangents[matrix] = value
            self._shared.add(matrix)

    def finish(self, energy: Matrix) -> None:
        """Append the reverse of all operations, from energies of atoms to forces and virials."""
        self.energy = energy
        if energy.differentiable:
            ones = self.matrix("d_energy", "atoms", 1, "d")
            self.add(Ones(ones))
            self._cotangents[energy] = ones
            for operation in reversed(self.operations[:-1]):
                if any(self.cotangent(matrix) is not None for matrix in operation.writes):
                    operation.reverse(self)
        self.add(Forces(self, self.forces, self.virials))
