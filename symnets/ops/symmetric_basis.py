"""Equivariant polynomials: bases of the symmetric maps that couple ν copies of a feature to one irrep."""

import itertools
import math
from functools import cache

import numpy as np
import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor

_NOISE = 1e-7
"""Length, relative to that of a new vector, below which it is a sum of the vectors before."""


def monomials(n_variables: int, degree: int) -> list[tuple[int, ...]]:
    """Products of `degree` variables, each a sorted tuple of their numbers, in lexicographic order."""
    return list(itertools.combinations_with_replacement(range(n_variables), degree))


def orderings(monomial: tuple[int, ...]) -> int:
    """Different orders of the factors of a monomial: ν! / Π multiplicities!."""
    repeated = (monomial.count(variable) for variable in set(monomial))
    return math.factorial(len(monomial)) // math.prod(math.factorial(n) for n in repeated)


def symmetric_basis(
    irreps: o3.Irreps | str, degree: int, irrep_out: o3.Irrep | str
) -> Float[Tensor, "paths dim monomials"]:
    """Basis of the homogeneous equivariant polynomials of a feature x, as coefficients of `monomials`.

        P_ηM(x) = Σ_{monomials} coefficient[η, M, monomial] Π x_i = Σ_{i1...iν} U^η_{M, i1...iν} x_i1 ... x_iν

    with U symmetric in i1...iν: the generalised Clebsch-Gordan coefficients of MACE (Batatia et al. 2022,
    arXiv:2206.07697). They are orthogonal, with Σ_{M, i1...iν} U^η U^η' = (2L+1) δ_ηη': of independent
    arguments of unit variance in place of the ν copies of x, P has components of unit variance on average.

    Every symmetric map is one from (symmetric maps of degree ν-1) ⊗ x: those are coupled pairwise,
    symmetrised, and orthogonalised in the order in which they come.

    Args:
        irreps: irreps of x, all multiplicities one; an irrep may be repeated.
        degree: ν, at least 1.
        irrep_out: irrep of P.
    """
    irreps = o3.Irreps(irreps)
    if degree < 1 or any(mul != 1 for mul, _ in irreps):
        raise ValueError(f"expected a degree of at least 1 and multiplicities one, got {degree} and {irreps}")
    return torch.from_numpy(_basis(irreps, degree, o3.Irrep(irrep_out)).copy())


@cache
def _basis(irreps: o3.Irreps, degree: int, out: o3.Irrep) -> np.ndarray:
    n, products = irreps.dim, monomials(irreps.dim, degree)
    length = np.sqrt([orderings(monomial) for monomial in products])
    found = np.zeros((0, out.dim * len(products)))
    for candidate in _candidates(irreps, degree, out):
        # In coordinates where the scalar product of vectors is that of the tensors U.
        vector = (candidate / length).ravel()
        for _ in range(2):  # the second pass takes away what rounding left
            vector = vector - found.T @ (found @ vector)
        norm = np.linalg.norm(vector)
        if norm > _NOISE:
            found = np.concatenate([found, vector[None] / norm])
    basis = found.reshape(-1, out.dim, len(products)) * length * out.dim**0.5
    basis[abs(basis) < 1e-10] = 0
    for path in basis:  # the sign of Clebsch-Gordan coefficients depends on the release of e3nn
        path *= np.sign(path[path != 0][0])
    assert basis.shape[2] == math.comb(n + degree - 1, degree)
    return basis


def _candidates(irreps: o3.Irreps, degree: int, out: o3.Irrep) -> list[np.ndarray]:
    """Polynomials (2L+1, monomials) that span the maps; there may be too many."""
    slices = irreps.slices()
    if degree == 1:
        unit = np.eye(irreps.dim)
        return [unit[part] for (_, ir), part in zip(irreps, slices, strict=True) if ir == out]
    lower = monomials(irreps.dim, degree - 1)
    place = {monomial: i for i, monomial in enumerate(monomials(irreps.dim, degree))}
    times = [[place[tuple(sorted((*monomial, v)))] for monomial in lower] for v in range(irreps.dim)]
    candidates = []
    for middle in sorted({ir for _, x in irreps for ir in x * out}, key=lambda ir: (ir.l, -ir.p)):
        below = _basis(irreps, degree - 1, middle)
        for (_, x), part in zip(irreps, slices, strict=True):
            if not len(below) or out not in middle * x:
                continue
            w3j = o3.wigner_3j(middle.l, x.l, out.l, dtype=torch.float64).numpy()
            coupled = np.einsum("pam,abk->bpkm", below, w3j)
            sums = np.zeros((len(below), out.dim, len(place)))
            for b, variable in enumerate(range(part.start, part.stop)):
                sums[:, :, times[variable]] += coupled[b]
            candidates.extend(sums)
    return candidates
