"""TensorFieldNetwork: point convolutions, self-interactions and norm nonlinearities on point clouds."""

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
    hidden_irreps,
    stacked_layers,
)
from symnets.native import Matrix, NormGateBlock, NormGateRows, Program
from symnets.nn import (
    MLP,
    AtomicEnergy,
    Convolution,
    EdgeGeometry,
    Edges,
    InputFeatures,
    Interaction,
    Linear,
    SpeciesLinear,
)
from symnets.ops import blocks, join

EVEN = o3.Irrep("0e")
SMOOTHING = 1e-2
"""ε of the norms in `NormNonlinearity`, much smaller than features, which are of order one."""


class NormNonlinearity(nn.Module):
    """Nonlinearity of tensor field networks: activation of scalars, and of the norms of all other features:

        s_c ← η(s_c + b_c),     v_c ← η(|v_c| + b_c) v_c,     |v_c| = (Σ_m v_cm² / (2l+1) + ε²)^(1/2),

    for even scalars s and features v of other irreps, with η = silu and a trained bias b_c for each channel
    c. It is smooth at v = 0, which occurs in symmetric environments, where energies must be smooth too;
    `symnets.nn.NormActivation` has a step there, whose width is its ε. Initially b_c is 0 for scalars and 1
    for the others, so that η(b_c) ≠ 0 and small vectors are not suppressed.

    Source: Thomas et al. 2018, arXiv:1802.08219, section 4.3.
    """

    def __init__(self, irreps: o3.Irreps) -> None:
        super().__init__()
        self.irreps_in = self.irreps_out = irreps
        self.biases = nn.ParameterList(
            nn.Parameter(torch.full((mul,), 0.0 if ir == EVEN else 1.0)) for mul, ir in irreps
        )

    def forward(self, features: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """Features after the nonlinearity."""
        out = []
        parts = blocks(features, self.irreps_in)
        for part, bias, (_, ir) in zip(parts, self.biases, self.irreps_in, strict=True):
            if ir == EVEN:
                out.append(nn.functional.silu(part + bias))
            else:
                norm = (part.square().mean(1, keepdim=True) + SMOOTHING**2).sqrt()
                out.append(nn.functional.silu(norm + bias) * part)
        return join(out)

    def lower(self, program: Program, features: Matrix) -> Matrix:
        """Features after the nonlinearity in a native program."""
        if features.table is not None:
            return program.lookup(self(features.table))
        irreps = [NormGateBlock(ir.dim, mul, ir == EVEN) for mul, ir in self.irreps_in]
        biases = torch.cat([bias.detach().double().cpu() for bias in self.biases])
        operation = NormGateRows(program, features, irreps, biases.numpy(), SMOOTHING)
        program.add(operation)
        return operation.out


class TensorFieldLayer(nn.Module):
    """Layer of a tensor field network: point convolution, self-interaction, norm nonlinearity:

        x ← η( self_interaction( Σ_j R(r_ij) Y(r̂_ij) ⊗ self_interaction(x_j) ) + own(x_i) ).

    The filters are radial networks R(r) times spherical harmonics, and ⊗ combines them with features by
    Clebsch-Gordan coefficients; self-interactions mix the channels of each irrep. In the paper the sum over j
    includes the point i itself, where filters of l > 0 vanish; here this term is own(x_i), a self-interaction
    with its own weights for each kind of point.

    Args:
        irreps_in: irreps of the features x.
        irreps_filter: irreps of the spherical harmonics.
        targets: irreps of the features to compute.
        n_species: number of kinds of points.
        n_basis: size of the radial basis.
        radial_hidden: widths of the hidden layers of the radial network.
        mean_neighbors: average number of neighbours in the training data.

    Attributes:
        irreps_out: irreps of the result: those of `targets` that are in a product of features and filters.
    """

    def __init__(
        self,
        irreps_in: o3.Irreps,
        irreps_filter: o3.Irreps,
        targets: o3.Irreps,
        *,
        n_species: int,
        n_basis: int,
        radial_hidden: Sequence[int],
        mean_neighbors: float,
    ) -> None:
        super().__init__()
        self.irreps_in = irreps_in
        self.irreps_out = Interaction.reachable(irreps_in, irreps_filter, targets)
        self.before = Linear(irreps_in, irreps_in)
        self.convolution = Convolution(
            irreps_in,
            irreps_filter,
            self.irreps_out,
            n_basis=n_basis,
            radial_hidden=radial_hidden,
            mean_neighbors=mean_neighbors,
        )
        self.after = Linear(self.convolution.irreps_out, self.irreps_out)
        self.own = SpeciesLinear(irreps_in, self.irreps_out, n_species)
        self.nonlinearity = NormNonlinearity(self.irreps_out)

    def forward(
        self,
        features: Float[Tensor, "nodes dim_in"],
        edges: Edges,
        edge_index: Int[Tensor, "2 edges"],
        species: Int[Tensor, " nodes"],
    ) -> Float[Tensor, "nodes dim_out"]:
        """Features after one layer."""
        messages = self.after(self.convolution(self.before(features), edges, edge_index))
        return self.nonlinearity(messages + self.own(features, species))


class TensorFieldNetwork(EnergyModel):
    """Tensor field network for point clouds and molecules: filters R(r) Y, self-interactions, norms.

    Features of every point are scalars, vectors and tensors of all l <= lmax. With `CloudClassifier` the
    network classifies clouds, with `Tensors` it predicts vectors and tensors of clouds or points, and by
    itself it gives energies.

    Source: Thomas et al. 2018, arXiv:1802.08219.

    Args:
        species: elements, as symbols or atomic numbers; for point clouds of k kinds, the numbers 1 to k.
        cutoff: radius of the edges, in Å, or in the unit of the point clouds.
        lmax: highest degree of features and spherical harmonics.
        channels: number of channels of each irrep.
        layers: number of layers. Scalars that distinguish mirror images need at least three, because a
            pseudoscalar is a product of three vectors.
        parity: whether features are irreps of O(3), with both parities for each l; otherwise they are irreps
            of SO(3), as in the paper, all declared even: scalars of mirror images may then differ.
        n_basis: number of radial basis functions.
        radial_hidden: widths of the hidden layers of the radial networks.
        irreps_input: irreps of the field `features` of the graphs, in e3nn's order, such as "2x0e+1x1o"; None
            if points have no features but their kind.
        irreps_last: irreps of the features after the last layer, even scalars first, such as "64x0e+16x1o",
            for `Tensors`; None: scalars alone, which suffice for energies and classes.
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
        layers: Count = 3,
        parity: bool = True,
        n_basis: Count = 8,
        radial_hidden: Widths = (64,),
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
                "layers": layers,
                "parity": parity,
                "n_basis": n_basis,
                "radial_hidden": tuple(radial_hidden),
                "irreps_input": irreps_input,
                "irreps_last": irreps_last,
            },
        )
        self.edges = EdgeGeometry(cutoff, lmax, n_basis, parity=parity)
        self.irreps_features = features_after_last_layer(irreps_last, o3.Irreps(f"{channels}x0e"))
        self.first_features = InputFeatures(channels, irreps_input)
        self.layers = stacked_layers(
            lambda irreps_in, targets: TensorFieldLayer(
                irreps_in,
                self.edges.irreps_filter,
                targets,
                n_species=len(self.species),
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
        """Features of each point after the last layer, of irreps `irreps_features`, in the `ir_mul` layout.

        Raises:
            ValueError: the graph has no field `features` of irreps `irreps_input`.
        """
        edges = self.edges(graph)
        features = self.first_features(self.embedding[species], graph)
        for layer in self.layers:
            features = layer(features, edges, graph.edge_index, species)
        return features
