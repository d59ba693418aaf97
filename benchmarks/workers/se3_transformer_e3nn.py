"""The SE(3)-Transformer of attention.py in plain e3nn: a tensor product for each edge, then a scatter."""

import itertools

import torch
from e3nn import nn as e3nn_nn
from e3nn import o3
from torch import Tensor, nn

from symnets.data import AtomGraph
from symnets.models import SE3Transformer
from symnets.nn import MLP, AtomicEnergy, BesselBasis, SpeciesIndex, polynomial_envelope


class Product(nn.Module):
    """Paths 'uvu' of features of the sender and spherical harmonics, each to its own slot.

    Args:
        irreps_in: irreps of the features.
        irreps_filter: irreps of the spherical harmonics.
        targets: irreps to compute.
        heads: number of heads.
    """

    def __init__(
        self, irreps_in: o3.Irreps, irreps_filter: o3.Irreps, targets: o3.Irreps, heads: int
    ) -> None:
        super().__init__()
        paths = [
            (i, j, mul, out)
            for out in dict.fromkeys(ir for _, ir in targets)
            for i, (mul, ir) in enumerate(irreps_in)
            for j, (_, other) in enumerate(irreps_filter)
            if out in ir * other
        ]
        self.irreps_out = o3.Irreps([(mul, out) for _, _, mul, out in paths])
        instructions = [(i, j, slot, "uvu", True) for slot, (i, j, _, _) in enumerate(paths)]
        self.product = o3.TensorProduct(
            irreps_in,
            irreps_filter,
            self.irreps_out,
            instructions,
            shared_weights=False,
            internal_weights=False,
        )
        head_of_weight = [torch.arange(mul) // (mul // heads) for mul, _ in self.irreps_out]
        self.register_buffer("head_of_weight", torch.cat(head_of_weight))
        head_of_column = [
            h.repeat_interleave(ir.dim) for h, (_, ir) in zip(head_of_weight, self.irreps_out, strict=True)
        ]
        self.register_buffer(
            "heads_of_columns", nn.functional.one_hot(torch.cat(head_of_column), heads) * 1.0
        )


class Attention(nn.Module):
    """The layer `symnets.nn.Attention` in e3nn."""

    def __init__(
        self,
        irreps_in: o3.Irreps,
        irreps_filter: o3.Irreps,
        targets: o3.Irreps,
        sizes: list[int],
        heads: int,
        mean_neighbors: float,
    ) -> None:
        super().__init__()
        self.keys = Product(irreps_in, irreps_filter, irreps_in, heads)
        self.values = Product(irreps_in, irreps_filter, targets, heads)
        self.numels = [self.keys.product.weight_numel, self.values.product.weight_numel]
        self.radial = e3nn_nn.FullyConnectedNet([*sizes, sum(self.numels)], nn.functional.silu)
        self.query = o3.Linear(irreps_in, self.keys.irreps_out)
        self.sender = o3.Linear(irreps_in, irreps_in)
        self.output = o3.Linear(self.values.irreps_out, targets)
        self.scale, self.norm = (self.keys.irreps_out.dim / heads) ** -0.5, mean_neighbors**0.5

    def forward(self, x: Tensor, basis: Tensor, filters: Tensor, envelope: Tensor, index: Tensor) -> Tensor:
        """Features that each node receives."""
        sender, receiver = index
        features = self.sender(x)[sender]
        key_weights, value_weights = self.radial(basis).split(self.numels, dim=1)
        keys = self.keys.product(features, filters, key_weights)
        logits = self.scale * ((self.query(x)[receiver] * keys) @ self.keys.heads_of_columns)
        largest = logits.new_zeros(len(x), logits.shape[1]).scatter_reduce(
            0, receiver[:, None].expand_as(logits), logits.detach(), "amax"
        )
        terms = envelope[:, None] * (logits - largest[receiver]).exp()
        attention = self.norm * terms / (-largest).exp().index_add(0, receiver, terms)[receiver]
        # There are fewer weights than components of the values, so that they are cheaper to multiply.
        weights = value_weights * attention[:, self.values.head_of_weight]
        values = self.values.product(features, filters, weights)
        return self.output(values.new_zeros(len(x), values.shape[1]).index_add(0, receiver, values))


class Layer(nn.Module):
    """Attention and self-interaction, then a gate."""

    def __init__(
        self,
        irreps_in: o3.Irreps,
        irreps_filter: o3.Irreps,
        targets: o3.Irreps,
        n_species: int,
        sizes: list[int],
        heads: int,
        mean_neighbors: float,
    ) -> None:
        super().__init__()
        silu = nn.functional.silu
        gated = o3.Irreps([m for m in targets if m.ir.l > 0])
        gates = o3.Irreps(f"{gated.num_irreps}x0e") if gated else o3.Irreps("")
        scalars = o3.Irreps([m for m in targets if m.ir.l == 0])
        self.gate = e3nn_nn.Gate(scalars, [silu], gates, [silu] if gated else [], gated)
        summed = self.gate.irreps_in
        self.attention = Attention(irreps_in, irreps_filter, summed, sizes, heads, mean_neighbors)
        self.own = o3.FullyConnectedTensorProduct(irreps_in, f"{n_species}x0e", summed)

    def forward(self, x: Tensor, species: Tensor, *edges: Tensor) -> Tensor:
        """Features after the layer."""
        return self.gate(self.attention(x, *edges) + self.own(x, species))


class E3nnSE3Transformer(nn.Module):
    """The network `SE3Transformer` in e3nn, of the size of a given one, with random weights.

    Args:
        like: network with parity off, and gates.
    """

    def __init__(self, like: SE3Transformer) -> None:
        super().__init__()
        c = like.config
        self.species, self.cutoff, self.lmax = like.species, like.cutoff, c["lmax"]
        channels, lmax, n_species = c["channels"], c["lmax"], len(like.species)
        self.species_index = SpeciesIndex(self.species)
        self.embedding = nn.Parameter(torch.randn(n_species, channels))
        self.basis = BesselBasis(self.cutoff, c["n_basis"])
        filters = o3.Irreps.spherical_harmonics(lmax)
        hidden = o3.Irreps([(channels, (l, (-1) ** l)) for l in range(lmax + 1)])  # noqa: E741
        scalars = o3.Irreps(f"{channels}x0e")
        ends = [scalars, *[hidden] * (c["layers"] - 1), scalars]
        sizes = [c["n_basis"], *c["radial_hidden"]]
        self.layers = nn.ModuleList(
            Layer(before, filters, after, n_species, sizes, c["heads"], c["mean_neighbors"])
            for before, after in itertools.pairwise(ends)
        )
        self.readout = MLP(channels, max(channels // 2, 1), 1)
        self.atomic_energy = AtomicEnergy(c["shift"], c["scale"])

    def forward(self, graph: AtomGraph) -> Tensor:
        """Energy of each atom."""
        species, vectors = self.species_index(graph.z), graph.edge_vectors()
        distances = vectors.norm(dim=1)
        filters = o3.spherical_harmonics(
            list(range(self.lmax + 1)), vectors, normalize=True, normalization="component"
        )
        edges = (
            self.basis(distances),
            filters,
            polynomial_envelope(distances / self.cutoff),
            graph.edge_index,
        )
        x, one_hot = self.embedding[species], nn.functional.one_hot(species, len(self.species)).to(vectors)
        for layer in self.layers:
            x = layer(x, one_hot, *edges)
        return self.atomic_energy(self.readout(x).squeeze(-1), species)
