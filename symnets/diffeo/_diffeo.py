"""Smooth deformations of images, volumes and points: the base class, composition, inverse and selection."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from operator import index as as_integer

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from symnets.diffeo._preimage import determinant, identity_minus, preimage
from symnets.diffeo._resample import Mode, resample

Index = int | slice | Tensor | Sequence[int]
"""Which deformations of a batch: an integer, a slice, several integers, or a boolean mask."""


def as_rows(index: Index, n: int, device: torch.device) -> slice | Tensor | list[int]:
    """The index in a form that keeps the batch axis: a single integer selects a batch of one.

    A tensor of integers, or a mask, is moved to `device`, the device of the indexed tensor.

    Raises:
        IndexError: an integer outside of -n to n - 1.
    """
    if isinstance(index, slice):
        return index
    if isinstance(index, Tensor):
        return (index.reshape(-1) if index.ndim == 0 else index).to(device)
    if isinstance(index, Sequence):
        return list(index)
    one = as_integer(index)
    if not -n <= one < n:
        raise IndexError(f"index: expected -{n} to {n - 1}, for {n} deformations, got {one}")
    return slice(one % n, one % n + 1)


def check_tensor(name: str, value: object) -> None:
    """Checks that an argument is a tensor.

    Raises:
        TypeError: it is a numpy array or another object.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(value).__name__}; use torch.from_numpy")


