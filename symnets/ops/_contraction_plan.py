"""Equivariant polynomials: bases of the symmetric maps that couple ν copies of a feature to one irrep.

What a symmetric contraction computes: its paths, and the polynomial that they amount to.
"""

import itertools
import math
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
import torch
from e3nn import o3
from jaxtyping import Float, Int
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


class Block(NamedTuple):
    """Paths of one degree into one output irrep.

    Attributes:
        slot_out: number of the output irrep.
        degree: ν.
        first: number of the first path.
        basis: as of `symmetric_basis`.
    """

    slot_out: int
    degree: int
    first: int
    basis: Float[Tensor, "paths dim monomials"]


class Tables(NamedTuple):
    """What the plain contraction reads, on one device: `chain` of the plan, and the basis of each block."""

    chain: list[tuple[Int[Tensor, " monomials"], Int[Tensor, " monomials"]]]
    bases: list[Float[Tensor, "paths dim monomials"]]


class Monomial(NamedTuple):
    """A product of components of x that one component of the output has."""

    out: int
    factors: tuple[int, ...]


class ContractionPlan:
    """Irreps and paths of a symmetric contraction.

    Args:
        irreps_in: irreps of the features, all with the same number of channels.
        irreps_out: irreps of the result, with as many channels.
        correlation: highest degree ν.

    Attributes:
        components: of the features of a channel.
        n_slots: output irreps.
        blocks: paths in the order of their numbers: by output irrep, then by degree.
        n_paths: their number.
        terms: monomials of the output components that have a coefficient in some path, in
            lexicographic order of the factors.
        expansion: of each term, its coefficient in each path.

    Raises:
        ValueError: for unequal channels, or an output irrep that no product of the features has.
    """

    def __init__(self, irreps_in: o3.Irreps | str, irreps_out: o3.Irreps | str, correlation: int) -> None:
        self.irreps_in, self.irreps_out = o3.Irreps(irreps_in), o3.Irreps(irreps_out)
        self.correlation = correlation
        channels = {mul for mul, _ in (*self.irreps_in, *self.irreps_out)}
        if len(channels) != 1 or correlation < 1:
            raise ValueError(
                "expected as many channels of every irrep and a correlation of at least 1, "
                f"got {self.irreps_in} -> {self.irreps_out} and {correlation}"
            )
        (self.channels,) = channels
        self.variables = o3.Irreps([(1, ir) for _, ir in self.irreps_in])
        self.outputs = o3.Irreps([(1, ir) for _, ir in self.irreps_out])
        # Irreps as numbers, for torch.compile to read.
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
        """Chain and bases in the dtype and on the device of a tensor, copied there once."""
        key = (like.dtype, like.device)
        if key not in self._tables:
            with torch.inference_mode(False):  # a later training may use them too
                chain = [(shorter.to(like.device), last.to(like.device)) for shorter, last in self.chain]
                bases = [block.basis.to(like.device, like.dtype) for block in self.blocks]
            self._tables[key] = Tables(chain, bases)
        return self._tables[key]

    @cached_property
    def chain(self) -> list[tuple[Int[Tensor, " monomials"], Int[Tensor, " monomials"]]]:
        """For degrees 2, 3, ...: of each monomial, which one of a degree less times which variable it is."""
        steps = []
        places: dict[tuple[int, ...], int] = {(v,): v for v in range(self.variables.dim)}
        for degree in range(2, self.correlation + 1):
            found = monomials(self.variables.dim, degree)
            shorter = torch.tensor([places[factors[:-1]] for factors in found])
            steps.append((shorter, torch.tensor([factors[-1] for factors in found])))
            places = {factors: number for number, factors in enumerate(found)}
        return steps

    def _expand(self) -> tuple[list[Monomial], Float[Tensor, "terms n_paths"]]:
        columns: dict[Monomial, dict[int, float]] = {}
        for block in self.blocks:
            products = monomials(self.variables.dim, block.degree)
            start = self.outputs.slices()[block.slot_out].start
            basis = block.basis.numpy()
            for path, component, product in np.argwhere(basis).tolist():
                term = Monomial(start + component, products[product])
                columns.setdefault(term, {})[block.first + path] = basis[path, component, product]
        terms = sorted(columns, key=lambda term: (term.factors, term.out))
        expansion = torch.zeros(len(terms), self.n_paths, dtype=torch.float64)
        for row, term in zip(expansion, terms, strict=True):
            for path, value in columns[term].items():
                row[path] = value
        return terms, expansion
