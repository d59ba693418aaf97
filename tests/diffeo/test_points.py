"""Deformations of point clouds and volumes agree with those of images."""

import pytest
import torch

from symnets.diffeo import SineField, deform_points, isotropic_noise


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cloud(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(*shape, generator=seeded(seed), dtype=torch.float64)


@pytest.mark.parametrize("dim", [2, 3])
def test_pull_of_the_moved_points_returns_the_points(dim):
    points = cloud(40, dim)
    box = SineField.in_box([2.0] * dim, cutoff=4)
    moved = deform_points(points, temperature=box.temperature(0.05), field=box, generator=seeded())
    # h⁻¹ of the same field, in the box that has the cloud in its middle.
    maps = box.sample(1, delta=0.05, generator=seeded(), bijective=True, dtype=torch.float64)
    corner = (points.amin(0) + points.amax(0)) / 2 - 1.0
    torch.testing.assert_close(maps.pull(moved - corner)[0] + corner, points)
    assert (moved - points).norm(dim=1).min() > 0


def test_each_cloud_has_its_own_map():
    points = cloud(1, 30, 3).expand(4, -1, -1)
    moved = deform_points(points, delta=0.05, generator=seeded())
    assert all(not torch.equal(moved[0], other) for other in moved[1:])


def test_each_cloud_may_have_its_own_strength():
    points = cloud(1, 30, 3).expand(2, -1, -1)
    moved = deform_points(points, delta=torch.tensor([0.0, 0.05]), generator=seeded())
    torch.testing.assert_close(moved[0], points[0], atol=1e-15, rtol=0)
    assert float((moved[1] - points[1]).norm()) > 0.01


def test_translation_of_a_cloud_does_not_matter():
    points, shift = cloud(5, 30, 3), torch.tensor([10.0, -3.0, 7.0], dtype=torch.float64)
    there = deform_points(points + shift, delta=0.05, generator=seeded())
    torch.testing.assert_close(there, deform_points(points, delta=0.05, generator=seeded()) + shift)


def test_unit_of_length_does_not_matter():
    points = cloud(5, 30, 3)
    small = deform_points(points, delta=0.05, generator=seeded())
    torch.testing.assert_close(deform_points(10 * points, delta=0.5, generator=seeded()), 10 * small)


def test_owner_indices_may_be_in_any_order():
    points = cloud(4, 25, 2)
    together = deform_points(points, delta=0.03, generator=seeded())
    order = torch.randperm(100, generator=seeded(3))
    owner = torch.arange(4).repeat_interleave(25)[order]
    moved = deform_points(points.reshape(100, 2)[order], delta=0.03, owner=owner, generator=seeded())
    torch.testing.assert_close(moved, together.reshape(100, 2)[order], atol=1e-12, rtol=0)


def test_clouds_of_different_sizes_and_empty_clouds():
    owner = torch.tensor([0] * 5 + [2] * 9)
    moved = deform_points(cloud(14, 3), delta=0.05, owner=owner, generator=seeded())
    assert moved.shape == (14, 3)
    assert deform_points(torch.zeros(0, 3), delta=1.0, generator=None).shape == (0, 3)


@pytest.mark.parametrize("options", [{"delta": 0.0}, {"temperature": 0.0}])
def test_zero_strength_is_identity_bit_for_bit(options):
    points = cloud(3, 7, 3).float()
    assert torch.equal(deform_points(points, **options, generator=seeded()), points)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("margin", [0.0, 1.0])
def test_points_move_by_delta(dim, margin):
    """Points near the border, which does not move, are moved as far as the others."""
    points = cloud(1, 30, dim).expand(1000, -1, -1)
    moved = deform_points(points, delta=0.005, margin=margin, generator=seeded())
    squared = (moved - points).square().sum(-1).mean(1)
    error = 4 * float(squared.std() / squared.mean()) / 1000**0.5
    assert float(squared.mean()) == pytest.approx(0.005**2, rel=error)


def test_points_of_a_full_box_move_as_the_box():
    points = cloud(1, 4000, 2)
    field = SineField.in_box([1.0, 1.0], cutoff=3)
    temperature = field.temperature(0.01)
    points[0, :2] = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    by_delta = deform_points(points, delta=0.01, field=field, generator=seeded()) - points
    by_temperature = deform_points(points, temperature=temperature, field=field, generator=seeded()) - points
    # A mean over 4000 points of something that varies by its size: 2 %, three times.
    assert float(by_delta.norm()) == pytest.approx(float(by_temperature.norm()), rel=0.06)


def test_points_on_the_border_cannot_move():
    square = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match="margin"):
        deform_points(square, delta=0.01, margin=0.0, generator=seeded())


