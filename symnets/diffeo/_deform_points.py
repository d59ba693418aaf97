"""Random smooth deformations of point clouds, and isotropic noise of the same norm."""

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Generator, Tensor

from symnets.diffeo._diffeo import check_tensor
from symnets.diffeo._field import not_negative
from symnets.diffeo._sine_field import SineField
from symnets.diffeo._temperature import CutoffRule


def deform_points(
    points: Float[Tensor, "*clouds points dim"],
    *,
    delta: float | Tensor | None = None,
    temperature: float | Tensor | None = None,
    cutoff: float = 3.0,
    rule: CutoffRule = "disc",
    margin: float | None = None,
    owner: Int[Tensor, " points"] | None = None,
    field: SineField | None = None,
    generator: Generator | None,
) -> Float[Tensor, "*clouds points dim"]:
    """Point clouds deformed by random one-to-one maps p -> h⁻¹(p) (`Diffeo.push`), one map for each cloud.

    The maps are those of `SineField.in_box`, in a box around the largest cloud. Each cloud is placed in the
    centre of the box, so that the result does not depend on its position. The maps fix the border of the box.
    Differentiable in the points, with the map held fixed.

    Args:
        points: one cloud, or several clouds of equal numbers of points; in 2 or 3 dimensions.
        delta: root mean square displacement of the points of a cloud, averaged over maps, in the unit of the
            points; exact to first order. One number, or one for each cloud.
        temperature: temperature of the maps, in place of `delta`. It sets the root mean square displacement
            over the whole box; that of points near the centre is larger.
        cutoff: largest wave number of the maps.
        rule: see `SineField`.
        margin: distance from the largest cloud to the sides of the box, in the unit of the points; by default
            a quarter of the longest side of the cloud.
        owner: index of the cloud of each point, for points of shape (points, dim) and clouds of any size.
        field: a field from `SineField.in_box`, in place of `cutoff`, `rule` and `margin`.
        generator: source of the maps; None is torch's default generator.

    Raises:
        TypeError: points that are not a tensor.
        ValueError: points that are not finite or do not fit in the box, or maps so strong that fewer than
            about one in a hundred is one-to-one.
    """
    check_tensor("points", points)
    if points.ndim < 2 or points.shape[-1] not in (2, 3) or not points.is_floating_point():
        raise ValueError(
            "points: expected a floating-point tensor of shape (..., points, 2 or 3), got "
            f"{tuple(points.shape)} of {points.dtype}"
        )
    if points.numel() == 0:
        return points.clone()
    clouds, is_point = _padded(points, owner)
    low, high = _bounds(clouds.detach(), is_point)
    extent = (high - low).amax(0)
    if not bool(extent.isfinite().all()):
        raise ValueError("points: expected finite coordinates")
    if field is None:
        margin = float(extent.max()) / 4 if margin is None else margin
        sides = (extent + 2 * margin).tolist()
        if not min(sides) > 0:
            raise ValueError(f"margin: a box with sides {sides} has no volume; pass a margin > 0")
        field = SineField.in_box(sides, cutoff=cutoff, rule=rule)
    sides = torch.tensor(field.lengths, dtype=torch.float64, device=points.device)
    if field.shape is not None or len(sides) != points.shape[-1] or bool((extent > sides).any()):
        raise ValueError(f"field: expected a SineField.in_box larger than {extent.tolist()}, got {field!r}")
    corner = ((low + high - sides) / 2)[:, None]
    # Padding is placed in the centre of the box, and discarded below. Without a margin, rounding may place a
    # point outside of the box by its last digit.
    inside = torch.where(is_point[..., None], clouds - corner, sides / 2)
    inside = inside + (inside.clamp(torch.zeros_like(sides), sides) - inside).detach()
    if delta is not None:
        delta = not_negative(delta, len(clouds), "delta") / _rms_displacement(
            field, inside.detach(), is_point
        )
    maps = field.sample(
        len(clouds),
        delta=delta,
        temperature=temperature,
        generator=generator,
        bijective=True,
        dtype=torch.float64,
        device=points.device,
    )
    if maps.is_identity:
        return points.clone()
    moved = clouds + (maps.push(inside) - inside)
    deformed = moved[is_point] if owner is None else moved[is_point][_order(owner).argsort()]
    return deformed.reshape(points.shape).to(points.dtype)


