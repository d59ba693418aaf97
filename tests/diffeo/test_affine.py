"""Affine maps against matrices and against torch's rotations and shifts by indexing."""

import math

import pytest
import torch

from symnets.diffeo import Affine, Composition, Inverse, SineField, random_affine
from tests.diffeo.fields import seeded

SHAPE = (9, 9)


def random_maps(n: int = 3, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> Affine:
    """Maps near the identity."""
    dim = len(shape)
    noise = torch.randn(n, dim, dim + 1, generator=seeded(seed), dtype=torch.float64)
    return Affine(torch.eye(dim) + 0.2 * noise[..., :-1], noise[..., -1], shape=shape)


def images(n: int = 1, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    return torch.rand(n, 2, *shape, generator=seeded(9), dtype=torch.float64)


@pytest.mark.parametrize("turns", [1, 2, 3, -1])
def test_rotations_by_90_degrees(turns: int) -> None:
    found = Affine.rotation(90.0 * turns, SHAPE, dtype=torch.float64).warp(images())
    torch.testing.assert_close(found, images().rot90(turns, (2, 3)), rtol=0, atol=1e-12)


def test_rotation_angles_add() -> None:
    a, b = (Affine.rotation(angle, SHAPE, dtype=torch.float64) for angle in (25.0, -70.0))
    both = a.compose(b)
    assert isinstance(both, Affine)
    torch.testing.assert_close(both.matrix, Affine.rotation(-45.0, SHAPE, dtype=torch.float64).matrix)


def test_shifts_are_rolls_inside() -> None:
    moved = Affine.translation([2, -1], SHAPE, dtype=torch.float64).warp(images())
    rolled = images().roll((2, -1), (2, 3))
    torch.testing.assert_close(moved[:, :, 2:, :-1], rolled[:, :, 2:, :-1], rtol=0, atol=1e-12)
    # What comes from outside has the value of the border.
    torch.testing.assert_close(
        moved[:, :, :2, 3], images()[:, :, :1, 4].expand(-1, -1, 2), rtol=0, atol=1e-12
    )


def test_scaling_fixes_the_centre() -> None:
    twice = Affine.scaling(2.0, SHAPE, dtype=torch.float64)
    points = torch.tensor([[4.0, 4.0], [5.0, 4.0], [3.0, 6.0]], dtype=torch.float64)
    expected = torch.tensor([[4.0, 4.0], [6.0, 4.0], [2.0, 8.0]], dtype=torch.float64)
    torch.testing.assert_close(twice.push(points)[0], expected)
    stretched = Affine.scaling(torch.tensor([[1.0, 2.0]], dtype=torch.float64), SHAPE)
    torch.testing.assert_close(stretched.push(points)[0, 1:], torch.tensor([[5.0, 4], [3, 8]]).double())


def test_shear_leans_to_the_right() -> None:
    sheared = Affine.shear(45.0, SHAPE, dtype=torch.float64)
    points = torch.tensor([[0.0, 4.0], [4.0, 4.0], [8.0, 4.0]], dtype=torch.float64)
    expected = torch.tensor([[0.0, 8.0], [4.0, 4.0], [8.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(sheared.push(points)[0], expected)


@pytest.mark.parametrize("shape", [SHAPE, (7, 12), (5, 6, 7)])
def test_points_follow_the_matrix(shape: tuple[int, ...]) -> None:
    a = random_maps(shape=shape)
    points = torch.rand(8, len(shape), generator=seeded(), dtype=torch.float64) * 5
    expected = torch.einsum("nab,pb->npa", a.matrix, points - a.centre) + a.centre + a.shift[:, None]
    torch.testing.assert_close(a.push(points), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(a.pull(a.push(points)), points.expand(3, -1, -1), rtol=0, atol=1e-12)


def test_composition_is_the_product_of_matrices() -> None:
    a, b = random_maps(seed=1), random_maps(seed=2)
    both = a.compose(b)
    assert isinstance(both, Affine)
    torch.testing.assert_close(both.matrix, a.matrix @ b.matrix)
    general = Composition(a, b)
    points = torch.rand(8, 2, generator=seeded(), dtype=torch.float64) * 8
    torch.testing.assert_close(both.at(points), general.at(points), rtol=0, atol=1e-12)
    torch.testing.assert_close(both.gradient(points), general.gradient(points), rtol=0, atol=1e-12)


def test_inverse_in_closed_form() -> None:
    a = random_maps()
    inverse = a.inverse()
    assert isinstance(inverse, Affine)
    torch.testing.assert_close(inverse.matrix, torch.linalg.inv(a.matrix))
    points = torch.rand(8, 2, generator=seeded(), dtype=torch.float64) * 8
    solved = Inverse(a).at(points)
    torch.testing.assert_close(inverse.at(points), solved, rtol=0, atol=1e-9)
    torch.testing.assert_close(inverse.gradient(points), Inverse(a).gradient(points), rtol=0, atol=1e-9)


def test_determinant_is_constant() -> None:
    a = random_maps()
    expected = (1 / torch.linalg.det(a.matrix))[:, None, None].expand(-1, *SHAPE)
    torch.testing.assert_close(a.det(), expected)
    mirror = Affine(torch.diag(torch.tensor([1.0, -1.0]))[None], shape=SHAPE)
    assert mirror.is_bijective()
    assert (mirror.det() == -1).all()


def test_rotation_of_a_deformation() -> None:
    smooth = SineField(SHAPE, cutoff=2).sample(3, delta=0.3, generator=seeded(), dtype=torch.float64)
    turn = Affine.rotation(torch.tensor([10.0, 20.0, 30.0], dtype=torch.float64), SHAPE)
    both = turn.compose(smooth)
    points = torch.rand(8, 2, generator=seeded(), dtype=torch.float64) * 8
    torch.testing.assert_close(both.pull(points), smooth.pull(turn.pull(points)), rtol=0, atol=1e-12)
    # Outside of the image nothing is deformed, so that one interpolation sees the same border as two.
    constant = torch.ones(3, 1, *SHAPE, dtype=torch.float64)
    ramp = torch.arange(9.0).double()[:, None].expand(3, 1, 9, 9)
    torch.testing.assert_close(both.warp(constant), constant)
    torch.testing.assert_close(
        both.warp(ramp)[..., 0, :], turn.warp(smooth.warp(ramp))[..., 0, :], rtol=0, atol=0.1
    )
    back = smooth.compose(turn)
    torch.testing.assert_close(back.pull(points), turn.pull(smooth.pull(points)), rtol=0, atol=1e-12)


def test_indexing_and_conversion_of_dtype() -> None:
    a = random_maps()
    torch.testing.assert_close(a[[2, 0]].matrix, a.matrix[[2, 0]])
    assert a.to(dtype=torch.float32).displacement().dtype == torch.float32
    assert len(a[1:]) == 2


def test_differentiable_in_the_matrix() -> None:
    matrix = random_maps(1).matrix.requires_grad_(True)
    point = torch.tensor([[2.0, 3.5]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda m: Affine(m, shape=SHAPE).at(point), (matrix,))
    assert torch.autograd.gradcheck(lambda m: Affine(m, shape=SHAPE).push(point), (matrix,))


def test_random_maps_stay_in_their_limits() -> None:
    maps = random_affine(
        500,
        SHAPE,
        degrees=20,
        translate=3,
        scale=(0.8, 1.25),
        shear=10,
        generator=seeded(),
        dtype=torch.float64,
    )
    assert maps.shift.abs().max() <= 3
    # A = R S s: the determinant is s², and S leaves columns of coordinates as they are.
    size = torch.linalg.det(maps.matrix).sqrt()
    assert 0.8 <= size.min() < 0.82 < 1.2 < size.max() <= 1.25
    assert float(size.log().mean()) == pytest.approx(0, abs=0.03)
    unit = maps.matrix / size[:, None, None]
    angle = torch.atan2(-unit[:, 0, 1], unit[:, 1, 1]).rad2deg()
    assert 19 < angle.abs().max() <= 20
    lean = (unit[:, :, 0] * unit[:, :, 1]).sum(1).atan().rad2deg()
    assert 9.5 < lean.abs().max() <= 10 + 1e-9
    again = random_affine(500, SHAPE, degrees=20, generator=seeded(), dtype=torch.float32)
    assert again.matrix.dtype == torch.float32
    torch.testing.assert_close(torch.linalg.det(again.matrix), torch.ones(500))


def test_zero_limits_give_the_identity() -> None:
    found = random_affine(3, SHAPE, generator=None, dtype=torch.float64)
    torch.testing.assert_close(found.displacement(), torch.zeros(3, *SHAPE, 2, dtype=torch.float64))


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"matrix: expected shape \(n, 2, 2\), got \(2, 2\)"):
        Affine(torch.eye(2), shape=SHAPE)
    with pytest.raises(ValueError, match=r"shift: expected shape \(1, 2\), got \(2,\)"):
        Affine(torch.eye(2)[None], torch.zeros(2), shape=SHAPE)
    with pytest.raises(ValueError, match="invertible matrices"):
        Affine(torch.zeros(1, 2, 2), shape=SHAPE)
    with pytest.raises(ValueError, match="rotation: expected shape"):
        Affine.rotation(10, (5, 6, 7))
    with pytest.raises(ValueError, match="scale: expected 0 < smallest <= largest"):
        random_affine(1, SHAPE, scale=(1.2, 0.8), generator=None)
    with pytest.raises(ValueError, match="expected limits >= 0, shear < 90"):
        random_affine(1, SHAPE, degrees=-1, generator=None)
    assert math.isclose(float(Affine.rotation(30, SHAPE).matrix[0, 1, 0]), 0.5, abs_tol=1e-6)


def test_identity_is_known_unless_a_derivative_is_required() -> None:
    matrix = torch.eye(2)[None].repeat(3, 1, 1)
    same = Affine(matrix, shape=SHAPE)
    assert same.is_identity
    assert torch.equal(same.warp(images(3)), images(3))
    assert same.compose(same).is_identity
    assert not random_maps().is_identity
    assert not Affine(matrix, torch.full((3, 2), 1e-6), shape=SHAPE).is_identity
    variable = Affine(matrix.requires_grad_(True), shape=SHAPE)
    assert not variable.is_identity
    variable.warp(images(3).float()).square().sum().backward()
    assert matrix.grad is not None
    assert (matrix.grad != 0).any()
