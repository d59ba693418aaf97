"""Deform clouds of points: the map itself moves them, nothing is interpolated.

Isotropic noise: what a smooth displacement of points is compared with.
"""

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Generator, Tensor

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
    """Clouds moved by random maps that are one-to-one, a map for each cloud: p -> h⁻¹(p), as `Diffeo.push`.

    Maps are those of `SineField.in_box`, in a box around the largest cloud; every cloud lies in the middle
    of it, so that where a cloud is does not matter. A map fixes the border of the box. Differentiable in the
    points, the map held fixed.

    Args:
        points: one cloud, or clouds of as many points each; of 2 or 3 dimensions.
        delta: root mean square of the displacement that the points of a cloud have, over maps, in their
            unit; exact to first order in it. Of all clouds or one for each.
        temperature: in place of delta; the displacement is then right in the mean over the box, and larger
            in the middle.
        cutoff: largest wave number of the maps.
        rule: see `SineField`.
        margin: from the largest cloud to the sides of the box, in the unit of the points; by default a
            quarter of its longest side.
        owner: the cloud each point of (points, dim) belongs to, for clouds of any size.
        field: of a box to use in place of cutoff, rule and margin, from `SineField.in_box`.
        generator: source of the maps; None is torch's own.

    Raises:
        ValueError: points that are not finite or do not fit in the box, or maps so strong that fewer than
            about one in a hundred is one-to-one.
    """
    if points.ndim < 2 or points.shape[-1] not in (2, 3) or not points.is_floating_point():
        raise ValueError(
            "points: expected floating numbers of shape (..., points, 2 or 3), got "
            f"{tuple(points.shape)} of {points.dtype}"
        )
    if points.numel() == 0:
        return points.clone()
    clouds, there = _padded(points, owner)
    low, high = _bounds(clouds.detach(), there)
    extent = (high - low).amax(0)
    if not bool(extent.isfinite().all()):
        raise ValueError("points: expected finite coordinates")
    if field is None:
        room = float(extent.max()) / 4 if margin is None else margin
        sides = (extent + 2 * room).tolist()
        if not min(sides) > 0:
            raise ValueError(f"margin: a box with sides {sides} has no volume; give a margin > 0")
        field = SineField.in_box(sides, cutoff=cutoff, rule=rule)
    sides = torch.tensor(field.lengths, dtype=torch.float64, device=points.device)
    if field.shape is not None or len(sides) != points.shape[-1] or bool((extent > sides).any()):
        raise ValueError(
            f"field: expected one of SineField.in_box, of a box larger than {extent.tolist()}, got {field!r}"
        )
    corner = ((low + high - sides) / 2)[:, None]
    # A pad is put in the middle, where it can be moved, and then forgotten. Rounding may put a point of a
    # box without margin outside by its last digit.
    inside = torch.where(there[..., None], clouds - corner, sides / 2)
    inside = inside + (inside.clamp(torch.zeros_like(sides), sides) - inside).detach()
    if delta is not None:
        delta = not_negative(delta, len(clouds), "delta") / _mobility(field, inside.detach(), there)
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
    found = moved[there] if owner is None else moved[there][_order(owner).argsort()]
    return found.reshape(points.shape).to(points.dtype)


def _mobility(field: SineField, places: Tensor, there: Tensor) -> Float64[Tensor, " clouds"]:
    """Root mean square displacement of the points of each cloud, where that of the box is 1; on the CPU.

    Waves are largest in the middle: E|u(x)|² = d Σ_k A_k² φ_k(x)².
    """
    waves = torch.ones(*places.shape[:2], field.n_modes, dtype=torch.float64, device=places.device)
    for axis, number in enumerate(field.modes.unbind(1)):
        waves = waves * field.basis.table(axis, places[..., axis])[..., (number - 1).to(places.device)]
    squared = field.dim * waves.square() @ field.amplitudes.to(places.device).square()
    found = ((squared * there).sum(1) / there.sum(1).clamp(min=1)).sqrt().cpu()
    fixed = (found == 0) & there.any(1).cpu()
    if bool(fixed.any()):
        raise ValueError("margin: all points of a cloud lie on the sides of the box, which do not move")
    return torch.where(found > 0, found, 1.0)


def _order(owner: Tensor) -> Tensor:
    return owner.argsort(stable=True)


def _padded(points: Tensor, owner: Tensor | None) -> tuple[Tensor, Bool[Tensor, "clouds points"]]:
    """Clouds (clouds, points, dim) in float64, and which rows are points."""
    points = points.to(torch.float64)
    if owner is None:
        clouds = points.reshape(-1, *points.shape[-2:])
        return clouds, torch.ones(clouds.shape[:2], dtype=torch.bool, device=points.device)
    if owner.is_floating_point() or owner.is_complex() or owner.dtype == torch.bool:
        raise ValueError(f"owner: expected whole numbers, the cloud of each point, got {owner.dtype}")
    if points.ndim != 2 or owner.shape != points.shape[:1] or bool((owner < 0).any()):
        raise ValueError(
            f"owner: expected a number >= 0 for each of (points, dim), got {tuple(owner.shape)} for "
            f"{tuple(points.shape)}"
        )
    count = owner.bincount()
    there = torch.arange(int(count.max()), device=points.device) < count[:, None]
    clouds = points.new_zeros(*there.shape, points.shape[-1])
    # Rows of the mask in order are the clouds one after another.
    clouds[there] = points[_order(owner)]
    return clouds, there


def _bounds(clouds: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest and highest coordinates of each cloud; zero of one without points."""
    low = clouds.masked_fill(~there[..., None], torch.inf).amin(1)
    high = clouds.masked_fill(~there[..., None], -torch.inf).amax(1)
    none = ~there.any(1, keepdim=True)
    return low.masked_fill(none, 0.0), high.masked_fill(none, 0.0)


def isotropic_noise(
    displacement: Float[Tensor, "*clouds points dim"], *, generator: Generator | None
) -> Float[Tensor, "*clouds points dim"]:
    """Noise without direction, of the norm that each cloud's displacement has: what to compare a map with.

    Args:
        displacement: of the points of one cloud, or of several of as many points.
        generator: source of the noise, on the device of the points or the CPU.
    """
    where = displacement.device if generator is None else generator.device
    noise = torch.randn(displacement.shape, generator=generator, dtype=torch.float64, device=where)
    noise = noise.to(device=displacement.device)
    norm = displacement.to(torch.float64).square().sum((-2, -1), keepdim=True).sqrt()
    noise = noise * (norm / noise.square().sum((-2, -1), keepdim=True).sqrt())
    return noise.to(displacement.dtype)
