"""Last operations of a program: energies, forces and virials of atoms, in float64."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from symnets.native._operation import Constant, Matrix
from symnets.native._row_operation import RowOperation, RowReverse, allocate_once, edge_loop, store_or_add
from symnets.ops import F64, I64, Value, VectorCode

if TYPE_CHECKING:
    from symnets.native._program import Program


class ScaleAndShift(RowOperation):
    """Atomic energies E_n = scale[s] e_n + shift[s] in float64, for the output e_n of atom n of species s.

    `scale` and `shift` are in eV, one number for each species.
    """

    def __init__(
        self, program: "Program", output: Matrix, scale: Sequence[float], shift: Sequence[float]
    ) -> None:
        self.output = output
        self.scale = Constant(np.asarray(scale, dtype=np.float64))
        of_shift = Constant(np.asarray(shift, dtype=np.float64), "d")
        out = program.matrix("energy", "atoms", 1, "d", differentiable=output.differentiable)
        super().__init__((out,), (output, self.scale, of_shift, program.species))

    def write_row(self, code: VectorCode, index: Value, pointers: Sequence[Value]) -> None:
        out, output, scale, shift, species = pointers
        s = code.load_int(species, index)
        product = code.mul(code.load(code.offset(output, index)), code.load(code.offset(scale, s)))
        energy = code.build.fadd(code.to_double(product), code.load(code.offset(shift, s)))
        code.store(energy, code.offset(out, index))

    def reverse(self, program: "Program") -> None:
        program.add(_ScaleReverse(program, self, self.output, self.scale, program.species))


class _ScaleReverse(RowReverse[ScaleAndShift]):
    """de_n = scale[s] dE_n."""

    def write_row(self, code: VectorCode, index: Value, pointers: Sequence[Value]) -> None:
        target, source, scale, species = pointers
        factor = code.load(code.offset(scale, code.load_int(species, index)))
        value = code.mul(code.from_double(code.load(code.offset(source, index))), factor)
        store_or_add(code, value, code.offset(target, index), add=self.add)


class Forces(RowOperation):
    """Forces and virials of atoms, from the derivatives g_e = dE/dv_e with respect to the edge vectors v_e:

        F_n = Σ_{e into n} g_e - Σ_{e out of n} g_e,     W_n = 1/2 Σ_{e at n} v_e ⊗ g_e,

    in float64. The sum of the W_n is dE/dstrain before symmetrisation: each end of an edge has half of
    v_e ⊗ g_e. The rows of ghosts must be added to those of their owners.
    """

    def __init__(self, program: "Program", forces: Matrix, virials: Matrix) -> None:
        derivative = program.cotangent(program.vectors)
        reads = (program.vectors, program.start, program.sender_order, program.sender_start, program.sizes)
        super().__init__((forces, virials), reads if derivative is None else (*reads, derivative), over="all")

    def write_row(self, code: VectorCode, index: Value, pointers: Sequence[Value]) -> None:
        forces, virials, vectors, start, order, sender_start, sizes, *g = pointers
        with code.build.goto_entry_block():
            n_local = code.load_int(sizes, I64(0))
        totals = allocate_once(code, 12)
        for k in range(12):
            code.store(F64(0.0), code.offset(totals, k))

        def add(edge: Value, sign: float) -> None:
            vector, cotangent = (code.row_pointer(table, edge, 3) for table in (vectors, g[0]))
            v, d = ([code.load(code.offset(row, a)) for a in range(3)] for row in (vector, cotangent))
            for a in range(3):
                code.add_to(code.offset(totals, a), code.mul(F64(sign), d[a]), 1)
                for b in range(3):
                    half = code.mul(F64(0.5), code.mul(v[a], d[b]))
                    code.add_to(code.offset(totals, 3 + 3 * a + b), half, 1)

        if g:
            own = code.build.icmp_signed("<", index, n_local)
            with code.build.if_then(own), edge_loop(code, start, index) as edge:
                add(edge, 1.0)
            with edge_loop(code, sender_start, index) as place:
                add(code.load_int(order, place), -1.0)
        for table, first, columns in ((forces, 0, 3), (virials, 3, 9)):
            row = code.row_pointer(table, index, columns)
            for k in range(columns):
                code.store(code.load(code.offset(totals, first + k)), code.offset(row, k))
