"""MACE: a message-passing potential of many-body products."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from symnets.config import OutOfRange, within
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
    ManyBodyInteraction,
)


class MACE(EnergyModel):
    """MACE potential: atomic energies from many-body products of sums over neighbours.

    The species embedding (scalars) is followed by `layers` interactions (`ManyBodyInteraction`). A layer
    correlates up to correlation + 1 atoms, so that two layers are enough. Each layer has a readout of its
    scalars, linear except for an MLP after the last layer; their sum is the energy, up to a scale and shift
    for every species. All irreps have the parity of spherical harmonics, p = (-1)^l.

    Bases of the products are computed when the model is built. This takes a tenth of a second for lmax = 3
    and correlation = 3, but minutes for lmax = 6, or for lmax = 4 and correlation = 4.

    Source: Batatia et al. 2022, arXiv:2206.07697. Differences: linearly dependent paths of the products are
    left out, the first layer has a self-connection like the others, and sums over neighbours are divided by
    √mean_neighbors, not mean_neighbors.

    Args:
        species: elements, as symbols or atomic numbers.
        cutoff: Å; edges are between atoms closer than this.
        lmax: highest degree of spherical harmonics, and of the sums over neighbours.
        feature_lmax: highest degree of the features between layers, which are sent to neighbours.
        correlation: highest number of factors of a product.
        channels: number of channels of each irrep.
        layers: number of interactions.
        n_basis: number of radial basis functions.
        radial_hidden: widths of the hidden layers of the radial networks.
        irreps_last: irreps of the features after the last layer, even scalars first, each irrep with the same
            number of channels, such as "64x0e+64x1o", for `Tensors`; None: scalars alone, which suffice for
            energies.
        mean_neighbors: average number of neighbours; sums over neighbours are divided by its square root.
        shift: eV, energy of each atom without the contribution of the network, about that of an isolated
            atom: one number for all species or one for each.
        scale: eV, factor of the network's contribution: one number for all species or one for each, such as
            the RMS of force components times 1 Å.

    Raises:
        ValueError: `irreps_last` has different numbers of channels, or an irrep that no product has.
    """

    def __init__(
        self,
        species: Sequence[str | int],
        *,
        cutoff: Cutoff = 5.0,
        lmax: Degree = 3,
        feature_lmax: Degree = 1,
        correlation: Annotated[int, within(1, 4)] = 3,
        channels: Count = 64,
        layers: Count = 2,
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
                "feature_lmax": feature_lmax,
                "correlation": correlation,
                "channels": channels,
                "layers": layers,
                "n_basis": n_basis,
                "radial_hidden": tuple(radial_hidden),
                "irreps_last": irreps_last,
            },
        )
        self.edges = EdgeGeometry(cutoff, lmax, n_basis)
        scalars = o3.Irreps(f"{channels}x0e")
        self.irreps_features = features_after_last_layer(irreps_last, scalars)
        if len({mul for mul, _ in self.irreps_features}) > 1:
            raise ValueError(
                "irreps_last: expected the same number of channels in each irrep, such as 64x0e+64x1o, got "
                f"{irreps_last!r}"
            )
        hidden = o3.Irreps([(channels, (l, (-1) ** l)) for l in range(feature_lmax + 1)])  # noqa: E741
        self.interactions = nn.ModuleList(
            ManyBodyInteraction(
                hidden if layer else scalars,
                self.edges.irreps_filter,
                hidden if layer < layers - 1 else self.irreps_features,
                correlation=correlation,
                n_species=len(self.species),
                n_basis=n_basis,
                radial_hidden=radial_hidden,
                mean_neighbors=mean_neighbors,
            )
            for layer in range(layers)
        )
        self.readouts = nn.ModuleList(Linear(hidden, "1x0e") for _ in range(layers - 1))
        self.n_scalars = self.irreps_features[0].mul
        self.last_readout = MLP(self.n_scalars, max(self.n_scalars // 2, 1), 1)
        self.atomic_energy = AtomicEnergy(self.config["shift"], self.config["scale"])

    @staticmethod
    def check_options(options: Mapping[str, Any]) -> None:
        """Check that the options of a configuration agree with each other, before a model is built.

        Raises:
            OutOfRange: no product has the degree `feature_lmax`.
        """
        highest = options["correlation"] * options["lmax"]
        if options["layers"] > 1 and options["feature_lmax"] > highest:
            raise OutOfRange(
                "feature_lmax: expected at most correlation * lmax, the highest degree of a product, "
                f"{highest}, got {options['feature_lmax']}"
            )

    def node_features(self, graph: AtomGraph) -> Float[Tensor, "atoms dim"]:
        """Features of each atom after the last layer, of irreps `irreps_features`, in the `ir_mul` layout."""
        *_, features = self._features_by_layer(graph)
        return features

    def forward(self, graph: AtomGraph) -> Float[Tensor, " atoms"]:
        """Energy of each atom in eV, float64."""
        layers, energy = self._features_by_layer(graph), graph.pos.new_zeros(len(graph.z), 1)
        for readout in self.readouts:
            energy = energy + readout(next(layers))
        energy = energy + self.last_readout(next(layers)[:, : self.n_scalars])
        return self.atomic_energy(energy.squeeze(-1), self.species_index(graph.z))

    def _features_by_layer(self, graph: AtomGraph) -> Iterator[Float[Tensor, "atoms dim"]]:
        species = self.species_index(graph.z)
        edges, features = self.edges(graph), self.embedding[species]
        for interaction in self.interactions:
            features = interaction(features, edges, graph.edge_index, species)
            yield features
