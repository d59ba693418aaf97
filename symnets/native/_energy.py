"""The end of a program: energies of atoms in float64, forces, and virials of atoms."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from llvmlite import ir

from symnets.native._operation import Constant, Matrix, Operation
from symnets.ops import F64, I64, VectorCode

if TYPE_CHECKING:
    from symnets.native._program import Program


class ScaleAndShift(Operation):
    """E_n = scale[s] e_n + shift[s] in float64, for the output e_n of atom n of species s."""

    over = "local"

    def __init__(
        self, program: "Program", output: Matrix, scale: Sequence[float], shift: Sequence[float]
    ) -> None:
        self.output, self.species = output, program.species
        self.scale = Constant(np.asarray(scale, dtype=np.float64))
        self.out = program.matrix("energy", "atoms", 1, "d", differentiable=output.differentiable)
        self.arguments = (
            self.out,
            output,
            self.scale,
            Constant(np.asarray(shift, dtype=np.float64), "d"),
            program.species,
        )
        self.writes = (self.out,)

    @property
    def key(self) -> Hashable:
        return ()

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        out, output, scale, shift, species, low, high = code.arguments
        with code.loop(low, high) as row:
            s = code.load_int(species, row)
            product = code.mul(code.load(code.offset(output, row)), code.load(code.offset(scale, s)))
            energy = code.build.fadd(code.to_double(product), code.load(code.offset(shift, s)))
            code.store(energy, code.offset(out, row))
        code.build.ret_void()
        return code.function

    def reverse(self, program: "Program") -> None:
        cotangent = program.cotangent(self.out)
        assert cotangent is not None
        target, add = program.add_cotangent(self.output)
        program.add(_ScaleReverse(program, target, cotangent, self.scale, add=add))


class _ScaleReverse(Operation):
    """de_n = scale[s] dE_n."""

    over = "local"

    def __init__(
        self, program: "Program", target: Matrix, source: Matrix, scale: Constant, *, add: bool
    ) -> None:
        self.add = add
        self.arguments, self.writes = (target, source, scale, program.species), (target,)

    @property
    def key(self) -> Hashable:
        return self.add

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        target, source, scale, species, low, high = code.arguments
        with code.loop(low, high) as row:
            factor = code.load(code.offset(scale, code.load_int(species, row)))
            value = code.mul(code.from_double(code.load(code.offset(source, row))), factor)
            place = code.offset(target, row)
            code.add_to(place, value, 1) if self.add else code.store(value, place)
        code.build.ret_void()
        return code.function


class Forces(Operation):
    """Forces and virials of atoms, from the derivatives g_e = dE/dv_e by the vectors v_e of the edges:

        F_n = Σ_{e into n} g_e - Σ_{e out of n} g_e,     W_n = 1/2 Σ_{e at n} v_e ⊗ g_e,

    in float64. The sum of the W_n is dE/dstrain before symmetrisation; half of each edge's share belongs to
    either end. Ghosts have their share, to be added to that of their owners.
    """

    over = "all"

    def __init__(self, program: "Program", forces: Matrix, virials: Matrix) -> None:
        self.derivative = program.cotangent(program.vectors)
        self.writes = (forces, virials)
        self.arguments = (
            forces,
            virials,
            program.vectors,
            program.start,
            program.sender_order,
            program.sender_start,
            program.sizes,
            *(() if self.derivative is None else (self.derivative,)),
        )

    @property
    def key(self) -> Hashable:
        return self.derivative is None

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, "float64", self.kinds.replace("r", "d"), public=False)
        forces, virials, vectors, start, order, sender_start, sizes, *g, low, high = code.arguments
        n_local = code.load_int(sizes, I64(0))
        totals = code.allocate(12)
        with code.loop(low, high) as atom:
            for k in range(12):
                code.store(F64(0.0), code.offset(totals, k))

            def add(edge: ir.Value, sign: float) -> None:
                vector, cotangent = (code.row_pointer(table, edge, 3) for table in (vectors, g[0]))
                v, d = ([code.load(code.offset(row, a)) for a in range(3)] for row in (vector, cotangent))
                for a in range(3):
                    code.add_to(code.offset(totals, a), code.mul(F64(sign), d[a]), 1)
                    for b in range(3):
                        half = code.mul(F64(0.5), code.mul(v[a], d[b]))
                        code.add_to(code.offset(totals, 3 + 3 * a + b), half, 1)

            if g:
                own = code.build.icmp_signed("<", atom, n_local)
                with code.build.if_then(own):
                    bounds = [code.load_int(start, code.add_int(atom, k)) for k in (0, 1)]
                    with code.loop(*bounds) as edge:
                        add(edge, 1.0)
                bounds = [code.load_int(sender_start, code.add_int(atom, k)) for k in (0, 1)]
                with code.loop(*bounds) as place:
                    add(code.load_int(order, place), -1.0)
            for table, first, columns in ((forces, 0, 3), (virials, 3, 9)):
                row = code.row_pointer(table, atom, columns)
                for k in range(columns):
                    code.store(code.load(code.offset(totals, first + k)), code.offset(row, k))
        code.build.ret_void()
        return code.function
