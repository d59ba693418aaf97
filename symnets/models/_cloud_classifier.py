"""CloudClassifier: classes of point clouds from the features of a graph network."""

from collections.abc import Sequence

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from symnets.data import AtomGraph
from symnets.ops import blocks

EVEN, ODD = o3.Irrep("0e"), o3.Irrep("0o")


class CloudClassifier(nn.Module):
    """Classifier of point clouds or molecules: a network of invariants of the mean features of the points.

    With x̄ the mean over the points of a cloud of the network's features, the invariants are

        s = (scalars of x̄, |x̄_c|² / (2l+1) for each channel c of l > 0),

    and the outputs (logits) are a network with one hidden layer, f(s). They are invariant under rotations,
    and under reflections if the features are irreps of O(3): a cloud and its mirror image then have the same
    outputs. If they are different classes a and b, name the pair in `mirror_images`. With the pseudoscalars p
    (irrep 0o) of x̄ the outputs of the pair are

        f_a(s) + g(s) · p      and      f_a(s) - g(s) · p,

    which a reflection exchanges. Features of SO(3), where all irreps are written as even, need no pairs.

    Args:
        model: graph network with `irreps_features`, even scalars first, and `node_features(graph)`; with
            `irreps_last="32x0e+16x0o"` the network has pseudoscalars.
        n_classes: number of outputs.
        hidden: width of the hidden layer.
        mirror_images: pairs of different classes that are mirror images of each other.

    Raises:
        ValueError: features of odd scalars are missing for `mirror_images`, or these are no pairs of
            different classes.
    """

    def __init__(
        self,
        model: nn.Module,
        n_classes: int,
        *,
        hidden: int = 32,
        mirror_images: Sequence[Sequence[int]] = (),
    ) -> None:
        super().__init__()
        pairs = [(int(a), int(b)) for a, b in mirror_images]
        self.config = {"model": model, "n_classes": n_classes, "hidden": hidden, "mirror_images": pairs}
        self.model = model
        self.irreps: o3.Irreps = model.irreps_features  # pyright: ignore[reportAttributeAccessIssue]
        members = [c for pair in pairs for c in pair]
        if len(set(members)) < len(members) or not set(members) <= set(range(n_classes)):
            raise ValueError(
                f"mirror_images: expected pairs of different classes below {n_classes}, each class at most "
                f"once, got {pairs}"
            )
        self.n_odd = sum(mul for mul, ir in self.irreps if ir == ODD)
        if pairs and not self.n_odd:
            raise ValueError(
                f"mirror_images: expected a network with odd scalars, got features {self.irreps}; pass "
                'irreps_last="32x0e+16x0o" to the network'
            )
        n_invariants = sum(mul for mul, ir in self.irreps if ir != ODD)
        self.pairs = pairs
        self.hidden = nn.Sequential(nn.Linear(n_invariants, hidden), nn.SiLU())
        self.even = nn.Linear(hidden, n_classes)
        self.odd = nn.Linear(hidden, len(pairs) * self.n_odd) if pairs else None

    def forward(self, graph: AtomGraph) -> Float[Tensor, "graphs n_classes"]:
        """Outputs of each cloud, of which the largest is its class."""
        features = self.model.node_features(graph)  # pyright: ignore[reportCallIssue]
        total = features.new_zeros(graph.n_graphs, features.shape[1]).index_add(0, graph.owner, features)
        parts = blocks(total / graph.n_atoms[:, None], self.irreps)
        invariants = [
            part.squeeze(1) if ir == EVEN else part.square().mean(1)
            for part, (_, ir) in zip(parts, self.irreps, strict=True)
            if ir != ODD
        ]
        hidden = self.hidden(torch.cat(invariants, dim=1))
        outputs = list(self.even(hidden).unbind(1))
        if self.odd is not None:
            (pseudoscalars,) = [
                part.squeeze(1) for part, (_, ir) in zip(parts, self.irreps, strict=True) if ir == ODD
            ]
            weights = self.odd(hidden).unflatten(1, (len(self.pairs), self.n_odd))
            differences = (weights * pseudoscalars[:, None]).sum(2)
            for (a, b), difference in zip(self.pairs, differences.unbind(1), strict=True):
                outputs[a], outputs[b] = outputs[a] + difference, outputs[a] - difference
        return torch.stack(outputs, dim=1)
