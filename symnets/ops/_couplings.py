"""wigner_3j: Clebsch-Gordan coefficients that are the same under every release of e3nn."""

from functools import cache

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor


@cache
def release_sign(l1: int, l2: int, l3: int) -> int:
    """Sign of the installed e3nn's `o3.wigner_3j` relative to that of e3nn 0.5 and 0.6.

    It is 1 from e3nn 0.5 on. In e3nn 0.4 it is -1 for some degrees l1, l2, l3 whose sum is odd, so that
    weights of tensor products have the opposite sign there.
    """
    theirs = o3.wigner_3j(l1, l2, l3, dtype=torch.float64)
    if (l1 + l2 + l3) % 2 == 0:  # the element of m = 0 is not zero, and positive in e3nn 0.5
        return int(theirs[l1, l2, l3].sign())
    # For odd sums the element of m = l1, |l3 - l1| and -l3 is not zero. Its sign in e3nn 0.5 follows from a
    # coefficient that is positive by the convention of Condon and Shortley: (-1)^((l1 + l2 - l3 + 1) / 2),
    # times (-1)^(l1 - l3) from the real basis of negative m if l1 > l3.
    sign = (-1) ** ((l1 + l2 - l3 + 1) // 2 + max(l1 - l3, 0))
    return sign * int(theirs[2 * l1, l2 + abs(l3 - l1), 0].sign())


def wigner_3j(l1: int, l2: int, l3: int) -> Float[Tensor, "dim1 dim2 dim3"]:
    """Wigner's 3j symbol in e3nn's real basis, float64, normalised to 1, with the signs of e3nn 0.5 and 0.6.

    Weights of a model belong to these signs: with them a model file has the same energies under every
    release of e3nn.
    """
    return o3.wigner_3j(l1, l2, l3, dtype=torch.float64) * release_sign(l1, l2, l3)
