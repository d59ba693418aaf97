"""Diffeo: smooth deformations of images, volumes and points."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from symnets.diffeo.matrices import determinant, identity_minus
from symnets.diffeo.resample import Mode, resample
from symnets.diffeo.rows import Index, as_rows


class Diffeo(ABC):
    """n deformations, one for each image of a batch. Each moves what is at h(s) to s:

        (τ x)(s) = x(h(s)),     h(s) = s - u(s),

    with the displacement u in pixels. Coordinates are in pixels too, in the order of the axes of a tensor,
    (row, column) or (depth, row, column): pixel (i, j) is the point (i, j), and the domain is
    [0, rows - 1] x [0, columns - 1].

    A subclass has to have `at`, `gradient` and a `shape`, and `n` if it is more than one deformation; all
    else follows. `__getitem__` and `to` then give a `Selection` of it, which one's own may do better.

    Attributes:
        shape: pixels along each axis; None if there is no grid, only points (then give `dim` too).
        n: number of deformations; 1 unless told.
        dtype: of displacements; float64 unless told, which images do not mind.
        device: where they are; the CPU unless told.
    """

    shape: tuple[int, ...] | None
    n: int = 1
    dtype: torch.dtype = torch.float64
    device: torch.device = torch.device("cpu")

    @abstractmethod
    def at(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim"]:
        """u at points that all share, (points, dim), or at each one's own, (n, points, dim).

        A single deformation, n = 1, may be asked at the points of many, (m, points, dim), and answers alike.
        """

    @abstractmethod
    def gradient(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim dim"]:
        """∂u_a / ∂x_b at points; no unit."""

    def __getitem__(self, index: Index) -> "Diffeo":
        """Some of the deformations: of a number, a batch of one."""
        from symnets.diffeo.selection import Selection

        rows = torch.arange(self.n, device=self.device)
        return Selection(self, rows[as_rows(index, self.n, rows.device)])

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Diffeo":
        """The same deformations elsewhere."""
        from symnets.diffeo.selection import Selection

        return Selection(self, torch.arange(self.n, device=self.device), dtype=dtype, device=device)

    def __iter__(self) -> Iterator["Diffeo"]:
        """One after another, each a batch of one."""
        return (self[k] for k in range(self.n))

    def __len__(self) -> int:
        return self.n

    @property
    def dim(self) -> int:
        """Dimensions of space."""
        return len(self.grid_shape)

    @property
    def grid_shape(self) -> tuple[int, ...]:
        """`shape`, of what has one.

        Raises:
            ValueError: it has none.
        """
        if self.shape is None:
            raise ValueError("this deformation has no grid of pixels, only points; make it from a shape")
        return self.shape

    @property
    def still(self) -> bool:
        """Whether it is known to move nothing."""
        return False

    def displacement(self, refine: int = 1) -> Float[Tensor, "n *shape dim"]:
        """u at all pixels, and at refine - 1 points between two neighbours."""
        points, shape = self._grid(refine)
        return self.at(points).reshape(self.n, *shape, self.dim)

    def jacobian(self, refine: int = 1) -> Float[Tensor, "n *shape dim dim"]:
        """∂h_a / ∂x_b = δ_ab - ∂u_a / ∂x_b at all pixels."""
        points, shape = self._grid(refine)
        return identity_minus(self.gradient(points)).reshape(self.n, *shape, self.dim, self.dim)

    def det(self, refine: int = 1) -> Float[Tensor, "n *shape"]:
        """det ∂h / ∂x: how many times larger an area is where its content comes from."""
        return determinant(self.jacobian(refine))

    def is_bijective(self, margin: float = 0.0, refine: int = 2) -> Bool[Tensor, " n"]:
        """Whether nothing folds: det > margin at all pixels, and at points between them.

        A map that fixes the border and has det > 0 everywhere is one-to-one, for its degree is 1. Up to
        what may hide between the points of the grid this test is thus exact. A mirror has det < 0.
        """
        with torch.no_grad():
            return self.det(refine).flatten(1).amin(1) > margin

    def energy(self) -> Float[Tensor, " n"]:
        """Mean over the pixels of ‖∇u‖² = Σ_ab (∂u_a / ∂x_b)²; in the mean over fields ∝ temperature."""
        points, _ = self._grid(1)
        return self.gradient(points).square().sum((2, 3)).mean(1)

    def pull(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim"]:
        """h: where the content at points comes from."""
        return points - self.at(points)

    def push(
        self, points: Float[Tensor, "... points dim"], *, tol: float | None = None
    ) -> Float[Tensor, "n points dim"]:
        """h⁻¹: where what is at points goes, such as key points; exact up to `tol` pixels.

        Raises:
            ValueError: no solution was found, since the map folds.
        """
        return self.inverse(tol).pull(points)

    def inverse(self, tol: float | None = None) -> "Diffeo":
        """h⁻¹ as a deformation of its own, which undoes this one.

        Args:
            tol: largest error in pixels of a point; by default as the dtype allows (1e-10 in float64).
        """
        from symnets.diffeo.inverse import Inverse

        return Inverse(self, tol)

    def compose(self, other: "Diffeo") -> "Diffeo":
        """This one after another: `a.compose(b).warp(x)` is `a.warp(b.warp(x))` with one interpolation."""
        from symnets.diffeo.composition import Composition

        return Composition(self, other)

    def warp(
        self, images: Shaped[Tensor, "n channels *shape"], mode: Mode = "bilinear"
    ) -> Shaped[Tensor, "n channels *shape"]:
        """Deformed images: image k by deformation k. One image, or one deformation, serves many.

        Differentiable in images and displacement. Points outside of the image take the nearest value of
        its border. Where nothing is displaced images come out bit for bit, unless a derivative is asked for,
        or they are on a GPU: torch then counts coordinates from -1 to 1, which rounds.

        Args:
            images: of any number of channels, on the device of the deformation; integers are interpolated in
                float32 and rounded.
            mode: "bilinear" (trilinear in volumes), "bicubic" (of images), or "nearest", for masks of any
                dtype.
        """
        if images.ndim != self.dim + 2 or tuple(images.shape[2:]) != self.grid_shape:
            sizes = ", ".join(map(str, self.grid_shape))
            raise ValueError(f"images: expected shape (n, channels, {sizes}), got {tuple(images.shape)}")
        if images.device.type != self.device.type:
            raise ValueError(
                f"images: expected them on {self.device}, where the deformation is, got {images.device}; "
                "take diffeo.to(device=images.device)"
            )
        if self.n != len(images) and 1 not in (self.n, len(images)):
            raise ValueError(
                f"images: got {len(images)} images for {self.n} deformations; expected as many, or one"
            )
        if self.still:
            return images.expand(max(self.n, len(images)), *images.shape[1:]).clone()
        return resample(images, self.displacement(), mode)

    def _grid(self, refine: int) -> tuple[Float[Tensor, "points dim"], tuple[int, ...]]:
        """Points of the grid in rows, and its shape."""
        axes = [
            torch.arange(n, dtype=self.dtype, device=self.device) / refine
            for n in refined(self.grid_shape, refine)
        ]
        points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
        return points.flatten(0, -2), tuple(points.shape[:-1])


def refined(shape: tuple[int, ...], refine: int) -> tuple[int, ...]:
    """Points along each axis, with refine - 1 between two pixels.

    Raises:
        ValueError: not a whole number of at least 1.
    """
    if refine < 1 or refine != int(refine):
        raise ValueError(f"refine: expected a whole number of at least 1, got {refine}")
    return tuple((n - 1) * int(refine) + 1 for n in shape)
