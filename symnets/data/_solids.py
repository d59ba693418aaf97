"""Voxel images of solids: cubes, spheres, cones and others, of random size, position and orientation."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

BLOCK = 2**24
"""Number of voxels that are computed at once."""


@dataclass(frozen=True)
class Solids:
    """Solids sampled by `solids`: their voxels, classes, orientations and sizes.

    Attributes:
        voxels: 1 inside of a solid, 0 outside, smoothed at its faces; values at the centres of the voxels.
        labels: number of the class of each solid, its position in `SOLIDS`.
        rotations: orientation R of each solid: the point p of the upright solid of unit size is at
            radius R p + centre.
        radii: radius of the sphere of the same volume, in units in which the box reaches from -1 to 1.
        centres: centre of each solid, in the same units.
    """

    voxels: Float[Tensor, "n 1 size size size"]
    labels: Int64[Tensor, " n"]
    rotations: Float[Tensor, "n 3 3"]
    radii: Float[Tensor, " n"]
    centres: Float[Tensor, "n 3"]


def solids(
    n: int,
    size: int,
    *,
    seed: int = 0,
    orientation: Literal["random", "upright"] = "random",
    rotation: Float[Tensor, "3 3"] | None = None,
    radius: tuple[float, float] = (0.3, 0.4),
    shift: float = 0.1,
    edge: float | None = None,
    dtype: torch.dtype = torch.float32,
) -> Solids:
    """Sample solids in a box of size³ voxels: equally many of each class in `SOLIDS`, in random order.

    All solids of one radius have the volume of the sphere of this radius, so that the volume does not reveal
    the class. What is sampled does not depend on `size`, `edge` or `rotation`: the same seed gives the same
    solids on finer grids, or rotated. Voxels are smooth: a voxel at distance d inside a face has the value
    ½ erfc(-d / (√2 edge)), that of a half-space after a Gaussian filter of standard deviation `edge`. Lengths
    are in units in which the box reaches from -1 to 1. The results are on the CPU.

    Args:
        n: number of solids.
        size: voxels along an edge of the box; voxel i is centred at (2 i + 1) / size - 1.
        seed: seed of all random numbers.
        orientation: "random" rotations, or "upright": the axes of cones, cylinders and tori are along the
            first axis of the voxels, and the faces of cubes along the axes.
        rotation: a rotation or reflection of the whole box, after the sampling.
        radius: smallest and largest radius of the sphere of the same volume.
        shift: largest distance of the centre of a solid from that of the box along each axis.
        edge: width of smoothed faces, the standard deviation of a Gaussian; by default 0.7 voxels.
        dtype: dtype of the results; they are sampled in float64.

    Raises:
        ValueError: sizes out of range.

    Example:
        >>> solids(100, 17).voxels.shape
        torch.Size([100, 1, 17, 17, 17])
    """
    if n < 0 or size < 1:
        raise ValueError(f"n, size: expected n >= 0 solids on at least 1 voxel, got {n} and {size}")
    if not 0 < radius[0] <= radius[1] or shift < 0:
        raise ValueError(
            f"radius, shift: expected 0 < smallest <= largest and shift >= 0, got {radius}, {shift}"
        )
    if orientation not in ("random", "upright"):
        raise ValueError(f"orientation: expected 'random' or 'upright', got {orientation!r}")
    generator = torch.Generator().manual_seed(seed)
    double = {"generator": generator, "dtype": torch.float64}
    labels = torch.randperm(n, generator=generator) % len(SOLIDS)
    radii = radius[0] + (radius[1] - radius[0]) * torch.rand(n, **double)
    centres = shift * (2 * torch.rand(n, 3, **double) - 1)
    quaternions = torch.randn(n, 4, **double)
    rotations = _rotations(quaternions)
    if orientation == "upright":
        rotations = torch.eye(3, dtype=torch.float64).repeat(n, 1, 1)
    if rotation is not None:
        matrix = rotation.to(rotations)
        rotations, centres = matrix @ rotations, centres @ matrix.mT
    width = 1.4 / size if edge is None else edge
    axis = (2 * torch.arange(size, dtype=torch.float64) + 1) / size - 1
    points = torch.cartesian_prod(axis, axis, axis)
    voxels = torch.empty(n, size**3, dtype=dtype)
    for kind, distance in enumerate(SOLIDS.values()):
        for rows in (labels == kind).nonzero().flatten().split(max(1, BLOCK // size**3)):
            scale = radii[rows, None, None]
            own = (points - centres[rows, None]) @ rotations[rows] / scale
            outside = distance(own) * scale[..., 0]
            voxels[rows] = (0.5 * torch.erfc(outside / (math.sqrt(2) * width))).to(dtype)
    return Solids(
        voxels.view(n, 1, size, size, size), labels, rotations.to(dtype), radii.to(dtype), centres.to(dtype)
    )


def _rotations(quaternions: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3 3"]:
    """Rotation matrices of quaternions of any length; uniformly distributed for Gaussian quaternions."""
    w, x, y, z = (quaternions / quaternions.norm(dim=1, keepdim=True)).unbind(1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


# Signed distances from the surface, positive outside, of solids with the volume of the unit sphere. For
# solids with plane faces it is the largest distance from the plane of a face, a lower bound near edges. Axes
# of symmetry are along the first coordinate.

Points = Float[Tensor, "n points 3"]


def _half_spaces(normals: list[tuple[int, int, int]], distance: float) -> Callable[[Points], Tensor]:
    """Signed distance from a convex solid, from the normals of its faces and their distance to the origin."""
    matrix = torch.tensor(normals, dtype=torch.float64, device="cpu")
    matrix = matrix / matrix.norm(dim=1, keepdim=True)
    return lambda p: (p @ matrix.to(p).mT).amax(-1) - distance


def _sphere(p: Points) -> Tensor:
    return p.norm(dim=-1) - 1


def _cylinder(p: Points) -> Tensor:
    """Signed distance from a cylinder of radius r, height 2r and volume 2πr³."""
    r = (2 / 3) ** (1 / 3)
    return torch.maximum(p[..., 1:].norm(dim=-1), p[..., 0].abs()) - r


def _cone(p: Points) -> Tensor:
    """Signed distance from a cone of radius r, height 2r and volume 2πr³/3, with its centre of mass at 0.

    The centre of mass is a quarter of the height above the base.
    """
    r = 2 ** (1 / 3)
    slope = math.hypot(1, 2)
    side = (2 * p[..., 1:].norm(dim=-1) + p[..., 0] - 1.5 * r) / slope
    return torch.maximum(side, -p[..., 0] - r / 2)


def _torus(p: Points) -> Tensor:
    """Signed distance from a torus with radii R of the circle and R/2 of the tube, of volume π²R³/2."""
    big = (8 / (3 * math.pi)) ** (1 / 3)
    return torch.hypot(p[..., 1:].norm(dim=-1) - big, p[..., 0]) - big / 2


_VOLUME = 4 * math.pi / 3
_CUBE = _half_spaces(
    [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)], (_VOLUME / 8) ** (1 / 3)
)
# An octahedron of inradius h has the volume 4√3 h³, a tetrahedron 8√3 h³.
_OCTAHEDRON = _half_spaces(
    [(x, y, z) for x in (1, -1) for y in (1, -1) for z in (1, -1)], (_VOLUME / (4 * 3**0.5)) ** (1 / 3)
)
_TETRAHEDRON = _half_spaces(
    [(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)], (_VOLUME / (8 * 3**0.5)) ** (1 / 3)
)

SOLIDS: dict[str, Callable[[Points], Tensor]] = {
    "cone": _cone,
    "cube": _CUBE,
    "cylinder": _cylinder,
    "octahedron": _OCTAHEDRON,
    "sphere": _sphere,
    "tetrahedron": _TETRAHEDRON,
    "torus": _torus,
}
"""Signed distances from the surfaces of upright solids of unit size, by name of the class."""
