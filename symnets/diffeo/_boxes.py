"""Key points: where places of an image go when it is deformed.

Boxes: the smallest upright boxes around what boxes of an image become when it is deformed.
"""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from symnets.diffeo._diffeo import Diffeo


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


BoxFormat = Literal["XYXY", "XYWH", "CXCYWH"]


def push_boxes(
    boxes: Shaped[Tensor, "*shape 4"],
    diffeo: Diffeo,
    *,
    format: BoxFormat = "XYXY",
    points_per_edge: int = 64,
    clamp: bool = True,
) -> Shaped[Tensor, "*shape 4"]:
    """Boxes of a deformed image: the hull of the pushed outline of each box.

    A deformation that is one-to-one maps the outline of a box to the outline of what the box becomes, so
    that this hull is the smallest upright box around it. Four corners would not do: edges bulge. Between
    two points of the outline the hull may miss h² |∂²u| / 8, with h their distance.

    Coordinates are those of torchvision: pixel (row i, column j) covers [j, j + 1] x [i, i + 1], and a box
    around the whole image is (0, 0, columns, rows).

    Args:
        boxes: of any dtype; whole numbers are widened to whole pixels (of "CXCYWH", rounded).
        diffeo: one deformation, or as many as the first axis is long.
        format: corners, a corner and the sides, or the centre and the sides.
        points_per_edge: of the outline.
        clamp: cut what is outside of the image.

    Raises:
        ValueError: the deformation folds, a format that is not upright, numbers that are not finite, or
            shapes that do not fit.
    """
    if format not in get_args(BoxFormat):
        raise ValueError(f"format: expected one of {get_args(BoxFormat)} (upright boxes), got {format!r}")
    if boxes.ndim == 0 or boxes.shape[-1] != 4:
        raise ValueError(f"boxes: expected shape (..., 4), got {tuple(boxes.shape)}")
    if diffeo.n > 1 and (boxes.ndim < 2 or len(boxes) != diffeo.n):
        raise ValueError(
            f"boxes: expected shape ({diffeo.n}, ..., 4), for as many images, got {tuple(boxes.shape)}"
        )
    if boxes.numel() == 0:
        return boxes.clone()
    if not bool(boxes.isfinite().all()):
        raise ValueError("boxes: expected finite numbers, got NaN or infinity")
    corners = _corners(boxes.to(device=diffeo.device, dtype=diffeo.dtype), format).reshape(diffeo.n, -1, 4)
    outline = _outline(corners, points_per_edge)
    # Pixels are points in the middle of the unit squares that they cover.
    pushed = push_inside(outline.flatten(1, 2).flip(-1) - 0.5, diffeo).flip(-1) + 0.5
    low, high = pushed.reshape(outline.shape).aminmax(dim=2)
    if clamp:
        rows, columns = diffeo.grid_shape
        canvas = torch.tensor([columns, rows], dtype=low.dtype, device=low.device)
        low, high = (end.clamp(torch.zeros_like(canvas), canvas) for end in (low, high))
    whole = not boxes.is_floating_point()
    if whole and format != "CXCYWH":
        low, high = low.floor(), high.ceil()
    hull = _from_corners(low, high, format)
    return (hull.round() if whole else hull).reshape(boxes.shape).to(device=boxes.device, dtype=boxes.dtype)


def _corners(boxes: Tensor, format: BoxFormat) -> Float[Tensor, "*shape 4"]:
    first, second = boxes[..., :2], boxes[..., 2:]
    if format == "XYWH":
        second = first + second
    elif format == "CXCYWH":
        first, second = first - second / 2, first + second / 2
    return torch.cat([first, second], dim=-1)


def _from_corners(low: Tensor, high: Tensor, format: BoxFormat) -> Float[Tensor, "*shape 4"]:
    if format == "XYWH":
        return torch.cat([low, high - low], dim=-1)
    if format == "CXCYWH":
        return torch.cat([(low + high) / 2, high - low], dim=-1)
    return torch.cat([low, high], dim=-1)


def _outline(corners: Float[Tensor, "n boxes 4"], points_per_edge: int) -> Float[Tensor, "n boxes points 2"]:
    """Points (x, y) on the four edges, corners included."""
    x0, y0, x1, y1 = (side[..., None] for side in corners.unbind(-1))
    along = torch.linspace(0, 1, max(points_per_edge, 2), dtype=corners.dtype, device=corners.device)
    x, y = torch.lerp(x0, x1, along), torch.lerp(y0, y1, along)
    edges = [(x, y0.expand_as(y)), (x, y1.expand_as(y)), (x0.expand_as(x), y), (x1.expand_as(x), y)]
    return torch.cat([torch.stack(edge, dim=-1) for edge in edges], dim=-2)
