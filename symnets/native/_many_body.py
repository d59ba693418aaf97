"""Many-body products of MACE: polynomials of each atom's features, with coefficients of its species."""

from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np
from llvmlite import ir

from symnets.native._operation import Constant, Matrix, Operation
from symnets.ops import (
    I64,
    ContractionPlan,
    NeededPartials,
    Value,
    VectorCode,
    term_chunks,
    write_polynomial_part,
)

if TYPE_CHECKING:
    from symnets.native._program import Program


def polynomials(
    program: "Program", features: Matrix, plan: ContractionPlan, coefficients: np.ndarray
) -> Matrix:
    """Polynomials of the features of each own atom, see `SymmetricContraction`.

    Args:
        program: program to which the operation is appended.
        features: x, a row for each atom.
        plan: the polynomials.
        coefficients: C of each species and term, (species, terms, channels).
    """
    operation = _Polynomials(program, features, plan, coefficients)
    program.add(operation)
    return operation.out


class _Polynomials(Operation):
    """out[n, o, c] = Σ_{terms t of o} C[s_n, t, c] Π_{i in t} x[n, i, c], for rows of own atoms."""

    over = "local"

    def __init__(
        self, program: "Program", features: Matrix, plan: ContractionPlan, coefficients: np.ndarray
    ) -> None:
        self.plan, self.features, self.coefficients = plan, features, Constant(coefficients)
        self.out = program.matrix(
            "products", "atoms", plan.irreps_out.dim, differentiable=features.differentiable
        )
        self.arguments = (
            self.out,
            features,
            self.coefficients,
            program.species_order,
            program.species_start,
        )
        self.writes = (self.out,)
        self.n_species = program.n_species

    @property
    def key(self) -> Hashable:
        return _key(self.plan), self.n_species

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        out, x, coefficients, order, start, low, high = code.arguments
        needed = NeededPartials(by_g=True, by_c=False, by_x=False)
        loops = _Loops(module, code, self.plan, needed, add=False)
        # Any pointer serves as an argument that a loop does not use.
        loops.write([out, x, x, x, coefficients, x], order, start, (low, high), self.n_species)
        code.build.ret_void()
        return code.function

    def reverse(self, program: "Program") -> None:
        if self.features.differentiable:
            program.add(_Reverse(program, self))


class _Reverse(Operation):
    """Reverse of `_Polynomials`: the cotangent of the features."""

    over = "local"

    def __init__(self, program: "Program", forward: _Polynomials) -> None:
        self.forward, g = forward, program.require_cotangent(forward.out)
        target, self.add = program.add_cotangent(forward.features)
        self.arguments = (
            target,
            g,
            forward.features,
            forward.coefficients,
            program.species_order,
            program.species_start,
        )
        self.writes = (target,)

    @property
    def key(self) -> Hashable:
        return self.forward.key, self.add

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        target, g, x, coefficients, order, start, low, high = code.arguments
        needed = NeededPartials(by_g=False, by_c=False, by_x=True)
        loops = _Loops(module, code, self.forward.plan, needed, add=self.add)
        tables = [x, x, target, g, coefficients, x]
        loops.write(tables, order, start, (low, high), self.forward.n_species)
        code.build.ret_void()
        return code.function


def _key(plan: ContractionPlan) -> Hashable:
    """Value that is equal for plans with the same machine code."""
    return plan.channels, plan.variables.dim, plan.outputs.dim, tuple(plan.terms)


class _Loops:
    """Functions for chunks of the terms, for full registers of channels and for the remaining channels."""

    def __init__(
        self,
        module: ir.Module,
        code: VectorCode,
        plan: ContractionPlan,
        needed: NeededPartials,
        *,
        add: bool,
    ) -> None:
        self.code, self.plan = code, plan
        name, dtype = code.function.name, "float32" if code.size == 4 else "float64"
        self.parts: dict[int, list[ir.Function]] = {}
        full, rest = divmod(plan.channels, code.width)
        for lanes in [code.width] * (full > 0) + [rest] * (rest > 0):
            self.parts[lanes] = []
            for chunk in term_chunks(plan):
                kinds = "rrrrrrinn"
                part = VectorCode(module, f"{name}_{lanes}_{chunk.start}", dtype, kinds, public=False)
                write_polynomial_part(part, plan, lanes, needed, chunk, add=add)
                self.parts[lanes].append(part.function)

    def write(
        self,
        tables: list[Value],
        order: Value,
        start: Value,
        positions: tuple[Value, Value],
        n_species: int,
    ) -> None:
        """Write the loops over species, registers of channels and atoms.

        Args:
            tables: pointers to dF/dg, dF/dC, dF/dx, g, C and x.
            order: own atoms sorted by species.
            start: position of each species' first atom.
            positions: first position in `order`, and last + 1, of the atoms to compute.
            n_species: number of species.
        """
        code, b, (low, high) = self.code, self.code.build, positions

        def body(first: Value, lanes: int) -> None:
            pointers = [code.offset(table, first) for table in tables]
            pointers[4] = code.row_pointer(pointers[4], species, len(self.plan.terms) * self.plan.channels)
            for part in self.parts[lanes]:
                b.call(part, [*pointers, order, begin, end])

        with code.loop(I64(0), I64(n_species)) as species:
            begin, end = (code.load_int(start, code.add_int(species, k)) for k in (0, 1))
            begin = b.select(b.icmp_signed(">", begin, low), begin, low)
            end = b.select(b.icmp_signed("<", end, high), end, high)
            with b.if_then(b.icmp_signed("<", begin, end)):
                code.for_channels(self.plan.channels, body)
