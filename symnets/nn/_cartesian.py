"""Conversion between matrices and irreps: 3x3 <-> 0e + 1e + 2e, symmetric 3x3 <-> 0e + 2e."""

from functools import cache

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor


def matrix_to_irreps(
    matrix: Float[Tensor, "*rows 3 3"], *, symmetric: bool = False
) -> Float[Tensor, "*rows dim"]:
    """Irreps of matrices T that rotate as R T Rᵀ: 1x0e + 1x1e + 1x2e, or 1x0e + 1x2e if `symmetric`.

        0e:  tr T / √3
        1e:  a_k = Σ_ij ε_kij T_ij / √2, the antisymmetric part
        2e:  b_k = Σ_ij Q_kij T_ij, the symmetric traceless part

    for e3nn's basis of l = 2: Q_k is orthonormal, and Σ_ij Q_kij r_i r_j a positive multiple of Y_2k(r). The
    sum of squares of the components is that of T. With `symmetric`, the antisymmetric part of T is dropped.

    Example:
        >>> matrix_to_irreps(torch.eye(3), symmetric=True)
        tensor([1.7321, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000])
    """
    return torch.einsum("kij,...ij->...k", _basis(symmetric).to(matrix), matrix)


def irreps_to_matrix(irreps: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows 3 3"]:
    """Matrices of 1x0e + 1x1e + 1x2e (9 components) or 1x0e + 1x2e (6): the inverse of `matrix_to_irreps`.

    Raises:
        ValueError: the number of components is neither 6 nor 9.
    """
    if irreps.shape[-1] not in (6, 9):
        raise ValueError(f"irreps: expected 6 or 9 components, got shape {tuple(irreps.shape)}")
    return torch.einsum("kij,...k->...ij", _basis(irreps.shape[-1] == 6).to(irreps), irreps)


@cache
def _basis(symmetric: bool) -> Float[Tensor, "dim 3 3"]:
    """Orthonormal basis of matrices, by irreps, in float64 on the CPU."""
    with torch.inference_mode(False):
        trace = torch.eye(3, dtype=torch.float64, device="cpu")[None] / 3**0.5
        antisymmetric = torch.zeros(3, 3, 3, dtype=torch.float64, device="cpu")
        for k in range(3):
            i, j = (k + 1) % 3, (k + 2) % 3
            antisymmetric[k, i, j], antisymmetric[k, j, i] = 0.5**0.5, -(0.5**0.5)
        # Q from Y_2k(r) = Σ_ij Q_kij r_i r_j by polarisation: independent of signs of Clebsch-Gordan tables.
        unit = torch.eye(3, dtype=torch.float64, device="cpu")
        of_sum = o3.spherical_harmonics(2, (unit[:, None] + unit).reshape(9, 3), normalize=False)
        of_one = o3.spherical_harmonics(2, unit, normalize=False)
        quadratic = (of_sum.reshape(3, 3, 5) - of_one[:, None] - of_one).movedim(-1, 0)
        traceless = quadratic / quadratic.flatten(1).norm(dim=1)[:, None, None]
        return torch.cat([trace, traceless] if symmetric else [trace, antisymmetric, traceless])
