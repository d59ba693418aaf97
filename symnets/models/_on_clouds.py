"""OnClouds: a graph network as a function of tensors of positions."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.data import collate, point_cloud


class OnClouds(nn.Module):
    """Graph network as a function of the positions of clouds, a tensor (clouds, points, 3).

    Every call computes the edges anew. Observables that need a function of tensors can then be computed, such
    as `symnets.observables.stability` under the deformations of a `symnets.diffeo.PointField`, and outputs
    can be differentiated with respect to the positions.

    Args:
        model: network with a row of outputs for each cloud, such as `CloudClassifier`, or for each point.
        radius: largest length of edges, in the unit of the positions, as in `symnets.data.point_cloud`.
        kinds: kind 0, 1, ... of each point, the same in all clouds; None if all are of kind 0.
    """

    def __init__(self, model: nn.Module, radius: float, *, kinds: Any = None) -> None:
        super().__init__()
        self.model, self.radius = model, float(radius)
        self.kinds = None if kinds is None else torch.as_tensor(kinds).tolist()
        self.config = {"model": model, "radius": self.radius, "kinds": self.kinds}

    def forward(self, positions: Float[Tensor, "clouds points 3"]) -> Tensor:
        """Outputs of the network for the graphs of the clouds."""
        return self.model(collate([point_cloud(p, self.radius, kinds=self.kinds) for p in positions]).inputs)
