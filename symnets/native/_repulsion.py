"""Repulsion of close nuclei by the screened Coulomb law of Ziegler, Biersack and Littmark (ZBL)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from llvmlite import ir

from symnets.native._math_code import exponential, square_root
from symnets.native._operation import Constant
from symnets.native._row_operation import RowOperation, RowReverse, allocate_once, edge_loop, store_or_add
from symnets.ops import F64, I64, Value, VectorCode

if TYPE_CHECKING:
    from symnets.native._program import Program


class Screening(NamedTuple):
    """Screened Coulomb law of two nuclei i and j at the distance r < r_s:

        E = s Z_i Z_j / r Σ_n c_n exp(-d_n (k_i + k_j) r) u(r / r_s),     r_s = min(R_i + R_j, cutoff),

    with the charges Z, inverse lengths k and radii R of their species. The envelope u of order p is

        u(x) = 1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2).
    """

    scale: float
    """s in eV Å."""
    amplitudes: tuple[float, ...]
    """c_n."""
    decays: tuple[float, ...]
    """d_n."""
    order: int
    """p, at least 1."""


class Repulsion(RowOperation):
    """Repulsion energy of atoms: half of the energy of the two nuclei of each edge, summed at the receiver.

    Args:
        program: the program.
        law: the energy of two nuclei.
        charges: Z of each species.
        inverse_lengths: k in 1/Å of each species.
        radii: R in Å of each species.

    Attributes:
        out: energy of each atom in eV, (atoms, 1), float64.
    """

    def __init__(
        self,
        program: "Program",
        law: Screening,
        charges: Sequence[float],
        inverse_lengths: Sequence[float],
        radii: Sequence[float],
    ) -> None:
        self.law, self.cutoff = law, program.cutoff
        table = np.stack([charges, inverse_lengths, radii], axis=1).astype(np.float64)
        assert table.shape == (program.n_species, 3), table.shape
        # dE/dr / r of every edge, 0 beyond r_s.
        self.slope = program.matrix("slope", "edges", 1, "d", differentiable=False)
        super().__init__(
            (program.matrix("repulsion", "atoms", 1, "d"), self.slope),
            (program.vectors, Constant(table, "d"), program.species, program.sender, program.start),
            over="receivers",
            settings=(law, program.cutoff),
        )

    def write_row(self, code: VectorCode, index: Value, pointers: Sequence[Value]) -> None:
        out, slope, vectors, table, species, sender, start = pointers
        b = code.build
        total, factor = allocate_once(code, 1), allocate_once(code, 1)

        def of_atom(atom: Value) -> list[Value]:
            row = code.row_pointer(table, code.load_int(species, atom), 3)
            return [code.load(code.offset(row, k)) for k in range(3)]

        z, inverse_length, radius = of_atom(index)
        code.store(F64(0.0), total)
        with edge_loop(code, start, index) as edge:
            row = code.row_pointer(vectors, edge, 3)
            squared: Value = None
            for component in (code.load(code.offset(row, a)) for a in range(3)):
                squared = code.fma(squared, component, component)
            other_z, other_inverse, other_radius = of_atom(code.load_int(sender, edge))
            stop = b.fadd(radius, other_radius)
            cutoff = F64(self.cutoff)
            stop = b.select(b.fcmp_ordered("<", stop, cutoff), stop, cutoff)
            code.store(F64(0.0), code.offset(slope, edge))
            with b.if_then(b.fcmp_ordered("<", squared, code.mul(stop, stop))):
                r = square_root(b, squared)
                code.store(b.fadd(inverse_length, other_inverse), factor)
                amplitude = code.mul(F64(self.law.scale / 2), code.mul(z, other_z))
                half, derivative = self._of_pair(code, r, stop, factor, amplitude)
                code.add_to(total, half, 1)
                code.store(b.fdiv(derivative, r), code.offset(slope, edge))
        code.store(code.load(total), code.offset(out, index))

    def _of_pair(
        self, code: VectorCode, r: Value, stop: Value, factor: Value, amplitude: Value
    ) -> tuple[Value, Value]:
        """`amplitude` times the screened Coulomb law and the envelope, and its derivative dE/dr."""
        b, p, n = code.build, self.law.order, len(self.law.decays)
        lanes = ir.VectorType(F64, n)
        rates = code.mul(code.broadcast(factor, n), ir.Constant(lanes, list(self.law.decays)))
        code.store(r, factor)
        exponent = b.fneg(code.mul(rates, code.broadcast(factor, n)))
        terms = code.mul(ir.Constant(lanes, list(self.law.amplitudes)), exponential(b, exponent).exp)
        screening, decay = (_total(code, value, n) for value in (terms, code.mul(terms, rates)))
        # The envelope and its derivative, -p (p + 1) (p + 2) / 2 x^(p - 1) (1 - x)².
        x = b.fdiv(r, stop)
        power: Value = F64(1.0)
        for _ in range(p - 1):
            power = code.mul(power, x)
        inner = code.fma(F64(p * (p + 2)), F64(-p * (p + 1) / 2), x)
        inner = code.fma(F64((p + 1) * (p + 2) / 2), b.fneg(x), inner)
        envelope = code.fma(F64(1.0), b.fneg(code.mul(power, x)), inner)
        rest = b.fsub(F64(1.0), x)
        steepness = code.mul(code.mul(F64(-p * (p + 1) * (p + 2) / 2), power), code.mul(rest, rest))
        steepness = b.fdiv(steepness, stop)
        coulomb = b.fdiv(amplitude, r)
        value = code.mul(coulomb, code.mul(screening, envelope))
        change = code.fma(code.mul(screening, steepness), b.fneg(decay), envelope)
        return value, b.fsub(code.mul(coulomb, change), b.fdiv(value, r))

    def reverse(self, program: "Program") -> None:
        reads = (self.slope, program.vectors, program.receiver)
        program.add(_RepulsionReverse(program, self, program.vectors, *reads))


class _RepulsionReverse(RowReverse[Repulsion]):
    """dE/dv_e = g_i (dE_e/dr / r) v_e, for the cotangent g_i of the receiver i of edge e."""

    def write_row(self, code: VectorCode, index: Value, pointers: Sequence[Value]) -> None:
        target, cotangent, slope, vectors, receiver = pointers
        b = code.build
        steepness = code.load(code.offset(slope, index))
        written = b.fcmp_unordered("!=", steepness, F64(0.0)) if self.add else ir.IntType(1)(1)
        with b.if_then(written):
            g = code.load(code.offset(cotangent, code.load_int(receiver, index)))
            factor = code.mul(g, steepness)
            source, out = (code.row_pointer(table, index, 3) for table in (vectors, target))
            for a in range(3):
                value = code.mul(factor, code.load(code.offset(source, a)))
                store_or_add(code, value, code.offset(out, a), add=self.add)


def _total(code: VectorCode, value: Value, lanes: int) -> Value:
    """Sum of the lanes of a value."""
    result: Value = None
    for k in range(lanes):
        lane = code.build.extract_element(value, I64(k))
        result = lane if result is None else code.build.fadd(result, lane)
    return result
