"""Verdicts: how the minimisation of a member ended, and by which rule."""

from dataclasses import dataclass
from enum import StrEnum

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Verdict(StrEnum):
    """How a minimisation ended.

    SAT: all patterns are satisfied. UNSAT: at a minimum of positive loss, or where it no longer
    falls. KINK: at a place where the loss is not differentiable, with a gradient that stays finite.
    UNCONVERGED: the budget ended while the loss still fell. DIVERGED: the loss is not finite.
    """

    SAT = "SAT"
    UNSAT = "UNSAT"
    KINK = "KINK"
    UNCONVERGED = "UNCONVERGED"
    DIVERGED = "DIVERGED"


@dataclass(frozen=True)
class Criterion:
    """When a member is finished.

    Attributes:
        margin: pattern μ is satisfied when its gap Δ = margin - y f is at most `tolerance`.
            Of a loss without labels (MSE) the gap is |f - y|, and the margin does not matter.
        tolerance: strictly positive gaps are no use: methods of second order end with gaps of
            1e-13 on the very margin.
        gradient: a member whose gradient norm is below this times the square root of its loss is
            at a minimum (for ½ Δ² both fall together on the way to zero loss; their ratio does not).
        fall: when the budget ends, a member whose loss fell by less than this factor since half of
            the budget is UNSAT, otherwise UNCONVERGED.
    """

    margin: float = 1.0
    tolerance: float = 1e-6
    gradient: float = 1e-8
    fall: float = 2.0

    def n_unsatisfied(
        self,
        outputs: Float[Tensor, "members n"],
        targets: Float[Tensor, "*members n"],
        *,
        labels: bool = True,
    ) -> Int[Tensor, " members"]:
        """N_Δ: patterns with Δ > tolerance; one with an output that is no number is not satisfied.

        Args:
            outputs: f.
            targets: y.
            labels: Δ = margin - y f; if not, Δ = |f - y|.
        """
        gaps = self.margin - targets * outputs if labels else (outputs - targets).abs()
        return (~(gaps <= self.tolerance)).sum(-1)

    def at_minimum(
        self, loss: Float[Tensor, " members"], gradient_norm: Float[Tensor, " members"]
    ) -> Bool[Tensor, " members"]:
        """|∇L| < gradient √L."""
        return gradient_norm < self.gradient * loss.clamp_min(torch.finfo(loss.dtype).tiny).sqrt()

    def out_of_budget(self, loss: float, loss_at_half: float) -> Verdict:
        """The verdict on a member that is not finished when the budget ends."""
        return Verdict.UNCONVERGED if loss * self.fall < loss_at_half else Verdict.UNSAT
