"""RowOperation: an operation that computes one row after another, each by the same formula."""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from llvmlite import ir

from symnets.native._operation import Constant, Matrix, Operation, Over
from symnets.ops import Value, VectorCode

if TYPE_CHECKING:
    from symnets.native._program import Program


class RowOperation(Operation):
    """Operation that computes one row after another, each by the same formula.

    A subclass defines one of three methods:

    - `formula`, if each column of the result depends on the same column of the arguments;
    - `write_channels`, if a row has blocks of columns, or the formula has sums over a row;
    - `write_row`, for all other rows, such as sums over the edges of an atom.

    Args:
        writes: matrices that it writes.
        reads: matrices and constants that it reads.
        over: rows that it computes; by default edges if the first matrix has rows of edges, else own atoms.
        adds: those of `writes` to which it adds its results; the others are overwritten.
        settings: what its code depends on, besides the numbers of columns of all matrices.

    Attributes:
        out: first of the matrices that it writes.
    """

    def __init__(
        self,
        writes: Sequence[Matrix],
        reads: Sequence[Matrix | Constant],
        *,
        over: Over | None = None,
        adds: Collection[Matrix] = (),
        settings: Hashable = (),
    ) -> None:
        self.out, self.writes, self.arguments = writes[0], tuple(writes), (*writes, *reads)
        self.over = over or ("edges" if self.out.rows == "edges" else "local")
        self.adds, self.settings = adds, settings

    @property
    def key(self) -> Hashable:
        columns = tuple(argument.columns for argument in self.arguments if isinstance(argument, Matrix))
        return columns, tuple(matrix in self.adds for matrix in self.writes), self.settings

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        # Without matrices in the dtype of the program all numbers are float64.
        code = VectorCode(module, name, dtype if "r" in self.kinds else "float64", self.kinds, public=False)
        *pointers, low, high = code.arguments
        with code.loop(low, high) as index:
            self.write_row(code, index, pointers)
        code.build.ret_void()
        return code.function

    def write_row(self, code: VectorCode, index: Value, pointers: Sequence[Value]) -> None:
        """Write the code of one row.

        Args:
            code: where the code is written.
            index: number of the row.
            pointers: addresses of `arguments`.
        """
        addresses: dict[Matrix | Constant, Value] = dict(zip(self.arguments, pointers, strict=True))
        for argument, pointer in addresses.items():
            if isinstance(argument, Matrix):
                addresses[argument] = code.row_pointer(pointer, index, argument.columns)
        self.write_channels(Row(code, addresses, self.adds))

    def write_channels(self, row: "Row") -> None:
        """Write the code of one row of all matrices, by default `formula` for all columns of the result."""
        row.for_channels(self.out.columns, self.formula)

    def formula(self, code: VectorCode, lanes: "Lanes") -> None:
        """Write the code of some adjacent columns of one row."""
        raise NotImplementedError(f"{type(self).__name__} defines no formula")


Forward = TypeVar("Forward", bound=RowOperation)


class RowReverse(RowOperation, Generic[Forward]):
    """Reverse of a row operation with one result y: the cotangent dx of an argument x, from that of y.

    A cotangent is the derivative of the energy with respect to a matrix. A subclass defines one of the three
    methods that `RowOperation` lists.

    Args:
        program: the program.
        forward: the operation.
        x: the argument.
        reads: what is read besides dy.
        settings: what the code depends on besides the `key` of the operation.

    Attributes:
        dx, dy: the cotangents.
        add: whether dx has contributions of other operations, to which the result is added.
    """

    def __init__(
        self,
        program: "Program",
        forward: Forward,
        x: Matrix,
        *reads: Matrix | Constant,
        settings: Hashable = (),
    ) -> None:
        self.forward, self.dy = forward, program.require_cotangent(forward.out)
        self.dx, self.add = program.add_cotangent(x)
        adds = (self.dx,) if self.add else ()
        super().__init__((self.dx,), (self.dy, *reads), adds=adds, settings=(forward.key, settings))


class Row:
    """One row of the matrices of an operation, for which code is written.

    Args:
        code: where the code is written.
        addresses: address of the row of each matrix, and of the first number of each constant.
        adds: matrices to which results are added.
    """

    def __init__(
        self, code: VectorCode, addresses: Mapping[Matrix | Constant, Value], adds: Collection[Matrix]
    ) -> None:
        self.code, self.addresses, self.adds = code, addresses, adds

    def for_channels(self, n: int, formula: Callable[[VectorCode, "Lanes"], None]) -> None:
        """Write a formula for n adjacent columns, a register of them at a time."""
        self.code.for_channels(n, lambda first, lanes: formula(self.code, Lanes(self, first, lanes)))

    def for_blocks(self, blocks: Sequence[Any], formula: Callable[[Any, VectorCode, "Lanes"], None]) -> None:
        """Write a formula for the `channels` columns of each block, counted from 0 in every block."""
        for block in blocks:
            self.for_channels(block.channels, partial(formula, block))


class Lanes:
    """Adjacent columns of one row, each in a lane of a register.

    Args:
        row: the row.
        first: the first of the columns.
        n: number of columns.
    """

    def __init__(self, row: Row, first: Value, n: int) -> None:
        self.row, self.n = row, n
        # Positions of columns are computed once: the code of a formula has no branches.
        self._columns = {0: first}

    def load(self, argument: Matrix | Constant, start: int = 0) -> Value:
        """Numbers of a matrix or constant in these columns, counted from the column `start`."""
        return self.row.code.load(self._address(argument, start), self.n)

    def store(self, value: Value, matrix: Matrix, start: int = 0) -> None:
        """Write numbers of a matrix in these columns, counted from `start`, or add to them."""
        store_or_add(self.row.code, value, self._address(matrix, start), self.n, add=matrix in self.row.adds)

    def constant(self, number: float) -> Value:
        """A number in every lane."""
        return self.row.code.constant(number, self.n)

    def broadcast(self, pointer: Value) -> Value:
        """The number at an address in every lane."""
        return self.row.code.broadcast(pointer, self.n)

    def _address(self, argument: Matrix | Constant, start: int) -> Value:
        code = self.row.code
        if start not in self._columns:
            self._columns[start] = code.add_int(self._columns[0], start)
        return code.offset(self.row.addresses[argument], self._columns[start])


def store_or_add(code: VectorCode, value: Value, pointer: Value, lanes: int = 1, *, add: bool) -> None:
    """Store `lanes` numbers, or add them to what is there."""
    if add:
        code.add_to(pointer, value, lanes)
    else:
        code.store(value, pointer, lanes)


def allocate_once(code: VectorCode, numbers: int) -> Value:
    """Allocate memory for numbers on the stack before the loop over rows whose body is being written."""
    with code.build.goto_entry_block():
        return code.allocate(numbers)


def edge_loop(code: VectorCode, start: Value, atom: Value) -> AbstractContextManager[Value]:
    """Context that writes the body of a loop over the positions start[atom], ..., start[atom + 1] - 1."""
    return code.loop(*(code.load_int(start, code.add_int(atom, k)) for k in (0, 1)))
