"""NequIP: an O(3)-equivariant message-passing potential."""

from collections.abc import Sequence

from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor

from symnets.data import AtomGraph
from symnets.models._energy_model import (
    Count,
    Cutoff,
    Degree,
    EnergyModel,
    PerSpecies,
    Widths,
    features_after_last_layer,
    hidden_irreps,
    stacked_layers,
)
from symnets.nn import MLP, AtomicEnergy, EdgeGeometry, Interaction


class NequIP(EnergyModel):
    """NequIP potential: atomic energies by O(3)-equivariant message passing.

    The species embedding (scalars) is followed by `layers` interaction blocks, an MLP as readout, and a scale
    and shift for every species. Features have every l <= lmax; after the last block only scalars remain, by
    default.

    Source: Batzner et al. 2022, Nature Communications 13, 2453 (arXiv:2101.03164).

    Args:
        species: elements, as symbols or atomic numbers.
        cutoff: Å; edges are between atoms closer than this.
        lmax: highest degree of features and spherical harmonics.
        channels: number of channels of each irrep.
        layers: number of interaction blocks.
        parity: whether features have both parities for every l; otherwise only the parity of spherical
            harmonics, p = (-1)^l. The energy is invariant under O(3) in both cases. By the selection rules
            the additional features contribute to the energy only in networks of four layers or more.
        n_basis: number of radial basis functions.
        radial_hidden: widths of the hidden layers of the radial networks.
        irreps_last: irreps of the features after the last layer, even scalars first, such as "64x0e+16x1o",
            for `Tensors`; None: scalars alone, which suffice for energies.
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
        channels: Count = 64,
        layers: Count = 4,
        parity: bool = True,
        n_basis: Count = 8,
        radial_hidden: Widths = (64, 64),
        irreps_last: str | None = None,
        mean_neighbors: float = 12.0,
        shift: PerSpecies = 0.0,
        scale: PerSpecies = 1.0,
    ) -> None:
        super().__init__(
            species,
            cutoff,
            width=channels,
            mean_neighbors=mean_neighbors,
            shift=shift,
            scale=scale,
            options={
                "lmax": lmax,
                "channels": channels,
                "layers": layers,
                "parity": parity,
                "n_basis": n_basis,
                "radial_hidden": tuple(radial_hidden),
                "irreps_last": irreps_last,
            },
        )
        self.edges = EdgeGeometry(cutoff, lmax, n_basis)
        scalars = o3.Irreps(f"{channels}x0e")
        self.irreps_features = features_after_last_layer(irreps_last, scalars)
        self.interactions = stacked_layers(
            lambda irreps_in, targets: Interaction(
                irreps_in,
                self.edges.irreps_filter,
                targets,
                n_species=len(self.species),
                n_basis=n_basis,
                radial_hidden=radial_hidden,
                mean_neighbors=mean_neighbors,
            ),
            scalars,
            hidden_irreps(channels, self.edges.irreps_filter, parity=parity),
            self.irreps_features,
            layers,
        )
        n_scalars = self.irreps_features[0].mul
        self.readout = MLP(n_scalars, max(n_scalars // 2, 1), 1)
        self.atomic_energy = AtomicEnergy(self.config["shift"], self.config["scale"])

    def features(self, graph: AtomGraph, species: Int[Tensor, " atoms"]) -> Float[Tensor, "atoms dim"]:
        """Features of each atom after the last layer, of irreps `irreps_features`, in the `ir_mul` layout."""
        edges = self.edges(graph)
        features = self.embedding[species]
        for interaction in self.interactions:
            features = interaction(features, edges, graph.edge_index, species)
        return features
