"""Random affine maps of images."""

from collections.abc import Sequence

import torch
from torch import Generator

from symnets.diffeo.affine import Affine


def random_affine(
    n: int,
    shape: Sequence[int],
    *,
    degrees: float = 0.0,
    translate: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    shear: float = 0.0,
    generator: Generator | None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Affine:
    """Images are scaled, sheared, turned and shifted, in this order, each by a number of its own.

    Drawn in float64 where the generator is, as `Field.sample` does.

    Args:
        n: how many.
        shape: (rows, columns).
        degrees: largest angle of rotation, uniform between plus and minus.
        translate: largest shift in pixels along each axis, uniform between plus and minus.
        scale: least and largest factor, uniform in its logarithm.
        shear: largest angle of shear in degrees, uniform between plus and minus.
        generator: source of the numbers; None is torch's own.
        dtype: of the maps, torch's default if None.
        device: of the maps, that of the generator if None.

    Raises:
        ValueError: limits that are negative or in the wrong order, shears of 90 degrees.
    """
    low, high = scale
    if not (degrees >= 0 and translate >= 0 and 0 <= shear < 90):
        raise ValueError(f"expected limits >= 0, shear < 90; got {degrees=}, {translate=}, {shear=}")
    if not 0 < low <= high:
        raise ValueError(f"scale: expected 0 < least <= largest, got {scale}")
    where = torch.device("cpu") if generator is None else generator.device
    angle, lean, size, *moves = (
        2 * torch.rand(5, n, generator=generator, dtype=torch.float64, device=where) - 1
    )
    factor = low * (high / low) ** ((size + 1) / 2)
    turned = Affine.rotation(angle * degrees, shape).matrix
    matrix = turned @ Affine.shear(lean * shear, shape).matrix * factor[:, None, None]
    drawn = Affine(matrix, translate * torch.stack(moves, dim=-1), shape=shape)
    return drawn.to(device=where if device is None else device, dtype=dtype or torch.get_default_dtype())
