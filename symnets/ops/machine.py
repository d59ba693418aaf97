"""Compiled programs: functions of the processor at hand, called from Python without its lock."""

import ctypes
from collections.abc import Callable, Mapping

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from torch import Tensor

ADDRESS, INTEGER = ctypes.c_void_p, ctypes.c_int64


class Machine:
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


class Call:
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
