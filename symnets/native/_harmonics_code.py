"""Machine code for real spherical harmonics and for derivatives with respect to the vector."""

import math
from collections.abc import Callable, Sequence

from symnets.ops import Value, VectorCode


def harmonics(
    code: VectorCode, vector: Sequence[Value], lmax: int, lanes: int, *, unit: bool
) -> list[list[Value]]:
    """Solid harmonics r^l Y_lm of a vector, in e3nn's order and normalisation 'component'.

    With w = z + i x, the harmonics of degree l are

        N_lm Q_lm Re w^m (m >= 0),   N_lm Q_lm Im w^m (negative order -m),
        (l - m) Q_lm = (2l - 1) y Q_(l-1)m - (l + m - 1) r² Q_(l-2)m,   Q_mm = (2m - 1)!!,
        N_lm² = (2l + 1) (2 if m else 1) (l - m)! / (l + m)!.

    Args:
        code: where the code is written.
        vector: x, y, z.
        lmax: highest degree.
        lanes: number of vectors.
        unit: whether the vectors have length 1.

    Returns:
        for each degree l, its 2l + 1 harmonics.
    """
    b, (x, y, z) = code.build, vector
    squared = None if unit else code.fma(code.fma(code.mul(x, x), y, y), z, z)
    result: list[list[Value]] = [[None] * (2 * degree + 1) for degree in range(lmax + 1)]
    real: Value = None
    imaginary: Value = None
    for m in range(lmax + 1):
        if m == 1:
            real, imaginary = z, x
        elif m > 1:
            real, imaginary = (
                code.fma(code.mul(real, z), b.fneg(imaginary), x),
                code.fma(code.mul(imaginary, z), real, x),
            )
        q = [code.constant(_norm(m, m) * math.prod(range(1, 2 * m, 2)), lanes)]
        for degree in range(m + 1, lmax + 1):
            factor = (2 * degree - 1) / (degree - m) * _norm(degree, m) / _norm(degree - 1, m)
            value = code.mul(code.mul(code.constant(factor, lanes), y), q[-1])
            if degree > m + 1:
                factor = (degree + m - 1) / (degree - m) * _norm(degree, m) / _norm(degree - 2, m)
                before = code.mul(code.constant(-factor, lanes), q[-2])
                value = b.fadd(value, before) if squared is None else code.fma(value, before, squared)
            q.append(value)
        for degree, value in enumerate(q, start=m):
            result[degree][degree + m] = value if m == 0 else code.mul(value, real)
            if m:
                result[degree][degree - m] = code.mul(value, imaginary)
    return result


def gradient(
    code: VectorCode,
    lower: Sequence[Sequence[Value]],
    cotangent: Callable[[int, int], Value],
    lmax: int,
    lanes: int,
) -> list[Value]:
    """Σ_lm g_lm ∇(r^l Y_lm), the sum over all degrees from 1 to lmax: three values.

    Derivatives of solid harmonics are solid harmonics of one degree less.

    Args:
        code: where the code is written.
        lower: the harmonics up to degree lmax - 1, see `harmonics`.
        cotangent: (degree, position in the degree) -> g.
        lmax: highest degree, at least 1.
        lanes: number of vectors.
    """
    totals: list[Value] = [None, None, None]
    for degree in range(1, lmax + 1):
        for axis, position, sources in _derivatives(degree):
            factor: Value = None
            for source, coefficient in sources:
                factor = code.fma(factor, code.constant(coefficient, lanes), cotangent(degree, source))
            if degree == 1:  # the harmonic of degree 0 is 1
                totals[axis] = factor
            else:
                totals[axis] = code.fma(totals[axis], factor, lower[degree - 1][position])
    return totals


def _derivatives(degree: int) -> list[tuple[int, int, list[tuple[int, float]]]]:
    """(axis, position in degree - 1, [(position in degree, coefficient)]) of the non-zero derivatives."""
    sources: dict[tuple[int, int], list[tuple[int, float]]] = {}

    def add(axis: int, target: int, source: int, coefficient: float) -> None:
        """Orders are negative for imaginary parts."""
        if abs(target) < degree and coefficient:
            coefficient *= _norm(degree, abs(source)) / _norm(degree - 1, abs(target))
            sources.setdefault((axis, target + degree - 1), []).append((source + degree, coefficient))

    x, y, z = range(3)
    add(y, 0, 0, degree)
    add(z, 1, 0, -1)
    add(x, -1, 0, -1)
    for m in range(1, degree + 1):
        half = (degree + m) * (degree + m - 1) / 2
        for sign in (1, -1):
            add(y, sign * m, sign * m, degree + m)
            add(z, sign * (m + 1), sign * m, -0.5)
            add(x, -sign * (m + 1), sign * m, -0.5 * sign)
            if m > 1 or sign == 1:  # the harmonic of order 0 has no imaginary part
                add(z, sign * (m - 1), sign * m, half)
            if m > 1 or sign == -1:
                add(x, -sign * (m - 1), sign * m, -sign * half)
    return [(axis, position, terms) for (axis, position), terms in sources.items()]


def _norm(degree: int, m: int) -> float:
    """N_lm of `harmonics`."""
    ratio = math.factorial(degree - m) / math.factorial(degree + m)
    return math.sqrt((2 * degree + 1) * (2 if m else 1) * ratio)
