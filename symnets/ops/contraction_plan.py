"""What a symmetric contraction computes: its paths, and the polynomial that they amount to."""

from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor

from symnets.ops.symmetric_basis import monomials, symmetric_basis


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
