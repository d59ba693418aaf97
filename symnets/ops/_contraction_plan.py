"""Plan of a symmetric contraction: bases of symmetric equivariant maps, paths, and their polynomial."""

import itertools
import math
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor

from symnets.ops._couplings import wigner_3j

_NOISE = 1e-7
"""Norm after orthogonalisation below which a vector counts as linearly dependent on those before."""


def monomials(n_variables: int, degree: int) -> list[tuple[int, ...]]:
    """Monomials of a degree in lexicographic order, each a sorted tuple of indices of variables."""
    return list(itertools.combinations_with_replacement(range(n_variables), degree))


def orderings(monomial: tuple[int, ...]) -> int:
    """Number of distinct orders of the factors of a monomial: ν! / Π multiplicities!."""
    repeated = (monomial.count(variable) for variable in set(monomial))
    return math.factorial(len(monomial)) // math.prod(math.factorial(n) for n in repeated)


def symmetric_basis(
    irreps: o3.Irreps | str, degree: int, irrep_out: o3.Irrep | str
) -> Float[Tensor, "paths dim monomials"]:
    """Basis of the homogeneous equivariant polynomials of a feature x, as coefficients of `monomials`.

        P_ηM(x) = Σ_{monomials} coefficient[η, M, monomial] Π x_i = Σ_{i1...iν} U^η_{M, i1...iν} x_i1 ... x_iν

    U is symmetric in i1...iν: the generalised Clebsch-Gordan coefficients of MACE (Batatia et al. 2022,
    arXiv:2206.07697). They are orthogonal, with Σ_{M, i1...iν} U^η U^η' = (2L+1) δ_ηη'. If independent
    arguments of unit variance replace the ν copies of x, the components of P have unit variance on average.

    The symmetric maps of degree ν-1, coupled with x and symmetrised, span those of degree ν. These candidates
    are orthogonalised in the order of construction (Gram-Schmidt).

    Args:
        irreps: irreps of x, all multiplicities one; irreps may be repeated.
        degree: ν, at least 1.
        irrep_out: irrep of P.

    Raises:
        ValueError: the degree is less than 1, or a multiplicity is not one.
    """
    irreps = o3.Irreps(irreps)
    if degree < 1 or any(mul != 1 for mul, _ in irreps):
        raise ValueError(f"expected a degree of at least 1 and multiplicities one, got {degree} and {irreps}")
    return torch.from_numpy(_basis(irreps, degree, o3.Irrep(irrep_out)).copy())


@cache
def _basis(irreps: o3.Irreps, degree: int, out: o3.Irrep) -> np.ndarray:
    """`symmetric_basis` as an array that is computed once."""
    n, products = irreps.dim, monomials(irreps.dim, degree)
    root_orderings = np.sqrt([orderings(monomial) for monomial in products])
    orthonormal = np.zeros((0, out.dim * len(products)))
    for candidate in _candidates(irreps, degree, out):
        # Coordinates in which the scalar product of vectors is that of the tensors U.
        vector = (candidate / root_orderings).ravel()
        for _ in range(2):  # the second pass removes rounding errors of the first
            vector = vector - orthonormal.T @ (orthonormal @ vector)
        norm = np.linalg.norm(vector)
        if norm > _NOISE:
            orthonormal = np.concatenate([orthonormal, vector[None] / norm])
    basis = orthonormal.reshape(-1, out.dim, len(products)) * root_orderings * out.dim**0.5
    basis[abs(basis) < 1e-10] = 0
    for path in basis:  # the sign of Clebsch-Gordan coefficients depends on the release of e3nn
        path *= np.sign(path[path != 0][0])
    assert basis.shape[2] == math.comb(n + degree - 1, degree)
    return basis


def _candidates(irreps: o3.Irreps, degree: int, out: o3.Irrep) -> list[np.ndarray]:
    """Polynomials (2L+1, monomials) that span the equivariant ones, possibly linearly dependent."""
    slices = irreps.slices()
    if degree == 1:
        unit = np.eye(irreps.dim)
        return [unit[part] for (_, ir), part in zip(irreps, slices, strict=True) if ir == out]
    lower = monomials(irreps.dim, degree - 1)
    index_of = {monomial: i for i, monomial in enumerate(monomials(irreps.dim, degree))}
    index_of_product = [
        [index_of[tuple(sorted((*monomial, v)))] for monomial in lower] for v in range(irreps.dim)
    ]
    candidates = []
    for middle in sorted({ir for _, x in irreps for ir in x * out}, key=lambda ir: (ir.l, -ir.p)):
        below = _basis(irreps, degree - 1, middle)
        for (_, x), part in zip(irreps, slices, strict=True):
            if not len(below) or out not in middle * x:
                continue
            w3j = wigner_3j(middle.l, x.l, out.l).numpy()
            coupled = np.einsum("pam,abk->bpkm", below, w3j)
            symmetrised = np.zeros((len(below), out.dim, len(index_of)))
            for b, variable in enumerate(range(part.start, part.stop)):
                symmetrised[:, :, index_of_product[variable]] += coupled[b]
            candidates.extend(symmetrised)
    return candidates


