"""Members: where each net of an ensemble stands in its training, and which of them still move."""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from symnets.training.verdict import Verdict


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
