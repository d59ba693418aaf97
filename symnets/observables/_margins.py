"""Margins: which patterns a net with scalar output leaves unsatisfied, and by how much."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from symnets.data import Batch, check_binary_labels
from symnets.loss import matched
from symnets.observables._as_found import as_found, copy_inputs


def scalar_outputs(outputs: Tensor, targets: Tensor) -> Float[Tensor, "*members n"]:
    """Scalar outputs of shape (n,), (n, 1), (S, n) or (S, n, 1), without a last axis of length 1.

    Raises:
        ValueError: several outputs for each pattern, or numbers of patterns and targets that differ.
    """
    n = targets.shape[-1] if targets.ndim else -1
    shape = tuple(outputs.shape)
    if outputs.ndim > 1 and shape[-1] == 1 and shape[-2] == n:
        outputs = outputs[..., 0]
    fits = outputs.ndim in (1, 2) and outputs.shape[-1] == n
    if not fits or (targets.ndim == 2 and targets.shape != outputs.shape) or targets.ndim > 2:
        raise ValueError(
            f"outputs: expected one number for each pattern, (n,), (n, 1) or (members, n) with n={n} as in "
            f"the targets of shape {tuple(targets.shape)}, got {shape}"
        )
    return outputs


@dataclass(frozen=True)
class Margins:
    """Gaps Δ = margin - y f of all patterns, for each member if the model has members.

    f is the output and y = ±1 the label. In the language of packings, a pattern with Δ > 0 is a contact with
    overlap Δ, and N_Δ is the number of contacts (Geiger et al. 2019, arXiv:1809.09349).

    Attributes:
        gaps: Δ; positive where the pattern is unsatisfied.
        misclassified: whether the sign of f differs from y; f = 0 and NaN count as misclassified.
        margin: κ in Δ = κ - y f.
        tolerance: τ; patterns with Δ <= τ count as satisfied.
    """

    gaps: Float[Tensor, "*members n"]
    misclassified: Bool[Tensor, "*members n"]
    margin: float
    tolerance: float

    @property
    def unsatisfied(self) -> Bool[Tensor, "*members n"]:
        """Whether Δ > τ; NaN counts as unsatisfied."""
        return ~(self.gaps <= self.tolerance)

    @property
    def n_unsatisfied(self) -> Int[Tensor, "*members"]:
        """N_Δ, the number of patterns with Δ > τ."""
        return self.unsatisfied.sum(-1)

    @property
    def n_misclassified(self) -> Int[Tensor, "*members"]:
        """Number of misclassified patterns."""
        return self.misclassified.sum(-1)

    @property
    def loss(self) -> Float[Tensor, "*members"]:
        """Mean quadratic hinge of P patterns, (1/P) Σ ½ max(0, Δ)², summed in float64."""
        return (0.5 * self.gaps.double().relu() ** 2).mean(-1)

    @property
    def total_loss(self) -> Float[Tensor, "*members"]:
        """Extensive quadratic hinge, Σ ½ max(0, Δ)²: P times `loss`, the energy of a packing."""
        return (0.5 * self.gaps.double().relu() ** 2).sum(-1)

    @property
    def overlaps(self) -> Float[Tensor, "k"]:
        """Δ of the unsatisfied patterns, concatenated over members."""
        return self.gaps[self.unsatisfied]


@torch.no_grad()
def margins(
    model: nn.Module, batch: Batch | tuple[Tensor, Tensor], margin: float = 1.0, tolerance: float = 1e-6
) -> Margins:
    """Gaps Δ = margin - y f of a net with scalar output on labelled patterns, and which are unsatisfied.

    The tolerance is needed because a second-order minimiser leaves patterns exactly on the margin, where
    rounding decides the sign of Δ. The model is evaluated in eval mode and left as found.

    Args:
        model: any module whose outputs have shape (n,), (n, 1) or, with members, (S, n).
        batch: inputs, and labels +1 or -1 of any dtype and of shape (n,), (n, 1) or (S, n).
        margin: κ > 0.
        tolerance: τ >= 0.

    Raises:
        ValueError: labels that are not ±1, several outputs for each pattern, or no pattern.

    Example:
        A net with output 0 leaves all patterns unsatisfied: Δ = 1 and the loss is ½.
    """
    if not margin > 0 or not tolerance >= 0:
        raise ValueError(
            f"margin, tolerance: expected margin > 0 and tolerance >= 0, got {margin}, {tolerance}"
        )
    inputs, targets = Batch.of(batch)
    if targets.numel() == 0:
        raise ValueError("batch: expected at least one pattern, got none")
    check_binary_labels(targets)
    with as_found(model):
        outputs = model.eval()(copy_inputs(inputs))
    outputs, targets = matched(outputs, targets, members=getattr(model, "members", None))
    outputs = scalar_outputs(outputs, targets)
    aligned = targets.to(outputs) * outputs
    return Margins(margin - aligned, ~(aligned > 0), margin, tolerance)
