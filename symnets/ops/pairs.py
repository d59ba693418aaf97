"""Pairs: edges there and back have one length, and all that depends on it is computed once."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symnets.ops.remembered import remembered
from symnets.ops.transformed import transformed


class Pairs(NamedTuple):
    """Edges of equal length, from j to i and from i to j, taken together."""

    of_edge: Int[Tensor, " edges"]
    """The pair of each edge."""
    edge: Int[Tensor, " pairs"]
    """One edge of each pair."""


@remembered
def pairs(edge_index: Int[Tensor, "2 edges"], edge_shift: Float[Tensor, "edges 3"]) -> Pairs:
    """The pairs of a graph; an edge without its reverse is a pair by itself."""
    n_edges, device = edge_index.shape[1], edge_index.device
    number = torch.arange(n_edges, device=device)
    if transformed() or not n_edges:
        return Pairs(number, number)
    sender, receiver = edge_index
    shift = edge_shift.round().long()
    # One number for sender, receiver and shift, and that of the reverse edge, whose shift is the opposite.
    n, most = edge_index.max() + 1, shift.abs().max()
    base = 2 * most + 1
    code = ((shift[:, 0] + most) * base + shift[:, 1] + most) * base + shift[:, 2] + most
    size = base**3
    forth, back = (receiver * n + sender) * size + code, (sender * n + receiver) * size + size - 1 - code
    ordered, order = forth.sort(stable=True)
    place = torch.searchsorted(ordered, back).clamp_(max=n_edges - 1)
    other = torch.where(ordered[place] == back, order[place], number)
    other = torch.where(other[other] == number, other, number)  # an edge that is listed twice
    first = other >= number
    return Pairs((first.cumsum(0) - 1)[torch.minimum(number, other)], number[first])
