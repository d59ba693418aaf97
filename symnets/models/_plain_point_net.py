"""PlainPointNet: a point-cloud net that is not equivariant, as a baseline for equivariant ones."""

from jaxtyping import Float
from torch import Tensor, nn

from symnets.config import annotated_ranges, check_values
from symnets.data import AtomGraph
from symnets.models._energy_model import Count


class PlainPointNet(nn.Module):
    """Classifier of point clouds from the coordinates of their points, without symmetry under rotations.

        f = φ( max_i ψ(x_i - x̄, kind_i) ),

    with the positions x_i of the points, their mean x̄, networks ψ and φ, and the maximum of each channel
    over the points. It is invariant under permutations of points and translations. Rotations and reflections
    change its outputs: it must learn from examples that these do not change the class.

    Source: PointNet (Qi et al. 2017, arXiv:1612.00593), without its networks that align clouds.

    Args:
        n_classes: number of outputs.
        kinds: number of kinds of points, see `symnets.data.point_cloud`.
        channels: width of the layers.
    """

    def __init__(self, n_classes: Count, *, kinds: Count = 1, channels: Count = 64) -> None:
        super().__init__()
        self.config = {"n_classes": n_classes, "kinds": kinds, "channels": channels}
        constructor = type(self).__init__
        check_values("PlainPointNet", self.config, annotated_ranges(constructor), constructor)
        self.kinds = kinds
        self.of_position = nn.Linear(3, channels)
        self.of_kind = nn.Embedding(kinds, channels)
        self.of_point = nn.Sequential(
            nn.SiLU(), nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, channels)
        )
        self.of_cloud = nn.Sequential(
            nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, n_classes)
        )

    def forward(self, graph: AtomGraph) -> Float[Tensor, "graphs n_classes"]:
        """Scores of the classes for each cloud; the largest is that of the predicted class.

        Raises:
            ValueError: a point is of a kind that the net does not have.
        """
        if int(graph.z.max()) > self.kinds:
            raise ValueError(
                f"kinds: expected numbers below {self.kinds}, as in PlainPointNet(..., kinds={self.kinds}), "
                f"got {int(graph.z.max()) - 1}"
            )
        owner = graph.owner
        total = graph.pos.new_zeros(graph.n_graphs, 3).index_add(0, owner, graph.pos)
        centred = graph.pos - (total / graph.n_atoms[:, None])[owner]
        points = self.of_point(self.of_position(centred) + self.of_kind(graph.z - 1))
        rows = owner[:, None].expand_as(points)
        largest = points.new_zeros(graph.n_graphs, points.shape[1])
        return self.of_cloud(largest.scatter_reduce(0, rows, points, "amax", include_self=False))
