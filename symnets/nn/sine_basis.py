"""SineBasis: the Bessel basis by its wave numbers, with a choice of envelopes."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.nn.radial import polynomial_envelope
from symnets.nn.xplor import xplor_envelope


class SineBasis(nn.Module):
    """Radial basis of trainable wave numbers, times an envelope,

        b_n(r) = (2 / r_c) sin(q_n r) / r · u(r),     q_n = nπ / r_c at the start.

    These are `BesselBasis`'s functions. The parameter is q_n in 1/Å instead of q_n r_c, as SevenNet has
    it: published wave numbers keep all their bits in float32.

    Args:
        cutoff: r_c in Å.
        n_basis: number of functions.
        switch_on: u is `xplor_envelope` from this distance in Å on; None: u is `polynomial_envelope`.
        p: order of `polynomial_envelope`.
    """

    def __init__(
        self, cutoff: float, n_basis: int = 8, *, switch_on: float | None = None, p: int = 6
    ) -> None:
        super().__init__()
        if switch_on is not None and not 0 <= switch_on < cutoff:
            raise ValueError(
                f"switch_on: expected a distance below the cutoff of {cutoff} Å, got {switch_on}"
            )
        self.cutoff, self.switch_on, self.p = cutoff, switch_on, p
        n = torch.arange(1, n_basis + 1, dtype=torch.get_default_dtype())
        self.wave_numbers = nn.Parameter(n * (math.pi / cutoff))

    def forward(self, distances: Float[Tensor, " edges"]) -> Float[Tensor, "edges n_basis"]:
        """Basis functions at distances in Å."""
        if self.switch_on is None:
            envelope = polynomial_envelope(distances / self.cutoff, self.p)
        else:
            envelope = xplor_envelope(distances, self.switch_on, self.cutoff)
        amplitude = 2 / self.cutoff * envelope / distances
        return torch.sin(distances[:, None] * self.wave_numbers) * amplitude[:, None]
