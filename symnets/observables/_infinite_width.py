"""Kernels of fully connected nets of infinite width: covariance of outputs and tangent kernel."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import roots_hermitenorm
from torch import Tensor

from symnets.models import Dense

N_NODES = 512
"""Number of nodes of Gauss-Hermite quadrature; half as many Hermite polynomials are used."""
TRUNCATION = 1e-13
"""Largest fraction of E φ(u)² in the polynomials that a series leaves out."""
_BLOCK = 2**17  # entries computed at once: as many as fit into the caches


@dataclass(frozen=True)
class InfiniteWidth:
    """Kernels of a fully connected net as its width goes to infinity.

    Attributes:
        nngp: Σ, covariance of the outputs f(x) and f(x') over initial weights.
        ntk: Θ, the tangent kernel, which is the same for all initial weights and constant during training.
    """

    nngp: Float[Tensor, "n m"]
    ntk: Float[Tensor, "n m"]


def infinite_width(
    depth: int,
    activation: str,
    x1: Float[Tensor, "n d"],
    x2: Float[Tensor, "m d"] | None = None,
    *,
    bias: bool = False,
) -> InfiniteWidth:
    """Covariance of outputs and tangent kernel of fully connected nets of infinite width.

    The tangent kernel is the limit of `tangent_kernel` for `Dense(d, width, depth, activation=...,
    parametrization="ntk", bias=...)`: an activation function φ normalised to E φ(z)² = 1 for z ~ N(0, 1),
    standard normal initial weights, and initial biases zero. With [bias] = 1 for layers with biases and 0
    without,

        Σ_1 = x · x'/d,                    Θ_1 = Σ_1 + [bias],
        Σ_(l+1) = E φ(u) φ(v),             (u, v) Gaussian with the covariance Σ_l of x and x',
        Θ_(l+1) = Σ_(l+1) + [bias] + Θ_l E φ'(u) φ'(v),

    and Σ = Σ_(L+1), Θ = Θ_(L+1) with L = `depth` hidden layers (Jacot, Gabriel, Hongler 2018,
    arXiv:1806.07572). For |x|² = d, Σ(x, x) = 1, and Θ(x, x) = L + 1 for ReLU without biases. The
    parametrisation "mean_field" divides Θ by the width.

    Expectations are closed forms for "relu" (Cho and Saul 2009), "erf" (Williams 1997) and "linear". For
    other activations they are series in normalised Hermite polynomials h_k (Mehler's formula),

        E φ(u) φ(v) = Σ_k a_k(q) a_k(q') c^k,   a_k(q) = E φ(√q z) h_k(z),   z ~ N(0, 1),

    with q, q' the variances and c the correlation of u and v, and coefficients by Gauss-Hermite quadrature.
    An entry costs one product for each term, instead of a double sum over nodes. tanh, swish and gelu need 30
    to 80 terms at q = 1, where the error is below 1e-10, and more at larger q; 256 terms are the limit, with
    an error of 2e-5 for tanh at q = 9, c = -1. For x2=None the diagonal has c = 1 exactly. Elsewhere arccos
    of a rounded c near 1 limits the accuracy for ReLU to about 1e-8.

    Args:
        depth: L, number of hidden layers.
        activation: name, as for `Dense`.
        x1: inputs, on any device. Kernels are computed in float64, in blocks of rows, and returned in the
            dtype of x1.
        x2: other inputs; x1 by default, in which case one half of the kernel is computed and mirrored.
        bias: whether the layers have biases.

    Raises:
        ValueError: a depth below 1, an unknown activation, or inputs of other shapes.

    Example:
        >>> x = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
        >>> infinite_width(1, "relu", x).ntk
        tensor([[2.0000, 0.3183],
                [0.3183, 2.0000]], dtype=torch.float64)
    """
    if depth < 1:
        raise ValueError(f"depth: expected at least 1 hidden layer, got {depth}")
    other = x1 if x2 is None else x2
    if x1.ndim != 2 or other.ndim != 2 or x1.shape[1] != other.shape[1] or not x1.shape[1]:
        raise ValueError(
            f"x1, x2: expected inputs (n, d) and (m, d), got {tuple(x1.shape)} and {tuple(other.shape)}; "
            "flatten images first"
        )
    layer = _layer(activation)
    a, b = x1.detach().double(), other.detach().double()
    rows = _moments(a, depth, layer)
    columns = rows if x2 is None else _moments(b, depth, layer)
    nngp, ntk = (x1.new_empty(len(a), len(b)) for _ in range(2))
    size = max(1, _BLOCK // max(1, len(b)))
    for start in range(0, len(a), size):
        mine = slice(start, start + size)
        # For a symmetric kernel, only columns up to the last row of the block are computed.
        left = slice(0, start + size) if x2 is None else slice(None)
        sigma = a[mine] @ b[left].T / a.shape[1]
        theta = sigma + 1 if bias else sigma
        for u, v in zip(_part(rows, mine), _part(columns, left), strict=True):
            scale = (u.q[:, None] * v.q).sqrt()
            c = (sigma / scale).nan_to_num(0.0).clamp_(-1, 1)
            sigma, slope = layer.pair(u, v, c)
            if x2 is None:
                here = torch.arange(len(c), device=c.device)
                sigma[here, here + start] = u.second_moment
                slope[here, here + start] = u.slope_moment
            theta = theta * slope + sigma
            if bias:
                theta += 1
        nngp[mine, left], ntk[mine, left] = sigma.to(nngp.dtype), theta.to(ntk.dtype)
        if x2 is None:
            for kernel in (nngp, ntk):
                kernel[:start, mine] = kernel[mine, :start].T
                corner = kernel[mine, mine]
                corner.copy_(corner.tril() + corner.tril(-1).T)
    return InfiniteWidth(nngp, ntk)


@dataclass(frozen=True)
class _Moments:
    """Variance of the preactivation, and expectations of φ and φ', for each pattern of a layer.

    Attributes:
        q: variance of the preactivation.
        second_moment: E φ(u)², the variance of the next layer.
        slope_moment: E φ'(u)².
        coefficients: a_k(q), (terms, n); None where closed forms are known.
        slope_coefficients: the same for φ'.
    """

    q: Float[Tensor, " n"]
    second_moment: Float[Tensor, " n"]
    slope_moment: Float[Tensor, " n"]
    coefficients: Float[Tensor, "terms n"] | None = None
    slope_coefficients: Float[Tensor, "terms n"] | None = None


@dataclass(frozen=True)
class _Layer:
    """Expectations of an activation function: `single` for each pattern, from q, and `pair` for pairs.

    `pair` takes the moments of both patterns and the correlations c, and returns E φφ and E φ'φ'.
    """

    single: Callable[[Tensor], _Moments]
    pair: Callable[[_Moments, _Moments, Tensor], tuple[Tensor, Tensor]]


def _moments(x: Tensor, depth: int, layer: _Layer) -> list[_Moments]:
    """The moments of each layer."""
    found, q = [], x.square().mean(1)
    for _ in range(depth):
        found.append(layer.single(q))
        q = found[-1].second_moment
    return found


def _part(moments: list[_Moments], patterns: slice) -> list[_Moments]:
    """Moments of some patterns."""
    columns: Iterator[dict[str, Any]] = (
        {name: v if v is None else v[..., patterns] for name, v in vars(each).items()} for each in moments
    )
    return [_Moments(**each) for each in columns]


def _layer(activation: str) -> _Layer:
    """Expectations of an activation by its name, closed forms where they are known."""
    if activation == "relu":
        return _Layer(lambda q: _Moments(q, q, (q > 0).to(q.dtype)), _relu)
    if activation == "linear":
        return _Layer(
            lambda q: _Moments(q, q, torch.ones_like(q)),
            lambda u, v, c: ((u.q[:, None] * v.q).sqrt() * c, torch.ones_like(c)),
        )
    if activation == "erf":
        return _Layer(_erf_moments, _erf)
    return quadrature(activation)


def _relu(u: _Moments, v: _Moments, c: Tensor) -> tuple[Tensor, Tensor]:
    """Expectations E φφ and E φ'φ' of φ = √2 max(0, z): (sin θ + (π - θ) c)/π and (π - θ)/π, c = cos θ.

    The slope at z = 0 is 0, as in torch.
    """
    angle = torch.arccos(c)
    slope = 1 - angle / math.pi
    value = (1 - c * c).clamp_min_(0).sqrt_().div_(math.pi).addcmul_(slope, c)
    value *= u.q[:, None].sqrt() * v.q.sqrt()
    slope *= (u.q[:, None] > 0) * (v.q > 0).to(c.dtype)
    return value, slope


def _erf_moments(q: Tensor) -> _Moments:
    square = _erf_norm() ** 2
    wide = 1 + 2 * q
    return _Moments(
        q,
        square * 2 / math.pi * torch.arcsin(2 * q / wide),
        square * 4 / math.pi / (wide * wide - 4 * q * q).sqrt(),
    )


def _erf(u: _Moments, v: _Moments, c: Tensor) -> tuple[Tensor, Tensor]:
    """Expectations E φφ and E φ'φ' of φ = erf(z), normalised to unit second moment:

    (2/π) arcsin(2 Σ/√((1 + 2q)(1 + 2q'))),   (4/π)/√((1 + 2q)(1 + 2q') - 4 Σ²),   times norm².
    """
    square = _erf_norm() ** 2
    sigma = c * (u.q[:, None] * v.q).sqrt()
    wide = (1 + 2 * u.q[:, None]) * (1 + 2 * v.q)
    value = square * 2 / math.pi * torch.arcsin(2 * sigma / wide.sqrt())
    return value, square * 4 / math.pi / (wide - 4 * sigma * sigma).sqrt()


def _erf_norm() -> float:
    """1 / √E erf(z)² = ((2/π) arcsin(2/3))^(-1/2)."""
    return (2 / math.pi * math.asin(2 / 3)) ** -0.5


def quadrature(activation: str) -> _Layer:
    """Expectations of any activation by Gauss-Hermite quadrature and Mehler's formula."""
    phi = Dense(1, 1, 1, activation=activation).activation
    norm = phi.norm

    def single(q: Tensor) -> _Moments:
        z, w, polynomials = (t.to(q.device) for t in _nodes())
        # On a sphere all variances are equal: each different one is treated once.
        different, number = torch.unique(q, return_inverse=True)
        at = different.sqrt() * z[:, None]
        value, slope = w[:, None] * norm * phi.value(at), w[:, None] * norm * phi.slope(at)
        second, slope_second = (norm * phi.value(at) * value).sum(0), (norm * phi.slope(at) * slope).sum(0)
        return _Moments(
            q,
            second[number],
            slope_second[number],
            _truncated(polynomials @ value)[:, number],
            _truncated(polynomials @ slope)[:, number],
        )

    def pair(u: _Moments, v: _Moments, c: Tensor) -> tuple[Tensor, Tensor]:
        return (
            _series(u.coefficients, v.coefficients, c),
            _series(u.slope_coefficients, v.slope_coefficients, c),
        )

    return _Layer(single, pair)


def _truncated(coefficients: Float[Tensor, "terms n"]) -> Float[Tensor, "fewer n"]:
    """The first coefficients, up to a negligible rest; those of a parity that is mere rounding are zero."""
    squares = coefficients.square()
    rest = squares.flip(0).cumsum(0).flip(0) / squares.sum(0)
    n_terms = max(1, int((rest.amax(1) > TRUNCATION).sum()))
    for parity in (0, 1):
        if bool((squares[parity::2].sum(0) < 1e-24 * squares.sum(0)).all()):
            coefficients[parity::2] = 0.0
    return coefficients[:n_terms]


def _series(a: Tensor | None, b: Tensor | None, c: Tensor) -> Tensor:
    """Σ_k a_k b_k c^k by Horner's rule in c², even and odd terms apart; one may have fewer terms."""
    assert a is not None
    assert b is not None
    square = c * c
    even, odd = (_horner(a[parity::2], b[parity::2], square) for parity in (0, 1))
    if odd is None:
        return torch.zeros_like(c) if even is None else even
    return odd.mul_(c) if even is None else odd.mul_(c).add_(even)


def _horner(a: Tensor, b: Tensor, c: Tensor) -> Tensor | None:
    """Σ_j a_j b_j c^j; None if it vanishes."""
    n_terms = min(len(a), len(b))
    if not n_terms or not bool(a[:n_terms].any()):
        return None
    total = a[n_terms - 1][:, None] * b[n_terms - 1]
    for k in range(n_terms - 2, -1, -1):
        total.mul_(c).addcmul_(a[k][:, None], b[k])
    return total


@lru_cache
def _nodes() -> tuple[Tensor, Tensor, Tensor]:
    """Nodes and weights of the quadrature of E g(z), and normalised Hermite polynomials h_k at the nodes.

    Shapes: (nodes,), (nodes,) and (terms, nodes).
    """
    z, w = roots_hermitenorm(N_NODES)
    n_terms = N_NODES // 2
    h = np.ones((n_terms, N_NODES))
    h[1] = z
    for k in range(1, n_terms - 1):
        h[k + 1] = (z * h[k] - math.sqrt(k) * h[k - 1]) / math.sqrt(k + 1)
    found = (z, w / w.sum(), h)
    return tuple(torch.as_tensor(each, dtype=torch.float64, device="cpu") for each in found)  # pyright: ignore
