"""Laws of random fields with any basis."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from symnets.diffeo import Expansion, Field
from symnets.diffeo._preimage import determinant
from tests.diffeo.fields import FIELDS, gentle, seeded

each = pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)


def midpoints(field: Field, n: int) -> Tensor:
    """Centres of n cells along each axis."""
    axes = [(torch.arange(n, dtype=torch.float64) + 0.5) * extent / n for extent in field.basis.extents]
    return torch.cartesian_prod(*axes)


@each
def test_mean_square_displacement_is_delta_squared(field: Field) -> None:
    # One deformation for each function; by independence the mean square is the sum of theirs.
    alone = torch.zeros(field.n_modes, field.dim, field.n_modes, dtype=torch.float64)
    alone[:, 0] = torch.diag(field.amplitudes)
    points = midpoints(field, 24 if field.dim == 3 else 60)
    mean = field.dim * field.expansion(alone).at(points).square().sum((0, 2)).mean()
    # The rule of midpoints is exact for sines; splines have a third derivative that jumps.
    assert float(mean) == pytest.approx(1, abs=5e-5)


@each
def test_sampled_displacement_is_delta(field: Field) -> None:
    n, delta = 400, 0.3
    u = field.sample(n, delta=delta, generator=seeded(1), dtype=torch.float64).at(midpoints(field, 16))
    each_field = u.square().sum(-1).mean(1)
    error = float(each_field.std()) / math.sqrt(n)
    assert float(each_field.mean()) == pytest.approx(delta**2, abs=5 * error)
    assert float(u.mean((0, 1)).abs().max()) < 5 * delta / math.sqrt(n)


@each
@pytest.mark.filterwarnings("ignore::symnets.diffeo.FoldingWarning")
def test_border_does_not_move(field: Field) -> None:
    diffeo = field.sample(2, delta=5.0, generator=seeded(), dtype=torch.float32)
    u = diffeo.displacement()
    for axis, n in enumerate(diffeo.grid_shape):
        assert (u.select(1 + axis, 0) == 0).all()
        assert (u.select(1 + axis, n - 1) == 0).all()
    outside = torch.rand(20, field.dim) * 10 + torch.tensor(diffeo.grid_shape)
    assert (diffeo.at(outside) == 0).all()
    assert (diffeo.at(-outside) == 0).all()
    assert (diffeo.gradient(outside) == 0).all()


@each
def test_grid_and_points_agree(field: Field) -> None:
    diffeo = gentle(field)
    points = diffeo._grid(1)[0]
    flat = diffeo.displacement().flatten(1, -2)
    torch.testing.assert_close(diffeo.at(points), flat, rtol=0, atol=1e-13)
    own = torch.stack([points, points.flip(0), points])
    torch.testing.assert_close(diffeo.at(own)[1], flat[1].flip(0), rtol=0, atol=1e-13)
    fine = diffeo.displacement(refine=3)
    every_third = fine[(slice(None), *[slice(None, None, 3)] * field.dim)]
    torch.testing.assert_close(every_third, diffeo.displacement(), rtol=0, atol=1e-13)


@each
def test_gradient_is_that_of_autograd_and_of_differences(field: Field) -> None:
    diffeo = gentle(field, n=2)
    generator = seeded(3)
    points = torch.rand(2, 11, field.dim, dtype=torch.float64, generator=generator) * torch.tensor(
        field.basis.extents
    )
    points.requires_grad_(True)
    u, found = diffeo.at(points), diffeo.gradient(points)
    for a in range(field.dim):
        (slope,) = torch.autograd.grad(u[..., a].sum(), points, retain_graph=True)
        torch.testing.assert_close(found[:, :, a], slope, rtol=0, atol=1e-12)
    step = 1e-5
    for b, e in enumerate(torch.eye(field.dim, dtype=torch.float64)):
        difference = (diffeo.at(points + step * e) - diffeo.at(points - step * e)) / (2 * step)
        # Central differences: step² u''' / 6 and rounding 1e-16 / step.
        torch.testing.assert_close(found[..., b], difference, rtol=0, atol=1e-9)


@each
def test_jacobian_and_determinant(field: Field) -> None:
    diffeo = gentle(field)
    points = diffeo._grid(2)[0]
    expected = torch.eye(field.dim, dtype=torch.float64) - diffeo.gradient(points)
    found = diffeo.jacobian(2)
    torch.testing.assert_close(found.flatten(1, -3), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(diffeo.det(2), torch.linalg.det(found), rtol=0, atol=1e-12)
    energy = diffeo.gradient(diffeo._grid(1)[0]).square().sum((2, 3)).mean(1)
    torch.testing.assert_close(diffeo.energy(), energy)


@each
@pytest.mark.filterwarnings("ignore::symnets.diffeo.FoldingWarning")
def test_area_is_conserved_even_by_maps_that_fold(field: Field) -> None:
    # ∫ det ∂h depends on the values at the border alone. Gauss's rule between control points, where
    # splines are polynomials; for sines between their zeros.
    diffeo = field.sample(2, delta=4.0, generator=seeded(), dtype=torch.float64)
    intervals = [size + 1 for size in field.basis.sizes]
    x, w = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(8 if field.dim == 3 else 10))
    axes, weights = [], []
    for extent, n in zip(field.basis.extents, intervals, strict=True):
        axes.append(((torch.arange(n)[:, None] + (x + 1) / 2) * (extent / n)).flatten())
        weights.append((w / 2 / n).repeat(n))
    assert not bool(diffeo.is_bijective().all())
    eye = torch.eye(field.dim, dtype=torch.float64)
    weight = torch.cartesian_prod(*weights).prod(1)
    det = determinant(eye - diffeo.gradient(torch.cartesian_prod(*axes)))
    torch.testing.assert_close(det @ weight, torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-10)


@each
def test_zero_is_the_identity_bit_for_bit(field: Field) -> None:
    diffeo = field.sample(2, delta=0.0, generator=seeded())
    assert diffeo.is_identity
    assert diffeo.is_bijective().all()
    shape = field.shape
    assert shape is not None
    modes = ["bilinear", "nearest"] + ["bicubic"] * (field.dim == 2)
    for dtype in (torch.float32, torch.float64, torch.float16, torch.uint8, torch.int64):
        images = (torch.rand(2, 3, *shape, generator=seeded()) * 200).to(dtype)
        for mode in modes:
            warped = diffeo.warp(images, mode)  # pyright: ignore[reportArgumentType]
            assert warped.dtype == dtype
            assert torch.equal(warped, images)


@each
def test_a_generator_gives_the_same_field_in_any_dtype(field: Field) -> None:
    double = field.sample(3, delta=0.3, generator=seeded(7), dtype=torch.float64)
    single = field.sample(3, delta=0.3, generator=seeded(7), dtype=torch.float32)
    assert torch.equal(double.coefficients.to(torch.float32), single.coefficients)
    other = field.sample(3, delta=0.3, generator=seeded(8), dtype=torch.float64)
    assert not torch.equal(double.coefficients, other.coefficients)
    torch.manual_seed(7)
    globally = field.sample(3, delta=0.3, generator=None, dtype=torch.float64)
    assert torch.equal(double.coefficients, globally.coefficients)


@each
def test_a_batch_equals_its_members(field: Field) -> None:
    batch = gentle(field, n=4)
    images = torch.rand(4, 2, *batch.grid_shape, dtype=torch.float64, generator=seeded())
    warped = batch.warp(images)
    for k in range(4):
        one = batch[k : k + 1]
        torch.testing.assert_close(one.displacement()[0], batch.displacement()[k], rtol=0, atol=1e-13)
        torch.testing.assert_close(one.warp(images[k : k + 1])[0], warped[k], rtol=0, atol=1e-12)
    some = batch[torch.tensor([2, 0])]
    assert len(some) == 2
    assert torch.equal(some.coefficients, batch.coefficients[[2, 0]])


@each
def test_each_field_may_have_its_own_delta(field: Field) -> None:
    deltas = torch.tensor([0.1, 0.0, 0.3])
    own = field.sample(3, delta=deltas, generator=seeded(), dtype=torch.float64)
    same = field.sample(3, delta=0.1, generator=seeded(), dtype=torch.float64)
    ratio = (deltas / 0.1).to(torch.float64)[:, None, None]
    torch.testing.assert_close(
        own.coefficients.flatten(2), same.coefficients.flatten(2) * ratio, rtol=1e-6, atol=0
    )


@each
def test_bijective_rejects_fields_that_fold(field: Field) -> None:
    delta = 0.6
    while (fold := field.folding_probability(delta=delta)) > 0.6:
        delta *= 0.7
    n = 100 if field.dim == 2 else 40
    kept = field.sample(n, delta=delta, generator=seeded(), bijective=True, dtype=torch.float64)
    assert kept.is_bijective().all()
    assert kept.acceptance is not None
    # Binomial, of 400 probes and of n / acceptance draws; and probes are on a grid of their own.
    error = math.sqrt(fold * (1 - fold) * (1 / 400 + kept.acceptance / n)) + 0.03
    assert kept.acceptance == pytest.approx(1 - fold, abs=4 * error)


@each
def test_a_field_from_its_coefficients(field: Field) -> None:
    diffeo = gentle(field)
    index = (field.modes - 1).unbind(1)
    rebuilt = field.expansion(diffeo.coefficients[(slice(None), slice(None), *index)])
    assert torch.equal(rebuilt.coefficients, diffeo.coefficients)
    with pytest.raises(ValueError, match=r"coefficients: expected shape \(n, "):
        field.expansion(torch.zeros(2, field.dim, field.n_modes + 1))


@each
def test_doubling_the_pixels_doubles_the_displacement(field: Field) -> None:
    diffeo = gentle(field)
    wide = field.basis.resized([2 * extent for extent in field.basis.extents])
    points = midpoints(field, 5)
    large = Expansion(wide, 2 * diffeo.coefficients, [2 * n - 1 for n in diffeo.grid_shape])
    torch.testing.assert_close(large.at(2 * points), 2 * diffeo.at(points), rtol=0, atol=1e-12)
    torch.testing.assert_close(large.gradient(2 * points), diffeo.gradient(points), rtol=0, atol=1e-12)


@each
def test_bad_input(field: Field) -> None:
    with pytest.raises(ValueError, match="n: expected at least 1, got 0"):
        field.sample(0, delta=1.0, generator=None)
    with pytest.raises(ValueError, match="delta: expected numbers >= 0, got -1"):
        field.sample(1, delta=-1.0, generator=None)
    with pytest.raises(ValueError, match=r"delta: expected one number, or 3, got shape \(2,\)"):
        field.sample(3, delta=torch.ones(2), generator=None)
    with pytest.raises(ValueError, match=r"^(temperature, )?delta: expected"):
        field.sample(1, generator=None)
    if field.dim == 2:
        with pytest.raises(ValueError, match=r"no one-to-one field .* the last \d+ samples all fold"):
            field.sample(1, delta=1000.0, generator=seeded(), bijective=True)
