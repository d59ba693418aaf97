"""Tabulated convolution: sums over neighbours of features ⊗ harmonics, weighted by splines of the length."""

from collections.abc import Hashable
from typing import TYPE_CHECKING

from llvmlite import ir

from symnets.native._convolution_code import (
    reverse_lanes,
    write_forward_part,
    write_reverse_part,
)
from symnets.native._edge_splines import EdgeSplines
from symnets.native._exchange import Exchange
from symnets.native._operation import Matrix, Operation
from symnets.native._row_operation import edge_loop
from symnets.ops import (
    Plan,
    RadialTable,
    Value,
    VectorCode,
    WeightSplines,
    path_groups,
)

if TYPE_CHECKING:
    from symnets.native._program import Program


def convolve(
    program: "Program",
    features: Matrix,
    filters: Matrix,
    lengths: Matrix,
    kind: Matrix | None,
    plan: Plan,
    table: RadialTable,
) -> Matrix:
    """Sum over the edges of each receiver of senders' features ⊗ filters, weighted by splines of the length.

    Args:
        program: program to which the operations are appended.
        features: x, a row for each atom.
        filters: Y, the spherical harmonics, a row for each edge.
        lengths: r of each edge in Å.
        kind: index of the table's set of functions for each edge; None if the table has one set.
        plan: the tensor product.
        table: one function for each weight of the plan.

    Raises:
        CannotLower: see `EdgeSplines`.
    """
    if features.table is None and not _exchanges(program, features):
        program.add(Exchange(features, "forward"))
    operation = _Convolve(program, features, filters, lengths, kind, plan, table)
    program.add(operation)
    return operation.out


def _exchanges(program: "Program", features: Matrix) -> bool:
    """Whether ghosts have the features already, because another convolution reads them."""
    return any(isinstance(step, Exchange) and step.matrix is features for step in program.operations)


class _Convolve(Operation):
    """out_i = Σ_{edges j -> i} x_j ⊗_{w(r)} Y, see `convolve`."""

    over = "receivers"

    def __init__(
        self,
        program: "Program",
        features: Matrix,
        filters: Matrix,
        lengths: Matrix,
        kind: Matrix | None,
        plan: Plan,
        table: RadialTable,
    ) -> None:
        self.plan, self.features, self.filters, self.lengths = plan, features, filters, lengths
        self.splines = EdgeSplines(program, table, kind)
        differentiable = features.differentiable or filters.differentiable or lengths.differentiable
        self.out = program.matrix("convolved", "atoms", plan.irreps_out.dim, differentiable=differentiable)
        self.arguments = (
            self.out,
            features,
            filters,
            lengths,
            program.sender,
            program.start,
            *self.splines.arguments,
        )
        self.writes = (self.out,)

    @property
    def key(self) -> Hashable:
        return self.plan.key, self.splines.key

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        plan = self.plan
        weights = WeightSplines(plan.weight_numel)
        parts = [
            write_forward_part(module, plan, group, f"{name}_{k}", dtype, weights)
            for k, group in enumerate(path_groups(plan))
        ]
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        out, features, filters, lengths, sender, start, *of_splines, low, high = code.arguments
        weights.prepare(code)
        with code.loop(low, high) as node:
            row = code.row_pointer(out, node, plan.irreps_out.dim)
            code.fill_zeros(row, plan.irreps_out.dim)
            with edge_loop(code, start, node) as edge:
                x = code.row_pointer(features, code.load_int(sender, edge), plan.irreps_in.dim)
                y = code.row_pointer(filters, edge, plan.irreps_filter.dim)
                weight = self.splines.at_edge(code, weights, lengths, of_splines, edge)
                for part in parts:
                    code.build.call(part, [row, x, y, *weight])
        code.build.ret_void()
        return code.function

    def reverse(self, program: "Program") -> None:
        program.add(_Reverse(program, self))


