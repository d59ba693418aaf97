"""Gate: the nonlinearity of equivariant features."""

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from symnets.nn._mlp import SILU_NORM
from symnets.ops import blocks, join

TANH_NORM = 1.5937334472592695
"""Factor c for which c tanh(z), z ~ N(0, 1), has unit second moment: e3nn's `normalize2mom`."""
_EVEN = o3.Irrep("0e")


class Gate(nn.Module):
    """Gated nonlinearity: activations of scalars, and all other channels times activated scalars:

        s -> c silu(s),     p -> c' tanh(p),     v -> c silu(g) v,

    for even scalars s, odd scalars p (tanh is odd) and channels v of l > 0. Each v has its own gate g, an
    even scalar of the input. The factors c and c' give the activations unit second moment on N(0, 1), as in
    `e3nn.nn.Gate`.

    Args:
        irreps_out: irreps of the result, each once, even scalars first.

    Attributes:
        irreps_in: irreps of the input: even scalars (s, then the gates g), then those of p and v.

    Raises:
        ValueError: `irreps_out` does not begin with its only block of even scalars.
    """

    def __init__(self, irreps_out: o3.Irreps | str) -> None:
        super().__init__()
        self.irreps_out = o3.Irreps(irreps_out)
        even = [mul for mul, ir in self.irreps_out if ir == _EVEN]
        rest = [(mul, ir) for mul, ir in self.irreps_out if ir != _EVEN]
        self.n_scalars = sum(even)
        if len(even) != 1 or self.irreps_out[0].ir != _EVEN:
            raise ValueError(f"Gate: expected one block of even scalars, the first, got {self.irreps_out}")
        n_gates = sum(mul for mul, ir in rest if ir.l > 0)
        self.irreps_in = o3.Irreps([(self.n_scalars + n_gates, _EVEN), *rest])

    def forward(self, features: Float[Tensor, "n dim_in"]) -> Float[Tensor, "n dim_out"]:
        """Gated features."""
        even, *rest = blocks(features, self.irreps_in)
        even = nn.functional.silu(even) * SILU_NORM
        out, start = [even[..., : self.n_scalars]], self.n_scalars
        for part, (mul, ir) in zip(rest, self.irreps_in[1:], strict=True):
            if ir.l == 0:
                out.append(torch.tanh(part) * TANH_NORM)
            else:
                out.append(part * even[..., start : start + mul])
                start += mul
        return join(out)
