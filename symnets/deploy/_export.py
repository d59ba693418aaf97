"""`export`: a force field as a shared library with the C interface of symnets.h."""

import copy
import hashlib
import json
import os
import platform
import secrets
import shlex
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import llvmlite
import llvmlite.binding as llvm
import numpy as np
import torch
from ase.data import chemical_symbols

from symnets import __version__
from symnets.deploy._compiler import find_compiler
from symnets.files import expanded, whole_file
from symnets.models import Compiled, ForceField
from symnets.native import (
    ERRORS,
    MOST_EDGES_OF_ONE_THREAD,
    N_SLOTS,
    ROW_PADDING,
    Constants,
    Exchange,
    Layout,
    Program,
    Slot,
    energy_program,
    external,
    index_of_element,
    program_module,
)
from symnets.ops import optimized, target_machine
from symnets.simulate import compile

Cpu = Literal["x86-64-v3", "x86-64-v4", "native"]
"""Processors on which a library runs: those with AVX2, those with AVX-512, or those like this machine's."""
Dtype = Literal["float32", "float64"]

FOLDER = Path(__file__).parent
LIBRARY_ERRORS = {
    0: "no error",
    **ERRORS,
    3: "the model does not know an element; symnets_species() lists those that it knows",
    4: "an index of an edge is out of range, or the receivers are not in increasing order",
    5: "not enough memory",
    6: "the library has been altered since it was written; export the model again",
    7: "the library was compiled for processors with more instructions; export with another --cpu",
    8: "an argument is a null pointer or negative, or there are too many threads",
}
"""What the error codes of a library mean, see symnets.h."""
INSTRUCTIONS = ("avx2", "fma", "bmi2", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
"""Sets of instructions that a library looks for; the first three are x86-64-v3, all of them x86-64-v4."""


def export(
    model: ForceField,
    path: str | os.PathLike[str],
    *,
    cpu: Cpu = "x86-64-v3",
    dtype: Dtype | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Write a force field as a shared library, which needs neither Python nor torch.

    The library has the functions of the header `symnets.h`; `SharedModel` calls them from Python. It runs on
    Linux. It contains machine code: load it only if you wrote it or trust who did. It is linked by a C
    compiler, which must be installed: cc, gcc or clang, or the command in the environment variable CC. An
    existing file is replaced once the new one is complete.

    Args:
        model: a force field; one that is not compiled is compiled first, with the default tolerance.
        path: the library, such as "libmodel.so".
        cpu: processors on which it runs: those with AVX2 ("x86-64-v3"), with AVX-512 ("x86-64-v4"), or those
            like this machine's ("native", which processors other than x86-64 need).
        dtype: precision inside the library; by default that of the model. Arguments and results of its
            functions are float64 in any case.
        extra: values for the description of the library that JSON can store, such as the licence of the
            weights.

    Returns:
        Path of the library.

    Raises:
        CannotLower: a layer has no native code; the message names it.
        ValueError: the model cannot be compiled; or this system is not Linux, or has no C compiler.

    Example:
        export(load("model.safetensors", ForceField), "libmodel.so")
    """
    command = _compiler()
    weights = [p.dtype for p in (*model.parameters(), *model.buffers()) if p.is_floating_point()]
    dtype = dtype or ("float64" if torch.float64 in weights[:1] else "float32")
    with torch.inference_mode(False):
        model = copy.deepcopy(model).to(device="cpu", dtype=getattr(torch, dtype)).eval()
        compiled = model if isinstance(model, Compiled) else compile(model)
        program = energy_program(compiled.energy_model)
    name = type(compiled.energy_model).__name__
    path = expanded(path)
    about = {"model": name, "extra": dict(extra or {})}
    write_library(program, path, about, compiled.species, cpu=cpu, dtype=dtype, command=command)
    return path


def compiler_flags(library: str | os.PathLike[str]) -> str:
    """Flags with which a C compiler finds `symnets.h` and links a program with a library.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a shared library; it may be a model file.
    """
    path = expanded(library).absolute()
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; export a model to it first")
    with path.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            raise ValueError(
                f"{path}: expected a shared library; pass the one that `symnets export` has written"
            )
    words = [f"-I{FOLDER}", str(path), f"-Wl,-rpath,{path.parent}", "-pthread"]
    return shlex.join(words)


def write_library(
    program: Program,
    path: Path,
    about: Mapping[str, Any],
    species: Sequence[int],
    *,
    cpu: Cpu,
    dtype: Dtype,
    command: Sequence[str],
) -> None:
    """Compile a program of `symnets.native` and link it with `interface.c`.

    Args:
        program: a finished program.
        path: the library to write.
        about: first values of the library's description; this function adds others.
        species: atomic number of each of the program's species.
        cpu: processors on which it runs.
        dtype: "float32" or "float64".
        command: the C compiler.
    """
    target = target_machine(cpu)
    layout = Layout(program, {*external(program), program.sizes, program.error}, dtype)
    constants = Constants(program, dtype)
    module = program_module(program, layout, constants, dtype)
    parts = (str(module).encode(), constants.bytes, repr((dtype, program.cutoff, *species)).encode())
    model_hash = hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
    description = {
        **about,
        "dtype": dtype,
        "cpu": llvm.get_host_cpu_name() if cpu == "native" else cpu,
        "species": [chemical_symbols[z] for z in sorted(species)],
        "cutoff": program.cutoff,
        "units": {"length": "angstrom", "energy": "eV", "forces": "eV/angstrom"},
        "hash": model_hash,
        "versions": {"symnets": __version__, "llvmlite": llvmlite.__version__},
    }
    exchanged = [op.matrix.columns for op in program.operations if isinstance(op, Exchange)]
    mark = secrets.randbits(64)
    text = [json.dumps(LIBRARY_ERRORS[code]) for code in range(len(LIBRARY_ERRORS))]
    macros: dict[str, object] = {
        "MODEL_HASH": json.dumps(model_hash),
        "DESCRIPTION": json.dumps(json.dumps(description)),
        "CUTOFF": repr(program.cutoff),
        "SPECIES": _braces(sorted(species)),
        "INDEX_OF_ELEMENT": _braces(index_of_element(species)),
        "ERRORS": _braces(text),
        "REAL_BYTES": np.dtype(dtype).itemsize,
        "EXCHANGE_COLUMNS": max(exchanged, default=0),
        "CHECKSUM_MARK": f"{mark}u",
        "PROCESSOR_IS_SUITABLE": _processor_test(cpu),
        "WEIGHTS_FILE": '"weights"',
        "PADDING": ROW_PADDING,
        "ATOM_BYTES": layout.atoms,
        "EDGE_BYTES": layout.edges,
        "OTHER_BYTES": layout.one,
        "MOST_EDGES_OF_ONE_THREAD": MOST_EDGES_OF_ONE_THREAD,
        "N_SLOTS": N_SLOTS,
        **{f"SLOT_{slot.name}": slot.value for slot in Slot},
    }
    code = optimized(module, target)
    entry = code.get_function("entry")
    entry.name, entry.visibility = "symnets_entry", "hidden"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "program.o").write_bytes(target.emit_object(code))
        Path(folder, "weights").write_bytes(constants.bytes)
        lines = [f"#define {name} {value}\n" for name, value in macros.items()]
        Path(folder, "model.h").write_text("".join(lines), encoding="ascii")
        with whole_file(path) as temporary:
            _link(command, folder, temporary, path.name)
            _write_checksum(temporary, mark)


def _link(command: Sequence[str], folder: str, output: Path, name: str) -> None:
    """Compile interface.c and link it with program.o to a library."""
    options = ["-std=gnu99", "-O3", "-fPIC", "-shared", "-pthread", "-fvisibility=hidden"]
    include = ["-I.", f"-I{FOLDER}"]
    # All symbols must be found, in the library itself first.
    linker = ["-Wl,-z,defs", "-Wl,-Bsymbolic", "-Wl,-z,noexecstack", f"-Wl,-soname,{name}"]
    sources = [str(FOLDER / "interface.c"), "program.o"]
    words = [*command, *include, *options, *sources, *linker, "-o", str(output.absolute())]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(
            f"export: the C compiler {shlex.join(command)} failed: {done.stderr.strip()[-2000:]}"
        )


def _write_checksum(library: Path, mark: int) -> None:
    """Write the checksum of a library after its mark, see `checksum` in interface.c."""
    content = bytearray(library.read_bytes())
    total, first = 0, 1
    offset, size, number = (
        struct.unpack_from(kind, content, at)[0] for kind, at in (("<Q", 32), ("<H", 54), ("<H", 56))
    )
    for k in range(number):
        kind, flags, start, _, _, length = struct.unpack_from("<IIQQQQ", content, offset + k * size)
        if kind != 1 or flags & 2:  # not loaded, or writable
            continue
        end = start + length
        start += 64 if start == 0 else 0  # the ELF header
        part = bytes(content[start:end])
        words = np.frombuffer(part + bytes(-len(part) % 8), dtype=np.uint64)
        factors = np.arange(len(words), dtype=np.uint64) * np.uint64(2) + np.uint64(first)
        total += int((words * factors).sum())
        first += 2 * len(words)
    marked = struct.pack("<Q", mark)
    assert content.count(marked) == 1
    with library.open("r+b") as file:
        file.seek(content.index(marked) + 8)
        file.write(struct.pack("<Q", total % 2**64))


def _compiler() -> list[str]:
    """Command of the C compiler of this machine."""
    if sys.platform != "linux":
        raise ValueError(f"export: shared libraries are written on Linux only, not on {sys.platform}")
    chosen, names = os.environ.get("CC", "").strip(), ("cc", "gcc", "clang")
    if command := find_compiler(chosen, names):
        return command
    raise ValueError(
        f"export: no C compiler found, which must link the library (tried {chosen or ', '.join(names)}); "
        "install one, such as Debian's package gcc, or set the environment variable CC to its command"
    )


def _processor_test(cpu: str) -> str:
    """C expression that is true on processors with the instructions of a library."""
    if platform.machine() not in ("x86_64", "AMD64"):
        if cpu != "native":
            raise ValueError(f"cpu: this machine is {platform.machine()}, got {cpu!r}; pass 'native'")
        return "1"
    host = llvm.get_host_cpu_features()
    needed = {
        "x86-64-v3": INSTRUCTIONS[:3],
        "x86-64-v4": INSTRUCTIONS,
        "native": [name for name in INSTRUCTIONS if host.get(name)],
    }[cpu]
    tests = [f'__builtin_cpu_supports("{name}")' for name in needed]
    return " && ".join(["(__builtin_cpu_init(), 1)", *tests])


def _braces(values: object) -> str:
    """C initialiser of an array."""
    return "{" + ", ".join(str(value) for value in values) + "}"  # pyright: ignore[reportGeneralTypeIssues]
