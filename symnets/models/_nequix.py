"""Nequix: NequIP's message passing with normalised features, for universal potentials."""

from collections.abc import Sequence

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
from symnets.nn import AtomicEnergy, BesselBasis, EdgeGeometry, Interaction, Linear, RMSNorm


class Nequix(EnergyModel):
    """Nequix potential: atomic energies by equivariant message passing with normalised features.

    Differences from `NequIP`: the features are divided by their root mean square (`RMSNorm.nequix`) before
    each gate, which makes the training of large models stable; each irrep has its own number of channels; the
    self-connection has the same weights for all species; the readout is linear; the first features are
    one-hot vectors of the species.

    `from_nequix` reads files of the published models.

    Source: Koker et al. 2025, arXiv:2508.16067.

    Args:
        species: elements, as symbols or atomic numbers.
        cutoff: Å; edges are between atoms closer than this.
        irreps: irreps of the features after each layer but the last, even scalars first.
        lmax: highest degree of the spherical harmonics.
        layers: number of interaction blocks.
        n_basis: number of radial basis functions.
        envelope_order: order of the polynomial envelope.
        radial_hidden: widths of the hidden layers of the radial networks.
        irreps_last: irreps of the features after the last layer, even scalars first, such as "64x0e+16x1o",
            for `Tensors`; None: the scalars of `irreps`, which suffice for energies.
        mean_neighbors: average number of neighbours; sums over neighbours are divided by its square root.
        shift: eV, energy of each atom without the contribution of the network, about that of an isolated
            atom: one number for all species or one for each.
        scale: eV, factor of the network's contribution: one number for all species or one for each.

    Raises:
        ValueError: `irreps` does not begin with even scalars, or no path leads to an irrep of a layer.
    """

    def __init__(
        self,
        species: Sequence[str | int],
        *,
        cutoff: Cutoff = 6.0,
        irreps: str = "128x0e+64x1o+32x2e+32x3o",
        lmax: Degree = 3,
        layers: Count = 4,
        n_basis: Count = 8,
        envelope_order: Count = 6,
        radial_hidden: Widths = (64, 64),
        irreps_last: str | None = None,
        mean_neighbors: float = 50.0,
        shift: PerSpecies = 0.0,
        scale: PerSpecies = 1.0,
    ) -> None:
        hidden = o3.Irreps(irreps)
        if not any(mul and ir == o3.Irrep("0e") for mul, ir in hidden[:1]):
            raise ValueError(f"irreps: expected even scalars first, such as 32x0e+16x1o, got {irreps!r}")
        super().__init__(
            species,
            cutoff,
            width=1,
            mean_neighbors=mean_neighbors,
            shift=shift,
            scale=scale,
            options={
                "irreps": str(hidden),
                "lmax": lmax,
                "layers": layers,
                "n_basis": n_basis,
                "envelope_order": envelope_order,
                "radial_hidden": tuple(radial_hidden),
                "irreps_last": irreps_last,
            },
        )
        self.embedding = nn.Parameter(torch.eye(len(self.species)), requires_grad=False)
        basis = BesselBasis(self.cutoff, n_basis, envelope_order)
        self.edges = EdgeGeometry(self.cutoff, lmax, n_basis, basis=basis)
        last = features_after_last_layer(irreps_last, hidden[:1])
        outputs = [*[hidden] * (layers - 1), last]
        features, interactions = o3.Irreps(f"{len(self.species)}x0e"), []
        for layer, output in enumerate(outputs):
            interactions.append(
                Interaction(
                    features,
                    self.edges.irreps_filter,
                    output,
                    n_species=1,
                    n_basis=n_basis,
                    radial_hidden=radial_hidden,
                    mean_neighbors=mean_neighbors,
                    norm=RMSNorm.nequix,
                )
            )
            if interactions[-1].irreps_out != output:
                raise ValueError(f"irreps: no path leads to some of {output} in layer {layer + 1}")
            features = output
        self.interactions = nn.ModuleList(interactions)
        self.irreps_features = last
        self.readout = Linear(last[:1], "1x0e")
        self.atomic_energy = AtomicEnergy(self.config["shift"], self.config["scale"])

    def features(self, graph: AtomGraph, species: Int[Tensor, " atoms"]) -> Float[Tensor, "atoms dim"]:
        """Features of each atom after the last layer, of irreps `irreps_features`, in the `ir_mul` layout."""
        edges = self.edges(graph)
        features = self.embedding[species]
        for interaction in self.interactions:
            features = interaction(features, edges, graph.edge_index, species)
        return features
