"""Which share of the machine's rate of matrix products does the native function of a potential reach?

    python benchmarks/native_roofline.py

The code of a compiled model is instrumented in two ways, then called as usual, on one thread and in float32:

- time: after each operation the processor's time-stamp counter is stored. The time of an operation is its
  median over calls.
- work: each block of code adds its floating-point additions, multiplications, divisions and square roots to
  a counter, once for each lane of a vector; a fused multiply-add is two. This is the work of the code as it
  is written, before LLVM improves it.

`mb` is the smallest possible traffic: every matrix and constant that an operation reads or writes, once.
`share` is work over time, divided by the rate of a matrix product of 512³ by torch, timed between the calls.
`limit_ms` is the larger of two times: that of the work at this rate, and that of the traffic at the rate of a
copy of 64 MB. Most matrices fit into the caches, which are faster.

Operations of the same class are added up, and named by module and class. Models and systems are those of
native.py. Needs the extra `bench`.
"""

import ctypes
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch
from weakref import WeakValueDictionary

import numpy as np
import torch
import tyro
from llvmlite import ir
from machine import machine
from native import compiled_model
from roofline import once
from systems import native_inputs, structures

from symnets.data import build_graphs, collate
from symnets.native import Constant, NativeProgram, Operation, Program, energy_program
from symnets.native import _native_program as native_program
from symnets.threads import set_threads

HERE = Path(__file__).parent
I64 = ir.IntType(64)
SIZE, COPIED = 512, 2**26
"""Rows of the matrices, and bytes of the copy, whose rates are the limits."""
TABLE = "measured"
ARITHMETIC = ("fadd", "fsub", "fmul", "fdiv")


