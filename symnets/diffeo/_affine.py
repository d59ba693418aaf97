"""Affine maps of images: rotations, scalings, shears and shifts about the centre, given or random."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from symnets.diffeo._diffeo import Diffeo, Index, as_rows
from symnets.diffeo._eager import no_derivatives
from symnets.diffeo._preimage import identity_minus


class Affine(Diffeo):
    """Affine maps p -> A (p - c) + c + t of image content, with c the centre of the image.

    `push` is this map; images are interpolated at its inverse. The border moves too: pixels whose source lies
    outside of the image take the value of the nearest pixel of its border.

    Args:
        matrix: A, one for each deformation; its components are in the order of the axes (row, column).
        shift: t in pixels; zero if None.
        shape: pixels along each axis.

    Raises:
        ValueError: wrong shapes, or A has no inverse.

    Example:
        >>> image = torch.rand(1, 1, 5, 5, dtype=torch.float64)
        >>> turned = Affine.rotation(90, (5, 5), dtype=torch.float64).warp(image)
        >>> torch.allclose(turned, image.rot90(1, (2, 3)))
        True
    """

    def __init__(
        self,
        matrix: Float[Tensor, "n dim dim"],
        shift: Float[Tensor, "n dim"] | None = None,
        *,
        shape: Sequence[int],
    ) -> None:
        dim = len(shape)
        if tuple(matrix.shape[1:]) != (dim, dim):
            raise ValueError(f"matrix: expected shape (n, {dim}, {dim}), got {tuple(matrix.shape)}")
        if not matrix.is_floating_point():
            raise ValueError(f"matrix: expected a floating-point dtype, got {matrix.dtype}")
        if shift is None:
            shift = matrix.new_zeros(len(matrix), dim)
        if tuple(shift.shape) != (len(matrix), dim):
            raise ValueError(f"shift: expected shape ({len(matrix)}, {dim}), got {tuple(shift.shape)}")
        inverse, singular = torch.linalg.inv_ex(matrix)
        if bool(singular.any()):
            raise ValueError("matrix: expected invertible matrices, got a singular one")
        self.matrix, self.shift, self._inverse = matrix, shift.to(matrix), inverse
        self._identity = not bool(identity_minus(matrix).any() or self.shift.any())
        self.shape, self.n = tuple(int(size) for size in shape), len(matrix)
        self.dtype, self.device = matrix.dtype, matrix.device

    @classmethod
    def rotation(
        cls,
        degrees: float | Tensor,
        shape: Sequence[int],
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> "Affine":
        """Rotations, counterclockwise when row 0 is on top, by one angle or by n angles, (n,)."""
        _check_image(shape, "rotation")
        angle = torch.deg2rad(_each(degrees, dtype, device))
        cos, sin = angle.cos(), angle.sin()
        rows = [torch.stack([cos, -sin], dim=-1), torch.stack([sin, cos], dim=-1)]
        return cls(torch.stack(rows, dim=-2), shape=shape)

    @classmethod
    def scaling(
        cls,
        factor: float | Tensor,
        shape: Sequence[int],
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> "Affine":
        """Magnifications by one factor, by n factors, (n,), or by a factor for each axis, (n, dim)."""
        factors = torch.as_tensor(factor, dtype=dtype or _floating(factor), device=device)
        if factors.ndim < 2:
            factors = factors.reshape(-1, 1).expand(-1, len(shape))
        return cls(torch.diag_embed(factors), shape=shape)

    @classmethod
    def shear(
        cls,
        degrees: float | Tensor,
        shape: Sequence[int],
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> "Affine":
        """Shears that move each row to the right by tan(angle) times its height above the centre.

        One angle, or (n,); a positive angle makes vertical lines lean to the right.
        """
        _check_image(shape, "shear")
        slope = -torch.deg2rad(_each(degrees, dtype, device)).tan()
        one, zero = torch.ones_like(slope), torch.zeros_like(slope)
        rows = [torch.stack([one, zero], dim=-1), torch.stack([slope, one], dim=-1)]
        return cls(torch.stack(rows, dim=-2), shape=shape)

    @classmethod
    def translation(
        cls,
        pixels: Float[Tensor, "n dim"] | Sequence[float],
        shape: Sequence[int],
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> "Affine":
        """Shifts of the content by a number of pixels along each axis."""
        shift = torch.as_tensor(pixels, dtype=dtype or _floating(pixels), device=device)
        shift = shift.reshape(-1, len(shape))
        eye = torch.eye(len(shape), dtype=shift.dtype, device=shift.device)
        return cls(eye.expand(len(shift), -1, -1), shift, shape=shape)

    @property
    def centre(self) -> Float[Tensor, " dim"]:
        """Centre c of the image, in pixels: (n_a - 1) / 2 along each axis."""
        return torch.tensor(
            [(size - 1) / 2 for size in self.grid_shape], dtype=self.dtype, device=self.device
        )

    @property
    def is_identity(self) -> bool:
        """Whether A = 1 and t = 0, and no derivative with respect to them is required."""
        return self._identity and no_derivatives(self.matrix, self.shift)

    def __getitem__(self, index: Index) -> "Affine":
        """A subset of the deformations; an integer selects a batch of one."""
        rows = as_rows(index, self.n, self.device)
        return Affine(self.matrix[rows], self.shift[rows], shape=self.grid_shape)

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Affine":
        """The same deformations on another device, or in another dtype."""
        matrix, shift = (part.to(device=device, dtype=dtype) for part in (self.matrix, self.shift))
        return Affine(matrix, shift, shape=self.grid_shape)

    def at(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim"]:
        """Displacement u at points."""
        points = points.to(device=self.device, dtype=self.dtype)
        source = (points - self.centre - self.shift[:, None]) @ self._inverse.mT + self.centre
        return points - source

    def gradient(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim dim"]:
        """Derivatives of the displacement, 1 - A⁻¹ at every point."""
        return identity_minus(self._inverse)[:, None].expand(-1, points.shape[-2], -1, -1)

    def is_bijective(self, margin: float = 0.0, refine: int = 2) -> Bool[Tensor, " n"]:
        """Whether |det A⁻¹| > margin, which holds for reflections too; `refine` has no effect."""
        return torch.linalg.det(self._inverse).abs() > margin

    def inverse(self, tol: float | None = None) -> "Affine":
        """The inverse map, with A⁻¹ and -A⁻¹ t in closed form; `tol` has no effect."""
        shift = -(self._inverse @ self.shift[..., None])[..., 0]
        return Affine(self._inverse, shift, shape=self.grid_shape)

    def compose(self, other: Diffeo) -> Diffeo:
        """Composition: `other` first, then this deformation; the result is `Affine` if both are."""
        if not isinstance(other, Affine) or other.shape != self.shape or self.n != other.n:
            return super().compose(other)
        shift = (self.matrix @ other.shift[..., None])[..., 0] + self.shift
        return Affine(self.matrix @ other.matrix, shift, shape=self.grid_shape)


def _check_image(shape: Sequence[int], name: str) -> None:
    if len(shape) != 2:
        raise ValueError(
            f"{name}: expected shape (rows, columns), got {tuple(shape)}; for volumes, pass a matrix"
        )


def _floating(value: object) -> torch.dtype:
    floating = isinstance(value, Tensor) and value.is_floating_point()
    return value.dtype if floating else torch.get_default_dtype()  # pyright: ignore[reportAttributeAccessIssue]


def _each(degrees: float | Tensor, dtype: torch.dtype | None, device: torch.device | str | None) -> Tensor:
    return torch.as_tensor(degrees, dtype=dtype or _floating(degrees), device=device).reshape(-1)


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
    """Random affine maps: scaling, shear, rotation and shift, in this order, with independent parameters.

    Parameters are sampled in float64 on the generator's device, as in `Field.sample`.

    Args:
        n: number of maps.
        shape: (rows, columns).
        degrees: largest angle of rotation; angles are uniform between -degrees and degrees.
        translate: largest shift in pixels; shifts are uniform between -translate and translate on each axis.
        scale: smallest and largest factor of scaling; its logarithm is uniform between theirs.
        shear: largest angle of shear in degrees; angles are uniform between -shear and shear.
        generator: source of the random numbers; None is torch's default generator.
        dtype: of the maps; by default torch's default dtype.
        device: of the maps; by default that of the generator.

    Raises:
        ValueError: limits that are negative or in the wrong order, or shears of 90 degrees.
    """
    low, high = scale
    if not (degrees >= 0 and translate >= 0 and 0 <= shear < 90):
        raise ValueError(f"expected limits >= 0, shear < 90; got {degrees=}, {translate=}, {shear=}")
    if not 0 < low <= high:
        raise ValueError(f"scale: expected 0 < smallest <= largest, got {scale}")
    source = torch.device("cpu") if generator is None else generator.device
    angle, slope, size, *shift = (
        2 * torch.rand(5, n, generator=generator, dtype=torch.float64, device=source) - 1
    )
    factor = low * (high / low) ** ((size + 1) / 2)
    rotation = Affine.rotation(angle * degrees, shape).matrix
    matrix = rotation @ Affine.shear(slope * shear, shape).matrix * factor[:, None, None]
    maps = Affine(matrix, translate * torch.stack(shift, dim=-1), shape=shape)
    return maps.to(device=source if device is None else device, dtype=dtype or torch.get_default_dtype())
