"""X-PLOR's envelope: one up to some distance, then a smooth way down to zero at the cutoff."""

from jaxtyping import Float
from torch import Tensor


def xplor_envelope(r: Float[Tensor, "..."], on: float, cutoff: float) -> Float[Tensor, "..."]:
    """Smooth cutoff that leaves short distances alone: 1 up to `on`, 0 from `cutoff` on, and between them

        u(r) = (c² - r²)² (c² + 2 r² - 3 on²) / (c² - on²)³,     c = cutoff,

    whose slope vanishes at both ends; its second derivative jumps there. With s running from 0 to 1 as
    r² runs from on² to c² this is (1 - s)² (1 + 2 s).

    Source: the smoothing function of X-PLOR, as HOOMD-blue's documentation of pair potentials states it.
    """
    s = (r.clamp(on, cutoff) ** 2 - on**2) / (cutoff**2 - on**2)
    return (1 - s) ** 2 * (1 + 2 * s)
