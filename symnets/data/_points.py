"""Random points and random labels.

Numbers are drawn in float64 and then rounded to `dtype`, so that a task in float32 is the same task as in
float64. Points come to be on the device of the generator.

Projection onto the sphere |x| = √d.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def to_sphere(x: Float[Tensor, "points dim"], radius: float | None = None) -> Float[Tensor, "points dim"]:
    """Each point moved along its own direction to the sphere |x| = `radius`, √dim unless given.

    With |x| = √d a coordinate is of order one, whatever d. The points are not centred here; the published
    recipes subtract a mean before.

    Raises:
        ValueError: a point at the origin, which has no direction, or one with NaN or infinity.
    """
    if radius is not None and not radius > 0:
        raise ValueError(f"radius: expected more than 0, got {radius}")
    length = x.norm(dim=1, keepdim=True)
    usable = torch.isfinite(length) & (length > 0)
    if not usable.all():
        row = int((~usable[:, 0]).nonzero()[0, 0])
        if length[row] == 0:
            raise ValueError(f"x: row {row} is zero and has no direction; remove it, or centre differently")
        raise ValueError(f"x: expected finite numbers, got |x| = {length[row].item()} in row {row}")
    return x * ((x.shape[1] ** 0.5 if radius is None else radius) / length)


def gaussian_cloud(
    n: int, dim: int, *, generator: torch.Generator, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "{n} {dim}"]:
    """Points x ~ N(0, I)."""
    check_size(n, dim)
    device = generator.device
    return torch.randn(n, dim, generator=generator, dtype=torch.float64, device=device).to(dtype)


def uniform_cloud(
    n: int,
    dim: int,
    *,
    generator: torch.Generator,
    low: float = 0.0,
    high: float = 1.0,
    dtype: torch.dtype = torch.float64,
) -> Float[Tensor, "{n} {dim}"]:
    """Points uniform in the cube [low, high)^dim."""
    check_size(n, dim)
    if not low < high:
        raise ValueError(f"low, high: expected low < high, got {low} and {high}")
    device = generator.device
    unit = torch.rand(n, dim, generator=generator, dtype=torch.float64, device=device)
    return (low + (high - low) * unit).to(dtype)


def sphere_points(
    n: int, dim: int, *, generator: torch.Generator, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "{n} {dim}"]:
    """Points uniform on the sphere |x| = √dim: Gaussian ones, projected."""
    return to_sphere(gaussian_cloud(n, dim, generator=generator)).to(dtype)


def random_labels(
    n: int, *, generator: torch.Generator, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "{n}"]:
    """Labels +1 and -1 in random order, as many of each; for odd n there is one +1 more."""
    check_size(n, 1)
    alternating = 1.0 - 2.0 * (torch.arange(n, device=generator.device) % 2).to(dtype)
    return alternating[torch.randperm(n, generator=generator, device=generator.device)]


def check_size(n: int, dim: int) -> None:
    """Refuse numbers of points and dimensions of which there is no cloud."""
    if n < 0 or dim < 1:
        raise ValueError(f"n, dim: expected n >= 0 points in dim >= 1 dimensions, got {n} and {dim}")
