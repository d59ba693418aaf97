"""CloudClassifier: a classifier of point clouds on the features of a graph network."""

from collections.abc import Sequence

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from symnets.data import AtomGraph
from symnets.ops import blocks

EVEN, ODD = o3.Irrep("0e"), o3.Irrep("0o")


class CloudClassifier(nn.Module):
    """Classifier of point clouds or molecules, from invariants of features averaged over the points.

    With the mean x̄ of the features of a graph network over the points of a cloud, the invariants are

        s = (scalars of x̄, |x̄_c|² / (2l+1) for each channel c of l > 0),

    where |x̄_c|² is the sum over the 2l + 1 components. The outputs (logits) are f(s), by a network f with
    one hidden layer. They are invariant under rotations, and under reflections if the features are irreps of
    O(3): a cloud and its mirror image then have the same outputs. If their classes a and b are different,
    pass the pair in `mirror_images`. With the vector p of pseudoscalars (irrep 0o) of x̄ and a vector g(s) of
    weights, the outputs of the pair are

        f_a(s) + g(s) · p      and      f_a(s) - g(s) · p,

    which a reflection exchanges. If the features are irreps of SO(3), all declared even, pairs are not
    needed.

    Args:
        model: graph network with `irreps_features`, even scalars first, and `node_features(graph)`; with
            `irreps_last="32x0e+16x0o"` the network has pseudoscalars.
        n_classes: number of outputs.
        hidden: width of the hidden layer.
        mirror_images: pairs of different classes that are mirror images of each other.

    Raises:
        ValueError: the features have no odd scalars, which `mirror_images` needs; `mirror_images` are not
            pairs of different classes, or a class is in two pairs.
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
        """Scores of the classes for each cloud; the largest is that of the predicted class."""
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
