"""PairInteraction: one layer of a strictly local network, whose features belong to ordered pairs of atoms."""

from collections.abc import Sequence

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.nn._edges import Edges, required_envelope
from symnets.nn._linear import Linear
from symnets.nn._mlp import MLP
from symnets.ops import ChannelProduct, LinearWeights, TensorProductScatter, all_paths, blocks, join

RESIDUAL = 0.5
"""α in the update of the scalars of a pair."""


class PairInteraction(nn.Module):
    """Allegro's layer, with scalars x_ij and tensors V_ij of each pair of a centre i and a neighbour j:

        A_i[lm, c] = mean_neighbors^(-1/2) Σ_k (x_ik W)_lc Y_lm(r̂_ik)
        T_ij = V_ij ⊗ A_i                                  for each channel c and each path separately
        x_ij ← (x_ij + α u(r_ij) MLP(x_ij, T_ij[0e])) / (1 + α²)^(1/2)
        V_ij ← linear(T_ij)

    with a trained matrix W, spherical harmonics Y, the even scalars T_ij[0e] of T_ij, and α = 1/2. The sum is
    over all neighbours k of the same centre, so that each layer adds one atom to the correlations of a pair.
    Pairs with other centres do not contribute. The envelope u, and with it x_ij and V_ij after every layer,
    goes to zero at the cutoff.

    Source: Musaelian et al. 2023, Nature Communications 14, 579 (arXiv:2204.05249).

    Args:
        irreps_in: irreps of V_ij, all with the same number of channels.
        irreps_filter: irreps of the spherical harmonics Y.
        irreps_out: irreps of the updated V_ij; empty if a last layer computes only scalars.
        latent: number of scalars x_ij.
        hidden: widths of the hidden layers of the MLP.
        mean_neighbors: average number of neighbours in the training data.

    Raises:
        ValueError: no path leads to an irrep of `irreps_out`.
    """

    def __init__(
        self,
        irreps_in: o3.Irreps | str,
        irreps_filter: o3.Irreps | str,
        irreps_out: o3.Irreps | str,
        *,
        latent: int,
        hidden: Sequence[int],
        mean_neighbors: float,
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = o3.Irreps(irreps_in), o3.Irreps(irreps_out)
        channels = self.irreps_in[0].mul
        ones = o3.Irreps(f"{channels}x0e")
        slots, paths = all_paths(ones, irreps_filter, irreps_filter)
        self.environment = TensorProductScatter(ones, irreps_filter, slots, paths, layout="ir_mul")
        self.environment_weights = nn.Parameter(torch.randn(latent, self.environment.weight_numel))
        targets = o3.Irreps("0e") + self.irreps_out
        self.product = ChannelProduct(self.irreps_in, self.environment.irreps_out, targets)
        self.update = MLP(latent + self.product.irreps_out[0].mul, *hidden, latent)
        self.mix = Linear(self.product.irreps_out, self.irreps_out) if self.irreps_out else None
        self.environment_norm = (latent * mean_neighbors) ** -0.5
        self.channels = channels

    def forward(
        self,
        scalars: Float[Tensor, "edges latent"],
        tensors: Float[Tensor, "edges dim_in"],
        edges: Edges,
        edge_index: Int[Tensor, "2 edges"],
        n_nodes: int,
    ) -> tuple[Float[Tensor, "edges latent"], Float[Tensor, "edges dim_out"]]:
        """Updated scalars and tensors of each pair.

        Args:
            scalars: x_ij.
            tensors: V_ij.
            edges: spherical harmonics of the direction from i to j, and the envelope u(r_ij).
            edge_index: neighbours j, then centres i.
            n_nodes: number of atoms.

        Raises:
            ValueError: the edges have no envelope.
        """
        weights = LinearWeights(scalars, self.environment_weights * self.environment_norm)
        ones = scalars.new_ones(n_nodes, self.channels)
        environment = self.environment(ones, edges.filters, weights, edge_index, n_nodes)
        products = self.product(tensors, environment, edge_index[1])
        parts = blocks(products, self.product.irreps_out)
        update = self.update(torch.cat([scalars, parts[0].squeeze(1)], dim=1))
        envelope = required_envelope(edges)[:, None]
        scalars = (scalars + RESIDUAL * envelope * update) * (1 + RESIDUAL**2) ** -0.5
        return scalars, products[:, :0] if self.mix is None else self.mix.mix(parts)


class PairEmbedding(nn.Module):
    """Initial scalars and tensors of each pair for Allegro's layers, from its species and distance vector:

        x_ij = u(r_ij) MLP( (a_i, b_j) * B(r_ij) W ),     V_ij[lm, c] = (x_ij W')_lc Y_lm(r̂_ij)

    with vectors a_i of the species of the centre and b_j of the species of the neighbour, concatenated, a
    radial basis B, the elementwise product *, trained matrices W and W', and an envelope u.

    Source: Musaelian et al. 2023, Nature Communications 14, 579 (arXiv:2204.05249).

    Args:
        irreps_filter: irreps of the spherical harmonics Y.
        n_basis: size of the radial basis.
        latent: number of scalars x_ij.
        channels: number of channels of each irrep of V_ij.
        hidden: widths of the hidden layers of the MLP.
    """

    def __init__(
        self,
        irreps_filter: o3.Irreps | str,
        *,
        n_basis: int,
        latent: int,
        channels: int,
        hidden: Sequence[int],
    ) -> None:
        super().__init__()
        self.irreps_filter = o3.Irreps(irreps_filter)
        self.irreps_out = o3.Irreps([(channels, ir) for _, ir in self.irreps_filter])
        self.radial = MLP(n_basis, 2 * latent)
        self.scalars = MLP(2 * latent, *hidden, latent)
        self.tensors = MLP(latent, channels * len(self.irreps_filter))

    def forward(
        self,
        edges: Edges,
        edge_index: Int[Tensor, "2 edges"],
        species: Float[Tensor, "nodes dim_species"],
    ) -> tuple[Float[Tensor, "edges latent"], Float[Tensor, "edges dim_out"]]:
        """Scalars and tensors of each pair.

        Args:
            edges: radial basis, spherical harmonics and the envelope u(r_ij).
            edge_index: neighbours j, then centres i.
            species: vectors (a, b) of the species of each atom, of `latent` numbers each: a is used where the
                atom is the centre, b where it is the neighbour.

        Raises:
            ValueError: the edges have no envelope.
        """
        (as_centre, as_neighbor), (neighbor, centre) = species.chunk(2, dim=1), edge_index
        pair_species = torch.cat([as_centre[centre], as_neighbor[neighbor]], dim=1)
        radial = self.radial(edges.basis)
        radial = radial if edges.pair is None else radial.index_select(0, edges.pair)
        scalars = required_envelope(edges)[:, None] * self.scalars(pair_species * radial)
        weights = self.tensors(scalars).chunk(len(self.irreps_filter), dim=1)
        filters = edges.filters.split([ir.dim for _, ir in self.irreps_filter], dim=1)
        tensors = [w[:, None] * y[:, :, None] for w, y in zip(weights, filters, strict=True)]
        return scalars, join(tensors)
