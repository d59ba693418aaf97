"""AtomicEnergy: a scale and a shift of its own for every species, the shift in float64."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class AtomicEnergy(nn.Module):
    """Energy of atom n of species s, from the network's output e of order one,

        E_n = scale[s] e_n + shift[s]     in eV, float64.

    The shift (an isolated atom's energy, say -2000 eV) stays in float64 whatever dtype the model
    is moved to, and is added there: in float32 a molecule at -10⁴ eV resolves only 1 meV.

    Args:
        shift: eV, one for every species.
        scale: eV, one for every species; trained.
    """

    shift: Tensor

    def __init__(self, shift: Sequence[float], scale: Sequence[float]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(list(scale), dtype=torch.get_default_dtype()))
        self.register_buffer("shift", torch.tensor(list(shift), dtype=torch.float64))

    def forward(
        self, output: Float[Tensor, " atoms"], species: Int[Tensor, " atoms"]
    ) -> Float[Tensor, " atoms"]:
        """Energies of atoms; `species` counts from 0."""
        return (output * self.scale[species]).double() + self.shift[species]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "AtomicEnergy":
        """Move to another device or dtype, all but the precision of the shift."""
        exact = self.shift
        super()._apply(fn, recurse)
        self.shift = exact.to(self.shift.device)
        return self
