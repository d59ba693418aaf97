"""Machine code of LLVM modules, compiled once and called without Python's interpreter lock."""

import ctypes
from collections.abc import Callable, Mapping
from functools import lru_cache

import llvmlite
import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from torch import Tensor

from symnets import __version__
from symnets.ops._code_cache import code_key, keep_code, read_code

ADDRESS, INTEGER = ctypes.c_void_p, ctypes.c_int64


OPTIMIZATION = 2
"""Optimisation level of LLVM's code generator."""
PASSES = ("sroa", "instruction_combine")
"""LLVM's passes that the loops need."""


def target_machine(cpu: str | None = None) -> llvm.TargetMachine:
    """LLVM's target machine for a kind of processor.

    Args:
        cpu: LLVM's name of a processor, such as "x86-64-v3", or "native" for this one, for object files; None
            for code that runs in this process.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = _processor(cpu)
    reloc, codemodel = ("default", "jitdefault") if cpu is None else ("pic", "default")
    return llvm.Target.from_default_triple().create_target_machine(
        name, features, opt=OPTIMIZATION, reloc=reloc, codemodel=codemodel
    )


@lru_cache
def _processor(cpu: str | None) -> tuple[str, str]:
    """LLVM's name and features of a processor, see `target_machine`."""
    features = "-prefer-256-bit"  # use registers of full width, which LLVM avoids where they lower the clock
    if cpu is None or cpu == "native":
        return llvm.get_host_cpu_name(), f"{llvm.get_host_cpu_features().flatten()},{features}"
    return cpu, features


def optimized(module: ir.Module | str, target: llvm.TargetMachine) -> llvm.ModuleRef:
    """A module after the passes that the loops need."""
    compiled = llvm.parse_assembly(str(module))
    passes = llvm.create_new_module_pass_manager()
    for name in PASSES:
        getattr(passes, f"add_{name}_pass")()
    passes.run(compiled, llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options()))
    return compiled


class CompiledModule:
    """A compiled LLVM module; its functions can be called as long as this object exists.

    Machine code is kept in the user's cache, so that later processes need not compile the same module again.

    Args:
        module: LLVM module to compile, or its text.
        functions: argument types of each public function, in the letters of `VectorCode`.

    Attributes:
        functions: the compiled functions by name. They take addresses and integers, which are not checked.
    """

    def __init__(self, module: ir.Module | str, functions: Mapping[str, str]) -> None:
        text, target = str(module), target_machine()
        versions = (__version__, llvmlite.__version__, *map(str, llvm.llvm_version_info))
        key = code_key(text, *_processor(None), *versions, str(OPTIMIZATION), *PASSES)
        code = read_code(key)
        if code is None:
            code = target.emit_object(optimized(text, target))
            keep_code(key, code)
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        self.functions: dict[str, Callable[..., None]] = {}
        for name, arguments in functions.items():
            kinds = [INTEGER if letter == "n" else ADDRESS for letter in arguments]
            kind = ctypes.CFUNCTYPE(None, *kinds)
            self.functions[name] = kind(self._engine.get_function_address(name))


class LoopCall:
    """A compiled loop with its arrays, which are kept alive and contiguous until the call is done.

    Args:
        function: the loop.
        arguments: tensors of one dtype, and int64 arrays; the first is a tensor.

    Raises:
        TypeError: tensors of several dtypes or not on the CPU, or arrays of another dtype than int64.
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
        self.arrays = [
            a.detach().contiguous() if isinstance(a, Tensor) else np.ascontiguousarray(a) for a in arguments
        ]
        self.addresses = [a.data_ptr() if isinstance(a, Tensor) else a.ctypes.data for a in self.arrays]

    def __call__(self, low: int, high: int) -> None:
        """Run the loop over the items low to high - 1."""
        self.function(*self.addresses, low, high)
