"""Nonlinearities of equivariant features: Gate and NormActivation."""

from collections.abc import Callable

import torch
from e3nn import o3
from e3nn.math import moment
from jaxtyping import Float
from torch import Tensor, nn

from symnets.native import GateBlock, GateRows, Matrix, Program, activation_name
from symnets.nn._mlp import SILU_NORM
from symnets.ops import blocks, join

Activation = Callable[[Tensor], Tensor]
"""Function of each entry of a tensor."""
TANH_NORM = 1.5937334472592695
"""Factor c for which c tanh(z), z ~ N(0, 1), has unit second moment: e3nn's `normalize2mom`."""
_EVEN = o3.Irrep("0e")


def moment_factor(activation: Activation) -> float:
    """Factor c for which c φ(z), z ~ N(0, 1), has unit second moment, by e3nn's estimate."""
    known = {nn.functional.silu: SILU_NORM, torch.tanh: TANH_NORM}
    factor = known.get(activation) or moment(activation, 2, dtype=torch.float64).item() ** -0.5
    return 1.0 if abs(factor - 1) < 1e-4 else factor  # as e3nn does


class Gate(nn.Module):
    """Gated nonlinearity: scalars are activated, other channels are multiplied by activated scalars:

        s -> c φ(s),     p -> c' φ'(p),     v -> c'' φ''(g) v,

    for even scalars s, odd scalars p and channels v of l > 0. Each v has its own gate g, an even scalar of
    the input. φ and φ'' are silu and φ' is tanh unless others are chosen. The factors c give each activation
    unit second moment on N(0, 1). This is `e3nn.nn.Gate`, in the `ir_mul` layout.

    Source: Weiler et al. 2018, arXiv:1807.02547.

    Args:
        irreps_out: irreps of the result, each once, even scalars first.
        act: φ, of even scalars.
        odd_act: φ', of odd scalars, an odd function.
        gate_act: φ'', of gates.
        irreps_in: irreps of the input, if their order differs from that of `irreps_out`.

    Attributes:
        irreps_in: irreps of the input: even scalars (s, then the gates g), then those of p and v.

    Raises:
        ValueError: `irreps_out` does not begin with its only block of even scalars; `odd_act` is not odd;
            `irreps_in` is not a permutation of the irreps that the input must have.
    """

    def __init__(
        self,
        irreps_out: o3.Irreps | str,
        *,
        act: Activation = nn.functional.silu,
        odd_act: Activation = torch.tanh,
        gate_act: Activation = nn.functional.silu,
        irreps_in: o3.Irreps | str | None = None,
    ) -> None:
        super().__init__()
        self.irreps_out = o3.Irreps(irreps_out)
        even = [mul for mul, ir in self.irreps_out if ir == _EVEN]
        rest = [(mul, ir) for mul, ir in self.irreps_out if ir != _EVEN]
        if len(even) != 1 or self.irreps_out[0].ir != _EVEN:
            raise ValueError(f"Gate: expected one block of even scalars, the first, got {self.irreps_out}")
        self.gates = [mul for mul, ir in rest if ir.l > 0]
        expected = o3.Irreps([(sum(even) + sum(self.gates), _EVEN), *rest])
        self.irreps_in = expected if irreps_in is None else o3.Irreps(irreps_in)
        if sorted(self.irreps_in) != sorted(expected):
            raise ValueError(f"Gate: expected irreps_in to be {expected} in any order, got {irreps_in}")
        blocks_in = list(self.irreps_in)
        self.order = [blocks_in.index(block) for block in expected]
        self.n_scalars = sum(even)
        z = torch.linspace(0, 10, 256, dtype=torch.float64)
        if not torch.allclose(odd_act(z), -odd_act(-z)):
            raise ValueError(f"Gate: expected odd_act(-z) = -odd_act(z), got {odd_act}; torch.tanh is odd")
        self.act, self.odd_act, self.gate_act = act, odd_act, gate_act
        self.factor, self.odd_factor, self.gate_factor = map(moment_factor, (act, odd_act, gate_act))

    def forward(self, features: Float[Tensor, "n dim_in"]) -> Float[Tensor, "n dim_out"]:
        """Gated features."""
        parts = blocks(features, self.irreps_in)
        scalars, *gates = parts[self.order[0]].split([self.n_scalars, *self.gates], dim=-1)
        out = [self.act(scalars) * self.factor]
        for number, (_, ir) in zip(self.order[1:], self.irreps_out[1:], strict=True):
            if ir.l == 0:
                out.append(self.odd_act(parts[number]) * self.odd_factor)
            else:
                out.append(parts[number] * (self.gate_act(gates.pop(0)) * self.gate_factor))
        return join(out)

    def lower(self, program: Program, features: Matrix) -> Matrix:
        """Gated features in a native program.

        Raises:
            CannotLower: an activation has no native code.
        """
        if features.table is not None:
            return program.lookup(self(features.table))
        starts = [columns.start for columns in self.irreps_in.slices()]
        gates = starts[self.order[0]] + self.n_scalars
        outputs = zip(self.order, self.irreps_out, self.irreps_out.slices(), strict=True)
        gated = []
        for number, (mul, ir), columns in outputs:
            act, factor = self.gate_act, self.gate_factor
            if ir.l == 0:
                act, factor = (self.act, self.factor) if ir == _EVEN else (self.odd_act, self.odd_factor)
            block = GateBlock(
                starts[number],
                columns.start,
                mul,
                ir.dim,
                gates if ir.l else None,
                activation_name(act),
                factor,
            )
            gated.append(block)
            gates += mul if ir.l else 0
        operation = GateRows(program, features, self.irreps_out.dim, gated)
        program.add(operation)
        return operation.out


class NormActivation(nn.Module):
    """Nonlinearity that multiplies every channel by a function of its norm:

        x_c -> φ(|x_c| + b_c) x_c / |x_c|,     |x_c| = (Σ_m x_cm² + ε²)^(1/2),

    for channel c of any irrep, with a trained bias b_c. Without ε the result would jump at x = 0 if
    φ(b_c) ≠ 0; ε spreads the jump over a width of about ε. For |x| much larger than ε this is
    `e3nn.nn.NormActivation`, in the `ir_mul` layout. Scalars are treated in the same way: φ acts on their
    absolute value.

    Source: Thomas et al. 2018, arXiv:1802.08219, which multiplies x itself by φ; Worrall et al. 2017,
    arXiv:1612.04642.

    Args:
        irreps: irreps of the features.
        act: φ.
        bias: whether to have biases, which are 0 at the start.
        eps: ε.
    """

    def __init__(
        self,
        irreps: o3.Irreps | str,
        act: Activation = nn.functional.silu,
        *,
        bias: bool = True,
        eps: float = 1e-3,
    ) -> None:
        super().__init__()
        self.irreps_in = self.irreps_out = o3.Irreps(irreps)
        self.channels = [mul for mul, _ in self.irreps_in]
        self.act, self.eps = act, eps
        self.biases = nn.Parameter(torch.zeros(sum(self.channels))) if bias else None

    def forward(self, features: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """Features with activated norms."""
        parts = blocks(features, self.irreps_in)
        norms = [(part.square().sum(-2) + self.eps**2).sqrt() for part in parts]
        norm = torch.cat(norms, dim=-1)
        factor = self.act(norm if self.biases is None else norm + self.biases) / norm
        factors = factor.split(self.channels, dim=-1)
        return join([part * f[:, None] for part, f in zip(parts, factors, strict=True)])
