"""One layer as a native program, between given rows and a sum, to compare with its torch twin and autograd.

The energy is Σ W ∘ layer(inputs) with fixed numbers W. Rows of inputs are constants of the program; their
cotangents, and the result, are read from the program's memory after a call.
"""

import contextlib
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from llvmlite import ir
from torch import Tensor

from symnets.native import Constant, Matrix, NativeProgram, Operation, Program, _native_program
from symnets.ops import VectorCode


@dataclass
class Edges:
    """Atoms and edges sorted by receiver; ghosts are the last atoms, and no receivers."""

    species: np.ndarray
    sender: np.ndarray
    receiver: np.ndarray
    n_own: int

    @property
    def vectors(self) -> np.ndarray:
        """Arbitrary vectors: layers get lengths and filters as inputs."""
        return np.ones((len(self.sender), 3))

    @property
    def edge_index(self) -> Tensor:
        return torch.tensor(np.stack([self.sender, self.receiver]))


def random_edges(
    n_atoms: int, n_edges: int, *, n_species: int = 1, n_own: int | None = None, seed: int = 0
) -> Edges:
    """Edges between random atoms; the last own atom has none."""
    rng, own = np.random.default_rng(seed), n_atoms if n_own is None else n_own
    receiver = np.sort(rng.integers(max(own - 1, 1), size=n_edges))
    sender = rng.integers(n_atoms - (own > 1), size=n_edges)
    sender[sender >= own - 1] += own > 1  # leaves out the last own atom
    return Edges(rng.integers(n_species, size=n_atoms), sender, receiver, own)


@dataclass(eq=False)
class Rows:
    """Rows of an input of a layer: of own atoms, of edges, or of species for a lookup."""

    values: Tensor
    of: str = "atoms"
    """"atoms", "edges" or "species"."""


class Given(Operation):
    """Stores given rows; keeps the matrix of their cotangents."""

    def __init__(self, program: Program, name: str, rows: Rows) -> None:
        floats = rows.values.is_floating_point()
        kind = "r" if floats else "i"
        self.of, columns = rows.of, rows.values.shape[1]
        self.out = program.matrix(name, rows.of, columns, kind, differentiable=floats)  # type: ignore[arg-type]
        self.over = "local" if rows.of == "atoms" else "edges"
        values = rows.values.detach().numpy()
        self.arguments = (self.out, Constant(values if values.size else np.zeros(1), kind))
        self.writes = (self.out,)

    @property
    def key(self) -> Hashable:
        return self.out.columns, self.out.kind, self.of

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        out, values, low, high = code.arguments
        with code.loop(low, high) as row:
            for k in range(self.out.columns):
                place = code.add_int(code.build.mul(row, low.type(self.out.columns)), k)
                code.build.store(code.load_int(values, place), code.offset(out, place))
        code.build.ret_void()
        return code.function


class WeightedSum(Operation):
    """Energy of each atom, Σ_k W_nk x_nk for a layer's result x."""

    over = "local"

    def __init__(self, program: Program, x: Matrix, weights: Tensor) -> None:
        self.x, self.weights = x, Constant(weights.numpy() if weights.numel() else np.zeros(1))
        self.out = program.matrix("energy", "atoms", 1, "d", differentiable=x.differentiable)
        self.arguments, self.writes = (self.out, x, self.weights), (self.out,)

    @property
    def key(self) -> Hashable:
        return self.x.columns

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        out, x, weights, low, high = code.arguments
        total = code.allocate(1)
        with code.loop(low, high) as row:
            code.store(code.constant(0.0), total)
            x_row, w_row = (code.row_pointer(table, row, self.x.columns) for table in (x, weights))
            with code.loop(low.type(0), low.type(self.x.columns)) as k:
                code.add_to(total, code.mul(*(code.load(code.offset(p, k)) for p in (x_row, w_row))), 1)
            code.store(code.to_double(code.load(total)), code.offset(out, row))
        code.build.ret_void()
        return code.function

    def reverse(self, program: Program) -> None:
        target, add = program.add_cotangent(self.x)
        assert not add
        program.add(_Weights(target, self.weights))


class _Weights(Operation):
    """Cotangent W of a layer's result."""

    over = "local"

    def __init__(self, target: Matrix, weights: Constant) -> None:
        self.arguments, self.writes = (target, weights), (target,)

    @property
    def key(self) -> Hashable:
        return self.writes[0].columns

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        target, weights, low, high = code.arguments
        columns = self.writes[0].columns
        with code.loop(*(code.build.mul(n, low.type(columns)) for n in (low, high))) as k:
            code.store(code.load(code.offset(weights, k)), code.offset(target, k))
        code.build.ret_void()
        return code.function


class Keep(Operation):
    """Reads matrices at the end of a program, so that their memory is not used again."""

    over = "once"
    writes = ()

    def __init__(self, *matrices: Matrix) -> None:
        self.arguments = matrices

    @property
    def key(self) -> Hashable:
        return None

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        code.build.ret_void()
        return code.function