class Diffeo(ABC):
    """Batch of n smooth deformations of images, volumes or points: the base class of all deformations.

    Each deformation τ moves the content at h(s) to s,

        (τ x)(s) = x(h(s)),     h(s) = s - u(s),

    with the displacement u in pixels. Coordinates are in pixels too, in the order of the axes of a tensor,
    (row, column) or (depth, row, column): pixel (i, j) is the point (i, j), and the domain is
    [0, rows - 1] x [0, columns - 1].

    A subclass defines `at`, `gradient` and `shape`, and `n` if it holds more than one deformation; all other
    methods follow. By default `__getitem__` and `to` return a `Selection`; a subclass may override them with
    something faster.

    Attributes:
        shape: pixels along each axis; None for deformations of points without a grid of pixels (a subclass
            then defines `dim` too).
        n: number of deformations; by default 1.
        dtype: of displacements; by default float64. Images may have another dtype.
        device: of displacements; by default the CPU.
    """

    shape: tuple[int, ...] | None
    n: int = 1
    dtype: torch.dtype = torch.float64
    device: torch.device = torch.device("cpu")

    @abstractmethod
    def at(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim"]:
        """Displacement u at points: (points, dim) for all deformations, or (n, points, dim), one set each.

        A single deformation, n = 1, also takes (m, points, dim) and returns m sets of displacements. Points
        may lie outside of the domain: compositions, inverses, boxes and key points evaluate u there too.
        """

    @abstractmethod
    def gradient(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim dim"]:
        """Derivatives ∂u_a / ∂x_b of the displacement at points, dimensionless."""

    def __getitem__(self, index: Index) -> "Diffeo":
        """A subset of the deformations; an integer selects a batch of one."""
        rows = torch.arange(self.n, device=self.device)
        return Selection(self, rows[as_rows(index, self.n, rows.device)])

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Diffeo":
        """The same deformations on another device, or in another dtype."""
        return Selection(self, torch.arange(self.n, device=self.device), dtype=dtype, device=device)

    def __iter__(self) -> Iterator["Diffeo"]:
        """Iterates over the deformations, each as a batch of one."""
        return (self[k] for k in range(self.n))

    def __len__(self) -> int:
        return self.n

    @property
    def dim(self) -> int:
        """Dimensions of space."""
        return len(self.grid_shape)

    @property
    def grid_shape(self) -> tuple[int, ...]:
        """`shape` of a deformation that has a grid of pixels.

        Raises:
            ValueError: the deformation has no grid of pixels.
        """
        if self.shape is None:
            raise ValueError("this deformation has no grid of pixels, only points; make it from a shape")
        return self.shape

    @property
    def is_identity(self) -> bool:
        """Whether the displacement is known to be zero everywhere."""
        return False

    def displacement(self, refine: int = 1) -> Float[Tensor, "n *shape dim"]:
        """Displacement u at all pixels, and at refine - 1 points between neighbouring pixels."""
        points, shape = self._grid(refine)
        return self.at(points).reshape(self.n, *shape, self.dim)

    def jacobian(self, refine: int = 1) -> Float[Tensor, "n *shape dim dim"]:
        """Jacobian ∂h_a / ∂x_b = δ_ab - ∂u_a / ∂x_b at all pixels."""
        points, shape = self._grid(refine)
        return identity_minus(self.gradient(points)).reshape(self.n, *shape, self.dim, self.dim)

    def det(self, refine: int = 1) -> Float[Tensor, "n *shape"]:
        """Determinant of ∂h / ∂x at all pixels: area of the source region divided by that of its image."""
        return determinant(self.jacobian(refine))

    def is_bijective(self, margin: float = 0.0, refine: int = 2) -> Bool[Tensor, " n"]:
        """Whether each map is one-to-one: det > margin at all pixels, and at points between them.

        A map that fixes the border and has det > 0 everywhere is one-to-one, because its degree is 1. The
        test is therefore exact, up to folds that are smaller than the spacing of the grid. A reflection has
        det < 0.
        """
        with torch.no_grad():
            return self.det(refine).flatten(1).amin(1) > margin

    def energy(self) -> Float[Tensor, " n"]:
        """Mean over the pixels of ‖∇u‖² = Σ_ab (∂u_a / ∂x_b)²; on average proportional to temperature."""
        points, _ = self._grid(1)
        return self.gradient(points).square().sum((2, 3)).mean(1)

    def pull(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim"]:
        """h(points) = points - u(points): where the content at points comes from."""
        check_tensor("points", points)
        return points - self.at(points)

    def push(
        self, points: Float[Tensor, "... points dim"], *, tol: float | None = None
    ) -> Float[Tensor, "n points dim"]:
        """h⁻¹(points): where the content at points goes, for example key points; exact up to `tol` pixels.

        Raises:
            ValueError: no solution was found, because the map folds.
        """
        return self.inverse(tol).pull(points)

    def inverse(self, tol: float | None = None) -> "Diffeo":
        """The inverse deformation h⁻¹.

        Args:
            tol: largest error of a point, in pixels; by default that of `Inverse` (1e-10 in float64).
        """

        return Inverse(self, tol)

    def compose(self, other: "Diffeo") -> "Diffeo":
        """Composition: `other` first, then this deformation.

        `a.compose(b).warp(x)` is `a.warp(b.warp(x))`, but interpolated once.
        """
        return Composition(self, other)

    def warp(
        self, images: Shaped[Tensor, "n channels *shape"], mode: Mode = "bilinear"
    ) -> Shaped[Tensor, "n channels *shape"]:
        """Deformed images: image k by deformation k, or all by one deformation, or one image by each of them.

        Differentiable in images and displacement. Points outside of the image take the value of the nearest
        pixel of its border. Where the displacement is zero, pixels are returned unchanged to the last bit,
        except when derivatives are required or on a GPU: there torch rescales coordinates to the range from
        -1 to 1, which rounds them.

        Args:
            images: images with any number of channels, on the device of the deformation; integers are
                interpolated in float32 and rounded.
            mode: "bilinear" (trilinear in volumes), "bicubic" (images only), or "nearest", for masks of any
                dtype.

        Raises:
            TypeError: images that are not a tensor.
            ValueError: images of another shape or number, or on another device.
        """
        check_tensor("images", images)
        if images.ndim != self.dim + 2 or tuple(images.shape[2:]) != self.grid_shape:
            sizes = ", ".join(map(str, self.grid_shape))
            last = tuple(images.shape[1:-1]) == self.grid_shape
            hint = "; the channels come last; use images.movedim(-1, 1)" if last else ""
            raise ValueError(
                f"images: expected shape (n, channels, {sizes}), got {tuple(images.shape)}{hint}"
            )
        if images.device.type != self.device.type:
            raise ValueError(
                f"images: expected the device of the deformation, {self.device}, got {images.device}; "
                "use diffeo.to(device=images.device)"
            )
        if self.n != len(images) and 1 not in (self.n, len(images)):
            raise ValueError(
                f"images: expected {self.n} images, one for each deformation, or a single one, "
                f"got {len(images)}"
            )
        if self.is_identity:
            return images.expand(max(self.n, len(images)), *images.shape[1:]).clone()
        return resample(images, self.displacement(), mode)

    def _grid(self, refine: int) -> tuple[Float[Tensor, "points dim"], tuple[int, ...]]:
        """Points of the grid, one a row, and the shape of the grid."""
        axes = [
            torch.arange(n, dtype=self.dtype, device=self.device) / refine
            for n in refined(self.grid_shape, refine)
        ]
        points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
        return points.flatten(0, -2), tuple(points.shape[:-1])


def refined(shape: tuple[int, ...], refine: int) -> tuple[int, ...]:
    """Points along each axis, with refine - 1 points between neighbouring pixels.

    Raises:
        ValueError: `refine` is not a whole number of at least 1.
    """
    if refine < 1 or refine != int(refine):
        raise ValueError(f"refine: expected a whole number of at least 1, got {refine}")
    return tuple((n - 1) * int(refine) + 1 for n in shape)


class Composition(Diffeo):
    """One deformation after another, h = h_inner ∘ h_outer: images are deformed by `inner`, then by `outer`.

        u(s) = u_outer(s) + u_inner(s - u_outer(s)),     ∂h = ∂h_inner(h_outer(s)) ∂h_outer(s)

    Args:
        outer: the deformation applied to images last.
        inner: the deformation applied to images first. Both have equal numbers of deformations, or one of
            them has a single one, which is used for all.

    Raises:
        ValueError: different shapes, numbers of deformations, or devices.
    """

    def __init__(self, outer: Diffeo, inner: Diffeo) -> None:
        if outer.shape != inner.shape:
            raise ValueError(f"compose: expected deformations of one shape, got {outer.shape}, {inner.shape}")
        if outer.n != inner.n and 1 not in (outer.n, inner.n):
            raise ValueError(
                f"compose: expected equal numbers of deformations, or one, got {outer.n} and {inner.n}"
            )
        if outer.device.type != inner.device.type:
            raise ValueError(
                f"compose: expected deformations on one device, got {outer.device} and {inner.device}; use "
                "inner.to(device=outer.device)"
            )
        self.outer, self.inner, self.shape = outer, inner, outer.shape
        self.n, self.dtype, self.device = max(outer.n, inner.n), outer.dtype, outer.device

    @property
    def dim(self) -> int:
        """Dimensions of space."""
        return self.outer.dim

    @property
    def is_identity(self) -> bool:
        """Whether the displacements of both parts are known to be zero everywhere."""
        return self.outer.is_identity and self.inner.is_identity

    def __getitem__(self, index: Index) -> "Composition":
        """A subset of the deformations; an integer selects a batch of one."""
        rows = torch.arange(self.n, device=self.device)
        rows = rows[as_rows(index, self.n, rows.device)]
        return Composition(*(part[rows if part.n > 1 else 0 * rows] for part in (self.outer, self.inner)))

    def to(
        self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "Composition":
        """The same deformations on another device, or in another dtype."""
        return Composition(
            self.outer.to(device=device, dtype=dtype), self.inner.to(device=device, dtype=dtype)
        )

    def is_bijective(self, margin: float = 0.0, refine: int = 2) -> Bool[Tensor, " n"]:
        """Whether both parts are one-to-one, and for margin > 0 also |det| > margin for the composition.

        If one part folds, the composition counts as folding, even where the other part moves the fold out of
        the image. Parts may be reflections.
        """
        both = self.outer.is_bijective(refine=refine) & self.inner.is_bijective(refine=refine)
        if margin <= 0:
            return both
        with torch.no_grad():
            return both & (self.det(refine).abs().flatten(1).amin(1) > margin)

    def at(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim"]:
        """Displacement u at points."""
        outer = self.outer.at(points)
        return outer + self.inner.at(_shared_if_one(points - outer, self.inner))

    def gradient(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim dim"]:
        """Derivatives ∂u_a / ∂x_b at points."""
        outer = self.outer.gradient(points)
        inner = self.inner.gradient(_shared_if_one(self.outer.pull(points), self.inner))
        return outer + inner - inner @ outer

    def _grid(self, refine: int) -> tuple[Float[Tensor, "points dim"], tuple[int, ...]]:
        return self.outer._grid(refine)


def _shared_if_one(points: Float[Tensor, "n points dim"], diffeo: Diffeo) -> Tensor:
    """A single set of points without its first axis, so that all n deformations take it."""
    return points[0] if len(points) == 1 and diffeo.n > 1 else points


class Inverse(Diffeo):
    """Inverse h⁻¹ of a deformation h(q) = q - u(q), solved numerically at each point.

    The displacement at p is -u(q), where h(q) = p. The solver is `preimage`: fixed-point iteration, then
    Newton's method with the exact ∂u. Differentiable once in the points and in the field, by the implicit
    function theorem.

    Args:
        forward: the deformation to invert.
        tol: largest |h(q) - p|, in pixels; by default 1e-10 in float64 and 1e-4 in other dtypes, but at least
            four times the rounding error of coordinates, which matters for large images.

    Raises:
        ValueError: `tol` is not positive.
    """

    def __init__(self, forward: Diffeo, tol: float | None = None) -> None:
        if tol is not None and not tol > 0:
            raise ValueError(f"tol: expected a positive number of pixels, got {tol}")
        self.forward, self.shape, self.n = forward, forward.shape, forward.n
        self.dtype, self.device = forward.dtype, forward.device
        self.tol = _default_tol(forward) if tol is None else tol

    @property
    def dim(self) -> int:
        """Dimensions of space."""
        return self.forward.dim

    @property
    def is_identity(self) -> bool:
        """Whether the displacement of the inverted deformation is known to be zero."""
        return self.forward.is_identity

    @property
    def residual(self) -> Float[Tensor, " n"]:
        """Largest |h(h⁻¹(p)) - p| over the pixels p, in pixels; above `tol` where there is no solution."""
        with torch.no_grad():
            return preimage(self.forward, self._grid(1)[0], self.tol)[1].amax(1)

    def is_bijective(self, margin: float = 0.0, refine: int = 2) -> Bool[Tensor, " n"]:
        """Whether the inverted map is one-to-one, and for margin > 0 also |det ∂h⁻¹| > margin."""
        bijective = self.forward.is_bijective(refine=refine)
        if margin > 0 and bool(bijective.any()):
            with torch.no_grad():
                det = self[bijective].det(refine).abs().flatten(1).amin(1)
            bijective = bijective.index_put((bijective,), det > margin)
        return bijective

    def __getitem__(self, index: Index) -> "Inverse":
        """A subset of the deformations; an integer selects a batch of one."""
        return Inverse(self.forward[index], self.tol)

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Inverse":
        """The same deformations on another device, or in another dtype."""
        moved = self.forward.to(device=device, dtype=dtype)
        return Inverse(moved, self.tol if moved.dtype == self.dtype else None)

    def inverse(self, tol: float | None = None) -> Diffeo:
        """The deformation that this one inverts, exactly."""
        return self.forward

    def at(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim"]:
        """Displacement at points.

        Raises:
            ValueError: no solution within `tol` for some point: the deformation folds, or `tol` is too small.
        """
        points = points.to(device=self.device, dtype=self.dtype)
        return points - self._preimage(points)

    def gradient(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim dim"]:
        """Derivatives of the displacement, 1 - (∂h)⁻¹ with ∂h taken at h⁻¹(points)."""
        source = self._preimage(points.to(device=self.device, dtype=self.dtype))
        return identity_minus(torch.linalg.inv(identity_minus(self.forward.gradient(source))))

    def _grid(self, refine: int) -> tuple[Float[Tensor, "points dim"], tuple[int, ...]]:
        return self.forward._grid(refine)

    def _preimage(self, points: Tensor) -> Float[Tensor, "n points dim"]:
        if not bool(points.isfinite().all()):
            raise ValueError("points: expected finite coordinates, got NaN or infinity")
        with torch.no_grad():
            solution, residual = preimage(self.forward, points, self.tol)
            worst = float(residual.max()) if residual.numel() else 0.0
            if not worst <= self.tol:
                raise ValueError(
                    f"inverse: {int((~(residual <= self.tol)).sum())} points are not reached within tol="
                    f"{self.tol:g} pixels, the largest error is {worst:.2g}; either the deformation folds "
                    "(see is_bijective()), or tol is smaller than the dtype resolves"
                )
            jacobian = identity_minus(self.forward.gradient(solution))
        # One more Newton step, through which autograd differentiates: the implicit function theorem.
        difference = points - self.forward.pull(solution)
        return solution + torch.linalg.solve(jacobian, difference[..., None])[..., 0]


def _default_tol(forward: Diffeo) -> float:
    """Default tolerance of the inverse in pixels, by the dtype and the size of the image."""
    size = max(forward.shape) if forward.shape is not None else 0
    smallest = 1e-10 if forward.dtype == torch.float64 else 1e-4
    return max(smallest, 4 * torch.finfo(forward.dtype).eps * size)


class Selection(Diffeo):
    """Deformations rows[0], rows[1], ... of another `Diffeo`, in another dtype or on another device.

    This is the default result of indexing and `to`. All deformations of the source are evaluated at all
    points, in the dtype and on the device of the source.

    Args:
        source: the deformations to select from.
        rows: indices of the selected deformations.
        dtype: of displacements; by default that of the source.
        device: of displacements; by default that of the source.
    """

    def __init__(
        self,
        source: Diffeo,
        rows: Int64[Tensor, " n"],
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        self.source, self.rows, self.shape, self.n = source, rows.to(source.device), source.shape, len(rows)
        self.dtype = dtype or source.dtype
        self.device = source.device if device is None else torch.device(device)

    @property
    def dim(self) -> int:
        """Dimensions of space."""
        return self.source.dim

    @property
    def is_identity(self) -> bool:
        """Whether the displacement is known to be zero everywhere."""
        return self.source.is_identity

    def __getitem__(self, index: Index) -> "Selection":
        """A subset of the deformations."""
        rows = self.rows[as_rows(index, self.n, self.rows.device)]
        return Selection(self.source, rows, dtype=self.dtype, device=self.device)

    def to(
        self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "Selection":
        """The same deformations on another device, or in another dtype."""
        device = self.device if device is None else device
        return Selection(self.source, self.rows, dtype=dtype or self.dtype, device=device)

    def at(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim"]:
        """Displacement u at points."""
        points = points.to(device=self.source.device, dtype=self.source.dtype)
        return self._select(self.source.at(_flat(points)), points)

    def gradient(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim dim"]:
        """Derivatives ∂u_a / ∂x_b at points."""
        points = points.to(device=self.source.device, dtype=self.source.dtype)
        return self._select(self.source.gradient(_flat(points)), points)

    def _select(self, values: Tensor, points: Tensor) -> Tensor:
        """The selected rows of values of all deformations at all points, each at its own points."""
        if points.ndim == 2:
            selected = values[self.rows]
        else:
            by_set = values.unflatten(1, points.shape[:2])
            rows = self.rows.expand(max(self.n, len(points)))
            own = torch.arange(len(points), device=values.device).expand(len(rows))
            selected = by_set[rows, own]
        return selected.to(device=self.device, dtype=self.dtype)


def _flat(points: Tensor) -> Float[Tensor, "points dim"]:
    """All sets of points, one after another."""
    return points.reshape(-1, points.shape[-1])