def test_points_stay_distinct_and_orientation_is_preserved():
    """Small triangles keep their orientation, because the map has det > 0 everywhere."""
    corners = cloud(200, 1, 2)
    eps = 1e-5 * torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    triangles = (corners + eps).reshape(1, 600, 2)
    moved = deform_points(triangles, delta=0.1, generator=seeded()).reshape(200, 3, 2)
    edges = moved[:, 1:] - moved[:, :1]
    assert (torch.linalg.det(edges) > 0).all()


def test_gradient_is_that_of_finite_differences():
    points = cloud(4, 2)
    box = SineField.in_box([2.0, 2.0], cutoff=3)
    temperature = box.temperature(0.1)

    # All but the outermost points, which set where the box is.
    outer = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)

    def energy(inner: torch.Tensor) -> torch.Tensor:
        moved = deform_points(
            torch.cat([outer, inner]), temperature=temperature, field=box, generator=seeded()
        )
        return moved.sin().sum()

    assert torch.autograd.gradcheck(energy, points.clone().requires_grad_(), atol=1e-6)


def test_noise_is_isotropic_with_the_norm_of_the_displacement():
    displacement = cloud(3000, 5, 3)
    noise = isotropic_noise(displacement, generator=seeded())
    torch.testing.assert_close(noise.flatten(1).norm(dim=1), displacement.flatten(1).norm(dim=1))
    unit = noise.flatten(1) / noise.flatten(1).norm(dim=1, keepdim=True)
    covariance = 15 * unit.T @ unit / 3000
    # Elements scatter by √2 / √3000 at most; five times.
    assert float((covariance - torch.eye(15, dtype=torch.float64)).abs().max()) < 0.13


@pytest.mark.parametrize(
    ("points", "options", "message"),
    [
        (torch.zeros(3, 4), {}, "2 or 3"),
        (torch.zeros(3, 2, dtype=torch.int64), {}, "floating"),
        (torch.full((3, 2), torch.nan), {}, "finite"),
        (torch.zeros(3, 2), {}, "margin"),
        (torch.rand(3, 2), {"owner": torch.tensor([0, 1])}, "owner"),
        (torch.rand(2, 2), {"owner": torch.tensor([0.0, 1.0])}, "owner: expected integers"),
        (torch.rand(9, 2), {"field": SineField.in_box([0.1, 0.1], cutoff=3)}, "larger"),
        (torch.rand(9, 2), {"field": SineField((8, 8), cutoff=3)}, "in_box"),
    ],
)
def test_invalid_points_are_an_error(points, options, message):
    with pytest.raises(ValueError, match=message):
        deform_points(points, delta=0.01, generator=seeded(), **options)


def test_a_blob_in_a_volume_moves_as_push():
    shape, centre = (17, 19, 21), torch.tensor([[7.0, 9.0, 11.0]], dtype=torch.float64)
    maps = SineField(shape, cutoff=2).sample(
        6, delta=0.7, generator=seeded(), bijective=True, dtype=torch.float64
    )
    axes = [torch.arange(n, dtype=torch.float64) for n in shape]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    blob = torch.exp(-(grid - centre).square().sum(-1) / 2)[None, None]
    moved = maps.warp(blob)[:, 0]
    found = (moved[..., None] * grid).sum((1, 2, 3)) / moved.sum((1, 2, 3))[:, None]
    pushed = maps.push(centre)[:, 0]
    # The blob is not a point, and the half that is stretched weighs more: its mean strays a little.
    assert float((found - pushed).norm(dim=1).max()) < 0.25
    assert float((pushed - centre).norm(dim=1).max()) > 2


def test_linear_volume_is_warped_exactly():
    """Trilinear interpolation is exact for x · a: the warped volume is a · (s - u(s))."""
    shape = (6, 7, 8)
    maps = SineField(shape, cutoff=3).sample(2, delta=0.2, generator=seeded(), dtype=torch.float64)
    axes = [torch.arange(n, dtype=torch.float64) for n in shape]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    slope = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    last = torch.tensor(shape) - 1.0
    expected = (grid - maps.displacement()).clamp(torch.zeros(3), last) @ slope
    torch.testing.assert_close(maps.warp((grid @ slope)[None, None])[:, 0], expected)
