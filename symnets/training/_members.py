"""Members of an ensemble: the progress of each, whether it is still trained, and how its training ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Verdict(StrEnum):
    """How the minimisation of a net ended.

    SAT: all patterns are satisfied. UNSAT: the net is at a minimum of positive loss, or its loss no longer
    falls. KINK: the net is at a point where the loss is not differentiable, with a gradient that stays
    finite. UNCONVERGED: the budget ended while the loss was still falling. DIVERGED: the loss is not finite.
    """

    SAT = "SAT"
    UNSAT = "UNSAT"
    KINK = "KINK"
    UNCONVERGED = "UNCONVERGED"
    DIVERGED = "DIVERGED"


@dataclass(frozen=True)
class Criterion:
    """Rules that decide when the minimisation of a member ends, and with which verdict.

    Attributes:
        margin: pattern μ is satisfied when its gap Δ = margin - y f is at most `tolerance`. For a loss
            without labels (MSE) the gap is |f - y|, and the margin is not used.
        tolerance: largest gap of a satisfied pattern. It is not zero because second-order methods end at the
            margin itself, with gaps of either sign near 1e-13.
        gradient: a member is at a minimum when |∇L| < gradient √L. (For ½ Δ² both |∇L| and √L vanish on the
            way to zero loss; their ratio does not.)
        fall: when the budget ends, a member whose loss fell by less than this factor since half of the budget
            is UNSAT, otherwise UNCONVERGED.
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
        """N_Δ: number of patterns with Δ > tolerance; a pattern with a NaN output counts as unsatisfied.

        Args:
            outputs: output f of each member on each pattern.
            targets: label or target y of each pattern.
            labels: whether targets are labels ±1, with gaps Δ = margin - y f; otherwise Δ = |f - y|.
        """
        gaps = self.margin - targets * outputs if labels else (outputs - targets).abs()
        return (~(gaps <= self.tolerance)).sum(-1)

    def at_minimum(
        self, loss: Float[Tensor, " members"], gradient_norm: Float[Tensor, " members"]
    ) -> Bool[Tensor, " members"]:
        """Whether |∇L| < gradient √L."""
        return gradient_norm < self.gradient * loss.clamp_min(torch.finfo(loss.dtype).tiny).sqrt()

    def out_of_budget(self, loss: float, loss_at_half: float) -> Verdict:
        """Verdict on a member that is still active when the budget ends."""
        return Verdict.UNCONVERGED if loss * self.fall < loss_at_half else Verdict.UNSAT


@dataclass
class Members:
    """Progress of S nets that are trained in one call, in tensors with one entry for each; kept on the CPU.

    Attributes:
        active: whether a member is still trained.
        loss: loss at the last check.
        loss_at_half: loss at half of the budget.
        gradient_norm: |∇L| of the member's own loss, at the last check.
        n_unsatisfied: number of patterns with a gap above the tolerance, at the last check.
        steps: number of steps so far.
        time: sum of the step sizes (gradient flow) or of the learning rates.
        kinks: number of steps across a kink that no smaller step resolves (gradient flow).
        step_size: next step size (gradient flow), or next damping λ (Levenberg-Marquardt).
        verdicts: the verdict on each member; "" while it is active.
        memory: further state of the dynamics, by name: tensors of shape (S,).
    """

    active: Bool[Tensor, " members"]
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
        """n members before their first step."""
        nan, zero = torch.full((n,), torch.nan, dtype=torch.float64), torch.zeros(n, dtype=torch.int64)
        return cls(
            active=torch.ones(n, dtype=torch.bool),
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
        """Mean loss of the members whose loss is finite; NaN if there is none."""
        finite = self.loss[self.loss.isfinite()]
        return float(finite.mean()) if len(finite) else torch.nan

    def finish(self, index: int, verdict: Verdict) -> None:
        """End the training of a member with a verdict."""
        self.active[index] = False
        self.verdicts[index] = str(verdict)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and JSON values from which `from_state_dict` restores the progress."""
        columns = {_STORED.get(k, k): v for k, v in vars(self).items() if isinstance(v, Tensor)}
        extra = {f"memory/{name}": value for name, value in self.memory.items()}
        return columns | extra | {"verdicts": self.verdicts}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> "Members":
        """Members with the progress that `state_dict` returned."""
        memory = {k.removeprefix("memory/"): v for k, v in state.items() if k.startswith("memory/")}
        names = {stored: name for name, stored in _STORED.items()}
        columns = {names.get(k, k): v for k, v in state.items() if not k.startswith("memory/")}
        return cls(**(columns | {"verdicts": list(state["verdicts"]), "memory": memory}))


_STORED = {"active": "moving"}
"""Columns whose names in checkpoint files differ: name here -> name in the file."""
