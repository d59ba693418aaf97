"""CompiledModule code on rows of numbers: loads, sums and loops, written with LLVM.

A value holds one number or several neighbours in memory (lanes); as many as fill a register where there are
as many channels. Machines with narrower registers take several of theirs.

Compiled programs: functions of the processor at hand, called from Python without its lock.
"""

import ctypes
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from torch import Tensor

I32, I64 = ir.IntType(32), ir.IntType(64)
REGISTER = 64  # bytes
REALS = {"float32": (ir.FloatType(), 4), "float64": (ir.DoubleType(), 8)}

CONTRACT = ("contract",)
"""Lets a product and a sum be rounded once; nothing else about them may change."""

Value = Any
"""A number, a vector, or a pointer of the program that is written."""


class VectorCode:
    """Writes one function without result.

    Args:
        module: where it is added.
        name: of the function.
        dtype: of the numbers, "float32" or "float64".
        arguments: one letter each: "r" points to numbers of the dtype, "i" to int64, "n" is an int64.
        public: whether it can be called from outside of the module.
    """

    def __init__(self, module: ir.Module, name: str, dtype: str, arguments: str, *, public: bool) -> None:
        self.real, self.size = REALS[dtype]
        self.width = REGISTER // self.size
        kinds = {"r": self.real.as_pointer(), "i": I64.as_pointer(), "n": I64}
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
        """Of the function."""
        return self.function.args

    def offset(self, pointer: Value, offset: int | Value) -> Value:
        """Pointer to a later number."""
        return self.build.gep(pointer, [I64(offset) if isinstance(offset, int) else offset])

    def add_int(self, index: Value, offset: int) -> Value:
        """index + offset."""
        return self.build.add(index, I64(offset))

    def row_pointer(self, base: Value, index: Value, columns: int) -> Value:
        """Pointer to a row of a table."""
        return self.offset(base, self.build.mul(index, I64(columns)))

    def load_int(self, pointer: Value, index: Value) -> Value:
        """A number of a table of integers."""
        return self.build.load(self.offset(pointer, index))

    def load(self, pointer: Value, lanes: int = 1) -> Value:
        """Numbers from memory, which need not be aligned."""
        return self.build.load(self._cast(pointer, lanes), align=self.size)

    def store(self, value: Value, pointer: Value, lanes: int = 1) -> None:
        """Numbers into memory."""
        self.build.store(value, self._cast(pointer, lanes), align=self.size)

    def allocate(self, numbers: int) -> Value:
        """Room for numbers while the function runs."""
        return self.build.alloca(self.real, numbers)

    def constant(self, value: float, lanes: int = 1) -> Value:
        """A number in every lane."""
        one = ir.Constant(self.real, value)
        return one if lanes == 1 else ir.Constant(ir.VectorType(self.real, lanes), [one] * lanes)

    def mul(self, a: Value, b: Value) -> Value:
        """a b."""
        return self.build.fmul(a, b, flags=CONTRACT)  # pyright: ignore[reportCallIssue]

    def fma(self, total: Value | None, a: Value, b: Value) -> Value:
        """total + a b, rounded once where the machine can; a b if there is no total yet."""
        product = self.mul(a, b)
        if total is None:
            return product
        return self.build.fadd(product, total, flags=CONTRACT)  # pyright: ignore[reportCallIssue]

    def broadcast(self, pointer: Value, lanes: int) -> Value:
        """A number from memory in every lane; most machines multiply by it at no extra cost."""
        value = self.load(pointer)
        if lanes == 1:
            return value
        undefined = ir.Constant(ir.VectorType(self.real, lanes), ir.Undefined)
        first = self.build.insert_element(undefined, value, I32(0))
        return self.build.shuffle_vector(first, undefined, _mask([0] * lanes))

    def add_to(self, pointer: Value, value: Value, lanes: int) -> None:
        """Adds to numbers in memory."""
        self.store(self.build.fadd(self.load(pointer, lanes), value), pointer, lanes)

    def sum_lanes(self, pointer: Value) -> Value:
        """Sum of a register of numbers in memory, halves added until one is left."""
        value, lanes = self.load(pointer, self.width), self.width
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
        """What is written within runs for low, low + step, ... below high."""
        build, before = self.build, self.build.block
        head, body, after = (build.append_basic_block() for _ in range(3))
        build.branch(head)
        build.position_at_end(head)
        index = build.phi(I64)
        index.add_incoming(low, before)
        build.cbranch(build.icmp_signed("<", index, high), body, after)
        build.position_at_end(body)
        yield index
        index.add_incoming(build.add(index, I64(step)), build.block)
        build.branch(head)
        build.position_at_end(after)

    def for_channels(self, n: int, body: Callable[[Value, int], None]) -> None:
        """Writes body(first, lanes) for registers full of channels, then for those that are left."""
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
        return self.build.bitcast(pointer, ir.VectorType(self.real, lanes).as_pointer())


def _mask(lanes: Iterable[int]) -> Value:
    chosen = list(lanes)
    return ir.Constant(ir.VectorType(I32, len(chosen)), chosen)


ADDRESS, INTEGER = ctypes.c_void_p, ctypes.c_int64


class CompiledModule:
    """A module as machine code; it stays as long as this object.

    Args:
        module: what to compile.
        functions: of each public function, its arguments: "r" and "i" for addresses, "n" for integers.

    Attributes:
        functions: by name. They are given addresses and integers, and trust them.
    """

    def __init__(self, module: ir.Module, functions: Mapping[str, str]) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        # Registers of full width, which LLVM leaves unused on some processors for fear of a lower clock.
        features = f"{llvm.get_host_cpu_features().flatten()},-prefer-256-bit"
        target = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=features, opt=2
        )
        compiled = llvm.parse_assembly(str(module))
        passes = llvm.create_new_module_pass_manager()
        passes.add_sroa_pass()
        passes.add_instruction_combine_pass()
        passes.run(compiled, llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options()))
        self._engine = llvm.create_mcjit_compiler(compiled, target)
        self._engine.finalize_object()
        self.functions: dict[str, Callable[..., None]] = {}
        for name, arguments in functions.items():
            kinds = [INTEGER if letter == "n" else ADDRESS for letter in arguments]
            kind = ctypes.CFUNCTYPE(None, *kinds)
            self.functions[name] = kind(self._engine.get_function_address(name))


class LoopCall:
    """A compiled loop and the memory it works on, which is kept until it is done.

    Args:
        function: the loop.
        arguments: its tables, first one of numbers; all such have its dtype.

    Raises:
        TypeError: what the loop would read wrongly: numbers of several dtypes or not on the CPU, or integers
            of other than 64 bits.
    """

    def __init__(self, function: Callable[..., None], *arguments: Tensor | np.ndarray) -> None:
        self.function = function
        dtype = arguments[0].dtype
        for a in arguments:
            if isinstance(a, Tensor):
                fits = a.dtype == dtype and a.device.type == "cpu"
            else:
                fits = a.dtype == np.int64
            if not fits:
                raise TypeError(
                    f"compiled loop of {dtype} and int64: got {a.dtype}, {getattr(a, 'device', 'cpu')}"
                )
        self.held = [
            a.detach().contiguous() if isinstance(a, Tensor) else np.ascontiguousarray(a) for a in arguments
        ]
        self.addresses = [a.data_ptr() if isinstance(a, Tensor) else a.ctypes.data for a in self.held]

    def __call__(self, low: int, high: int) -> None:
        """Items from low to high."""
        self.function(*self.addresses, low, high)