def _rms_displacement(field: SineField, points: Tensor, is_point: Tensor) -> Float64[Tensor, " clouds"]:
    """Root mean square displacement of the points of each cloud, relative to that of the box; on the CPU.

    Displacements are largest in the centre of the box: E|u(x)|² = d Σ_k A_k² φ_k(x)².
    """
    waves = torch.ones(*points.shape[:2], field.n_modes, dtype=torch.float64, device=points.device)
    for axis, number in enumerate(field.modes.unbind(1)):
        waves = waves * field.basis.table(axis, points[..., axis])[..., (number - 1).to(points.device)]
    squared = field.dim * waves.square() @ field.amplitudes.to(points.device).square()
    rms = ((squared * is_point).sum(1) / is_point.sum(1).clamp(min=1)).sqrt().cpu()
    fixed = (rms == 0) & is_point.any(1).cpu()
    if bool(fixed.any()):
        raise ValueError("margin: all points of a cloud lie on the sides of the box, which do not move")
    return torch.where(rms > 0, rms, 1.0)


def _order(owner: Tensor) -> Tensor:
    return owner.argsort(stable=True)


def _padded(points: Tensor, owner: Tensor | None) -> tuple[Tensor, Bool[Tensor, "clouds points"]]:
    """Clouds padded to (clouds, points, dim) in float64, and which rows are points rather than padding."""
    points = points.to(torch.float64)
    if owner is None:
        clouds = points.reshape(-1, *points.shape[-2:])
        return clouds, torch.ones(clouds.shape[:2], dtype=torch.bool, device=points.device)
    if owner.is_floating_point() or owner.is_complex() or owner.dtype == torch.bool:
        raise ValueError(f"owner: expected integers, the index of the cloud of each point, got {owner.dtype}")
    if points.ndim != 2 or owner.shape != points.shape[:1] or bool((owner < 0).any()):
        raise ValueError(
            "owner: expected an integer >= 0 for each point of (points, dim), got shape "
            f"{tuple(owner.shape)} for points of shape {tuple(points.shape)}"
        )
    count = owner.bincount()
    is_point = torch.arange(int(count.max()), device=points.device) < count[:, None]
    clouds = points.new_zeros(*is_point.shape, points.shape[-1])
    # In the order of the mask, the rows are the clouds one after another.
    clouds[is_point] = points[_order(owner)]
    return clouds, is_point


def _bounds(clouds: Tensor, is_point: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest coordinates of each cloud; zero for a cloud without points."""
    low = clouds.masked_fill(~is_point[..., None], torch.inf).amin(1)
    high = clouds.masked_fill(~is_point[..., None], -torch.inf).amax(1)
    empty = ~is_point.any(1, keepdim=True)
    return low.masked_fill(empty, 0.0), high.masked_fill(empty, 0.0)


def isotropic_noise(
    displacement: Float[Tensor, "*clouds points dim"], *, generator: Generator | None
) -> Float[Tensor, "*clouds points dim"]:
    """Isotropic Gaussian noise of the norm of each cloud's displacement, as a reference for deformations.

    Args:
        displacement: displacements of the points of one cloud, or of clouds of equal numbers of points.
        generator: source of the noise, on the device of the points or on the CPU.
    """
    check_tensor("displacement", displacement)
    source = displacement.device if generator is None else generator.device
    noise = torch.randn(displacement.shape, generator=generator, dtype=torch.float64, device=source)
    noise = noise.to(device=displacement.device)
    norm = displacement.to(torch.float64).square().sum((-2, -1), keepdim=True).sqrt()
    noise = noise * (norm / noise.square().sum((-2, -1), keepdim=True).sqrt())
    return noise.to(displacement.dtype)
