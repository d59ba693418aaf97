"""Allegro: a strictly local potential with features of pairs of atoms."""

from collections.abc import Iterable, Sequence

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.data import AtomGraph
from symnets.models._energy_model import (
    Count,
    Cutoff,
    Degree,
    EnergyModel,
    PerSpecies,
    Widths,
    features_after_last_layer,
)
from symnets.nn import (
    MLP,
    AtomicEnergy,
    EdgeGeometry,
    Linear,
    PairEmbedding,
    PairInteraction,
)
from symnets.ops import blocks, join


class Allegro(EnergyModel):
    """Allegro potential: atomic energies from features of pairs that share a centre, without message passing.

    Each ordered pair of a centre i and a neighbour j has scalars x_ij and tensors V_ij, at first functions of
    the two species and of the vector r_ij (`PairEmbedding`). Each layer (`PairInteraction`) multiplies V_ij
    with a sum over all neighbours of the same centre:

        A_i = Σ_k w(x_ik) Y(r̂_ik),     T_ij = V_ij ⊗ A_i,
        x_ij ← x_ij + u(r_ij) MLP(x_ij, scalars of T_ij),     V_ij ← linear(T_ij),

    up to constants, with spherical harmonics Y, a linear function w and an envelope u that goes to zero at
    the cutoff. The energy of an atom is a linear function of Σ_j x_ij. Features of one centre are never read
    by another: whatever the number of layers, an atom's energy depends only on the atoms within the cutoff.
    So the atoms of one structure can be distributed over machines that each need only the positions of their
    neighbours. The tensor products of L layers correlate up to L + 2 atoms; the MLPs correlate all
    neighbours.

    The cost of an edge is higher than in message passing, where only atoms have features.

    Source: Musaelian et al. 2023, Nature Communications 14, 579 (arXiv:2204.05249). Differences: vectors of
    the species of a pair multiply its radial basis instead of being further inputs of the first MLP, and the
    factor of residual updates is not trained.

    Args:
        species: elements, as symbols or atomic numbers.
        cutoff: Å; an atom's energy depends only on atoms closer than this.
        lmax: highest degree of spherical harmonics and of V_ij.
        channels: number of channels of each irrep of V_ij.
        latent: number of scalars x_ij.
        layers: number of layers.
        parity: whether V_ij has both parities for every l; otherwise only the parity of spherical harmonics,
            p = (-1)^l. The energy is invariant under O(3) in both cases. Irreps that cannot contribute to the
            features after the last layer are left out: for energies, both choices are equal with fewer than
            three layers.
        n_basis: number of radial basis functions.
        hidden: widths of the hidden layers of the MLPs.
        irreps_last: irreps of the features after the last layer, even scalars first, such as "64x0e+16x1o",
            for `Tensors`: sums over the neighbours j of x_ij, and of V_ij times functions of x_ij. None: sums
            of x_ij alone, which suffice for energies.
        mean_neighbors: average number of neighbours; sums over neighbours are divided by its square root.
        shift: eV, energy of each atom without the contribution of the network, about that of an isolated
            atom: one number for all species or one for each.
        scale: eV, factor of the network's contribution: one number for all species or one for each, such as
            the RMS of force components times 1 Å.

    Raises:
        ValueError: no path leads to an irrep of `irreps_last`.
    """

    def __init__(
        self,
        species: Sequence[str | int],
        *,
        cutoff: Cutoff = 5.0,
        lmax: Degree = 2,
        channels: Count = 32,
        latent: Count = 64,
        layers: Count = 2,
        parity: bool = True,
        n_basis: Count = 8,
        hidden: Widths = (64, 64),
        irreps_last: str | None = None,
        mean_neighbors: float = 12.0,
        shift: PerSpecies = 0.0,
        scale: PerSpecies = 1.0,
    ) -> None:
        super().__init__(
            species,
            cutoff,
            width=2 * latent,
            mean_neighbors=mean_neighbors,
            shift=shift,
            scale=scale,
            options={
                "lmax": lmax,
                "channels": channels,
                "latent": latent,
                "layers": layers,
                "parity": parity,
                "n_basis": n_basis,
                "hidden": tuple(hidden),
                "irreps_last": irreps_last,
            },
        )
        self.edges = EdgeGeometry(cutoff, lmax, n_basis, envelope=True)
        irreps_filter = self.edges.irreps_filter
        last = features_after_last_layer(irreps_last, o3.Irreps(f"{latent}x0e"))
        tensors_last = last[1:]
        self.pairs = PairEmbedding(
            irreps_filter, n_basis=n_basis, latent=latent, channels=channels, hidden=hidden
        )
        features, interactions = self.pairs.irreps_out, []
        for irreps in [*irreps_of_tensors(irreps_filter, tensors_last, layers, parity), None]:
            interactions.append(
                PairInteraction(
                    features,
                    irreps_filter,
                    tensors_last if irreps is None else o3.Irreps([(channels, ir) for ir in irreps]),
                    latent=latent,
                    hidden=hidden,
                    mean_neighbors=mean_neighbors,
                )
            )
            features = interactions[-1].irreps_out
        self.interactions = nn.ModuleList(interactions)
        self.norm = mean_neighbors**-0.5
        self.irreps_features = last
        self.scalars_last = None if irreps_last is None else Linear(f"{latent}x0e", last[:1])
        self.gates_last = MLP(latent, tensors_last.num_irreps) if tensors_last else None
        n_scalars = last[0].mul
        self.readout = MLP(n_scalars, 1)
        self.atomic_energy = AtomicEnergy(self.config["shift"], self.config["scale"])

    def features(self, graph: AtomGraph, species: Int[Tensor, " atoms"]) -> Float[Tensor, "atoms dim"]:
        """Features of each atom after the last layer, of irreps `irreps_features`, in the `ir_mul` layout."""
        edge_index, n_atoms = graph.edge_index, len(graph.z)
        edges = self.edges(graph)
        scalars, tensors = self.pairs(edges, edge_index, self.embedding[species])
        for layer in self.interactions:
            scalars, tensors = layer(scalars, tensors, edges, edge_index, n_atoms)

        def summed(features: Float[Tensor, "edges dim"]) -> Float[Tensor, "atoms dim"]:
            zeros = features.new_zeros(n_atoms, features.shape[1])
            return self.norm * zeros.index_add(0, edge_index[1], features)

        even = summed(scalars)
        if self.scalars_last is not None:
            even = self.scalars_last(even)
        if self.gates_last is None:
            return even
        irreps = self.irreps_features[1:]
        gates = self.gates_last(scalars).split([mul for mul, _ in irreps], dim=1)
        parts = [part * gate[:, None] for part, gate in zip(blocks(tensors, irreps), gates, strict=True)]
        return torch.cat([even, summed(join(parts))], dim=1)