class Block(NamedTuple):
    """Paths of one degree into one output irrep."""

    slot_out: int
    """Index of the output irrep."""
    degree: int
    """ν."""
    first: int
    """Index of the first path."""
    basis: Float[Tensor, "paths dim monomials"]
    """`symmetric_basis` of the paths."""


class Tables(NamedTuple):
    """Index tables and bases of the plain contraction in one dtype and on one device."""

    chain: list[tuple[Int[Tensor, " monomials"], Int[Tensor, " monomials"]]]
    """`ContractionPlan.chain`."""
    bases: list[Float[Tensor, "paths dim monomials"]]
    """`Block.basis` of each block."""


class Monomial(NamedTuple):
    """A monomial in the components of x that contributes to one component of the output."""

    out: int
    """Component of the output."""
    factors: tuple[int, ...]
    """Components of x."""


class ContractionPlan:
    """Irreps, paths and polynomial of a symmetric contraction.

    A path is an element η of `symmetric_basis`, for one output irrep and one degree ν.

    Args:
        irreps_in: irreps of the features, all with the same number of channels.
        irreps_out: irreps of the result, with the same number of channels.
        correlation: highest degree ν.

    Attributes:
        components: number of components (l, m) of one channel of the features.
        n_slots: number of output irreps.
        blocks: the paths, ordered by output irrep, then by degree.
        n_paths: number of paths.
        terms: monomials with a nonzero coefficient in some path, once for each output component to which
            they contribute, in lexicographic order of their factors.
        expansion: coefficient of each term in each path, (terms, n_paths).

    Raises:
        ValueError: unequal numbers of channels, a correlation below 1, or an output irrep that no product of
            the features contains.
    """

    def __init__(self, irreps_in: o3.Irreps | str, irreps_out: o3.Irreps | str, correlation: int) -> None:
        self.irreps_in, self.irreps_out = o3.Irreps(irreps_in), o3.Irreps(irreps_out)
        self.correlation = correlation
        channels = {mul for mul, _ in (*self.irreps_in, *self.irreps_out)}
        if len(channels) != 1 or correlation < 1:
            raise ValueError(
                "expected the same number of channels in every irrep and a correlation of at least 1, "
                f"got {self.irreps_in} -> {self.irreps_out} and {correlation}"
            )
        (self.channels,) = channels
        self.variables = o3.Irreps([(1, ir) for _, ir in self.irreps_in])
        self.outputs = o3.Irreps([(1, ir) for _, ir in self.irreps_out])
        # Plain integers, which torch.compile can trace.
        self.components, self.n_slots = self.variables.dim, len(self.outputs)
        self.blocks: list[Block] = []
        self.n_paths = 0
        for slot, (_, ir) in enumerate(self.outputs):
            before = self.n_paths
            for degree in range(1, correlation + 1):
                basis = symmetric_basis(self.variables, degree, ir)
                if len(basis):
                    self.blocks.append(Block(slot, degree, self.n_paths, basis))
                    self.n_paths += len(basis)
            if self.n_paths == before:
                raise ValueError(
                    f"output irrep {ir} is in no product of up to {correlation} features {self.irreps_in}"
                )
        self.terms, self.expansion = self._expand()
        self._tables: dict[tuple[torch.dtype, torch.device], Tables] = {}

    def tables(self, like: Tensor) -> Tables:
        """`Tables` in the dtype and on the device of a tensor, copied there once."""
        key = (like.dtype, like.device)
        if key not in self._tables:
            with torch.inference_mode(False):  # tensors made in inference mode cannot be used in training
                chain = [(shorter.to(like.device), last.to(like.device)) for shorter, last in self.chain]
                bases = [block.basis.to(like.device, like.dtype) for block in self.blocks]
            self._tables[key] = Tables(chain, bases)
        return self._tables[key]

    @cached_property
    def chain(self) -> list[tuple[Int[Tensor, " monomials"], Int[Tensor, " monomials"]]]:
        """Monomials of degrees 2, 3, ..., each the product of a monomial of one degree less and a variable.

        A degree has two tensors: indices of the shorter monomials, and indices of the variables.
        """
        steps = []
        index_of: dict[tuple[int, ...], int] = {(v,): v for v in range(self.variables.dim)}
        for degree in range(2, self.correlation + 1):
            products = monomials(self.variables.dim, degree)
            shorter = torch.tensor([index_of[factors[:-1]] for factors in products])
            steps.append((shorter, torch.tensor([factors[-1] for factors in products])))
            index_of = {factors: number for number, factors in enumerate(products)}
        return steps

    def _expand(self) -> tuple[list[Monomial], Float[Tensor, "terms n_paths"]]:
        """`terms` and `expansion`."""
        coefficients: dict[Monomial, dict[int, float]] = {}
        for block in self.blocks:
            products = monomials(self.variables.dim, block.degree)
            start = self.outputs.slices()[block.slot_out].start
            basis = block.basis.numpy()
            for path, component, product in np.argwhere(basis).tolist():
                term = Monomial(start + component, products[product])
                coefficients.setdefault(term, {})[block.first + path] = basis[path, component, product]
        terms = sorted(coefficients, key=lambda term: (term.factors, term.out))
        expansion = torch.zeros(len(terms), self.n_paths, dtype=torch.float64)
        for row, term in zip(expansion, terms, strict=True):
            for path, value in coefficients[term].items():
                row[path] = value
        return terms, expansion