class _Reverse(Operation):
    """Reverse of `_Convolve`: cotangents of filters, lengths and the senders' features.

    Edges are visited in their order, sorted by receiver, because the row of the receiver is the longest. The
    cotangent of a sender's features is a sum over all edges out of it. A thread therefore has a range of
    senders. It first visits the edges between two atoms of its range in this order, and then the other edges
    out of each sender.
    """

    def __init__(self, program: "Program", forward: _Convolve) -> None:
        self.forward, self.senders = forward, forward.features.differentiable
        self.over = "senders" if self.senders else "edges"
        d_filters, self.add_filters = program.add_cotangent(forward.filters)
        d_lengths, self.add_lengths = program.add_cotangent(forward.lengths)
        self.writes = (d_filters, d_lengths)
        self.add_features = self.add_ghosts = False
        if self.senders:
            d_features, self.add_features = program.add_cotangent(forward.features)
            # All other operations write cotangents of own atoms alone: ghosts are senders and nothing else.
            reverses = [step for step in program.operations if isinstance(step, _Reverse)]
            self.add_ghosts = any(d_features in step.writes for step in reverses)
            self.writes = (d_features, *self.writes)
        self.arguments = (
            *self.writes,
            program.require_cotangent(forward.out),
            forward.features,
            forward.filters,
            forward.lengths,
            program.sender,
            program.receiver,
            *((program.start, program.sender_order, program.sender_start) if self.senders else ()),
            *((program.sizes,) if self.senders else ()),
            *forward.splines.arguments,
        )

    @property
    def key(self) -> Hashable:
        adds = self.add_features, self.add_ghosts, self.add_filters, self.add_lengths
        return self.forward.key, self.senders, adds

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        plan, splines = self.forward.plan, self.forward.splines
        weights = WeightSplines(plan.weight_numel)
        parts = [
            write_reverse_part(module, plan, group, f"{name}_{k}", dtype, weights, senders=self.senders)
            for k, group in enumerate(path_groups(plan))
        ]
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        *tables, low, high = code.arguments
        d_features = tables.pop(0) if self.senders else None
        d_filters, d_lengths, g, features, filters, lengths, sender, receiver, *tables = tables
        start, order, sender_start, sizes = (tables.pop(0) if self.senders else None for _ in range(4))
        columns = plan.irreps_filter.dim
        width = reverse_lanes(code)
        memory = code.allocate((columns + 1) * width)  # a register for each column of dY, and one for dr
        registers = [code.offset(memory, number * width) for number in range(columns + 1)]
        weights.prepare(code)

        def at_edge(edge: Value, from_: Value, to: Value) -> None:
            for register in registers:
                code.store(code.constant(0.0, width), register, width)
            g_row = code.row_pointer(g, to, plan.irreps_out.dim)
            y = code.row_pointer(filters, edge, columns)
            x, *rows = (
                code.row_pointer(table, from_, plan.irreps_in.dim)
                for table in (features, *([d_features] if self.senders else []))
            )
            weight = splines.at_edge(code, weights, lengths, tables, edge)
            for part in parts:
                code.build.call(part, [*rows, memory, g_row, x, y, *weight])
            d_y = code.row_pointer(d_filters, edge, columns)
            places = [*(code.offset(d_y, b) for b in range(columns)), code.offset(d_lengths, edge)]
            for number, (place, register) in enumerate(zip(places, registers, strict=True)):
                total = code.sum_of(code.load(register, width), width)
                add = self.add_filters if number < columns else self.add_lengths
                code.add_to(place, total, 1) if add else code.store(total, place)

        if self.senders:
            b, n_local = code.build, code.load_int(sizes, low.type(0))

            def in_range(atom: Value) -> Value:
                return b.and_(b.icmp_signed(">=", atom, low), b.icmp_signed("<", atom, high))

            with code.loop(low, high) as atom:
                row = code.row_pointer(d_features, atom, plan.irreps_in.dim)
                if not self.add_features:
                    code.fill_zeros(row, plan.irreps_in.dim)
                elif not self.add_ghosts:
                    with b.if_then(b.icmp_signed(">=", atom, n_local)):
                        code.fill_zeros(row, plan.irreps_in.dim)
            last = b.select(b.icmp_signed("<", high, n_local), high, n_local)
            with code.loop(low, last) as to, edge_loop(code, start, to) as edge:
                from_ = code.load_int(sender, edge)
                with b.if_then(in_range(from_)):
                    at_edge(edge, from_, to)
            with code.loop(low, high) as from_, edge_loop(code, sender_start, from_) as position:
                edge = code.load_int(order, position)
                to = code.load_int(receiver, edge)
                with b.if_then(b.not_(in_range(to))):
                    at_edge(edge, from_, to)
        else:
            with code.loop(low, high) as edge:
                at_edge(edge, code.load_int(sender, edge), code.load_int(receiver, edge))
        code.build.ret_void()
        return code.function
