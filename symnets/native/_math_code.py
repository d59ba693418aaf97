"""Machine code of elementary functions of vectors: exp, tanh, silu and others, with their derivatives.

The functions append to an `IRBuilder` the code for a number or a vector of float32 or float64, of any number
of lanes. The error of exp is one unit in the last place, that of the others three, and that of derivatives
five. Infinite arguments give the limits, and NaN gives NaN.
"""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import torch
from llvmlite import ir
from torch import nn

from symnets.native._operation import CannotLower
from symnets.ops import F64, I32, I64, Value

_CONTRACT = ("contract",)


class _Format(NamedTuple):
    """Floating-point format, with the constants of its exponential function."""

    integer: ir.IntType
    """Integers of the same size."""
    mantissa: int
    """Bits of the mantissa that are stored."""
    bias: int
    """Bias of the exponent."""
    split: int
    """Bits of the first part of ln 2: n times it is exact for all exponents n that occur."""
    degree: int
    """Degree of the polynomial for exp on |r| <= ln(2) / 2."""
    lowest: float
    """exp is 0 here and below."""
    highest: float
    """exp is infinite here and above."""


_FLOAT32 = _Format(I32, 23, 127, 14, 7, -104.0, 89.0)
_FLOAT64 = _Format(I64, 52, 1023, 40, 13, -746.0, 710.0)


class Function(NamedTuple):
    """Value and derivative of a function at one argument."""

    value: Value
    derivative: Value


class Exponential(NamedTuple):
    """exp(x) and exp(x) - 1 at one argument x."""

    exp: Value
    expm1: Value
    """exp(x) - 1 without cancellation; for x <= 0 only."""


def exponential(build: ir.IRBuilder, x: Value) -> Exponential:
    """exp(x) = 2^n exp(r) with n = round(x / ln 2) and a polynomial of r."""
    form = _format(x)
    integers = form.integer
    if isinstance(x.type, ir.VectorType):
        integers = ir.VectorType(integers, x.type.count)
    x = clamp(build, x, form.lowest, form.highest)
    # The sum with this number is rounded to an integer, whose bits are the lowest of the mantissa.
    shift = 1.5 * 2.0**form.mantissa
    shift_bits = ((form.mantissa + form.bias) << form.mantissa) + (1 << (form.mantissa - 1))
    shifted = _fma(build, x, _like(x, 1 / math.log(2)), _like(x, shift))
    n = build.fsub(shifted, _like(x, shift))
    high = round(math.log(2) * 2.0**form.split) / 2.0**form.split
    low = float(Decimal(2).ln() - Decimal(high))
    r = _fma(build, n, _like(x, -low), _fma(build, n, _like(x, -high), x))
    q = _like(x, 1 / math.factorial(form.degree))
    for k in range(form.degree - 1, 1, -1):
        q = _fma(build, q, r, _like(x, 1 / math.factorial(k)))
    p = _fma(build, _mul(build, r, r), q, r)  # exp(r) - 1
    # 2^n is the product of two powers: it may be too large or too small to be a number itself.
    exponent = build.sub(build.bitcast(shifted, integers), _constant(integers, shift_bits))
    half = build.ashr(exponent, _constant(integers, 1))
    first, second = (
        build.bitcast(
            build.shl(build.add(k, _constant(integers, form.bias)), _constant(integers, form.mantissa)),
            x.type,
        )
        for k in (half, build.sub(exponent, half))
    )
    exp = _mul(build, _mul(build, build.fadd(p, _like(x, 1.0)), first), second)
    power = build.fmul(first, second)
    return Exponential(exp, _fma(build, p, power, build.fsub(power, _like(x, 1.0))))


def sigmoid(build: ir.IRBuilder, x: Value) -> Function:
    """1 / (1 + exp(-x))."""
    negative, e, large = _decay(build, x)
    small = _mul(build, e, large)
    return Function(build.select(negative, small, large), _mul(build, small, large))


