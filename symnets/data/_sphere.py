"""Grids of latitudes and longitudes on the sphere, and images projected onto it."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample

Latitudes = Literal["equiangular", "gauss"]
"""Kinds of grids of latitudes: see `latitudes`."""
_CHUNK = 500


def latitudes(n: int, kind: Latitudes = "equiangular") -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Polar angles β of n circles of latitude, from north to south, and quadrature weights w, in float64.

        mean of f over the sphere = Σ_j w_j mean over longitudes α of f(β_j, α),   Σ_j w_j = 1.
    - "equiangular": β_j = π (j + 1/2) / n, as in e3nn's `s2_grid`, with the weights of Driscoll and Healy
      (1994, Adv. Appl. Math. 15, 202), also known as Fejér's first rule: exact for polynomials of cos β up to
      degree n - 1.
    - "gauss": cos β_j are the nodes of Gauss-Legendre quadrature, exact up to degree 2n - 1.

    Args:
        n: number of circles.
        kind: "equiangular" or "gauss".

    Raises:
        ValueError: there is no circle, or the kind is unknown.
    """
    if n < 1:
        raise ValueError(f"latitudes: expected at least 1, got {n}")
    if kind == "gauss":
        nodes, weights = np.polynomial.legendre.leggauss(n)
        return torch.from_numpy(np.arccos(nodes[::-1])), torch.from_numpy(weights[::-1] / 2)
    if kind != "equiangular":
        raise ValueError(f"latitudes: expected 'equiangular' or 'gauss', got {kind!r}")
    angles = np.pi * (np.arange(n) + 0.5) / n
    k = np.arange(1, n // 2 + 1)
    series = (np.cos(2 * np.outer(angles, k)) / (4 * k**2 - 1)).sum(1)
    return torch.from_numpy(angles), torch.from_numpy((1 - 2 * series) / n)


def sphere_grid(
    shape: Sequence[int], kind: Latitudes = "equiangular"
) -> Float[Tensor, "latitudes longitudes 3"]:
    """Unit vectors (x, y, z) = (sin β sin α, cos β, sin β cos α) of a grid on the sphere, in float64.

    The north pole is +y, as in e3nn. Longitudes are α_k = 2π k / n_longitudes. The grid is on the CPU.

    Args:
        shape: (latitudes, longitudes).
        kind: kind of the latitudes.
    """
    beta = latitudes(shape[0], kind)[0][:, None]
    alpha = 2 * torch.pi * torch.arange(shape[1], dtype=torch.float64) / shape[1]
    rows = (beta.sin() * alpha.sin(), beta.cos().expand(-1, shape[1]), beta.sin() * alpha.cos())
    return torch.stack(rows, dim=-1)


def on_sphere(
    images: Float[Tensor, "n channels rows columns"],
    shape: Sequence[int],
    rotation: Float[Tensor, "*n 3 3"] | None = None,
    *,
    kind: Latitudes = "equiangular",
) -> Float[Tensor, "n channels latitudes longitudes"]:
    """Images projected onto the northern hemisphere, sampled on a grid of the whole sphere.

    The projection is stereographic from the south pole onto the plane of the equator,

        (u, v) = (x, z) / (1 + y),   f(x, y, z) = image(column u, row v) for y > 0, otherwise 0,

    as for MNIST in Cohen et al. 2018 (arXiv:1801.10130). The square image has the sides u = ±1, v = ±1: its
    corners are outside the equator and are cut off. Seen from outside the sphere the image is not mirrored.
    Pixels are interpolated linearly, and are 0 outside the image.

    Args:
        images: values of pixels.
        shape: (latitudes, longitudes) of the grid.
        rotation: matrix R, one for all images or one for each: the result at the point x is f(R⁻¹ x), the
            image rotated by R.
        kind: kind of the latitudes.

    Raises:
        ValueError: the rotations are not matrices (3, 3), one for all or for each image.

    Example:
        >>> on_sphere(torch.rand(5, 1, 28, 28), (32, 32)).shape
        torch.Size([5, 1, 32, 32])
    """
    points = sphere_grid(shape, kind).to(images)
    if rotation is None:
        rotation = torch.eye(3)
    if rotation.shape not in ((3, 3), (len(images), 3, 3)):
        raise ValueError(
            f"rotation: expected shape (3, 3) or ({len(images)}, 3, 3), got {tuple(rotation.shape)}"
        )
    rotations = rotation.to(images).expand(len(images), 3, 3)
    parts = [
        _project(part, points, turns)
        for part, turns in zip(images.split(_CHUNK), rotations.split(_CHUNK), strict=True)
    ]
    return torch.cat(parts) if parts else images.new_zeros(0, images.shape[1], *shape)


def _project(images: Tensor, points: Tensor, rotations: Tensor) -> Tensor:
    """Values of rotated images at points of the sphere, read at the points rotated by the inverse."""
    x, y, z = torch.einsum("abi,nij->njab", points, rotations).unbind(1)
    plane = torch.stack([x, z], dim=-1) / (1 + y).clamp_min(1e-3)[..., None]
    # The coordinates of grid_sample are (column, row), from -1 to 1 between the outer edges of pixels.
    values = grid_sample(images, plane, mode="bilinear", padding_mode="zeros", align_corners=False)
    return values * (y > 0)[:, None]
