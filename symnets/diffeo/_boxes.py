"""Key points and bounding boxes of deformed images."""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from symnets.diffeo._diffeo import Diffeo, check_tensor


def push_key_points(
    points: Shaped[Tensor, "*shape columns"], diffeo: Diffeo
) -> Shaped[Tensor, "*shape columns"]:
    """Key points (x, y) = (column, row) of a deformed image: h⁻¹ of the original ones, see `Diffeo.push`.

    The centre of pixel (row i, column j) is the key point (j, i), as in torchvision. Results are exact up to
    the tolerance of the inverse. Points outside of the image move by the same map: random fields fix them,
    affine maps do not. Points that are not finite do not move. Columns after the first two, such as a
    visibility, are returned unchanged.

    Args:
        points: key points in any floating dtype; integer results are rounded to the nearest.
        diffeo: one deformation, or one for each entry of the first axis of `points`.

    Raises:
        TypeError: not a tensor.
        ValueError: the deformation folds, so that h⁻¹ is not unique; or shapes do not fit.
    """
    check_tensor("key points", points)
    if points.ndim == 0 or points.shape[-1] < 2:
        raise ValueError(f"key points: expected shape (..., 2), got {tuple(points.shape)}")
    if diffeo.n > 1 and (points.ndim < 2 or len(points) != diffeo.n):
        raise ValueError(
            f"key points: expected shape ({diffeo.n}, ..., 2), one row for each image, "
            f"got {tuple(points.shape)}"
        )
    xy = points[..., :2].to(device=diffeo.device, dtype=diffeo.dtype).reshape(diffeo.n, -1, 2)
    finite = xy.isfinite().all(-1, keepdim=True)
    pushed = diffeo.push(torch.where(finite, xy, 0.0).flip(-1)).flip(-1)
    pushed = torch.where(finite, pushed, xy).reshape(*points.shape[:-1], 2).to(points.device)
    if not points.is_floating_point():
        pushed = pushed.round()
    return torch.cat([pushed.to(points.dtype), points[..., 2:]], dim=-1)


BoxFormat = Literal["XYXY", "XYWH", "CXCYWH"]


def push_boxes(
    boxes: Shaped[Tensor, "*shape 4"],
    diffeo: Diffeo,
    *,
    format: BoxFormat = "XYXY",
    points_per_edge: int = 64,
    clamp: bool = True,
) -> Shaped[Tensor, "*shape 4"]:
    """Bounding boxes of a deformed image: the upright hull of the deformed outline of each box.

    A one-to-one deformation maps the outline of a box to the outline of its image, so that this hull is the
    smallest upright box around the image of the box. The four corners alone are not enough, because edges
    bulge. The outline is sampled: between two sampled points at distance h, the hull may miss a bulge of at
    most h² |∂²u| / 8.

    Coordinates are those of torchvision: pixel (row i, column j) covers [j, j + 1] x [i, i + 1], and a box
    around the whole image is (0, 0, columns, rows).

    Args:
        boxes: of any dtype; integer boxes are widened to whole pixels ("CXCYWH": rounded).
        diffeo: one deformation, or one for each entry of the first axis of `boxes`.
        format: two corners ("XYXY"), a corner and the sides ("XYWH"), or the centre and the sides ("CXCYWH").
        points_per_edge: number of sampled points on each edge of the outline.
        clamp: whether to clip the result to the image.

    Raises:
        TypeError: not a tensor.
        ValueError: the deformation folds, the format is not one of the three, coordinates are not finite, or
            shapes do not fit.
    """
    if format not in get_args(BoxFormat):
        raise ValueError(f"format: expected one of {get_args(BoxFormat)} (upright boxes), got {format!r}")
    check_tensor("boxes", boxes)
    if boxes.ndim == 0 or boxes.shape[-1] != 4:
        raise ValueError(f"boxes: expected shape (..., 4), got {tuple(boxes.shape)}")
    if diffeo.n > 1 and (boxes.ndim < 2 or len(boxes) != diffeo.n):
        raise ValueError(
            f"boxes: expected shape ({diffeo.n}, ..., 4), one row for each image, got {tuple(boxes.shape)}"
        )
    if boxes.numel() == 0:
        return boxes.clone()
    if not bool(boxes.isfinite().all()):
        raise ValueError("boxes: expected finite numbers, got NaN or infinity")
    corners = _corners(boxes.to(device=diffeo.device, dtype=diffeo.dtype), format).reshape(diffeo.n, -1, 4)
    outline = _outline(corners, points_per_edge)
    # Deformations take the centre of pixel (0, 0) as the origin; boxes take its corner.
    pushed = diffeo.push(outline.flatten(1, 2).flip(-1) - 0.5).flip(-1) + 0.5
    low, high = pushed.reshape(outline.shape).aminmax(dim=2)
    if clamp:
        rows, columns = diffeo.grid_shape
        size = torch.tensor([columns, rows], dtype=low.dtype, device=low.device)
        low, high = (end.clamp(torch.zeros_like(size), size) for end in (low, high))
    integer = not boxes.is_floating_point()
    if integer and format != "CXCYWH":
        low, high = low.floor(), high.ceil()
    hull = _from_corners(low, high, format)
    return (hull.round() if integer else hull).reshape(boxes.shape).to(device=boxes.device, dtype=boxes.dtype)


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
    fraction = torch.linspace(0, 1, max(points_per_edge, 2), dtype=corners.dtype, device=corners.device)
    x, y = torch.lerp(x0, x1, fraction), torch.lerp(y0, y1, fraction)
    edges = [(x, y0.expand_as(y)), (x, y1.expand_as(y)), (x0.expand_as(x), y), (x1.expand_as(x), y)]
    return torch.cat([torch.stack(edge, dim=-1) for edge in edges], dim=-2)
