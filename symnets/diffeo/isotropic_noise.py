"""Isotropic noise: what a smooth displacement of points is compared with."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor


def isotropic_noise(
    displacement: Float[Tensor, "*clouds points dim"], *, generator: Generator | None
) -> Float[Tensor, "*clouds points dim"]:
    """Noise without direction, of the norm that each cloud's displacement has: what to compare a map with.

    Args:
        displacement: of the points of one cloud, or of several of as many points.
        generator: source of the noise, on the device of the points or the CPU.
    """
    where = displacement.device if generator is None else generator.device
    noise = torch.randn(displacement.shape, generator=generator, dtype=torch.float64, device=where)
    noise = noise.to(device=displacement.device)
    norm = displacement.to(torch.float64).square().sum((-2, -1), keepdim=True).sqrt()
    noise = noise * (norm / noise.square().sum((-2, -1), keepdim=True).sqrt())
    return noise.to(displacement.dtype)
