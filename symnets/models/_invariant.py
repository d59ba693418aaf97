"""Invariant: a message-passing potential of scalars, with angles from power spectra."""

from collections.abc import Sequence

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.data import AtomGraph
from symnets.models._energy_model import Count, Cutoff, Degree, EnergyModel, PerSpecies, Widths
from symnets.native import Matrix, PowerSpectrumRows, Program
from symnets.nn import (
    MLP,
    AtomicEnergy,
    Convolution,
    EdgeGeometry,
    Edges,
    Linear,
    SpeciesLinear,
)
from symnets.ops import blocks


class PowerSpectrum(nn.Module):
    """Scalars of A, followed by the power spectrum of two equivariant features A and B of the same irreps:

        p[l, c] = (2l+1)^(-1/2) Σ_m A[lm, c] B[lm, c]

    Args:
        irreps: irreps of the features, even scalars first.
    """

    def __init__(self, irreps: o3.Irreps) -> None:
        super().__init__()
        self.irreps = irreps
        self.n_outputs = irreps[0].mul + sum(mul for mul, _ in irreps)

    def forward(
        self, features: Float[Tensor, "nodes dim"], others: Float[Tensor, "nodes dim"]
    ) -> Float[Tensor, "nodes outputs"]:
        """Scalars of the first features, followed by the power spectrum."""
        pairs = list(zip(blocks(features, self.irreps), blocks(others, self.irreps), strict=True))
        spectrum = [(a * b).sum(1) * a.shape[1] ** -0.5 for a, b in pairs]
        return torch.cat([pairs[0][0].squeeze(1), *spectrum], dim=1)

    def lower(self, program: Program, features: Matrix, others: Matrix) -> Matrix:
        """Scalars and power spectrum in a native program."""
        shapes = [(ir.dim, mul) for mul, ir in self.irreps]
        operation = PowerSpectrumRows(program, features, others, shapes)
        program.add(operation)
        return operation.out


class PowerSpectrumLayer(nn.Module):
    """One step of message passing on scalars h, through the power spectrum of the neighbour density:

        A_i[lm, c] = mean_neighbors^(-1/2) Σ_j w_lc(r_ij) Y_lm(r̂_ij) (W h_j)_c
        p_i[l, c]  = (2l+1)^(-1/2) Σ_m A_i[lm, c] (V A_i)[lm, c]
        h_i ← self_connection(h_i, species) + MLP(A_i[00], p_i)

    with radial networks w, and linear layers W and V over channels c. A is not sent to neighbours; messages
    are the scalars h.
    """

    def __init__(
        self,
        channels: int,
        irreps_filter: o3.Irreps,
        *,
        n_species: int,
        n_basis: int,
        radial_hidden: Sequence[int],
        mean_neighbors: float,
    ) -> None:
        super().__init__()
        scalars = o3.Irreps(f"{channels}x0e")
        self.before = Linear(scalars, scalars)
        self.density = Convolution(
            scalars,
            irreps_filter,
            irreps_filter,
            n_basis=n_basis,
            radial_hidden=radial_hidden,
            mean_neighbors=mean_neighbors,
        )
        self.mix = Linear(self.density.irreps_out, self.density.irreps_out)
        self.spectrum = PowerSpectrum(self.density.irreps_out)
        self.update = MLP(self.spectrum.n_outputs, 2 * channels, channels)
        self.self_connection = SpeciesLinear(scalars, scalars, n_species)

    def forward(
        self,
        features: Float[Tensor, "nodes channels"],
        edges: Edges,
        edge_index: Int[Tensor, "2 edges"],
        species: Int[Tensor, " nodes"],
    ) -> Float[Tensor, "nodes channels"]:
        """Scalars after one step of message passing."""
        density = self.density(self.before(features), edges, edge_index)
        update = self.update(self.spectrum(density, self.mix(density)))
        return self.self_connection(features, species) + update


class Invariant(EnergyModel):
    """Potential with rotation-invariant messages, a baseline for the equivariant `NequIP`.

    Features and messages are scalars. Each layer depends on distances and, through the power
    spectrum of the neighbour density, on the angles between pairs of neighbours.

    Source of the power spectrum: Bartók et al. 2013, arXiv:1209.3140, section II.

    Args:
        species: elements, as symbols or atomic numbers.
        cutoff: Å; edges are between atoms closer than this.
        lmax: highest degree of the power spectrum.
        channels: number of scalar features of each atom.
        layers: number of steps of message passing.
        n_basis: number of radial basis functions.
        radial_hidden: widths of the hidden layers of the radial networks.
        mean_neighbors: average number of neighbours; sums over neighbours are divided by its square root.
        shift: eV, energy of each atom without the contribution of the network, about that of an isolated
            atom: one number for all species or one for each.
        scale: eV, factor of the network's contribution: one number for all species or one for each, such as
            the RMS of force components times 1 Å.
    """

    def __init__(
        self,
        species: Sequence[str | int],
        *,
        cutoff: Cutoff = 5.0,
        lmax: Degree = 3,
        channels: Count = 64,
        layers: Count = 4,
        n_basis: Count = 8,
        radial_hidden: Widths = (64, 64),
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
                "n_basis": n_basis,
                "radial_hidden": tuple(radial_hidden),
            },
        )
        self.edges = EdgeGeometry(cutoff, lmax, n_basis)
        self.exchanges = nn.ModuleList(
            PowerSpectrumLayer(
                channels,
                self.edges.irreps_filter,
                n_species=len(self.species),
                n_basis=n_basis,
                radial_hidden=radial_hidden,
                mean_neighbors=mean_neighbors,
            )
            for _ in range(layers)
        )
        self.irreps_features = o3.Irreps(f"{channels}x0e")
        self.readout = MLP(channels, max(channels // 2, 1), 1)
        self.atomic_energy = AtomicEnergy(self.config["shift"], self.config["scale"])

    def features(self, graph: AtomGraph, species: Int[Tensor, " atoms"]) -> Float[Tensor, "atoms channels"]:
        """Scalar features of each atom after the last layer."""
        edges = self.edges(graph)
        features = self.embedding[species]
        for layer in self.exchanges:
            features = layer(features, edges, graph.edge_index, species)
        return features
