"""Machine code of matrix products: tiles of a few rows and 16 columns, whose sums stay in registers."""

from collections.abc import Sequence

import numpy as np
from llvmlite import ir

from symnets.ops import I32, I64, Value, VectorCode

PANEL = 16
"""Columns of a matrix of weights that are stored together."""
TILE_ROWS = 6
"""Rows of a tile: with columns of 64 bytes, its sums fill 12 of the 16 registers of processors with AVX2."""
AHEAD = 1024
"""Bytes between the weights in use and those that are prefetched into the cache."""
UNROLL = 4
"""Terms of a sum in one iteration of its loop."""


def pack(weights: np.ndarray) -> np.ndarray:
    """Entries of a matrix (inputs, outputs) in panels of 16 columns, each (inputs, 16) and contiguous.

    A last panel with fewer columns has `lanes` columns, filled up with zeros.
    """
    panels = []
    for first in range(0, weights.shape[1], PANEL):
        panel = weights[:, first : first + PANEL]
        missing = lanes(panel.shape[1]) - panel.shape[1]
        panels.append(np.pad(panel, ((0, 0), (0, missing))).ravel())
    return np.concatenate(panels)


def packed_columns(columns: int) -> int:
    """Columns of a matrix after `pack`."""
    full, tail = divmod(columns, PANEL)
    return full * PANEL + (lanes(tail) if tail else 0)


def lanes(columns: int) -> int:
    """The smallest power of two that is not less than `columns`."""
    return 1 << (columns - 1).bit_length()


def tile_function(module: ir.Module, dtype: str, columns: int) -> ir.Function:
    """The function that computes a tile of rows of a matrix product, one for all products of a module:

        out_r = (initial_r +) Σ_t x_tr W_t,     r < height.

    Its arguments are: height; addresses of the rows x_tr, `TILE_ROWS` for each term t; length of the rows of
    each term; number of terms; weights, packed, those of one term after those of another within a panel;
    addresses of the rows out_r; addresses of the rows initial_r, and whether they are added; number of full
    panels of the `columns`. Matrices with equal remainders after full panels share the function.
    """
    full, tail = divmod(columns, PANEL)
    name = f"tile_{dtype}_{'n' * bool(full)}_{tail}"
    if name in module.globals:
        return module.globals[name]
    code = VectorCode(module, name, dtype, "niinriinn", public=False)
    height, *arguments = code.arguments
    done = code.build.append_basic_block()
    switch = code.build.switch(height, done)
    for rows in range(1, TILE_ROWS + 1):
        switch.add_case(I64(rows), code.build.append_basic_block())
        code.build.position_at_end(switch.cases[-1][1])
        _Tile(code, rows, arguments).write(bool(full), tail)
        code.build.branch(done)
    code.build.position_at_end(done)
    code.build.ret_void()
    return code.function


