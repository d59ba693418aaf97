"""Matrices of derivatives: small ones, one at each of many points.

Rows: which of several deformations are meant by an index.

Diffeo: smooth deformations of images, volumes and points.

Composition: one deformation after another.

Inverse: the deformation that undoes another, solved for at each point.

Selection: some of the deformations of another, in another dtype or elsewhere.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from operator import index as whole

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from symnets.diffeo._resample import Mode, resample


def determinant(matrix: Float[Tensor, "... d d"]) -> Float[Tensor, "..."]:
    """det, written out in two and three dimensions, where `torch.linalg.det` takes many times longer."""
    if matrix.shape[-1] == 2:
        return matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] * matrix[..., 1, 0]
    if matrix.shape[-1] == 3:
        return (torch.linalg.cross(matrix[..., 0, :], matrix[..., 1, :]) * matrix[..., 2, :]).sum(-1)
    return torch.linalg.det(matrix)


def identity_minus(gradient: Float[Tensor, "... d d"]) -> Float[Tensor, "... d d"]:
    """1 - ∂u, which is ∂h for h(x) = x - u(x)."""
    return torch.eye(gradient.shape[-1], dtype=gradient.dtype, device=gradient.device) - gradient


Index = int | slice | Tensor | Sequence[int]
"""One, a range, or any of several, by number or by a mask."""


def as_rows(index: Index, n: int, device: torch.device) -> slice | Tensor | list[int]:
    """An index that keeps the axis of the batch: one deformation is a batch of one.

    A tensor of numbers, or a mask, is brought to `device`, that of what is indexed.

    Raises:
        IndexError: a number that none of the n has.
    """
    if isinstance(index, slice):
        return index
    if isinstance(index, Tensor):
        return (index.reshape(-1) if index.ndim == 0 else index).to(device)
    if isinstance(index, Sequence):
        return list(index)
    one = whole(index)
    if not -n <= one < n:
        raise IndexError(f"index: expected -{n} to {n - 1}, for {n} deformations, got {one}")
    return slice(one % n, one % n + 1)


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

        rows = torch.arange(self.n, device=self.device)
        return Selection(self, rows[as_rows(index, self.n, rows.device)])

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Diffeo":
        """The same deformations elsewhere."""

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
    def is_identity(self) -> bool:
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

        return Inverse(self, tol)

    def compose(self, other: "Diffeo") -> "Diffeo":
        """This one after another: `a.compose(b).warp(x)` is `a.warp(b.warp(x))` with one interpolation."""

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
        if self.is_identity:
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


class Composition(Diffeo):
    """h = h_inner ∘ h_outer: images are deformed by `inner` first, then by `outer`.

        u(s) = u_outer(s) + u_inner(s - u_outer(s)),     ∂h = ∂h_inner(h_outer(s)) ∂h_outer(s)

    Args:
        outer: what is applied to images last.
        inner: what is applied to images first; as many deformations, or one of them.
    """

    def __init__(self, outer: Diffeo, inner: Diffeo) -> None:
        if outer.shape != inner.shape:
            raise ValueError(f"compose: expected deformations of one shape, got {outer.shape}, {inner.shape}")
        if outer.n != inner.n and 1 not in (outer.n, inner.n):
            raise ValueError(f"compose: expected as many deformations, or one, got {outer.n} and {inner.n}")
        if outer.device.type != inner.device.type:
            raise ValueError(
                f"compose: expected deformations on one device, got {outer.device} and {inner.device}; take "
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
        """Whether both are known to move nothing."""
        return self.outer.is_identity and self.inner.is_identity

    def __getitem__(self, index: Index) -> "Composition":
        """Some of the deformations: of a number, a batch of one."""
        rows = torch.arange(self.n, device=self.device)
        rows = rows[as_rows(index, self.n, rows.device)]
        return Composition(*(part[rows if part.n > 1 else 0 * rows] for part in (self.outer, self.inner)))

    def to(
        self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "Composition":
        """The same deformations elsewhere."""
        return Composition(
            self.outer.to(device=device, dtype=dtype), self.inner.to(device=device, dtype=dtype)
        )

    def is_bijective(self, margin: float = 0.0, refine: int = 2) -> Bool[Tensor, " n"]:
        """Whether both parts are, be they mirrors or not; for a margin > 0, and |det| of the whole above it.

        A part that folds makes the whole fold even where the other leaves the fold out of the image.
        """
        found = self.outer.is_bijective(refine=refine) & self.inner.is_bijective(refine=refine)
        if margin <= 0:
            return found
        with torch.no_grad():
            return found & (self.det(refine).abs().flatten(1).amin(1) > margin)

    def at(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim"]:
        """u at points."""
        first = self.outer.at(points)
        return first + self.inner.at(_one_for_all(points - first, self.inner))

    def gradient(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim dim"]:
        """∂u_a / ∂x_b at points."""
        first = self.outer.gradient(points)
        then = self.inner.gradient(_one_for_all(self.outer.pull(points), self.inner))
        return first + then - then @ first

    def _grid(self, refine: int) -> tuple[Float[Tensor, "points dim"], tuple[int, ...]]:
        return self.outer._grid(refine)


def _one_for_all(points: Float[Tensor, "n points dim"], diffeo: Diffeo) -> Tensor:
    """Points of one deformation without their first axis, so that all of another may move them."""
    return points[0] if len(points) == 1 and diffeo.n > 1 else points


PICARD, NEWTON = 12, 60


class Inverse(Diffeo):
    """h⁻¹, with h(q) = q - u(q) of another deformation. The displacement at p is -u(q), where h(q) = p.

    q is the fixed point of q = p + u(q), iterated a few times and refined by Newton's method with the exact
    ∂u, its steps halved where they would not bring it nearer. Differentiable once in the points and in the
    field, by the implicit function theorem.

    Args:
        forward: what to undo.
        tol: largest |h(q) - p|, in pixels; by default 1e-10 in float64, 1e-4 in float32 and less precise, or
            where images are so large that their dtype does not resolve that, four times what it does.
    """

    def __init__(self, forward: Diffeo, tol: float | None = None) -> None:
        if tol is not None and not tol > 0:
            raise ValueError(f"tol: expected a positive number of pixels, got {tol}")
        self.forward, self.shape, self.n = forward, forward.shape, forward.n
        self.dtype, self.device = forward.dtype, forward.device
        self.tol = _resolved(forward) if tol is None else tol

    @property
    def dim(self) -> int:
        """Dimensions of space."""
        return self.forward.dim

    @property
    def is_identity(self) -> bool:
        """Whether there is nothing to undo."""
        return self.forward.is_identity

    @property
    def residual(self) -> Float[Tensor, " n"]:
        """Largest |h(h⁻¹(p)) - p| over the pixels p, in pixels; above `tol` where none was found."""
        points = self._grid(1)[0]
        with torch.no_grad():
            found, _ = self._solve(points)
            return (self.forward.pull(found) - points).norm(dim=-1).amax(1)

    def is_bijective(self, margin: float = 0.0, refine: int = 2) -> Bool[Tensor, " n"]:
        """Whether the deformation that is undone is; for a margin > 0, and |det| of its inverse above it."""
        found = self.forward.is_bijective(refine=refine)
        if margin > 0 and bool(found.any()):
            with torch.no_grad():
                det = self[found].det(refine).abs().flatten(1).amin(1)
            found = found.index_put((found,), det > margin)
        return found

    def __getitem__(self, index: Index) -> "Inverse":
        """Some of the deformations: of a number, a batch of one."""
        return Inverse(self.forward[index], self.tol)

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Inverse":
        """The same deformations elsewhere."""
        moved = self.forward.to(device=device, dtype=dtype)
        return Inverse(moved, self.tol if moved.dtype == self.dtype else None)

    def inverse(self, tol: float | None = None) -> Diffeo:
        """What was undone, itself."""
        return self.forward

    def at(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim"]:
        """Displacement at points.

        Raises:
            ValueError: a point is not reached within `tol`: the deformation folds, or `tol` is too small.
        """
        points = points.to(device=self.device, dtype=self.dtype)
        return points - self._preimage(points)

    def gradient(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim dim"]:
        """1 - (∂h)⁻¹ at the points that h brings here."""
        preimage = self._preimage(points.to(device=self.device, dtype=self.dtype))
        return identity_minus(torch.linalg.inv(identity_minus(self.forward.gradient(preimage))))

    def _grid(self, refine: int) -> tuple[Float[Tensor, "points dim"], tuple[int, ...]]:
        return self.forward._grid(refine)

    def _preimage(self, points: Tensor) -> Float[Tensor, "n points dim"]:
        if not bool(points.isfinite().all()):
            raise ValueError("points: expected finite coordinates, got NaN or infinity")
        with torch.no_grad():
            found, error = self._solve(points)
            worst = float(error.max()) if error.numel() else 0.0
            if not worst <= self.tol:
                raise ValueError(
                    f"inverse: {int((~(error <= self.tol)).sum())} points are not reached within tol="
                    f"{self.tol:g} pixels, the worst misses by {worst:.2g}; the deformation folds "
                    "(is_bijective() tells), or tol is below what the dtype resolves"
                )
            jacobian = identity_minus(self.forward.gradient(found))
        # A last step of Newton's method, in which autograd finds the derivative of the solution.
        missing = points - self.forward.pull(found)
        return found + torch.linalg.solve(jacobian, missing[..., None])[..., 0]

    def _solve(self, points: Tensor) -> tuple[Float[Tensor, "n points dim"], Float[Tensor, "n points"]]:
        """Solutions of h(q) = p, and what they miss."""
        found = points + self.forward.at(points)
        missing, error = self._missing(points, found)
        for _ in range(PICARD):
            if bool((error <= self.tol).all()):
                return found, error
            there = found + missing
            found, (missing, error) = there, self._missing(points, there)
        for _ in range(NEWTON):
            if bool((error <= self.tol).all()):
                break
            jacobian = identity_minus(self.forward.gradient(found))
            step = torch.linalg.solve_ex(jacobian, missing[..., None])[0][..., 0]
            step = torch.where(step.isfinite(), step, missing)
            for halving in range(6):
                there = found + step * 0.5**halving
                new_missing, new_error = self._missing(points, there)
                better = new_error < error
                found = torch.where(better[..., None], there, found)
                missing = torch.where(better[..., None], new_missing, missing)
                error = torch.where(better, new_error, error)
                if bool((better | (error <= self.tol)).all()):
                    break
        return found, error

    def _missing(self, points: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
        missing = points - self.forward.pull(found)
        return missing, missing.norm(dim=-1)


def _resolved(forward: Diffeo) -> float:
    """The error in pixels that can be asked for of points, in the dtype of a deformation."""
    size = max(forward.shape) if forward.shape is not None else 0
    least = 1e-10 if forward.dtype == torch.float64 else 1e-4
    return max(least, 4 * torch.finfo(forward.dtype).eps * size)


class Selection(Diffeo):
    """Deformations rows[0], rows[1], ... of another: what indexing and `to` give where nothing better is
    known. All of the other are evaluated at all points, in its own dtype and on its own device.

    Args:
        source: the other.
        rows: which of them.
        dtype: of displacements, as the other's if None.
        device: where displacements go, as the other's if None.
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
        """Whether it is known to move nothing."""
        return self.source.is_identity

    def __getitem__(self, index: Index) -> "Selection":
        """Some of the deformations."""
        rows = self.rows[as_rows(index, self.n, self.rows.device)]
        return Selection(self.source, rows, dtype=self.dtype, device=self.device)

    def to(
        self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "Selection":
        """The same deformations elsewhere."""
        device = self.device if device is None else device
        return Selection(self.source, self.rows, dtype=dtype or self.dtype, device=device)

    def at(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim"]:
        """u at points."""
        there = points.to(device=self.source.device, dtype=self.source.dtype)
        return self._chosen(self.source.at(_shared(there)), there)

    def gradient(self, points: Float[Tensor, "... points dim"]) -> Float[Tensor, "n points dim dim"]:
        """∂u_a / ∂x_b at points."""
        there = points.to(device=self.source.device, dtype=self.source.dtype)
        return self._chosen(self.source.gradient(_shared(there)), there)

    def _chosen(self, found: Tensor, points: Tensor) -> Tensor:
        """Of all deformations at all points, those that are meant, each at its own."""
        if points.ndim == 2:
            found = found[self.rows]
        else:
            apart = found.unflatten(1, points.shape[:2])
            rows = self.rows.expand(max(self.n, len(points)))
            own = torch.arange(len(points), device=found.device).expand(len(rows))
            found = apart[rows, own]
        return found.to(device=self.device, dtype=self.dtype)


def _shared(points: Tensor) -> Float[Tensor, "points dim"]:
    """The points of all deformations, one after another."""
    return points.reshape(-1, points.shape[-1])
