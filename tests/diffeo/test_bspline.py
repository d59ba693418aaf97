"""Free-form deformations: cubic B-splines."""

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from symnets.diffeo import BSplineField
from symnets.diffeo._bspline_field import BSplineBasis, bspline, bspline_slope
from tests.diffeo.fields import seeded


def test_bspline_is_that_of_scipy() -> None:
    t = np.linspace(-2, 2, 81)
    spline = BSpline.basis_element([-2, -1, 0, 1, 2], extrapolate=False)
    np.testing.assert_allclose(bspline(torch.from_numpy(t)).numpy(), spline(t), rtol=0, atol=1e-15)
    slope = spline.derivative()
    np.testing.assert_allclose(bspline_slope(torch.from_numpy(t)).numpy(), slope(t), rtol=0, atol=1e-14)
    beyond = torch.tensor([-7.0, -2.0, 2.0, 3.5])
    assert (bspline(beyond) == 0).all()
    assert (bspline_slope(beyond) == 0).all()


def test_slope_and_curvature_by_differences() -> None:
    t = (torch.rand(50, dtype=torch.float64, generator=seeded()) * 5 - 2.5).requires_grad_(True)
    step = 1e-5
    difference = (bspline(t + step) - bspline(t - step)) / (2 * step)
    torch.testing.assert_close(bspline_slope(t), difference, rtol=0, atol=1e-9)
    (curvature,) = torch.autograd.grad(bspline_slope(t).sum(), t)
    second = (bspline_slope(t + step) - bspline_slope(t - step)) / (2 * step)
    torch.testing.assert_close(curvature, second, rtol=0, atol=1e-4)  # the third derivative jumps


def test_partition_of_unity_away_from_the_ends() -> None:
    basis = BSplineBasis((40.0,), (9,))  # control points 4 pixels apart
    x = torch.linspace(0, 40, 161, dtype=torch.float64)
    total, slopes = basis.table(0, x).sum(-1), basis.table(0, x, 1).sum(-1)
    inside = (x >= 8) & (x <= 32)
    torch.testing.assert_close(total[inside], torch.ones_like(x)[inside], rtol=0, atol=1e-14)
    assert slopes[inside].abs().max() < 1e-14
    assert (total[1:-1] > 0).all()
    assert (total[1:-1] < 1 + 1e-14).all()
    assert total[0] == total[-1] == 0


def test_second_derivative_vanishes_at_the_border() -> None:
    # Mirror images of opposite sign: no curvature at the ends, as of a natural spline.
    basis = BSplineBasis((30.0,), (5,))
    x = torch.tensor([0.0, 30.0], dtype=torch.float64, requires_grad=True)
    for k in range(5):
        (curvature,) = torch.autograd.grad(basis.table(0, x, 1)[:, k].sum(), x, retain_graph=True)
        assert curvature.abs().max() < 1e-14


def test_a_control_point_moves_its_surroundings_only() -> None:
    field = BSplineField((41, 41), spacing=5)
    assert field.basis.sizes == (7, 7)
    one = torch.zeros(1, 2, 7, 7, dtype=torch.float64)
    one[0, 0, 3, 3] = 1
    u = field.expansion(one.flatten(2)).displacement()[0]
    assert (u[..., 1] == 0).all()
    assert float(u[20, 20, 0]) == pytest.approx((2 / 3) ** 2)
    moved = u[..., 0].nonzero()
    assert moved.amin(0).tolist() == [11, 11]
    assert moved.amax(0).tolist() == [29, 29]


def test_knots_are_equally_spaced_along_each_axis() -> None:
    field = BSplineField((29, 50), spacing=7)
    assert field.basis.sizes == (3, 6)
    assert field.n_modes == 18
    assert repr(field) == "BSplineField((29, 50), spacing=7)"


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"spacing: expected 1 to 4.667 pixels .* got 5"):
        BSplineField((8, 20), spacing=5)
    with pytest.raises(ValueError, match=r"spacing: .* got 0.5"):
        BSplineField((8, 20), spacing=0.5)
    with pytest.raises(ValueError, match="at least 3 pixels"):
        BSplineField((8, 2), spacing=2)
    with pytest.raises(ValueError, match="BSplineField has no temperature; pass delta, in pixels"):
        BSplineField((8, 20), spacing=2).sample(1, temperature=1e-3, generator=None)
    with pytest.raises(ValueError, match="BSplineField has no temperature"):
        BSplineField((8, 20), spacing=2).folding_probability(1e-3)