@dataclass
class Result:
    """Rows of own atoms of a layer's result, and the gradient of each input that has one."""

    out: Tensor
    gradients: list[Tensor | None]


def weights_like(out: Tensor) -> Tensor:
    """The fixed numbers W, for a result `out`."""
    return torch.sin(1 + torch.arange(out.numel(), dtype=torch.float64)).view_as(out)


def torch_result(layer: Callable[..., Tensor], *inputs: Rows) -> Result:
    """Result and gradients of the torch twin."""
    values = [rows.values.detach().clone() for rows in inputs]
    needed = [v.requires_grad_() for v, i in zip(values, inputs, strict=True) if has_gradient(i)]
    out = layer(*values)
    energy = (out * weights_like(out).to(out.dtype)).sum()
    gradients = iter(torch.autograd.grad(energy, needed, materialize_grads=True, allow_unused=True))
    return Result(out.detach(), [next(gradients) if has_gradient(rows) else None for rows in inputs])


def has_gradient(rows: Rows) -> bool:
    """Whether an input has a gradient: lookups and integers have none."""
    return rows.of != "species" and rows.values.is_floating_point()


def native_result(
    layer: Callable[..., Matrix],
    *inputs: Rows,
    edges: Edges,
    n_species: int = 1,
    dtype: str = "float64",
    threads: int = 1,
    exchange: tuple[int, int, int] = (0, 0, 0),
) -> Result:
    """Result and gradients of a layer in a program, called with memory full of NaNs.

    Args:
        layer: function of a program and of the matrices of the inputs, which appends its operations.
        inputs: given rows.
        edges: the graph.
        n_species: number of species.
        dtype: of the program.
        threads: number of threads.
        exchange: see `NativeProgram`.
    """
    program = Program(n_species, 5.0)
    given: list[Any] = []
    for number, rows in enumerate(inputs):
        if rows.of == "species":
            given.append(program.lookup(rows.values))
        else:
            operation = Given(program, f"input{number}", rows)
            program.add(operation)
            given.append(operation.out)
    out = layer(program, *given)
    energy = WeightedSum(program, out, weights_like(torch.zeros(edges.n_own, out.columns)))
    program.add(energy)
    program.finish(energy.out)
    kept = [out, *(program.cotangent(matrix) for matrix in given)]
    program.add(Keep(*{m for m in kept if m is not None and m.table is None}))
    native = NativeProgram(program, dtype)
    n_atoms, n_edges = len(edges.species), len(edges.sender)
    native._arena = _native_program._aligned(native.layout.bytes(n_atoms, n_edges))
    native._arena[:] = 0xFF
    with _threads(threads):
        native(
            edges.species,
            edges.sender,
            edges.receiver,
            edges.vectors,
            n_own=edges.n_own,
            exchange=exchange,
        )
    heights = {"atoms": edges.n_own, "edges": n_edges}
    read = [None if m is None or m.table is not None else _read(native, m, n_atoms, n_edges) for m in kept]
    read = [None if r is None else r[: heights[m.rows]] for r, m in zip(read, kept, strict=True)]
    result = out.table[edges.species[: edges.n_own]] if read[0] is None else read[0]
    return Result(result, read[1:])


@contextlib.contextmanager
def _threads(n: int) -> Iterator[None]:
    """Context in which programs use n threads, for any number of edges."""
    before = torch.get_num_threads()
    with patch.object(_native_program, "MOST_EDGES_OF_ONE_THREAD", 0):
        torch.set_num_threads(n)
        yield
        torch.set_num_threads(before)


def _read(native: NativeProgram, matrix: Matrix, n_atoms: int, n_edges: int) -> Tensor:
    """Rows of a matrix in a program's memory."""
    layout, place = native.layout, native.layout.places[matrix]
    padded = [n // 16 * 16 + 16 for n in (n_atoms, n_edges)]
    first = padded[0] * place.offset
    if place.rows == "edges":
        first = padded[0] * layout.atoms + padded[1] * place.offset
    dtype = np.dtype({"r": native.dtype, "d": "float64", "i": "int64"}[matrix.kind])
    n = (n_atoms if place.rows == "atoms" else n_edges) * matrix.columns
    numbers = native._arena[first : first + n * dtype.itemsize].view(dtype)
    return torch.from_numpy(numbers.reshape(-1, matrix.columns).copy())


def assert_equal(ours: Result, theirs: Result, tolerance: float) -> None:
    """Equal up to a tolerance relative to the largest number of each tensor."""
    pairs = [(ours.out, theirs.out), *zip(ours.gradients, theirs.gradients, strict=True)]
    for number, (a, b) in enumerate(pairs):
        assert (a is None) == (b is None), f"tensor {number}"
        if a is not None and b is not None:
            assert a.shape == b.shape, f"tensor {number}"
            largest = float(b.abs().max()) if b.numel() else 0.0
            error = (a - b).abs().max() if b.numel() else torch.zeros(())
            assert bool(error <= tolerance * max(largest, 1e-30)), f"tensor {number}: {error} of {largest}"
