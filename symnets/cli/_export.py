"""`symnets export`: write a potential as a shared library for programs in C, C++ and Fortran."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from rich.console import Console
from tyro.conf import Positional

from symnets.deploy import compiler_flags, export
from symnets.files import claim, locked
from symnets.models import Compiled, ForceField, describe, load
from symnets.simulate import compile


@dataclass(frozen=True)
class Export:
    """Write a potential as a shared library for LAMMPS and for programs in C, C++ and Fortran.

    The library needs neither Python nor torch. Its functions are described in the header symnets.h. It is
    written on Linux, where a C compiler must be installed. A model that is not compiled is compiled first,
    see `symnets compile`.

    Example:
        symnets export runs/acac/model.safetensors -o libacac.so
        cc program.c $(symnets export libacac.so --flags) -o program
    """

    model: Annotated[Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """Model file written by `symnets train` or `symnets compile`, or the name of a published model in
    `symnets models`; with --flags the path of a library."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Library to write, such as libmodel.so; by default libMODEL.so in the folder of the model file."""
    cpu: Literal["x86-64-v3", "x86-64-v4", "native"] = "x86-64-v3"
    """Processors on which the library runs. x86-64-v3: those with AVX2, since about 2015; x86-64-v4: those
    with AVX-512; native: those like this machine's, needed on ARM."""
    dtype: Literal["float32", "float64"] | None = None
    """Precision inside the library; by default the model's. Arguments and results are float64."""
    tolerance: float = 1e-4
    """Largest allowed error of a force component in eV/Å when the model is compiled, see `symnets
    compile`."""
    species: tuple[str, ...] | None = None
    """Elements to keep when the model is compiled, such as Cu O; all by default."""
    flags: bool = False
    """Write nothing; print the compiler flags for a program that uses the library MODEL."""
    overwrite: bool = False
    """Replace the output if it exists."""

    def run(self) -> None:
        """Write the library and print its properties, or print the flags."""
        if self.flags:
            print(compiler_flags(self.model))
            return
        begin = time.perf_counter()
        path = self.output or self.model.with_name(f"lib{self.model.stem}.so")
        dtype = None if self.dtype is None else getattr(torch, self.dtype)
        with locked(path, file=True):
            path = claim(path, overwrite=self.overwrite, option="--output")
            model = load(self.model, ForceField, dtype=dtype)
            if not isinstance(model, Compiled):
                model = compile(model, tolerance=self.tolerance, species=self.species)
            elif self.species is not None:
                raise ValueError("--species: the model is compiled already; export the original")
            extra = describe(self.model)["extra"]
            export(model, path, cpu=self.cpu, dtype=self.dtype, extra=extra)
        Console().print(
            f"{path}: {path.stat().st_size / 1e6:.1f} MB; {time.perf_counter() - begin:.1f} s",
            soft_wrap=True,
            highlight=False,
        )
