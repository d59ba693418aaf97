"""Verdicts: how the minimisation of a member ended, and by which rule.

Members: where each net of an ensemble stands in its training, and which of them still move.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

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


@dataclass
class Members:
    """Standing of S nets that are trained in one call.

    Attributes:
        moving: those not finished.
        loss: last loss.
        loss_at_half: loss at half of the budget.
        gradient_norm: |∇L| of the member's own loss, when last looked at.
        n_unsatisfied: patterns with a gap above the tolerance, when last looked at.
        steps: steps done.
        time: Σ of step sizes (gradient flow), or of learning rates.
        kinks: steps on which a kink was crossed that no smaller step resolves (gradient flow).
        step_size: that comes next (gradient flow), or the damping that does (Levenberg-Marquardt).
        verdicts: of the finished; "" before.
        memory: what else a dynamics has to remember of each member, (S,) each.
    """

    moving: Bool[Tensor, " members"]
    loss: Float[Tensor, " members"]
    loss_at_half: Float[Tensor, " members"]
    gradient_norm: Float[Tensor, " members"]
    n_unsatisfied: Int[Tensor, " members"]
    steps: Int[Tensor, " members"]
    time: Float[Tensor, " members"]
    kinks: Int[Tensor, " members"]
    step_size: Float[Tensor, " members"]
    verdicts: list[str] = field(default_factory=list)
    memory: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def start(cls, n: int) -> "Members":
        """All of n members move."""
        nan, zero = torch.full((n,), torch.nan, dtype=torch.float64), torch.zeros(n, dtype=torch.int64)
        return cls(
            moving=torch.ones(n, dtype=torch.bool),
            loss=nan.clone(),
            loss_at_half=nan.clone(),
            gradient_norm=nan.clone(),
            n_unsatisfied=zero.clone(),
            steps=zero.clone(),
            time=torch.zeros(n, dtype=torch.float64),
            kinks=zero.clone(),
            step_size=nan.clone(),
            verdicts=[""] * n,
        )

    @property
    def mean_loss(self) -> float:
        """Over the members whose loss is finite, so that one that diverged does not hide the others."""
        finite = self.loss[self.loss.isfinite()]
        return float(finite.mean()) if len(finite) else torch.nan

    def finish(self, index: int, verdict: Verdict) -> None:
        """A member stops for good."""
        self.moving[index] = False
        self.verdicts[index] = str(verdict)

    def freeze(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON from which `thaw` restores."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        tensors |= {f"memory/{name}": value for name, value in self.memory.items()}
        return tensors, {"verdicts": self.verdicts}

    @classmethod
    def thaw(cls, tensors: dict[str, Tensor], header: dict[str, Any]) -> "Members":
        """From what `freeze` took."""
        memory = {k.removeprefix("memory/"): v for k, v in tensors.items() if k.startswith("memory/")}
        standing = {k: v for k, v in tensors.items() if not k.startswith("memory/")}
        return cls(**standing, verdicts=list(header["verdicts"]), memory=memory)
