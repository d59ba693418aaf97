"""Deform clouds of points: the map itself moves them, nothing is interpolated."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from symnets.diffeo.modes import Rule
from symnets.diffeo.sine_field import SineField


def deform_points(
    points: Float[Tensor, "*clouds points dim"],
    *,
    delta: float | Tensor | None = None,
    temperature: float | Tensor | None = None,
    cutoff: float = 3.0,
    rule: Rule = "disc",
    margin: float | None = None,
    owner: Int[Tensor, " points"] | None = None,
    field: SineField | None = None,
    generator: Generator | None,
) -> Float[Tensor, "*clouds points dim"]:
    """Clouds moved by random maps that are one-to-one, a map for each cloud: p -> h⁻¹(p), as `Diffeo.push`.

    Maps are those of `SineField.in_box`, in a box around the largest cloud; every cloud lies in the middle
    of it, so that where a cloud is does not matter. A map fixes the border of the box, and `delta` is the
    root mean square over the whole box of h's displacement: in the middle, and so in the cloud, points
    move more, those that lie in a corner of a box without margin not at all.

    Args:
        points: one cloud, or clouds of as many points each; of 2 or 3 dimensions.
        delta: typical displacement in the unit of the points, of all clouds or one for each.
        temperature: in place of delta.
        cutoff: largest wave number of the maps.
        rule: see `SineField`.
        margin: from the largest cloud to the sides of the box, in the unit of the points; by default a
            quarter of its longest side.
        owner: the cloud each point of (points, dim) belongs to, for clouds of any size.
        field: of a box to use in place of cutoff, rule and margin, from `SineField.in_box`.
        generator: source of the maps; None is torch's own.

    Raises:
        ValueError: points that are not finite or do not fit in the box, or maps so strong that fewer than
            one in a thousand is one-to-one.
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
    maps = field.sample(
        len(clouds),
        delta=delta,
        temperature=temperature,
        generator=generator,
        bijective=True,
        dtype=torch.float64,
        device=points.device,
    )
    if maps.still:
        return points.clone()
    corner = ((low + high - sides) / 2)[:, None]
    # A pad is put in the middle, where it can be moved, and then forgotten. Rounding may put a point of a
    # box without margin outside by its last digit.
    inside = torch.where(there[..., None], clouds - corner, sides / 2)
    inside = inside + (inside.clamp(torch.zeros_like(sides), sides) - inside).detach()
    moved = clouds + (maps.push(inside) - inside)
    found = moved[there] if owner is None else moved[there][_order(owner).argsort()]
    return found.reshape(points.shape).to(points.dtype)


def _order(owner: Tensor) -> Tensor:
    return owner.argsort(stable=True)


def _padded(points: Tensor, owner: Tensor | None) -> tuple[Tensor, Bool[Tensor, "clouds points"]]:
    """Clouds (clouds, points, dim) in float64, and which rows are points."""
    points = points.to(torch.float64)
    if owner is None:
        clouds = points.reshape(-1, *points.shape[-2:])
        return clouds, torch.ones(clouds.shape[:2], dtype=torch.bool, device=points.device)
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
