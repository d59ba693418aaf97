"""Fast linear interpolation at displaced pixels on the CPU: bilinear in images, trilinear in volumes.

A compiler turns the plain loop into gathers of single numbers, which is no faster than `grid_sample`. But two
neighbours along a row are adjacent in memory: one vector load reads both, and shuffles then separate the left
from the right ones, for four results at a time. Numba's Python subset cannot express this, so the inner loop
is written in LLVM's intermediate representation.
"""

import math
from functools import lru_cache, partial
from itertools import product
from typing import Any

import numba
import numpy as np
from jaxtyping import Float
from llvmlite import ir
from numba import types
from numba.core.cgutils import unpack_tuple
from numba.extending import intrinsic
from torch import Tensor

from symnets.threads import run

LANES = 4
"""Results computed at a time: four pairs fill a vector register without moves between its halves."""


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

    The 2^dim corners are the sums of subsets of the strides; the weight of an axis is w for corners that
    include its stride, else 1 - w. A corner of weight 1 is returned unchanged to the last bit. Bounds are not
    checked.

    Args:
        typingctx: numba's typing context.
        target: results, one axis.
        to: index in `target` of the first result of the row.
        images: pixels, one axis.
        origin: index in `images` of the first pixel of the image.
        at: offset from `origin` of the first corner of each result of the row, (columns,), uint32.
        weights: w, (dim, columns).
        strides: distance in memory between neighbouring pixels along each axis; the last is 1.
        j: index in the row of the first of the four results.
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
            loaded = builder.load(address(base, offset, kind))
            loaded.align = images.dtype.bitwidth // 8  # aligned like a number, not like a register
            return loaded

        def pick(a: Any, b: Any, places: Any) -> Any:
            mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places))
            return builder.shuffle_vector(a, b, mask)

        def between(a: Any, b: Any, w: Any) -> Any:
            # Not a + w (b - a), which for w = 1 is not exactly b.
            first = builder.fmul(a, builder.fsub(ones, w), flags=("contract",))
            return builder.fadd(first, builder.fmul(b, w, flags=("contract",)), flags=("contract",))

        target, pixels, at, shares = array(0).data, array(2).data, array(4).data, array(5)
        to, origin, j = args[1], builder.gep(pixels, [args[3]]), args[7]
        columns, steps = unpack_tuple(builder, shares.shape, 2)[1], unpack_tuple(builder, args[6], dim)
        rows = [builder.mul(columns, columns.type(axis)) for axis in range(dim)]
        w = [load(shares.data, builder.add(row, j), lanes) for row in rows]
        corners = [builder.gep(at, [builder.add(j, j.type(n))]) for n in range(LANES)]
        places = [builder.gep(origin, [builder.zext(builder.load(c), j.type)]) for c in corners]
        values = []
        for corner in product((0, 1), repeat=dim - 1):
            step = columns.type(0)
            for upper, stride in zip(corner, steps, strict=False):
                step = builder.add(step, stride) if upper else step
            pairs = [load(place, step, pair) for place in places]
            low, high = pick(pairs[0], pairs[1], range(4)), pick(pairs[2], pairs[3], range(4))
            values.append(between(pick(low, high, (0, 2, 4, 6)), pick(low, high, (1, 3, 5, 7)), w[-1]))
        for axis in reversed(range(dim - 1)):
            values = [between(a, b, w[axis]) for a, b in zip(values[::2], values[1::2], strict=True)]
        builder.store(values[0], address(target, builder.add(to, j), lanes)).align = (
            images.dtype.bitwidth // 8
        )
        return context.get_dummy_value()

    return signature, write


LINE = 512
"""Largest number of pixels processed at a time (unless a row has more), so that they stay in the cache."""


