"""Writer of vectorised LLVM code, which `CompiledModule` compiles.

A value holds one number or several contiguous ones (lanes), at most as many as fill a register of 64 bytes.
On processors with narrower registers LLVM uses several of them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from llvmlite import ir

I32, I64, F64 = ir.IntType(32), ir.IntType(64), ir.DoubleType()
REGISTER = 64
"""Bytes of the widest registers."""
REALS = {"float32": (ir.FloatType(), 4), "float64": (ir.DoubleType(), 8)}
"""LLVM type of each dtype, and its size in bytes."""

MAX_TERMS = 120
"""Largest number of terms of a sum in one function. Longer sums are divided among several functions, because
the compile time of a function grows faster than its length."""

CONTRACT = ("contract",)
"""Allows fused multiply-add; no other change of floating-point arithmetic is allowed."""

Value = Any
"""An LLVM value: a number, a vector or a pointer."""


class VectorCode:
    """Writer of one LLVM function that returns nothing.

    Args:
        module: module to which the function is added.
        name: name of the function.
        dtype: dtype of the numbers, "float32" or "float64".
        arguments: one letter for each argument: "r" a pointer to numbers of the dtype, "d" a pointer to
            float64, "i" a pointer to int64, "n" an int64.
        public: whether the function can be called from outside of the module.
    """

    def __init__(self, module: ir.Module, name: str, dtype: str, arguments: str, *, public: bool) -> None:
        self.real, self.size = REALS[dtype]
        self.width = REGISTER // self.size
        kinds = {"r": self.real.as_pointer(), "d": F64.as_pointer(), "i": I64.as_pointer(), "n": I64}
        kind = ir.FunctionType(ir.VoidType(), [kinds[letter] for letter in arguments])
        self.function = ir.Function(module, kind, name)
        if not public:
            self.function.linkage = "internal"
            self.function.attributes.add("noinline")
        for argument, letter in zip(self.function.args, arguments, strict=True):
            if letter != "n":
                argument.add_attribute("noalias")
        self.build = ir.IRBuilder(self.function.append_basic_block())

    @property
    def arguments(self) -> Sequence[Value]:
        """Arguments of the function."""
        return self.function.args

    def offset(self, pointer: Value, offset: int | Value) -> Value:
        """Pointer to the number that is `offset` numbers after `pointer`."""
        return self.build.gep(pointer, [I64(offset) if isinstance(offset, int) else offset])

    def add_int(self, index: Value, offset: int) -> Value:
        """Integer index + offset."""
        return self.build.add(index, I64(offset))

    def row_pointer(self, base: Value, index: Value, columns: int) -> Value:
        """Pointer to a row of a matrix."""
        return self.offset(base, self.build.mul(index, I64(columns)))

    def load_int(self, pointer: Value, index: Value) -> Value:
        """Load pointer[index] from an array of integers."""
        return self.build.load(self.offset(pointer, index))

    def store_int(self, value: Value, pointer: Value, index: Value) -> None:
        """Set pointer[index] in an array of integers."""
        self.build.store(value, self.offset(pointer, index))

    def to_double(self, value: Value) -> Value:
        """A number as float64."""
        return value if self.real == F64 else self.build.fpext(value, F64)

    def from_double(self, value: Value) -> Value:
        """A float64 rounded to the function's dtype."""
        return value if self.real == F64 else self.build.fptrunc(value, self.real)

    def load(self, pointer: Value, lanes: int = 1) -> Value:
        """Load `lanes` numbers, not necessarily aligned."""
        return self.build.load(self._cast(pointer, lanes), align=self.size)

    def store(self, value: Value, pointer: Value, lanes: int = 1) -> None:
        """Store `lanes` numbers."""
        self.build.store(value, self._cast(pointer, lanes), align=self.size)

    def allocate(self, numbers: int) -> Value:
        """Allocate memory for numbers on the stack."""
        return self.build.alloca(self.real, numbers)

    def constant(self, value: float, lanes: int = 1) -> Value:
        """Value with a constant in every lane."""
        return _constant(self.real, float(value).hex(), lanes)

    def mul(self, a: Value, b: Value) -> Value:
        """Product a b."""
        return self.build.fmul(a, b, flags=CONTRACT)  # pyright: ignore[reportCallIssue]

    def fma(self, total: Value | None, a: Value, b: Value) -> Value:
        """total + a b, by fused multiply-add where the processor has it; a b if `total` is None."""
        product = self.mul(a, b)
        if total is None:
            return product
        return self.build.fadd(product, total, flags=CONTRACT)  # pyright: ignore[reportCallIssue]

    def broadcast(self, pointer: Value, lanes: int) -> Value:
        """Load one number into every lane, at no extra cost on most processors if it is then multiplied."""
        value = self.load(pointer)
        if lanes == 1:
            return value
        undefined = ir.Constant(_vector(self.real, lanes), ir.Undefined)
        first = self.build.insert_element(undefined, value, I32(0))
        return self.build.shuffle_vector(first, undefined, _mask([0] * lanes))

    def fill_zeros(self, pointer: Value, n: int) -> None:
        """Set n numbers in memory to zero."""
        self.for_channels(
            n, lambda first, lanes: self.store(self.constant(0.0, lanes), self.offset(pointer, first), lanes)
        )

    def add_to(self, pointer: Value, value: Value, lanes: int) -> None:
        """Add to `lanes` numbers in memory."""
        self.store(self.build.fadd(self.load(pointer, lanes), value), pointer, lanes)

    def sum_lanes(self, pointer: Value) -> Value:
        """Sum of the numbers of a register stored in memory."""
        return self.sum_of(self.load(pointer, self.width), self.width)

    def sum_of(self, value: Value, lanes: int) -> Value:
        """Sum of the lanes of a value, a power of two of them, by adding halves."""
        while lanes > 1:
            lanes //= 2
            lower, upper = (
                self.build.shuffle_vector(value, value, _mask(range(start, start + lanes)))
                for start in (0, lanes)
            )
            value = self.build.fadd(lower, upper)
        return self.build.extract_element(value, I32(0))

    @contextmanager
    def loop(self, low: Value, high: Value, step: int = 1) -> Iterator[Value]:
        """Context that writes the body of a loop over low, low + step, ... below high."""
        with self.loop_carrying([], low, high, step) as index:
            yield index

    @contextmanager
    def loop_carrying(self, values: list[Value], low: Value, high: Value, step: int = 1) -> Iterator[Value]:
        """Context that writes the body of a loop which changes values, such as sums in registers.

        The body finds their present values in the list, and replaces them by those for the next iteration.
        After the loop, the list has the final values, and the index is the first one that is not below high.
        """
        build, before = self.build, self.build.block
        head, body, after = (build.append_basic_block() for _ in range(3))
        build.branch(head)
        build.position_at_end(head)
        first = (low, *values)
        index, *values[:] = phis = [build.phi(value.type) for value in first]
        build.cbranch(build.icmp_signed("<", index, high), body, after)
        build.position_at_end(body)
        yield index
        following = (build.add(index, I64(step)), *values)
        for phi, value, next_value in zip(phis, first, following, strict=True):
            phi.add_incoming(value, before)
            phi.add_incoming(next_value, build.block)
        values[:] = phis[1:]
        build.branch(head)
        build.position_at_end(after)

    def for_channels(self, n: int, body: Callable[[Value, int], None]) -> None:
        """Write body(first, lanes) for full registers of channels, then for the remaining channels."""
        full = n // self.width * self.width
        if full > self.width:
            with self.loop(I64(0), I64(full), self.width) as first:
                body(first, self.width)
        elif full:
            body(I64(0), self.width)
        if n > full:
            body(I64(full), n - full)

    def _cast(self, pointer: Value, lanes: int) -> Value:
        if lanes == 1:
            return pointer
        return self.build.bitcast(pointer, _pointer(self.real, lanes))


# Types and constants are written out once each, which halves the time to write a module.


@lru_cache
def _vector(real: ir.Type, lanes: int) -> ir.VectorType:
    return ir.VectorType(real, lanes)


@lru_cache
def _pointer(real: ir.Type, lanes: int) -> ir.PointerType:
    return _vector(real, lanes).as_pointer()


@lru_cache(maxsize=1024)
def _constant(real: ir.Type, value: str, lanes: int) -> ir.Constant:
    """Constant in every lane, from the hexadecimal text of a number, which differs for 0 and -0."""
    one = ir.Constant(real, float.fromhex(value))
    return one if lanes == 1 else ir.Constant(_vector(real, lanes), [one] * lanes)


def _mask(lanes: Iterable[int]) -> Value:
    """Mask of LLVM's shufflevector, which selects lanes."""
    chosen = list(lanes)
    return ir.Constant(_vector(I32, len(chosen)), chosen)
