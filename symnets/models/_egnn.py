"""EGNN: message passing on scalars and moving positions, without tensors of higher degree."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.data import AtomGraph
from symnets.models._energy_model import Count, Cutoff, EnergyModel, PerSpecies, features_after_last_layer
from symnets.nn import MLP, AtomicEnergy, BesselBasis, polynomial_envelope

SMALL_STEP = 0.1
"""Factor of the initial weights of φ_x, so that points first move by a fraction of the length of an edge."""


class EGNNEdges(NamedTuple):
    """Edges of a graph as the layers of `EGNN` read them."""

    index: Int[Tensor, "2 edges"]
    """Sender j and receiver i."""
    vectors: Float[Tensor, "edges 3"]
    """r_ij, from receiver to sender, in units of the cutoff."""
    basis: Float[Tensor, "edges n_basis"]
    """Radial functions b of the length."""
    envelope: Float[Tensor, "edges 1"]
    """w, which goes smoothly to zero at the cutoff."""


class EGNNLayer(nn.Module):
    """Layer of EGNN: messages of scalars and distances, which update scalars h and move the points by u:

        m_ij = w(r_ij) φ_e(h_i, h_j, |x_ij|², b(r_ij)),     x_ij = r_ij + u_j - u_i,
        u_i ← u_i + n^(-1/2) Σ_j w(r_ij) φ_x(m_ij) x_ij,
        h_i ← h_i + φ_h(h_i, n^(-1/2) Σ_j m_ij),

    with networks φ; the vectors r_ij of the edges of the graph, and x_ij of the edges after earlier layers
    moved the points, in units of the cutoff; an envelope w and a radial basis b; and the average number n of
    neighbours.

    Source: Satorras et al. 2021, arXiv:2102.09844, eqs. 3 to 6; w and b are added, so that energies are
    smooth where neighbours cross the cutoff.

    Args:
        channels: number of scalars.
        n_basis: number of radial basis functions.
        mean_neighbors: n.
        moves: whether the layer moves the points, that is, updates u.
    """

    def __init__(self, channels: int, n_basis: int, mean_neighbors: float, *, moves: bool) -> None:
        super().__init__()
        self.norm = mean_neighbors**-0.5
        # The first layer of φ_e, which is linear in each of its arguments.
        self.of_receiver = nn.Linear(channels, channels)
        self.of_sender = nn.Linear(channels, channels, bias=False)
        self.of_edge = nn.Linear(n_basis + 1, channels, bias=False)
        self.message = nn.Sequential(nn.SiLU(), nn.Linear(channels, channels), nn.SiLU())
        self.update = nn.Sequential(
            nn.Linear(2 * channels, channels), nn.SiLU(), nn.Linear(channels, channels)
        )
        self.step = None
        if moves:
            last = nn.Linear(channels, 1, bias=False)
            with torch.no_grad():
                last.weight *= SMALL_STEP
            self.step = nn.Sequential(nn.Linear(channels, channels), nn.SiLU(), last)

    def forward(
        self, h: Float[Tensor, "nodes channels"], u: Float[Tensor, "nodes 3"], edges: EGNNEdges
    ) -> tuple[Float[Tensor, "nodes channels"], Float[Tensor, "nodes 3"]]:
        """Scalars and displacements after the layer."""
        sender, receiver = edges.index
        x = edges.vectors + u[sender] - u[receiver]
        distances = torch.cat([x.square().sum(1, keepdim=True), edges.basis], dim=1)
        first = self.of_receiver(h)[receiver] + self.of_sender(h)[sender] + self.of_edge(distances)
        messages = edges.envelope * self.message(first)
        if self.step is not None:
            moves = edges.envelope * self.step(messages) * x
            u = u + self.norm * torch.zeros_like(u).index_add(0, receiver, moves)
        total = self.norm * torch.zeros_like(h).index_add(0, receiver, messages)
        return h + self.update(torch.cat([h, total], dim=1)), u


class EGNN(EnergyModel):
    """E(n)-equivariant graph network: scalars and one vector, a displacement, for each atom or point.

    Messages depend on scalars and distances alone, so that the network is equivariant under rotations and
    reflections without tensor products. Angles enter only through the distances after points have moved, and
    there are no pseudoscalars. The network is a baseline for networks with features of higher degree.

    Source: Satorras et al. 2021, arXiv:2102.09844.

    Args:
        species: elements, as symbols or atomic numbers; for point clouds of k kinds, the numbers 1 to k.
        cutoff: radius of the edges, in Å, or in the unit of the point clouds.
        channels: number of scalars of each atom.
        layers: number of layers.
        n_basis: number of radial basis functions.
        irreps_last: irreps of the features after the last layer: scalars, and the vector by which the point
            was moved, such as "64x0e+1x1o" for 64 channels, for `Tensors`; None: scalars alone, which suffice
            for energies and classes.
        mean_neighbors: average number of neighbours; sums over neighbours are divided by its square root.
        shift: eV, energy of each atom without the contribution of the network, about that of an isolated
            atom: one number for all species or one for each.
        scale: eV, factor of the network's contribution: one number for all species or one for each, such as
            the RMS of force components times 1 Å.

    Raises:
        ValueError: `irreps_last` has irreps other than these scalars and this vector.
    """

    def __init__(
        self,
        species: Sequence[str | int],
        *,
        cutoff: Cutoff = 5.0,
        channels: Count = 64,
        layers: Count = 4,
        n_basis: Count = 8,
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
                "channels": channels,
                "layers": layers,
                "n_basis": n_basis,
                "irreps_last": irreps_last,
            },
        )
        scalars = o3.Irreps(f"{channels}x0e")
        self.irreps_features = features_after_last_layer(irreps_last, scalars)
        if self.irreps_features not in (scalars, scalars + o3.Irreps("1x1o")):
            raise ValueError(
                f"irreps_last: expected {scalars} or {scalars}+1x1o, the scalars and the vector that EGNN "
                f"has, got {irreps_last!r}"
            )
        self.has_vector = len(self.irreps_features) > 1
        self.basis = BesselBasis(cutoff, n_basis)
        self.layers = nn.ModuleList(
            EGNNLayer(channels, n_basis, mean_neighbors, moves=layer < layers - 1 or self.has_vector)
            for layer in range(layers)
        )
        self.readout = MLP(channels, max(channels // 2, 1), 1)
        self.atomic_energy = AtomicEnergy(self.config["shift"], self.config["scale"])

    def features(self, graph: AtomGraph, species: Int[Tensor, " atoms"]) -> Float[Tensor, "atoms dim"]:
        """Features of each atom after the last layer, of irreps `irreps_features`."""
        vectors = graph.edge_vectors()
        distances = vectors.norm(dim=1)
        edges = EGNNEdges(
            graph.edge_index,
            vectors / self.cutoff,
            self.basis(distances),
            polynomial_envelope(distances / self.cutoff)[:, None],
        )
        h, u = self.embedding[species], torch.zeros_like(graph.pos)
        for layer in self.layers:
            h, u = layer(h, u, edges)
        return torch.cat([h, u], dim=1) if self.has_vector else h