@dataclass
class Benchmark:
    """Time and work of the operations of native functions."""

    models: tuple[str, ...] = ("nequip64", "mace", "sevennet")
    system: str = "cu512"
    calls: int = 15
    output: Path = HERE / "results" / "native_roofline.json"

    def run(self) -> None:
        """Measure, print and save."""
        set_threads(1)
        rows: list[dict] = []
        if self.output.exists():
            before = json.loads(self.output.read_text())["rows"]
            rows = [r for r in before if r["model"] not in self.models or r["system"] != self.system]
        for model in self.models:
            rows.append({"model": model, "system": self.system} | self.row(model))
            print(json.dumps(rows[-1], indent=1), flush=True)
            document = {"question": __doc__, "machine": machine(), "torch": torch.__version__, "rows": rows}
            self.output.parent.mkdir(exist_ok=True)
            self.output.write_text(json.dumps(document, indent=1) + "\n")

    def row(self, model: str) -> dict:
        """Time, work and traffic of a model's operations."""
        compiled = compiled_model(model, self.system)
        graph = collate(build_graphs(structures(self.system), compiled.cutoff)).inputs
        arguments = native_inputs(compiled, graph)
        program = energy_program(compiled.energy_model)
        names = [name(operation) for operation in program.operations]
        with changed("work", len(names)):
            counter = NativeProgram(program, "float32")
            counter(*arguments)
            work = np.diff(table(counter, len(names)))
        with changed("time", len(names)):
            timer = NativeProgram(program, "float32")
        a, b, out = (torch.randn(SIZE, SIZE) for _ in range(3))
        source = torch.randn(COPIED // 4)
        target = torch.empty_like(source)
        starts, stamps, products, copies = [], [], [], []
        for _ in range(self.calls):
            timer(*arguments)  # fills the caches
            starts.append(time.perf_counter())
            timer(*arguments)
            stamps.append(table(timer, len(names)))
            products += [once(lambda: torch.mm(a, b, out=out)) for _ in range(10)]
            copies += [once(lambda: target.copy_(source)) for _ in range(3)]
        gemm, copy = 2 * SIZE**3 / min(products), 2 * COPIED / min(copies)
        traffic = np.array([least_bytes(program, k, arguments) for k in range(len(names))])
        ticks = (stamps[-1][0] - stamps[0][0]) / (starts[-1] - starts[0])  # per second
        median = np.median(np.diff(stamps), axis=0) / ticks
        limit = np.maximum(work / gemm, traffic / copy)

        def entry(chosen: np.ndarray) -> dict:
            return {
                "operations": int(chosen.sum()),
                "ms": round(1e3 * median[chosen].sum(), 4),
                "gflop": round(1e-9 * work[chosen].sum(), 5),
                "mb": round(1e-6 * traffic[chosen].sum(), 3),
                "gflop_s": round(1e-9 * work[chosen].sum() / median[chosen].sum(), 2),
                "share": round(work[chosen].sum() / median[chosen].sum() / gemm, 3),
                "limit_ms": round(1e3 * limit[chosen].sum(), 4),
            }

        kinds = {kind: entry(np.array([n == kind for n in names])) for kind in dict.fromkeys(names)}
        return {
            "atoms": len(graph.z),
            "edges": graph.edge_index.shape[1],
            "gemm_gflop_s": round(1e-9 * gemm, 1),
            "copy_gb_s": round(1e-9 * copy, 1),
            "all": entry(np.ones(len(names), dtype=bool)),
            "kinds": dict(sorted(kinds.items(), key=lambda item: -item[1]["ms"])),
        }


def name(operation: Operation) -> str:
    """Module and class of an operation."""
    cls = type(operation)
    return f"{cls.__module__.rpartition('.')[2].strip('_')}.{cls.__name__.strip('_')}"


def least_bytes(program: Program, number: int, arguments: tuple[np.ndarray, ...]) -> float:
    """Smallest traffic of an operation: the bytes of all its matrices and constants."""
    rows = {"atoms": len(arguments[0]), "edges": len(arguments[1]), "one": 1}
    sizes = {"r": 4, "d": 8, "i": 8}
    total = 0.0
    for argument in program.operations[number].arguments:
        n = argument.values.size if isinstance(argument, Constant) else rows[argument.rows] * argument.columns
        total += n * sizes[argument.kind]
    return total


@contextmanager
def changed(what: str, n: int) -> Iterator[None]:
    """Context in which programs store their time or work after each of n operations."""
    original = native_program.program_module

    def module(*arguments) -> ir.Module:
        written = original(*arguments)
        store_after_operations(written, what, n)
        return written

    # Programs of equal shapes share machine code; these have their own.
    shared = patch.object(native_program, "_in_use", WeakValueDictionary())
    with shared, patch.object(native_program, "program_module", module):
        yield


def store_after_operations(module: ir.Module, what: str, n: int) -> None:
    """Change a module: a table gets the time stamp or the work done before and after each operation."""
    kind = ir.ArrayType(I64, n + 1)
    results = ir.GlobalVariable(module, kind, TABLE)
    results.initializer = ir.Constant(kind, None)
    done = ir.GlobalVariable(module, I64, "work_done")
    done.initializer = I64(0)
    clock = ir.Function(module, ir.FunctionType(I64, []), "llvm.readcyclecounter")

    def store(build: ir.IRBuilder, place: int) -> None:
        value = build.call(clock, []) if what == "time" else build.load(done)
        build.store(value, build.gep(results, [I64(0), I64(place)]))

    entry = next(f for f in module.functions if f.name == "entry")
    stored = 0
    for block in entry.blocks:
        for instruction in [i for i in block.instructions if called(i).startswith("step")]:
            build = ir.IRBuilder(block)
            if stored == 0:
                build.position_before(instruction)
                store(build, 0)
            stored += 1
            build.position_after(instruction)
            store(build, stored)
    assert stored == n, f"{stored} operations are called, {n} are in the program"
    if what == "work":
        for function in module.functions:
            for block in function.blocks:
                if amount := sum(map(flops, block.instructions)):
                    build = ir.IRBuilder(block)
                    build.position_before(block.terminator)
                    build.store(build.add(build.load(done), I64(amount)), done)


def called(instruction: ir.Instruction) -> str:
    """Name of the function that an instruction calls, "" if it is no call."""
    return getattr(getattr(instruction, "callee", None), "name", "")


def flops(instruction: ir.Instruction) -> int:
    """Floating-point operations of an instruction."""
    lanes = getattr(instruction.type, "count", 1)
    if instruction.opname in ARITHMETIC:
        return lanes
    name = called(instruction)
    if name.startswith(("llvm.fma", "llvm.fmuladd")):
        return 2 * lanes
    return lanes if name.startswith("llvm.sqrt") else 0


def table(program: NativeProgram, n: int) -> np.ndarray:
    """Time stamps or work that a program stored in its last call."""
    address = program.compiled._engine.get_global_value_address(TABLE)
    return np.array((ctypes.c_int64 * (n + 1)).from_address(address))


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
