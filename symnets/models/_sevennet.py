"""SevenNet: NequIP's message passing with a different width for each degree, for universal potentials."""

from collections.abc import Sequence
from typing import Annotated

from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.config import at_least
from symnets.data import AtomGraph
from symnets.models._energy_model import (
    Count,
    Cutoff,
    Degree,
    EnergyModel,
    PerSpecies,
    Widths,
    features_after_last_layer,
    per_layer,
)
from symnets.nn import (
    AtomicEnergy,
    EdgeGeometry,
    Interaction,
    Linear,
    SineBasis,
)


class SevenNet(EnergyModel):
    """SevenNet potential: atomic energies by equivariant message passing, as in SevenNet-0.

    Differences from `NequIP`: each irrep has its own number of channels; the self-connection may have the
    same weights for all species, which keeps a model of 89 elements small; the readout is linear; without
    `parity` all irreps are even, so that the energy is invariant under rotations but may differ between
    mirror images.

    `from_sevennet` reads published weights.

    Source: Park et al. 2024, J. Chem. Theory Comput. 20, 4857 (arXiv:2402.03789).

    Args:
        species: elements, as symbols or atomic numbers.
        cutoff: Å; edges are between atoms closer than this.
        irreps: irreps of the features before the first layer (scalars) and after each layer (scalars after
            the last).
        lmax: highest degree of the spherical harmonics.
        parity: whether irreps are those of O(3), with spherical harmonics of parity (-1)^l; otherwise they
            are those of SO(3), written as even irreps.
        n_basis: number of radial basis functions.
        switch_on: Å, distance at which X-PLOR's envelope begins; None for the polynomial envelope.
        envelope_order: order of the polynomial envelope.
        radial_hidden: widths of the hidden layers of the radial networks.
        species_self_connection: whether each species has its own weights in the self-connection.
        solid_harmonics: whether filters are solid harmonics r^l Y_lm, as in the SevenNet-0 of 22 May 2024.
        bias: whether the linear layers around the convolutions add trained constants to even scalars. A
            network of several fidelities has such constants for each fidelity.
        irreps_last: irreps of the features after the last layer, in place of the last of `irreps`, even
            scalars first, such as "64x0e+16x1e", for `Tensors`; None: scalars alone, which suffice for
            energies.
        mean_neighbors: average number of neighbours, one for all layers or one for each; sums over
            neighbours are divided by its square root.
        shift: eV, energy of each atom without the contribution of the network, about that of an isolated
            atom: one number for all species or one for each.
        scale: eV, factor of the network's contribution: one number for all species or one for each.

    Raises:
        ValueError: the first or last irreps are not even scalars, no path leads to an irrep of a layer, or
            `mean_neighbors` has a wrong length.
    """

    def __init__(
        self,
        species: Sequence[str | int],
        *,
        cutoff: Cutoff = 5.0,
        irreps: Sequence[str] = ("128x0e", *["128x0e+64x1e+32x2e"] * 4, "128x0e"),
        lmax: Degree = 2,
        parity: bool = False,
        n_basis: Count = 8,
        switch_on: Annotated[float | None, at_least(0)] = None,
        envelope_order: Count = 6,
        radial_hidden: Widths = (64, 64),
        species_self_connection: bool = False,
        solid_harmonics: bool = False,
        bias: bool = False,
        irreps_last: str | None = None,
        mean_neighbors: float | Sequence[float] = 36.0,
        shift: PerSpecies = 0.0,
        scale: PerSpecies = 1.0,
    ) -> None:
        layers = len(irreps) - 1
        features = [o3.Irreps(ir) for ir in irreps]
        for end in (features[0], features[-1]):
            if layers < 1 or any(ir != o3.Irrep("0e") for _, ir in end):
                raise ValueError(
                    f"irreps: expected at least two, the first and last even scalars, got {irreps}"
                )
        mean_neighbors = tuple(float(n) for n in per_layer("mean_neighbors", mean_neighbors, layers))
        super().__init__(
            species,
            cutoff,
            width=features[0].dim,
            mean_neighbors=mean_neighbors,
            shift=shift,
            scale=scale,
            options={
                "irreps": tuple(str(ir) for ir in features),
                "lmax": lmax,
                "parity": parity,
                "n_basis": n_basis,
                "switch_on": switch_on,
                "envelope_order": envelope_order,
                "radial_hidden": tuple(radial_hidden),
                "species_self_connection": species_self_connection,
                "solid_harmonics": solid_harmonics,
                "bias": bias,
                "irreps_last": irreps_last,
            },
        )
        basis = SineBasis(self.cutoff, n_basis, switch_on=switch_on, p=envelope_order)
        self.edges = EdgeGeometry(
            self.cutoff, lmax, n_basis, parity=parity, basis=basis, solid=solid_harmonics
        )
        features[-1] = features_after_last_layer(irreps_last, features[-1])
        interactions = []
        for incoming, outgoing, neighbors in zip(features[:-1], features[1:], mean_neighbors, strict=True):
            interactions.append(
                Interaction(
                    incoming,
                    self.edges.irreps_filter,
                    outgoing,
                    n_species=len(self.species) if species_self_connection else 1,
                    n_basis=n_basis,
                    radial_hidden=radial_hidden,
                    mean_neighbors=neighbors,
                    bias=bias,
                )
            )
            if interactions[-1].irreps_out != outgoing:
                raise ValueError(f"irreps: no path leads from {incoming} to some of {outgoing}")
        self.interactions = nn.ModuleList(interactions)
        self.irreps_features = features[-1]
        scalars = self.irreps_features[:1]
        n_scalars = scalars.dim
        hidden = o3.Irreps(f"{max(n_scalars // 2, 1)}x0e")
        self.readout = nn.Sequential(Linear(scalars, hidden), Linear(hidden, "1x0e"))
        self.atomic_energy = AtomicEnergy(self.config["shift"], self.config["scale"])

    def features(self, graph: AtomGraph, species: Int[Tensor, " atoms"]) -> Float[Tensor, "atoms dim"]:
        """Features of each atom after the last layer, of irreps `irreps_features`, in the `ir_mul` layout."""
        edges = self.edges(graph)
        # A linear layer on the one-hot species, with the factor fan_in^(-1/2) of every linear layer.
        features = self.embedding[species] * self.embedding.shape[0] ** -0.5
        for interaction in self.interactions:
            features = interaction(features, edges, graph.edge_index, species)
        return features
