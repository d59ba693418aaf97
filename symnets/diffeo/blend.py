"""Interpolation between neighbouring pixels, four results at a time, in machine code.

What a compiler makes of the plain loop is gathers of single numbers, no faster than `grid_sample`. But two
neighbours along a row lie together in memory: one load brings both, and shuffles then sort the left ones and
the right ones. No language that numba reads can say so, except LLVM's own.
"""

from itertools import product
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.cgutils import unpack_tuple
from numba.extending import intrinsic

LANES = 4
"""Results at a time: pairs for four fill a register without moves between its halves."""


@intrinsic
def blend(
    typingctx: Any,
    target: Any,
    to: Any,
    images: Any,
    origin: Any,
    at: Any,
    weights: Any,
    strides: Any,
    j: Any,
) -> Any:
    """target[to + j + l] = Σ_corners Π_axes (1 - w or w) images[origin + at[j + l] + corner], l = 0, ..., 3.

    Corners are the sums of some of the strides, w the weights of those with an axis' stride. A corner of
    weight 1 comes out bit for bit. Nothing is checked.

    Args:
        typingctx: numba's.
        target: where results go, one axis.
        to: where a row of results starts there.
        images: pixels, one axis.
        origin: where the first pixel is.
        at: from there, the first corner of each result of the row, (columns,), uint32.
        weights: (dim, columns).
        strides: steps between the pixels of each axis, dim integers of which the last is 1.
        j: first of the four results in the row.
    """
    signature = types.void(target, to, images, origin, at, weights, strides, j)
    dim = len(strides)

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number = context.get_value_type(images.dtype)
        lanes, pair = ir.VectorType(number, LANES), ir.VectorType(number, 2)
        ones = ir.Constant(lanes, [1.0] * LANES)

        def array(n: int) -> Any:
            return context.make_array(signature.args[n])(context, builder, args[n])

        def address(base: Any, offset: Any, kind: Any) -> Any:
            return builder.bitcast(builder.gep(base, [offset]), kind.as_pointer())

        def load(base: Any, offset: Any, kind: Any) -> Any:
            found = builder.load(address(base, offset, kind))
            found.align = images.dtype.bitwidth // 8  # a number's, not a register's
            return found

        def pick(a: Any, b: Any, places: Any) -> Any:
            mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places))
            return builder.shuffle_vector(a, b, mask)

        def between(a: Any, b: Any, w: Any) -> Any:
            # Not a + w (b - a), which for w = 1 is not b.
            first = builder.fmul(a, builder.fsub(ones, w), flags=("contract",))
            return builder.fadd(first, builder.fmul(b, w, flags=("contract",)), flags=("contract",))

        target, pixels, at, shares = array(0).data, array(2).data, array(4).data, array(5)
        to, origin, j = args[1], builder.gep(pixels, [args[3]]), args[7]
        columns, steps = unpack_tuple(builder, shares.shape, 2)[1], unpack_tuple(builder, args[6], dim)
        rows = [builder.mul(columns, columns.type(axis)) for axis in range(dim)]
        w = [load(shares.data, builder.add(row, j), lanes) for row in rows]
        corners = [builder.gep(at, [builder.add(j, j.type(n))]) for n in range(LANES)]
        places = [builder.gep(origin, [builder.zext(builder.load(c), j.type)]) for c in corners]
        found = []
        for corner in product((0, 1), repeat=dim - 1):
            step = columns.type(0)
            for there, stride in zip(corner, steps, strict=False):
                step = builder.add(step, stride) if there else step
            pairs = [load(place, step, pair) for place in places]
            low, high = pick(pairs[0], pairs[1], range(4)), pick(pairs[2], pairs[3], range(4))
            found.append(between(pick(low, high, (0, 2, 4, 6)), pick(low, high, (1, 3, 5, 7)), w[-1]))
        for axis in reversed(range(dim - 1)):
            found = [between(a, b, w[axis]) for a, b in zip(found[::2], found[1::2], strict=True)]
        builder.store(found[0], address(target, builder.add(to, j), lanes)).align = images.dtype.bitwidth // 8
        return context.get_dummy_value()

    return signature, write