class _Tile:
    """Writer of the code of a tile with a given number of rows."""

    def __init__(self, code: VectorCode, height: int, arguments: Sequence[Value]) -> None:
        self.code, self.height = code, height
        (
            self.rows,
            self.lengths,
            self.n_terms,
            self.weights,
            self.outputs,
            self.initials,
            self.add,
            self.panels,
        ) = arguments

    def write(self, full: bool, tail: int) -> None:
        """Write the code of full panels, if there are any, and of `tail` columns after them."""
        b, carried = self.code.build, [self.weights]
        if full:
            with self.code.loop_carrying(carried, I64(0), self.panels) as p:
                carried[0] = self._panel(carried[0], b.mul(p, I64(PANEL)), PANEL)
        if tail:
            self._panel(carried[0], b.mul(self.panels, I64(PANEL)), tail)

    def _panel(self, weights: Value, first: Value, columns: int) -> Value:
        """Write the sums of a panel, and return the address of the weights of the next one."""
        code, stride = self.code, lanes(columns)
        if columns == 1:
            after, sums = self._dots(weights)
            self._store(sums, first, 1)
            return after
        after = weights
        for start in range(0, columns, code.width):  # 8 columns of float64, or 16 of float32
            end, sums = self._products(code.offset(weights, start), min(stride, code.width), stride)
            after = code.offset(end, -start)
            stored = min(columns - start, code.width)
            self._store([self._narrow(value, stored) for value in sums], code.add_int(first, start), stored)
        return after

    def _store(self, sums: Sequence[Value], first: Value, columns: int) -> None:
        """Write or add sums to columns of the output, from `first`."""
        code = self.code
        places = [code.offset(self._pointer(self.outputs, I64(r)), first) for r in range(self.height)]
        with code.build.if_else(code.build.icmp_signed("!=", self.add, I64(0))) as (add, overwrite):
            with add:
                for r, (value, place) in enumerate(zip(sums, places, strict=True)):
                    initial = code.offset(self._pointer(self.initials, I64(r)), first)
                    code.store(code.build.fadd(value, code.load(initial, columns)), place, columns)
            with overwrite:
                for value, place in zip(sums, places, strict=True):
                    code.store(value, place, columns)

    def _products(self, weights: Value, width: int, stride: int) -> tuple[Value, list[Value]]:
        """Write the sums for `width` columns side by side, with every number of a row in all lanes."""
        code = self.code
        carried = [weights, *[code.constant(0.0, width)] * self.height]

        def add(rows: list[Value], k: Value, unroll: int) -> None:
            weights = carried[0]
            for u in range(unroll):
                weight = code.load(code.offset(weights, u * stride), width)
                prefetch(code, code.offset(weights, u * stride + AHEAD // code.size))
                for r, row in enumerate(rows, start=1):
                    x = code.broadcast(code.offset(code.offset(row, k), u), width)
                    carried[r] = code.fma(carried[r], x, weight)
            carried[0] = code.offset(weights, unroll * stride)

        with code.loop_carrying(carried, I64(0), self.n_terms) as t:
            rows, length = self._term(t)
            with code.loop_carrying(carried, I64(0), code.add_int(length, 1 - UNROLL), UNROLL) as k:
                add(rows, k, UNROLL)
            with code.loop_carrying(carried, k, length) as k:
                add(rows, k, 1)
        return carried[0], carried[1:]

    def _dots(self, weights: Value) -> tuple[Value, list[Value]]:
        """Write the sums for one column, with several numbers of a row side by side."""
        code, height = self.code, self.height
        carried = [weights, *(code.constant(0.0, width) for width in (code.width, 1) for _ in range(height))]

        def add(sums: list[Value], rows: list[Value], k: Value, width: int) -> None:
            weight = code.load(sums[0], width)
            for r, row in enumerate(rows, start=1):
                sums[r] = code.fma(sums[r], code.load(code.offset(row, k), width), weight)
            sums[0] = code.offset(sums[0], width)

        with code.loop_carrying(carried, I64(0), self.n_terms) as t:
            rows, length = self._term(t)
            wide, single = carried[: height + 1], carried[height:]
            with code.loop_carrying(wide, I64(0), code.add_int(length, 1 - code.width), code.width) as k:
                add(wide, rows, k, code.width)
            single[0] = wide[0]
            with code.loop_carrying(single, k, length) as k:
                add(single, rows, k, 1)
            carried[:] = [single[0], *wide[1:], *single[1:]]
        totals = zip(carried[1 : height + 1], carried[height + 1 :], strict=True)
        return carried[0], [code.build.fadd(code.sum_of(w, code.width), s) for w, s in totals]

    def _term(self, t: Value) -> tuple[list[Value], Value]:
        """Rows of a term, and their length."""
        position = self.code.build.mul(t, I64(TILE_ROWS))
        rows = [self._pointer(self.rows, self.code.add_int(position, r)) for r in range(self.height)]
        return rows, self.code.load_int(self.lengths, t)

    def _narrow(self, value: Value, columns: int) -> Value:
        """The first lanes of a value."""
        if columns == value.type.count:
            return value
        if columns == 1:
            return self.code.build.extract_element(value, I32(0))
        mask = ir.Constant(ir.VectorType(I32, columns), list(range(columns)))
        return self.code.build.shuffle_vector(value, value, mask)

    def _pointer(self, addresses: Value, index: Value) -> Value:
        return self.code.build.inttoptr(self.code.load_int(addresses, index), self.code.real.as_pointer())


def prefetch(code: VectorCode, pointer: Value) -> None:
    """Prefetch the cache line at an address, valid or not, into the first-level cache."""
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, I32, I32, I32])
    function = code.build.module.declare_intrinsic("llvm.prefetch", [byte], kind)
    reading, first_cache, data = I32(0), I32(3), I32(1)
    code.build.call(function, [code.build.bitcast(pointer, byte), reading, first_cache, data])
