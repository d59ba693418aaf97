"""Machine code of a whole program: its operations one after another, each divided among threads.

The public function `entry(slots)` is called once by each thread. `slots` is an array of int64, which holds
numbers and addresses, see `Slot`.
"""

from collections.abc import Hashable
from enum import IntEnum

import numpy as np
from llvmlite import ir

from symnets.device import on_device
from symnets.native._layout import ROW_PADDING, Layout
from symnets.native._operation import Constant, Matrix, Operation
from symnets.native._program import Program
from symnets.ops import F64, I32, I64, Value, VectorCode


class Slot(IntEnum):
    """Index of each entry of `slots`, the array that a call of `entry` reads."""

    LOCAL = 0  # number of own atoms
    TOTAL = 1  # number of own atoms and ghosts
    EDGES = 2  # number of edges
    WEIGHTS = 3  # address of the constants
    ARENA = 4  # address of the arena
    THREADS = 5  # number of threads that call `entry`
    COUNT_THREADS = 6  # address of a function that returns the number of threads, or 0
    ERROR = 7  # error code, 0 before the call
    FORWARD = 8  # address of forward(context, rows, columns), or 0
    REVERSE = 9  # address of reverse(context, rows, columns), or 0
    CONTEXT = 10  # address that these functions receive
    SPECIES = 11
    SENDER = 12
    RECEIVER = 13
    VECTORS = 14
    ENERGY = 15
    FORCES = 16
    VIRIALS = 17
    # Written by the threads, each in its own cache line, 0 before the call.
    ENTERED = 24
    ARRIVED = 32
    GENERATION = 40


N_SLOTS = 48


def external(program: Program) -> dict[Matrix, Slot]:
    """Matrices of a program that the caller provides, with the slots of their addresses."""
    assert program.energy is not None
    return {
        program.species: Slot.SPECIES,
        program.sender: Slot.SENDER,
        program.receiver: Slot.RECEIVER,
        program.vectors: Slot.VECTORS,
        program.energy: Slot.ENERGY,
        program.forces: Slot.FORCES,
        program.virials: Slot.VIRIALS,
    }


class Constants:
    """The constants of a program in one block of bytes, each at a multiple of 64 bytes."""

    def __init__(self, program: Program, dtype: str) -> None:
        dtypes = {"r": dtype, "d": "float64", "i": "int64"}
        self.offsets: dict[Constant, int] = {}
        parts, length = [], 0
        for operation in program.operations:
            for argument in operation.arguments:
                if isinstance(argument, Constant) and argument not in self.offsets:
                    part = np.ascontiguousarray(argument.values, dtype=dtypes[argument.kind]).tobytes()
                    part += bytes(-len(part) % 64)
                    self.offsets[argument] = length
                    parts.append(part)
                    length += len(part)
        self.bytes = b"".join(parts)


def program_module(program: Program, layout: Layout, constants: Constants, dtype: str) -> ir.Module:
    """LLVM module of a program, with the public function `entry`."""
    module = ir.Module("program")
    with on_device("cpu"):  # coefficients of products are tensors
        writer = _Driver(module, program, layout, constants, dtype)
        steps = [writer.step(number, operation) for number, operation in enumerate(program.operations)]
        writer.write_entry(steps)
    return module


def program_key(program: Program, layout: Layout, constants: Constants, dtype: str) -> Hashable:
    """Value that is equal for programs with the same machine code: all that `program_module` reads."""
    slots = external(program) | {program.sizes: Slot.LOCAL, program.error: Slot.ERROR}

    def place(argument: Matrix | Constant) -> Hashable:
        if isinstance(argument, Constant):
            return constants.offsets[argument]
        return slots[argument] if argument in slots else layout.places[argument], argument.columns

    steps = tuple(
        (type(step), step.key, step.kinds, step.over, tuple(map(place, step.arguments)))
        for step in program.operations
    )
    starts = place(program.start), place(program.sender_start)
    return dtype, program.n_species, program.cutoff, layout.atoms, layout.edges, starts, steps