def resample_linear(
    images: Float[Tensor, "n channels *shape"], planes: Float[Tensor, "m dim *shape"]
) -> Float[Tensor, "k channels *shape"]:
    """Images at displaced points, x(s - u(s)) as in `resample`, without derivatives.

    Where u = 0, pixels are returned unchanged to the last bit; source coordinates are as exact as u. If a
    component of u is NaN, the source is on the border. The result does not depend on the number of threads.

    Args:
        images: n images or volumes, float32 or float64, on the CPU, with at least two pixels along each axis.
        planes: components of u, of the same dtype; m = n, or one of the two is 1.

    Raises:
        ValueError: images of fewer than two pixels along an axis or of 2³¹ pixels or more, or planes of
            another shape or dtype.
    """
    shape, channels = tuple(images.shape[2:]), images.shape[1]
    n = max(len(images), len(planes))
    if planes.shape[1:] != (len(shape), *shape) or {len(images), len(planes)} - {1, n}:
        raise ValueError(
            f"planes: expected one displacement component for each axis of images {tuple(images.shape)}, and "
            f"as many fields as images, or one; got shape {tuple(planes.shape)}"
        )
    if min(shape) < 2 or math.prod(shape) >= 2**31 or images.dtype != planes.dtype:
        raise ValueError(
            f"images: expected axes of 2 pixels or more and the dtype of planes, {planes.dtype}, got {shape} "
            f"and {images.dtype}"
        )
    target = images.new_empty(n, channels, *shape)
    array = target.numpy()
    within, starts = lines(shape, array.dtype)
    arguments = (
        array.reshape(n, channels, starts.shape[1], within.shape[1]),
        images.detach().contiguous().numpy().reshape(-1),
        planes.detach().contiguous().numpy().reshape(-1),
        shape,
        tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape))),
        within,
        starts,
        (len(images) == 1, len(planes) == 1),
    )
    work = within.shape[1] * (channels + 1) * 2 ** len(shape)
    run(partial(interpolate, *arguments), np.arange(n * starts.shape[1] + 1) * work)
    return target


@lru_cache(maxsize=64)
def lines(shape: tuple[int, ...], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Partition of an image into lines of equal length, each of one or several rows.

    A line has several rows where single rows are too short for the vector loop.

    Returns:
        Coordinates of the pixels of the first line, (dim, pixels of a line), and the offset of each line from
        the first, (dim, lines).
    """
    rows, columns = shape[-2:]
    per_line = max(n for n in range(1, rows + 1) if rows % n == 0 and (n == 1 or n * columns <= LINE))
    # At least as many pixels as are interpolated at a time.
    per_line = rows if per_line * columns < LANES else per_line
    coordinates = np.indices(shape, dtype=dtype).reshape(len(shape), -1, per_line * columns)
    return np.ascontiguousarray(coordinates[:, 0]), np.ascontiguousarray(coordinates[:, :, 0])


# Not the full "fastmath", which would assume that there is no NaN; the comparisons below must handle NaN.
@numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy", cache=True)
def interpolate(target, images, planes, sizes, strides, within, starts, shared, low, high):
    """Interpolates lines low, ..., high - 1, counted over all images, in all channels.

    Args:
        target: results, (n, channels, lines, pixels of a line).
        images: pixels of all images, flattened.
        planes: u of all fields, flattened.
        sizes: pixels along each axis.
        strides: distance in memory between neighbouring pixels along each axis.
        within: coordinates in the first line, see `lines`.
        starts: offset of each line from the first.
        shared: whether there is a single image, and whether there is a single field.
        low: first line.
        high: one past the last line.
    """
    channels, n_lines, length, dim = target.shape[1], target.shape[2], target.shape[3], len(sizes)
    number, flat = planes.dtype.type, target.reshape(-1)
    at, weights = np.empty(length, np.uint32), np.empty((dim, length), planes.dtype)
    n, line = low // n_lines, low % n_lines
    for _ in range(low, high):
        for axis in range(dim):
            start, size, last = starts[axis, line], number(sizes[axis]), number(sizes[axis] - 2)
            stride = np.int32(strides[axis])
            u = numba.uint64((((0 if shared[1] else n) * dim + axis) * n_lines + line) * length)
            for j in range(numba.uint64(length)):
                # Limited to the size of the image. Comparisons with NaN are false: NaN gives the border.
                step = -planes[u + j]
                step = step if step > -size else -size
                step = step if step < size else size
                whole = np.floor(step)
                part, place = step - whole, start + within[axis, j] + whole
                part = part if place >= 0 else number(0)
                place = place if place >= 0 else number(0)
                part = part if place <= last else number(1)
                place = place if place <= last else last
                weights[axis, j] = part
                at[j] = np.int32(place) * stride + (np.int32(at[j]) if axis > 0 else np.int32(0))
        for channel in range(channels):
            image = ((0 if shared[0] else n) * channels + channel) * n_lines * length
            to = ((n * channels + channel) * n_lines + line) * length
            for j in range(0, length, LANES):
                # The last four results may overlap with those before them.
                blend(flat, to, images, image, at, weights, strides, min(j, length - LANES))  # pyright: ignore
        line += 1
        if line == n_lines:
            n, line = n + 1, 0
