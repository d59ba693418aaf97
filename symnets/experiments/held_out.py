"""Nets on patterns that they were not trained on: outputs, error, and norm of the predictor."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.data.loader import Batch


@dataclass(frozen=True)
class HeldOut:
    """Outputs of nets on labelled patterns.

    Attributes:
        outputs: f.
        targets: y, +1 or -1.
    """

    outputs: Float[Tensor, "members n"]
    targets: Float[Tensor, "members n"]

    @property
    def error(self) -> Float[Tensor, " members"]:
        """Fraction of patterns with y f <= 0; NaN is an error as well."""
        return (~(self.targets * self.outputs > 0)).double().mean(-1)

    @property
    def norm(self) -> Float[Tensor, " members"]:
        """Norm of the predictor, <f²>^(1/2) over patterns (Geiger et al. 2019, arXiv:1901.01608)."""
        return self.outputs.double().square().mean(-1).sqrt()

    def halves(self) -> tuple["HeldOut", "HeldOut"]:
        """First and second half of the patterns, one to choose by and one to report."""
        middle = self.outputs.shape[-1] // 2
        return (
            HeldOut(self.outputs[:, :middle], self.targets[:, :middle]),
            HeldOut(self.outputs[:, middle:], self.targets[:, middle:]),
        )


@torch.no_grad()
def held_out(model: nn.Module, patterns: Batch, *, chunk: int = 2000) -> HeldOut:
    """Outputs of members, each on its own patterns, brought to the CPU.

    Args:
        model: S members, outputs (S, n).
        patterns: inputs (S, n, d), labels (S, n); on any device.
        chunk: patterns evaluated at a time; bounds memory.
    """
    device = next((p.device for p in model.parameters()), patterns.inputs.device)
    parts = [model(x.to(device)) for x in patterns.inputs.split(chunk, dim=-2)]
    return HeldOut(torch.cat(parts, dim=-1).cpu(), patterns.targets.cpu())
