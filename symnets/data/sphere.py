"""Projection onto the sphere |x| = √d."""

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
