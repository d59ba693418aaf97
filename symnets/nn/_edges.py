"""EdgeGeometry: radial functions of the length and spherical harmonics of the direction of each edge."""

from typing import NamedTuple

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.data import AtomGraph
from symnets.native import CannotLower, Geometry, KindOfPair, LoweredGraph, Program
from symnets.nn._radial import BesselBasis, polynomial_envelope
from symnets.nn._transformed_radial import PairKinds
from symnets.ops import pairs


class Edges(NamedTuple):
    """Edges of a graph as layers read them: radial basis and spherical harmonics.

    An edge and its reverse form a pair: they have the same length, and share one row of the radial basis.
    """

    basis: Float[Tensor, "pairs n_basis"]
    """Radial functions of the length."""
    filters: Float[Tensor, "edges dim_filter"]
    """Spherical harmonics of the direction, by which convolutions multiply features."""
    pair: Int[Tensor, " edges"] | None = None
    """Row of `basis` of each edge; None if each edge has its own."""
    envelope: Float[Tensor, " edges"] | None = None
    """Smooth cutoff function of the length, for attention."""
    kind: Int[Tensor, " pairs"] | None = None
    """Index of the pair of elements of each row of `basis` (`PairKinds`), if the basis depends on it."""


def required_envelope(edges: Edges) -> Float[Tensor, " edges"]:
    """Envelope of each edge, for layers that need one.

    Raises:
        ValueError: the edges have none.
    """
    if edges.envelope is None:
        raise ValueError("edges: expected an envelope; build them with EdgeGeometry(..., envelope=True)")
    return edges.envelope


class Distance(nn.Module):
    """Identity in place of a radial basis: tabulated layers read the distances themselves, in Å.

    Args:
        kinds: kinds of pairs of elements, if each kind has its own radial functions.
    """

    def __init__(self, kinds: PairKinds | None = None) -> None:
        super().__init__()
        self.kinds = kinds

    def forward(
        self, distances: Float[Tensor, " edges"], kind: Int[Tensor, " edges"] | None = None
    ) -> Float[Tensor, "edges 1"]:
        """Distances as a matrix of one column."""
        return distances[:, None]


class EdgeGeometry(nn.Module):
    """Radial basis of the length and spherical harmonics of the direction of every edge.

    Spherical harmonics are e3nn's, normalised 'component' (Σ_m Y_lm² = 2l + 1), of the vector
    from receiver to sender.

    Args:
        cutoff: radius of the neighbourhoods in Å.
        lmax: highest degree of the spherical harmonics.
        n_basis: number of radial functions.
        parity: whether the harmonics have their parity (-1)^l; otherwise all are declared even, and a network
            built on them is equivariant under rotations but not under reflections.
        basis: module of radial functions, from distances (pairs,) in Å to (pairs, n_basis); by default
            `BesselBasis`. If it has a `PairKinds` as its attribute `kinds`, it also gets the kinds (pairs,).
        solid: whether to use solid harmonics r^l Y_lm, with r in Å, in place of Y_lm.
        envelope: whether to compute `polynomial_envelope` of the length, which `Attention` needs.
    """

    def __init__(
        self,
        cutoff: float,
        lmax: int,
        n_basis: int,
        *,
        parity: bool = True,
        basis: nn.Module | None = None,
        solid: bool = False,
        envelope: bool = False,
    ) -> None:
        super().__init__()
        self.basis = basis or BesselBasis(cutoff, n_basis)
        self.irreps_filter = o3.Irreps.spherical_harmonics(lmax, -1 if parity else 1)
        self.degrees, self.solid = list(range(lmax + 1)), solid
        self.envelope_cutoff = cutoff if envelope else None

    def forward(self, graph: AtomGraph) -> Edges:
        """Radial basis and spherical harmonics of the edges of a graph.

        Raises:
            ValueError: two atoms are at the same position.
        """
        vectors = graph.edge_vectors()
        distances = vectors.norm(dim=-1)
        if bool((distances == 0).any()):
            raise ValueError("two atoms are at the same place (distance 0): remove one of them")
        filters = o3.spherical_harmonics(
            self.degrees,
            vectors if self.solid else vectors / distances[:, None],
            normalize=False,
            normalization="component",
        )
        pair_of_edge, edge_of_pair = pairs(graph.edge_index, graph.edge_shift)
        of_pairs, kind = (distances.index_select(0, edge_of_pair),), None
        if (kinds := getattr(self.basis, "kinds", None)) is not None:
            kind = kinds(graph.z[graph.edge_index[:, edge_of_pair]])
            of_pairs = (*of_pairs, kind)
        basis = self.basis(*of_pairs)
        if self.envelope_cutoff is None:
            return Edges(basis, filters, pair_of_edge, kind=kind)
        envelope = polynomial_envelope(distances / self.envelope_cutoff)
        return Edges(basis, filters, pair_of_edge, envelope, kind)

    def lower(self, program: Program, graph: LoweredGraph) -> Edges:
        """The edges of a native program: matrices in place of tensors, each edge with its own distance.

        Raises:
            CannotLower: the radial basis is not tabulated, or an envelope is needed.
        """
        if not isinstance(self.basis, Distance):
            raise CannotLower(f"{type(self.basis).__name__}: expected a compiled model, with radial tables")
        if self.envelope_cutoff is not None:
            raise CannotLower("attention has no native code")
        geometry = Geometry(program, self.degrees[-1], solid=self.solid)
        program.add(geometry)
        kind = None
        if (kinds := self.basis.kinds) is not None:
            if len(kinds.species) != program.n_species:
                raise CannotLower(
                    f"kinds of pairs: expected those of the {program.n_species} elements of the model, got "
                    f"{len(kinds.species)} elements"
                )
            numbers = torch.tensor(kinds.species)
            of_pair = KindOfPair(program, kinds.table.cpu()[numbers[:, None], numbers].numpy())
            program.add(of_pair)
            kind = of_pair.out
        return Edges(geometry.length, geometry.filters, kind=kind)  # pyright: ignore[reportArgumentType]
