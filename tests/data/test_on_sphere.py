"""Images projected onto the sphere."""

import pytest
import torch
from e3nn import o3

from symnets.data import on_sphere, sphere_grid


def images(n: int) -> torch.Tensor:
    return torch.rand(n, 2, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_the_southern_hemisphere_is_empty():
    found = on_sphere(images(2), (16, 15))
    assert not found[:, :, 8:].any()
    assert found[:, :, :8].all(dim=2).any()


def test_the_pole_has_the_central_pixel_and_directions_are_those_seen_from_outside():
    """x is to the right, z down: a pixel on the axes is at polar angle 2 atan(u)."""
    image = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    image[0, 0, 4, 4], image[0, 0, 4, 6], image[0, 0, 6, 4] = 1.0, 2.0, 3.0
    u = torch.tensor(4 / 9, dtype=torch.float64)  # centre of the pixel two to the right: 2 of 9 / 2
    beta, zero = 2 * u.atan(), torch.zeros((), dtype=torch.float64)
    # Each point is rotated to the pole, where the grid has a circle of latitude.
    points = {"centre": (zero, zero), "right": (torch.pi / 2 + zero, beta), "down": (zero, beta)}
    found = []
    for alpha, polar in points.values():
        turn = o3.angles_to_matrix(alpha, polar, zero).T  # takes the point to the pole
        found.append(float(on_sphere(image, (2001, 1), turn)[0, 0, 0, 0]))
    assert found == pytest.approx([1.0, 2.0, 3.0], abs=0.02)  # the circle is 0.0008 from the pole


def test_turning_about_the_axis_by_a_step_of_the_grid_rolls_longitudes():
    x = images(2)
    turn = o3.matrix_y(torch.tensor(2 * torch.pi / 8, dtype=torch.float64))
    torch.testing.assert_close(on_sphere(x, (10, 8), turn), on_sphere(x, (10, 8)).roll(1, 3))


def test_each_image_may_have_its_own_rotation():
    x, turns = images(3), torch.stack([torch.eye(3), o3.rand_matrix(), o3.rand_matrix()]).double()
    found = on_sphere(x, (8, 8), turns, kind="gauss")
    for k in range(3):
        expected = on_sphere(x[k : k + 1], (8, 8), turns[k], kind="gauss")
        torch.testing.assert_close(found[k : k + 1], expected)
    assert on_sphere(x[:0], (8, 8)).shape == (0, 2, 8, 8)


def test_grids_are_unit_vectors_from_north_to_south():
    points = sphere_grid((6, 4))
    torch.testing.assert_close(points.norm(dim=-1), torch.ones(6, 4, dtype=torch.float64))
    assert (points[:-1, :, 1] > points[1:, :, 1]).all()
    torch.testing.assert_close(points[:, 0, 0], torch.zeros(6, dtype=torch.float64))  # longitude 0: +z


def test_rotations_of_another_shape():
    with pytest.raises(
        ValueError, match=r"rotation: expected shape \(3, 3\) or \(3, 3, 3\), got \(2, 3, 3\)"
    ):
        on_sphere(images(3), (8, 8), torch.eye(3).expand(2, 3, 3))