class _Driver:
    """Writer of the functions of a program's steps, and of `entry`."""

    def __init__(
        self, module: ir.Module, program: Program, layout: Layout, constants: Constants, dtype: str
    ) -> None:
        self.module, self.program, self.layout, self.constants = module, program, layout, constants
        self.dtype = dtype
        self.external = external(program)
        self.functions: dict[Hashable, ir.Function] = {}
        self.cut = self._write_cut()
        self.barrier = self._write_barrier()

    def step(self, number: int, operation: Operation) -> ir.Function:
        """Write the function (slots, thread, threads) of an operation, which computes one thread's rows."""
        key = (type(operation), operation.key, operation.kinds)
        function = self.functions.get(key)
        if operation.over != "halo" and function is None:
            name = f"op{len(self.functions)}_{type(operation).__name__.strip('_')}"
            function = self.functions[key] = operation.write(self.module, name, self.dtype)
        code = VectorCode(self.module, f"step{number}", self.dtype, "inn", public=False)
        slots, thread, threads = code.arguments
        pointers = [self._pointer(code, slots, argument) for argument in operation.arguments]
        if operation.over == "halo":
            self._exchange(code, slots, thread, operation, pointers[0])
        elif operation.over == "once":
            with code.build.if_then(code.build.icmp_signed("==", thread, I64(0))):
                code.build.call(function, [*pointers, I64(0), I64(1)])
        else:
            code.build.call(function, [*pointers, *self._range(code, slots, thread, threads, operation.over)])
        code.build.ret_void()
        return code.function

    def write_entry(self, steps: list[ir.Function]) -> None:
        """Write the function that each thread calls."""
        code = VectorCode(self.module, "entry", self.dtype, "i", public=True)
        b, (slots,) = code.build, code.arguments
        thread = b.atomic_rmw("add", code.offset(slots, Slot.ENTERED), I64(1), "seq_cst")
        address = code.load_int(slots, I64(Slot.COUNT_THREADS))
        given = code.load_int(slots, I64(Slot.THREADS))
        before = b.block
        with b.if_then(b.icmp_signed("!=", address, I64(0))):
            kind = ir.FunctionType(I32, [])
            counted = b.sext(b.call(b.inttoptr(address, kind.as_pointer()), []), I64)
            after_call = b.block
        threads = b.phi(I64)
        threads.add_incoming(given, before)
        threads.add_incoming(counted, after_call)
        for step in steps:
            b.call(step, [slots, thread, threads])
            with b.if_then(b.icmp_signed(">", threads, I64(1))):
                b.call(self.barrier, [slots, threads])
        b.ret_void()

    def _pointer(self, code: VectorCode, slots: Value, argument: Matrix | Constant) -> Value:
        b, program = code.build, self.program
        kinds = {"r": code.real, "d": F64, "i": I64}
        if argument is program.sizes:
            return slots
        if argument is program.error:
            return code.offset(slots, Slot.ERROR)
        if isinstance(argument, Constant):
            address = code.add_int(code.load_int(slots, I64(Slot.WEIGHTS)), self.constants.offsets[argument])
        elif argument in self.external:
            address = code.load_int(slots, I64(self.external[argument]))
        else:
            place, layout = self.layout.places[argument], self.layout
            n_atoms, n_edges = (self._padded(code, slots, slot) for slot in (Slot.TOTAL, Slot.EDGES))
            address = code.load_int(slots, I64(Slot.ARENA))
            if place.rows == "atoms":
                address = b.add(address, b.mul(n_atoms, I64(place.offset)))
            elif place.rows == "edges":
                address = b.add(address, b.mul(n_atoms, I64(layout.atoms)))
                address = b.add(address, b.mul(n_edges, I64(place.offset)))
            else:
                address = b.add(address, b.mul(n_atoms, I64(layout.atoms)))
                address = b.add(address, b.mul(n_edges, I64(layout.edges)))
                address = code.add_int(address, place.offset)
        return b.inttoptr(address, kinds[argument.kind].as_pointer())

    def _padded(self, code: VectorCode, slots: Value, slot: Slot) -> Value:
        n = code.load_int(slots, I64(slot))
        return code.add_int(
            code.build.mul(code.build.sdiv(n, I64(ROW_PADDING)), I64(ROW_PADDING)), ROW_PADDING
        )

    def _range(
        self, code: VectorCode, slots: Value, thread: Value, threads: Value, over: str
    ) -> tuple[Value, Value]:
        """First row and last row + 1 that a thread computes."""
        b = code.build
        slot = {"local": Slot.LOCAL, "receivers": Slot.LOCAL, "edges": Slot.EDGES}.get(over, Slot.TOTAL)
        n = code.load_int(slots, I64(slot))
        if over in ("receivers", "senders"):
            starts = self.program.start if over == "receivers" else self.program.sender_start
            start, n_edges = self._pointer(code, slots, starts), code.load_int(slots, I64(Slot.EDGES))
            first, last = (
                b.call(self.cut, [start, n, n_edges, part, threads])
                for part in (thread, code.add_int(thread, 1))
            )
        else:
            first, last = (b.sdiv(b.mul(n, part), threads) for part in (thread, code.add_int(thread, 1)))
        return first, last

    def _exchange(
        self, code: VectorCode, slots: Value, thread: Value, operation: Operation, rows: Value
    ) -> None:
        """Write the call of the caller's exchange function, if there is one, by the first thread."""
        b = code.build
        slot = Slot.FORWARD if operation.key == "forward" else Slot.REVERSE
        address = code.load_int(slots, I64(slot))
        calls = b.and_(b.icmp_signed("!=", address, I64(0)), b.icmp_signed("==", thread, I64(0)))
        with b.if_then(calls):
            matrix = operation.arguments[0]
            assert isinstance(matrix, Matrix)
            kind = ir.FunctionType(ir.VoidType(), [I64, code.real.as_pointer(), I64])
            function = b.inttoptr(address, kind.as_pointer())
            b.call(function, [code.load_int(slots, I64(Slot.CONTEXT)), rows, I64(matrix.columns)])

    def _write_cut(self) -> ir.Function:
        """Function (start, n, edges, part, threads): the first i with start[i] >= edges part / threads.

        It is n if part = threads.
        """
        kind = ir.FunctionType(I64, [I64.as_pointer(), I64, I64, I64, I64])
        function = ir.Function(self.module, kind, "cut")
        function.linkage = "internal"
        start, n, edges, part, threads = function.args
        b = ir.IRBuilder(function.append_basic_block())
        target = b.sdiv(b.mul(edges, part), threads)
        head, body, after = (b.append_basic_block() for _ in range(3))
        with b.if_then(b.icmp_signed("==", part, threads)):
            b.ret(n)
        entry = b.block
        b.branch(head)
        b.position_at_end(head)
        low, high = b.phi(I64), b.phi(I64)
        b.cbranch(b.icmp_signed("<", low, high), body, after)
        b.position_at_end(body)
        middle = b.sdiv(b.add(low, high), I64(2))
        below = b.icmp_signed("<", b.load(b.gep(start, [middle])), target)
        low.add_incoming(I64(0), entry)
        high.add_incoming(n, entry)
        low.add_incoming(b.select(below, b.add(middle, I64(1)), low), body)
        high.add_incoming(b.select(below, high, middle), body)
        b.branch(head)
        b.position_at_end(after)
        b.ret(low)
        return function

    def _write_barrier(self) -> ir.Function:
        """Function (slots, threads) that returns once all threads have called it."""
        code = VectorCode(self.module, "barrier", self.dtype, "in", public=False)
        b, (slots, threads) = code.build, code.arguments
        pause = ir.Function(self.module, ir.FunctionType(I32, []), "sched_yield")
        arrived, generation = (code.offset(slots, s) for s in (Slot.ARRIVED, Slot.GENERATION))
        before = b.load_atomic(generation, "seq_cst", 8)
        number = b.atomic_rmw("add", arrived, I64(1), "seq_cst")
        with b.if_else(b.icmp_signed("==", code.add_int(number, 1), threads)) as (last, waiting):
            with last:
                b.store_atomic(I64(0), arrived, "seq_cst", 8)
                b.atomic_rmw("add", generation, I64(1), "seq_cst")
            with waiting:
                entry = b.block
                head, spin, after = (b.append_basic_block() for _ in range(3))
                b.branch(head)
                b.position_at_end(head)
                turns = b.phi(I64)
                turns.add_incoming(I64(0), entry)
                now = b.load_atomic(generation, "seq_cst", 8)
                b.cbranch(b.icmp_signed("==", now, before), spin, after)
                b.position_at_end(spin)
                more = b.add(turns, I64(1))
                with b.if_then(b.icmp_signed(">", more, I64(SPINS))):
                    b.call(pause, [])
                turns.add_incoming(more, b.block)
                b.branch(head)
                b.position_at_end(after)
        b.ret_void()
        return code.function


SPINS = 2000
"""Number of polls after which a waiting thread yields its core."""
