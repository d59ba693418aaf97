"""Density: a smooth count of the neighbours of each atom, by which sums over neighbours are divided."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.native import Matrix, Program, SumOfSplines
from symnets.nn._edges import Edges
from symnets.nn._mlp import MLP
from symnets.ops import RadialTable


class Density(nn.Module):
    """Smooth number of neighbours of each atom; every neighbour contributes between 0 and 1:

        ρ_i = Σ_j tanh( (N^(-1/2) Σ_n w_n b_n(r_ij))² )

    where j runs over the neighbours of atom i at the distances r_ij. The N radial functions b_n vanish at the
    cutoff, and the weights w_n are trained.

    Source: mace-torch's interaction blocks with "Density" in their names; Batatia et al. 2024,
    arXiv:2401.00096.

    Args:
        n_basis: number of radial functions N.
    """

    def __init__(self, n_basis: int) -> None:
        super().__init__()
        self.network = MLP(n_basis, 1)

    def forward(
        self, edges: Edges, edge_index: Int[Tensor, "2 edges"], n_nodes: int
    ) -> Float[Tensor, "nodes 1"]:
        """Density at each node."""
        return _at_receivers(self.of_basis(edges.basis), edges, edge_index, n_nodes)

    def of_basis(self, basis: Float[Tensor, "pairs n_basis"]) -> Float[Tensor, "pairs 1"]:
        """Contribution of each pair of atoms to the density, from the radial functions of the pair."""
        return torch.tanh(self.network(basis) ** 2)


class TabulatedDensity(nn.Module):
    """`Density` for inference, with cubic splines of the distance in place of its functions.

    Args:
        table: the contribution of a pair as a function of its distance, one function for each kind of pair.
    """

    def __init__(self, table: RadialTable) -> None:
        super().__init__()
        self.table = table

    def forward(
        self, edges: Edges, edge_index: Int[Tensor, "2 edges"], n_nodes: int
    ) -> Float[Tensor, "nodes 1"]:
        """Density at each node; `edges.basis` holds the distances."""
        return _at_receivers(self.table(edges.basis[:, 0], edges.kind), edges, edge_index, n_nodes)

    def lower(self, program: Program, edges: Any, edge_index: Any, n_nodes: Any) -> Matrix:
        """Density of each atom of a native program."""
        density = SumOfSplines(program, self.table, edges.basis, edges.kind)
        program.add(density)
        return density.out


def _at_receivers(
    of_pairs: Float[Tensor, "pairs 1"], edges: Edges, edge_index: Int[Tensor, "2 edges"], n_nodes: int
) -> Float[Tensor, "nodes 1"]:
    """Sum of the contributions of pairs over the edges to each receiver; both edges of a pair contribute."""
    of_edges = of_pairs if edges.pair is None else of_pairs.index_select(0, edges.pair)
    return of_pairs.new_zeros(n_nodes, 1).index_add(0, edge_index[1], of_edges)
