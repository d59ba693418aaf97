"""SO3Grid: harmonic transforms between samples of a signal on the group of rotations and its coefficients."""

from collections.abc import Sequence

import numpy as np
import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor

from symnets.data import Latitudes, latitudes
from symnets.nn._sphere import ExactTables, circular_waves, reorder, smallest_grid


class SO3Grid(ExactTables):
    """Transforms between values of a signal on a grid of rotations and coefficients of Wigner matrices D^l.

        f(R) = Σ_(l ≤ lmax) √(2l + 1) Σ_mn F_lmn D^l_mn(R),   F_lmn = √(2l + 1) ∫ f(R) D^l_mn(R) dR,

    with R = R(α, β, γ) in e3nn's convention and ∫ dR = 1, so that ∫ f² = |F|². Coefficients are ordered by l,
    then m, then n; their number is Σ_l (2l + 1)². If the signal is turned to f(Q⁻¹ R), then

        F_lmn -> Σ_m' D^l_mm'(Q) F_lm'n,

    so that F is a feature of the irreps (2l + 1) x l in the layout `ir_mul`, with the channel n.

    Both transforms are exact for signals without degrees above lmax. They are separable (Kostelec and
    Rockmore 2008, J. Fourier Anal. Appl. 14, 145): β by one product for each pair |m|, |n|, then γ and α by
    one product each with a matrix of sines and cosines. Values are stored in an order in which neither
    transform copies them.

    Args:
        lmax: highest degree.
        shape: numbers of angles (α, β, γ); the smallest by default. α and γ need 2 lmax + 1.
        kind: "gauss", which needs lmax + 1 angles β, or "equiangular", which needs 2 lmax + 1.

    Raises:
        ValueError: the grid is too coarse for lmax.
    """

    synthesis: Tensor
    analysis: Tensor
    waves_alpha: Tensor
    waves_gamma: Tensor
    gather: Tensor
    scatter: Tensor

    def __init__(self, lmax: int, shape: Sequence[int] | None = None, *, kind: Latitudes = "gauss") -> None:
        least_beta, least_circle = smallest_grid(lmax, kind)
        least = (least_circle, least_beta, least_circle)
        n_alpha, n_beta, n_gamma = (int(size) for size in (least if shape is None else shape))
        if n_alpha < least_circle or n_beta < least_beta or n_gamma < least_circle:
            raise ValueError(
                f"shape: expected at least {least} angles (α, β, γ) for lmax={lmax} and kind={kind!r}, got "
                f"{(n_alpha, n_beta, n_gamma)}"
            )
        self.lmax, self.shape = lmax, (n_alpha, n_beta, n_gamma)
        self.kind: Latitudes = kind
        super().__init__()
        self.irreps = o3.Irreps([(2 * l + 1, (l, (-1) ** l)) for l in range(lmax + 1)])  # noqa: E741
        for name, index in zip(("gather", "scatter"), _places(lmax), strict=True):
            self.register_buffer(name, torch.from_numpy(index), persistent=False)

    def _tables(self) -> dict[str, Tensor]:
        n_alpha, n_beta, n_gamma = self.shape
        beta, weights = latitudes(n_beta, self.kind)
        n = self.lmax + 1
        halves = torch.zeros(2, n, n, n, n_beta, dtype=torch.float64)  # [±, |m|, |n|, l, β]
        for l in range(n):  # noqa: E741
            d = wigner_d(l, beta).permute(1, 2, 0)
            same, opposite = d[l:, l:], d[: l + 1, : l + 1].flip(0, 1).clone()
            opposite[0], opposite[:, 0] = 0, 0  # orders 0 and -0 are the same
            halves[0, : l + 1, : l + 1, l] = (same + opposite) * ((2 * l + 1) ** 0.5 / 2)
            halves[1, : l + 1, : l + 1, l] = (same - opposite) * ((2 * l + 1) ** 0.5 / 2)
        halves = halves.flatten(0, 2)
        return {
            "synthesis": halves.transpose(1, 2).contiguous(),
            "analysis": halves * (weights / (n_alpha * n_gamma)),
            "waves_alpha": circular_waves(self.lmax, n_alpha),
            "waves_gamma": circular_waves(self.lmax, n_gamma),
        }

    def to_grid(self, coefficients: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch alpha beta gamma"]:
        """Values of a signal on the grid, from its coefficients."""
        batch, n, (n_alpha, n_beta, n_gamma) = coefficients.shape[:-1], self.lmax + 1, self.shape
        rows = reorder(coefficients.reshape(-1, coefficients.shape[-1]).T, 0, self.gather, self.scatter)
        pp, mm, pm, mp = rows.view(4, n * n, n, -1)  # signs of m and n; [(|m|, |n|), l, batch]
        halves = torch.cat([torch.cat([pp + mm, mp - pm], -1), torch.cat([pp - mm, mp + pm], -1)])
        first, second = torch.bmm(self.synthesis, halves).view(2, n, n, n_beta, 2, -1)
        cc, sc = (first + second).unbind(-2)  # cos or sin of m α, then of n γ
        minus_ss, cs = (first - second).unbind(-2)
        spectrum = torch.stack([torch.stack([cc, cs], 2), torch.stack([sc, -minus_ss], 2)], 1)
        circles = torch.matmul(self.waves_gamma.T, spectrum.view(2 * n, 2 * n, -1))
        values = self.waves_alpha.T @ circles.view(2 * n, -1)
        return values.view(n_alpha, n_gamma, n_beta, *batch).permute(*range(3, 3 + len(batch)), 0, 2, 1)

    def from_grid(self, signal: Float[Tensor, "*batch alpha beta gamma"]) -> Float[Tensor, "*batch dim"]:
        """Coefficients of a signal, from its values on the grid."""
        batch, n, (n_alpha, n_beta, n_gamma) = signal.shape[:-3], self.lmax + 1, self.shape
        values = signal.reshape(-1, n_alpha, n_beta, n_gamma).permute(1, 3, 2, 0)
        circles = self.waves_alpha @ values.reshape(n_alpha, -1)
        spectrum = torch.matmul(self.waves_gamma, circles.view(2 * n, n_gamma, -1))
        (cc, cs), (sc, ss) = spectrum.view(n, 2, n, 2, n_beta, -1).permute(1, 3, 0, 2, 4, 5)
        total, difference = torch.stack([cc, sc], -2), torch.stack([-ss, cs], -2)
        halves = torch.cat([total + difference, total - difference]).view(2 * n * n, n_beta, -1)
        (u, w), (v, z) = torch.bmm(self.analysis, halves).view(2, n * n, n, 2, -1).permute(0, 3, 1, 2, 4)
        rows = torch.stack([u + v, u - v, z - w, w + z]).view(4 * n**3, -1)
        return reorder(rows, 0, self.scatter, self.gather).T.reshape(*batch, -1)

    def extra_repr(self) -> str:
        """Sizes, as printed with the module."""
        return f"lmax={self.lmax}, shape={self.shape}, kind={self.kind!r}"


def wigner_d(l: int, beta: Float[Tensor, " angles"]) -> Float[Tensor, "angles dim dim"]:  # noqa: E741
    """Wigner's d^l(β) = D^l(0, β, 0) in e3nn's real basis, in float64.

    It is exp(β X) with the generator X of rotations about e3nn's x axis, whose eigenvalues are i m with
    m = -l, ..., l. Diagonalisation keeps all digits for large l (Feng et al. 2015, Phys. Rev. E 92, 043307).
    """
    m = np.arange(-l, l)
    raising = np.diag(-np.sqrt(l * (l + 1.0) - m * (m + 1.0)), -1)
    basis = _eigenbasis(l)
    generator = (basis.conj().T @ ((raising - raising.T) / 2) @ basis).real
    values, vectors = np.linalg.eigh(-1j * generator)
    phases = np.exp(1j * np.outer(beta.numpy(), np.round(values)))
    d = np.einsum("ik,bk,jk->bij", vectors, phases, vectors.conj(), optimize=True).real
    return torch.from_numpy(d)


def _eigenbasis(l: int) -> np.ndarray:  # noqa: E741
    """Eigenvectors |m> of rotations about y (rows, m = -l to l) in e3nn's real basis (columns).

    The components m and -m of the real basis are √2 times real and imaginary parts.
    """
    basis = np.zeros((2 * l + 1, 2 * l + 1), complex)
    basis[l, l] = 1
    for m in range(1, l + 1):
        basis[l - m, [l + m, l - m]] = 1, -1j
        basis[l + m, [l + m, l - m]] = (-1) ** m, (-1) ** m * 1j
    basis[np.arange(2 * l + 1) != l] /= np.sqrt(2)
    return basis


def wigner_blocks(
    lmax: int,
    alpha: Float[Tensor, " n"],
    beta: Float[Tensor, " n"],
    gamma: Float[Tensor, " n"],
) -> list[Float[Tensor, "n _dim _dim"]]:
    """Wigner's D^l(α, β, γ) for l = 0 to lmax, in float64 and e3nn's basis.

    The rotation is by γ about y, then by β about x, then by α about y.
    """
    blocks = []
    for l in range(lmax + 1):  # noqa: E741
        m = torch.arange(-l, l + 1, dtype=torch.float64)
        about_y = [
            torch.diag_embed((angle.double()[:, None] * m).cos())
            - torch.diag_embed((angle.double()[:, None] * m).sin()).flip(-1)
            for angle in (alpha, gamma)
        ]
        blocks.append(about_y[0] @ wigner_d(l, beta.double()) @ about_y[1])
    return blocks


def _places(lmax: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices that bring coefficients to the array [signs, |m|, |n|, l], and indices that bring them back.

    An entry without a coefficient takes that of another one, since the tables or the waves are zero there.
    """
    n = lmax + 1
    degrees = np.arange(n)
    starts = degrees * (4 * degrees**2 - 1) // 3  # Σ (2l + 1)² of smaller degrees
    p, q, l = np.mgrid[:n, :n, :n]  # noqa: E741
    gather = []
    for s, t in ((1, 1), (-1, -1), (1, -1), (-1, 1)):
        place = starts[l] + (l + s * p) * (2 * l + 1) + l + t * q
        gather.append(np.where(np.maximum(p, q) <= l, place, 0))
    scatter = []
    for degree in degrees:
        a, b = np.mgrid[-degree : degree + 1, -degree : degree + 1]
        signs = np.where(a >= 0, np.where(b >= 0, 0, 2), np.where(b >= 0, 3, 1))
        scatter.append((((signs * n + abs(a)) * n + abs(b)) * n + degree).ravel())
    return np.stack(gather).ravel(), np.concatenate(scatter)
