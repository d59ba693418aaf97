"""Key points: where places of an image go when it is deformed."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from symnets.diffeo.diffeo import Diffeo


def push_key_points(
    points: Shaped[Tensor, "*shape columns"], diffeo: Diffeo
) -> Shaped[Tensor, "*shape columns"]:
    """Key points (x, y) = (column, row) of a deformed image: h⁻¹ of those of the image, see `Diffeo.push`.

    The centre of pixel (row i, column j) is the key point (j, i), as torchvision counts. Exact, up to the
    tolerance of the inverse. Points outside of the image stay where they are, and so do those that are not
    finite. Columns after the first two, such as a visibility, are left alone.

    Args:
        points: of any floating dtype; whole numbers are rounded to the nearest.
        diffeo: one deformation, or as many as the first axis is long.

    Raises:
        ValueError: the deformation folds, so that a point has no one place to go; or shapes do not fit.
    """
    if points.ndim == 0 or points.shape[-1] < 2:
        raise ValueError(f"key points: expected shape (..., 2), got {tuple(points.shape)}")
    if diffeo.n > 1 and (points.ndim < 2 or len(points) != diffeo.n):
        raise ValueError(
            f"key points: expected shape ({diffeo.n}, ..., 2), for as many images, got {tuple(points.shape)}"
        )
    places = points[..., :2].to(device=diffeo.device, dtype=diffeo.dtype).reshape(diffeo.n, -1, 2)
    finite = places.isfinite().all(-1, keepdim=True)
    pushed = push_inside(torch.where(finite, places, 0.0).flip(-1), diffeo).flip(-1)
    pushed = torch.where(finite, pushed, places).reshape(*points.shape[:-1], 2).to(points.device)
    if not points.is_floating_point():
        pushed = pushed.round()
    return torch.cat([pushed.to(points.dtype), points[..., 2:]], dim=-1)


def push_inside(points: Float[Tensor, "n points dim"], diffeo: Diffeo) -> Float[Tensor, "n points dim"]:
    """`Diffeo.push` of points (row, column) inside of the grid; outside of it nothing moves.

    The displacement is zero on the border, so that this is continuous. Its expansion in sines would go on
    periodically.
    """
    last = torch.tensor(diffeo.grid_shape, dtype=points.dtype, device=points.device) - 1
    inside = points.clamp(torch.zeros_like(last), last)
    return diffeo.push(inside) + (points - inside)
