"""SE3Transformer: a network of equivariant attention for molecules, crystals and point clouds."""

from collections.abc import Sequence
from typing import Literal, get_args

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
    hidden_irreps,
    stacked_layers,
)
from symnets.nn import (
    MLP,
    AtomicEnergy,
    Attention,
    EdgeGeometry,
    Edges,
    Gate,
    InputFeatures,
    Interaction,
    NormActivation,
    SpeciesLinear,
)

Nonlinearity = Literal["gate", "norm"]
"""Name of a nonlinearity: "gate" for `Gate`, "norm" for `NormActivation`."""


class AttentionLayer(nn.Module):
    """One layer of an SE(3)-Transformer, attention and self-interaction followed by a nonlinearity:

        x ← nonlinearity( attention(x) + self_interaction(x, species) ).

    Args:
        irreps_in: irreps of the features x.
        irreps_filter: irreps of the spherical harmonics.
        targets: irreps of the features to compute; those that no path reaches are left out.
        n_species: number of species; each has its own matrices in the self-interaction.
        heads: number of heads, a divisor of the number of channels of every irrep of x.
        nonlinearity: "gate" or "norm".
        n_basis: size of the radial basis.
        radial_hidden: widths of the hidden layers of the radial MLP.
        mean_neighbors: average number of neighbours in the training data.

    Attributes:
        irreps_out: irreps of the result.
    """

    def __init__(
        self,
        irreps_in: o3.Irreps,
        irreps_filter: o3.Irreps,
        targets: o3.Irreps,
        *,
        n_species: int,
        heads: int,
        nonlinearity: Nonlinearity,
        n_basis: int,
        radial_hidden: Sequence[int],
        mean_neighbors: float,
    ) -> None:
        super().__init__()
        self.irreps_in = irreps_in
        self.irreps_out = Interaction.reachable(irreps_in, irreps_filter, targets)
        self.nonlinearity = (Gate if nonlinearity == "gate" else NormActivation)(self.irreps_out)
        summed = self.nonlinearity.irreps_in
        self.attention = Attention(
            irreps_in,
            irreps_filter,
            summed,
            heads=heads,
            n_basis=n_basis,
            radial_hidden=radial_hidden,
            mean_neighbors=mean_neighbors,
        )
        self.self_interaction = SpeciesLinear(irreps_in, summed, n_species)

    def forward(
        self,
        features: Float[Tensor, "nodes dim_in"],
        edges: Edges,
        edge_index: Int[Tensor, "2 edges"],
        species: Int[Tensor, " nodes"],
    ) -> Float[Tensor, "nodes dim_out"]:
        """Features after the layer."""
        received = self.attention(features, edges, edge_index)
        return self.nonlinearity(received + self.self_interaction(features, species))


class SE3Transformer(EnergyModel):
    """SE(3)-Transformer: message passing by equivariant attention.

    The species embedding (scalars) is followed by `layers` layers, each of multi-head attention and a
    self-interaction, whose sum goes through a nonlinearity. An MLP reads atomic energies from the scalars
    after the last layer.

    Differences from the paper: features have the parity (-1)^l of the spherical harmonics, or both parities,
    so that the network is equivariant under reflections too; each channel and path has a radial function, in
    place of each pair of channels, and linear layers mix the channels; the attention of a neighbour goes to
    zero at the cutoff (`Attention`); the self-interaction has a matrix for each species; the nonlinearity is
    a gate, unless `nonlinearity` is "norm", as in the paper. The paper's attentive self-interaction is left
    out.

    Source: Fuchs et al. 2020, NeurIPS 33 (arXiv:2006.10503).

    Args:
        species: elements, as symbols or atomic numbers.
        cutoff: radius of the edges, in Å, or in the unit of the point clouds.
        lmax: highest degree of features and spherical harmonics.
        channels: number of channels of each irrep.
        heads: number of heads of the attention, a divisor of `channels`.
        layers: number of layers.
        parity: whether features have both parities for every l; otherwise only p = (-1)^l.
        nonlinearity: "gate" (`Gate`) or "norm" (`NormActivation`).
        n_basis: number of radial basis functions.
        radial_hidden: widths of the hidden layers of the radial networks.
        irreps_input: irreps of the field `features` of the graphs, in e3nn's order, such as "2x0e+1x1o"; None
            if atoms have no features but their species.
        irreps_last: irreps of the features after the last layer, even scalars first, such as "64x0e+16x1o",
            for `Tensors`; None: scalars alone, which suffice for energies.
        mean_neighbors: average number of neighbours; sums weighted by attention are multiplied by its square
            root.
        shift: eV, energy of each atom without the contribution of the network, about that of an isolated
            atom: one number for all species or one for each.
        scale: eV, factor of the network's contribution: one number for all species or one for each, such as
            the RMS of force components times 1 Å.

    Raises:
        ValueError: `heads` does not divide `channels`, no path leads to an irrep of `irreps_last`, or an
            unknown nonlinearity.
    """

    def __init__(
        self,
        species: Sequence[str | int],
        *,
        cutoff: Cutoff = 5.0,
        lmax: Degree = 2,
        channels: Count = 32,
        heads: Count = 4,
        layers: Count = 4,
        parity: bool = False,
        nonlinearity: Nonlinearity = "gate",
        n_basis: Count = 8,
        radial_hidden: Widths = (64, 64),
        irreps_input: str | None = None,
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
                "heads": heads,
                "layers": layers,
                "parity": parity,
                "nonlinearity": nonlinearity,
                "n_basis": n_basis,
                "radial_hidden": tuple(radial_hidden),
                "irreps_input": irreps_input,
                "irreps_last": irreps_last,
            },
        )
        if nonlinearity not in get_args(Nonlinearity):
            raise ValueError(
                f"nonlinearity: expected one of {', '.join(get_args(Nonlinearity))}, got {nonlinearity!r}"
            )
        if channels % heads:
            raise ValueError(f"heads: expected a divisor of channels={channels}, got {heads}")
        self.edges = EdgeGeometry(cutoff, lmax, n_basis, envelope=True)
        self.irreps_features = features_after_last_layer(irreps_last, o3.Irreps(f"{channels}x0e"))
        self.first_features = InputFeatures(channels, irreps_input)
        self.layers = stacked_layers(
            lambda irreps_in, targets: AttentionLayer(
                irreps_in,
                self.edges.irreps_filter,
                targets,
                n_species=len(self.species),
                heads=heads,
                nonlinearity=nonlinearity,
                n_basis=n_basis,
                radial_hidden=radial_hidden,
                mean_neighbors=mean_neighbors,
            ),
            self.first_features.irreps_out,
            hidden_irreps(channels, self.edges.irreps_filter, parity=parity),
            self.irreps_features,
            layers,
        )
        n_scalars = self.irreps_features[0].mul
        self.readout = MLP(n_scalars, max(n_scalars // 2, 1), 1)
        self.atomic_energy = AtomicEnergy(self.config["shift"], self.config["scale"])

    def features(self, graph: AtomGraph, species: Int[Tensor, " atoms"]) -> Float[Tensor, "atoms dim"]:
        """Features of each atom after the last layer, of irreps `irreps_features`, in the `ir_mul` layout.

        Raises:
            ValueError: the graph has no field `features` of irreps `irreps_input`.
        """
        edges = self.edges(graph)
        features = self.first_features(self.embedding[species], graph)
        for layer in self.layers:
            features = layer(features, edges, graph.edge_index, species)
        return features