def irreps_of_tensors(
    irreps_filter: o3.Irreps, last: o3.Irreps, layers: int, parity: bool
) -> list[list[o3.Irrep]]:
    """Irreps after each layer but the last: those of tensors that can be computed and that later layers need.

    Args:
        irreps_filter: irreps of the spherical harmonics, and of the tensors before the first layer.
        last: irreps of the tensors after the last layer, apart from the even scalars, which it always
            computes.
        layers: number of layers.
        parity: whether to use both parities.

    Raises:
        ValueError: no path leads to an irrep of `last`.
    """
    filters, even = [ir for _, ir in irreps_filter], o3.Irrep("0e")

    def leads(start: o3.Irrep, ends: Iterable[o3.Irrep]) -> bool:
        return any(end in start * ir for ir in filters for end in ends)

    allowed = [o3.Irrep(ir.l, p) for ir in filters for p in ((1, -1) if parity else (ir.p,))]
    reachable = [filters]
    for _ in range(layers - 1):
        reachable.append([ir for ir in allowed if any(leads(before, [ir]) for before in reachable[-1])])
    if missing := [ir for _, ir in last if not any(leads(before, [ir]) for before in reachable[-1])]:
        raise ValueError(f"irreps_last: no path leads to {', '.join(map(str, missing))}")
    needed, ends = [], [even, *(ir for _, ir in last)]
    for irreps in reversed(reachable[1:]):
        needed.append([ir for ir in irreps if leads(ir, ends)])
        ends = [even, *needed[-1]]
    return needed[::-1]