def silu(build: ir.IRBuilder, x: Value) -> Function:
    """x / (1 + exp(-x))."""
    form = _format(x)
    negative, e, large = _decay(build, x)
    small = _mul(build, e, large)
    x = clamp(build, x, form.lowest, math.inf)  # silu(-inf) = 0
    value = build.fdiv(build.select(negative, _mul(build, x, e), x), build.fadd(e, _like(x, 1.0)))
    inside = clamp(build, x, -math.inf, -form.lowest)
    derivative = _fma(build, inside, _mul(build, small, large), build.select(negative, small, large))
    return Function(value, derivative)


def tanh(build: ir.IRBuilder, x: Value) -> Function:
    """Hyperbolic tangent, -m / (2 + m) with m = exp(-2 |x|) - 1 for x > 0."""
    size, negative = _absolute(build, x)
    e = exponential(build, _mul(build, size, _like(x, -2.0)))
    below = build.fadd(e.expm1, _like(x, 2.0))
    minus = build.fdiv(e.expm1, below)
    value = build.select(negative, minus, build.fneg(minus))
    slope = build.fdiv(_mul(build, e.exp, _like(x, 4.0)), _mul(build, below, below))
    return Function(value, slope)


Activation = Callable[[ir.IRBuilder, Value], Function]
ACTIVATIONS: dict[str, Activation] = {"silu": silu, "tanh": tanh, "sigmoid": sigmoid}
"""Machine code of activation functions by name."""
_NAMES: dict[Any, str] = {
    nn.functional.silu: "silu",
    torch.tanh: "tanh",
    nn.functional.tanh: "tanh",
    torch.sigmoid: "sigmoid",
    nn.functional.sigmoid: "sigmoid",
}


def activation_name(function: Callable[[torch.Tensor], torch.Tensor]) -> str:
    """Name of an activation function of torch in `ACTIVATIONS`.

    Raises:
        CannotLower: it has no machine code.
    """
    if function not in _NAMES:
        raise CannotLower(f"the activation {getattr(function, '__name__', function)} has no native code")
    return _NAMES[function]


def square_root(build: ir.IRBuilder, x: Value) -> Value:
    """Square root."""
    if not isinstance(x.type, ir.VectorType):
        return build.call(build.module.declare_intrinsic("llvm.sqrt", [x.type]), [x])
    name = f"llvm.sqrt.v{x.type.count}{x.type.element.intrinsic_name}"
    kind = ir.FunctionType(x.type, [x.type])
    function = build.module.globals.get(name) or ir.Function(build.module, kind, name)
    return build.call(function, [x])


def clamp(build: ir.IRBuilder, x: Value, low: float, high: float) -> Value:
    """The number of [low, high] that is closest to x; NaN stays NaN."""
    for bound, compare in ((low, "<"), (high, ">")):
        if math.isfinite(bound):
            x = build.select(build.fcmp_ordered(compare, x, _like(x, bound)), _like(x, bound), x)
    return x


def _decay(build: ir.IRBuilder, x: Value) -> tuple[Value, Value, Value]:
    """Whether x < 0, e = exp(-|x|), and 1 / (1 + e)."""
    size, negative = _absolute(build, x)
    e = exponential(build, build.fneg(size)).exp
    return negative, e, build.fdiv(_like(x, 1.0), build.fadd(e, _like(x, 1.0)))


def _absolute(build: ir.IRBuilder, x: Value) -> tuple[Value, Value]:
    """|x|, and whether x < 0."""
    negative = build.fcmp_ordered("<", x, _like(x, 0.0))
    return build.select(negative, build.fneg(x), x), negative


def _format(x: Value) -> _Format:
    element = x.type.element if isinstance(x.type, ir.VectorType) else x.type
    return _FLOAT64 if element == F64 else _FLOAT32


def _like(x: Value, number: float) -> Value:
    """A constant of the type of x."""
    return _constant(x.type, number)


def _constant(kind: ir.Type, number: float) -> Value:
    if isinstance(kind, ir.VectorType):
        return ir.Constant(kind, [number] * kind.count)
    return ir.Constant(kind, number)


def _mul(build: ir.IRBuilder, a: Value, b: Value) -> Value:
    return build.fmul(a, b, flags=_CONTRACT)  # pyright: ignore[reportCallIssue]


def _fma(build: ir.IRBuilder, a: Value, b: Value, c: Value) -> Value:
    return build.fadd(_mul(build, a, b), c, flags=_CONTRACT)  # pyright: ignore[reportCallIssue]
