"""Random points, random labels, and projection onto the sphere |x| = √d.

Random numbers are sampled in float64 and then rounded to `dtype`, so that a task in float32 equals the task
in float64 up to rounding. Points are on the device of the generator.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def to_sphere(x: Float[Tensor, "points dim"], radius: float | None = None) -> Float[Tensor, "points dim"]:
    """Scale each point to length `radius`, √dim by default.

    With |x| = √d, coordinates are of order one for every dimension d. Points are not centred; the published
    recipes subtract a mean first.

    Raises:
        ValueError: a radius that is not positive, a point at the origin, or NaN or infinity.
    """
    if radius is not None and not radius > 0:
        raise ValueError(f"radius: expected more than 0, got {radius}")
    length = x.norm(dim=1, keepdim=True)
    usable = torch.isfinite(length) & (length > 0)
    if not usable.all():
        row = int((~usable[:, 0]).nonzero()[0, 0])
        if length[row] == 0:
            raise ValueError(
                f"x: row {row} is zero and has no direction; remove it, or subtract another mean"
            )
        raise ValueError(f"x: expected finite numbers, got |x| = {length[row].item()} in row {row}")
    return x * ((x.shape[1] ** 0.5 if radius is None else radius) / length)


def gaussian_cloud(
    n: int, dim: int, *, generator: torch.Generator, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "{n} {dim}"]:
    """Gaussian points x ~ N(0, I)."""
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
    """Points uniformly distributed in the cube [low, high)^dim.

    Raises:
        ValueError: `low` is not below `high`.
    """
    check_size(n, dim)
    if not low < high:
        raise ValueError(f"low, high: expected low < high, got {low} and {high}")
    device = generator.device
    unit = torch.rand(n, dim, generator=generator, dtype=torch.float64, device=device)
    return (low + (high - low) * unit).to(dtype)


def sphere_points(
    n: int, dim: int, *, generator: torch.Generator, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "{n} {dim}"]:
    """Points uniformly distributed on the sphere |x| = √dim: projected Gaussian points."""
    return to_sphere(gaussian_cloud(n, dim, generator=generator)).to(dtype)


def random_labels(
    n: int, *, generator: torch.Generator, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "{n}"]:
    """Labels +1 and -1 in random order, equally many of each; for odd n one more +1 than -1."""
    check_size(n, 1)
    alternating = 1.0 - 2.0 * (torch.arange(n, device=generator.device) % 2).to(dtype)
    return alternating[torch.randperm(n, generator=generator, device=generator.device)]


def check_size(n: int, dim: int) -> None:
    """Raise ValueError for a negative number of points or a dimension below one."""
    if n < 0 or dim < 1:
        raise ValueError(f"n, dim: expected n >= 0 points in dim >= 1 dimensions, got {n} and {dim}")
