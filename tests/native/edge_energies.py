"""A program whose energies are sums over edges of squares, for tests of operations on edges."""

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from llvmlite import ir

from symnets.native import Constant, Matrix, Operation, Program
from symnets.ops import F64, I64, VectorCode


class SumOfSquares(Operation):
    """E_i = Σ_{e into i} Σ_k a_k m_ek² for matrices m of edges, in order of their columns."""

    over = "receivers"

    def __init__(self, program: Program, matrices: Sequence[Matrix], factors: np.ndarray) -> None:
        self.matrices, self.factors = matrices, factors
        self.out = program.matrix("energy", "atoms", 1, "d")
        self.arguments = (self.out, program.start, Constant(factors, "d"), *matrices)
        self.writes = (self.out,)

    @property
    def key(self) -> Hashable:
        return tuple(matrix.columns for matrix in self.matrices)

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        out, start, factors, *matrices, low, high = code.arguments
        with code.loop(low, high) as atom:
            place = code.offset(out, atom)
            code.store(F64(0.0), place)
            bounds = [code.load_int(start, code.add_int(atom, k)) for k in (0, 1)]
            with code.loop(*bounds) as edge:
                first = 0
                for table, matrix in zip(matrices, self.matrices, strict=True):
                    row = code.row_pointer(table, edge, matrix.columns)
                    for k in range(matrix.columns):
                        value = code.to_double(code.load(code.offset(row, k)))
                        factor = code.load(code.offset(factors, first + k))
                        code.add_to(place, code.mul(factor, code.mul(value, value)), 1)
                    first += matrix.columns
        code.build.ret_void()
        return code.function

    def reverse(self, program: Program) -> None:
        first = 0
        for matrix in self.matrices:
            if matrix.differentiable:
                target, add = program.add_cotangent(matrix)
                factors = self.factors[first : first + matrix.columns]
                program.add(_Reverse(target, matrix, factors, add=add))
            first += matrix.columns


class _Reverse(Operation):
    """Cotangent 2 a_k m_ek of a matrix of edges."""

    over = "edges"

    def __init__(self, target: Matrix, matrix: Matrix, factors: np.ndarray, *, add: bool) -> None:
        self.columns, self.add = matrix.columns, add
        self.arguments, self.writes = (target, matrix, Constant(2 * factors)), (target,)

    @property
    def key(self) -> Hashable:
        return self.columns, self.add

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        target, matrix, factors, low, high = code.arguments
        begin, end = (code.build.mul(bound, I64(self.columns)) for bound in (low, high))
        with code.loop(begin, end) as entry:
            column = code.build.srem(entry, I64(self.columns))
            value = code.mul(code.load(code.offset(matrix, entry)), code.load(code.offset(factors, column)))
            place = code.offset(target, entry)
            code.add_to(place, value, 1) if self.add else code.store(value, place)
        code.build.ret_void()
        return code.function


def random_edges(
    n_atoms: int, n_edges: int, n_species: int, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Species, senders, sorted receivers and vectors of lengths from 0.2 to 1 cutoff."""
    generator = torch.Generator().manual_seed(n_atoms + 100 * n_edges)

    def integers(n: int, high: int) -> np.ndarray:
        return torch.randint(high, (n,), generator=generator).numpy()

    directions = torch.randn(n_edges, 3, generator=generator, dtype=torch.float64)
    lengths = cutoff * (0.2 + 0.8 * torch.rand(n_edges, 1, generator=generator, dtype=torch.float64))
    vectors = (directions / directions.norm(dim=1, keepdim=True) * lengths).numpy()
    receiver = np.sort(integers(n_edges, n_atoms))
    return integers(n_atoms, n_species), integers(n_edges, n_atoms), receiver, vectors


def forces_and_virials(
    derivative: torch.Tensor, vectors: np.ndarray, sender: np.ndarray, receiver: np.ndarray, n_atoms: int
) -> tuple[np.ndarray, np.ndarray]:
    """Forces and virials of atoms from the derivatives with respect to the edge vectors."""
    g = derivative.double().numpy()
    forces, virials = np.zeros((n_atoms, 3)), np.zeros((n_atoms, 3, 3))
    np.add.at(forces, receiver, g)
    np.add.at(forces, sender, -g)
    shares = vectors[:, :, None] * g[:, None, :] / 2
    np.add.at(virials, receiver, shares)
    np.add.at(virials, sender, shares)
    return forces, virials
