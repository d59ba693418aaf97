"""InputFeatures: the first features of points, from their kinds and from the features of the graph."""

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from symnets.data import AtomGraph
from symnets.nn._linear import Linear
from symnets.ops import from_e3nn


class InputFeatures(nn.Module):
    """Features of points from the embedding of their kind and the field `features` of their graph:

        x = linear(embedding ⊕ features),

    where ⊕ concatenates, and the linear layer mixes the channels of each irrep. Without `irreps_input` the
    result is the embedding itself.

    Args:
        channels: number of channels of the embedding and of each irrep of the result.
        irreps_input: irreps of the field `features`, in e3nn's order, such as "2x0e+1x1o"; None if the graphs
            have none.

    Attributes:
        irreps_out: irreps of the result, even scalars first.
    """

    def __init__(self, channels: int, irreps_input: str | None) -> None:
        super().__init__()
        self.irreps_out = scalars = o3.Irreps(f"{channels}x0e")
        self.irreps_input = None if irreps_input is None else o3.Irreps(irreps_input)
        self.linear = None
        if self.irreps_input is not None:
            given = scalars + self.irreps_input
            distinct = sorted({ir for _, ir in given}, key=lambda ir: (ir.l, -ir.p))
            self.irreps_out = o3.Irreps([(channels, ir) for ir in distinct])
            self.linear = Linear(given, self.irreps_out)

    def forward(
        self, embedded: Float[Tensor, "points channels"], graph: AtomGraph
    ) -> Float[Tensor, "points dim"]:
        """Features of `irreps_out`, in the `ir_mul` layout.

        Raises:
            ValueError: the graph has no field `features` of irreps `irreps_input`.
        """
        if self.linear is None or self.irreps_input is None:
            return embedded
        given, shape = graph.get("features"), (len(graph.z), self.irreps_input.dim)
        if given is None or tuple(given.shape) != shape:
            got = "none" if given is None else f"shape {tuple(given.shape)}"
            raise ValueError(
                f"features: expected shape {shape} for irreps_input {self.irreps_input}, got {got}; "
                "build the graph with point_cloud(..., features=...)"
            )
        rows = from_e3nn(given.to(embedded.dtype), self.irreps_input)
        return self.linear(torch.cat([embedded, rows], dim=1))
