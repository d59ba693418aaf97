import math

import pytest
import torch

from symnets.data import to_sphere


@pytest.mark.parametrize(("radius", "expected"), [(None, math.sqrt(7)), (2.5, 2.5)])
def test_points_are_projected_along_their_direction(radius, expected):
    x = torch.randn(30, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = to_sphere(x, radius)
    torch.testing.assert_close(y.norm(dim=1), torch.full((30,), expected, dtype=torch.float64))
    cosine = (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1))
    torch.testing.assert_close(cosine, torch.ones(30, dtype=torch.float64))


def test_points_on_the_sphere_are_unchanged():
    x = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    assert torch.equal(to_sphere(x, 5.0), x)


def test_no_points_give_no_points():
    assert to_sphere(torch.empty(0, 3)).shape == (0, 3)


def test_a_point_at_the_origin_is_refused():
    with pytest.raises(ValueError, match="row 1 is zero"):
        to_sphere(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match=r"finite.*row 2"):
        to_sphere(torch.tensor([[1.0, 0.0], [0.0, 2.0], [bad, 1.0]]))


def test_radii_that_are_not_positive_are_refused():
    with pytest.raises(ValueError, match="radius"):
        to_sphere(torch.ones(1, 2), 0.0)
