"""User-defined deformations, and selections of deformations."""

import pytest
import torch
from torch import Tensor

from symnets.diffeo import Affine, Composition, Diffeo, Inverse, SineField
from symnets.diffeo._diffeo import Selection
from tests.diffeo.fields import seeded


class Waves(Diffeo):
    """u = (0, sin(row / 2)): columns of an image swing along its rows."""

    shape = (10, 12)

    def at(self, points: Tensor) -> Tensor:
        rows = points[..., 0]
        u = torch.stack([0 * rows, (rows / 2).sin()], dim=-1)
        return u.reshape(-1, *u.shape[-2:])

    def gradient(self, points: Tensor) -> Tensor:
        rows = points[..., 0]
        slope = torch.zeros(*rows.shape, 2, 2, dtype=rows.dtype)
        slope[..., 1, 0] = (rows / 2).cos() / 2
        return slope.reshape(-1, *slope.shape[-3:])


POINTS = 9 * torch.rand(7, 2, generator=seeded(), dtype=torch.float64)
IMAGES = torch.rand(3, 2, 10, 12, generator=seeded(1))


def test_a_subclass_needs_at_gradient_and_shape_only() -> None:
    waves = Waves()
    assert waves.dim == 2
    assert waves.displacement().shape == (1, 10, 12, 2)
    assert (waves.det() == 1).all()
    assert waves.is_bijective()
    # The mean of cos²(row / 2) / 4.
    expected = (torch.arange(10).double() / 2).cos().square().mean() / 4
    torch.testing.assert_close(waves.energy(), expected[None])
    torch.testing.assert_close(waves.push(POINTS)[0], POINTS + waves.at(POINTS)[0])
    torch.testing.assert_close(waves.inverse().compose(waves).pull(POINTS)[0], POINTS)
    assert waves.warp(IMAGES).shape == IMAGES.shape
    assert waves.warp(IMAGES).dtype == torch.float32


def test_a_subclass_composes_with_many_deformations() -> None:
    many = SineField((10, 12), cutoff=2).sample(3, delta=0.2, generator=seeded(), dtype=torch.float64)
    for both, expected in (
        (Waves().compose(many), many.pull(Waves().pull(POINTS)[0])),
        (many.compose(Waves()), Waves().pull(many.pull(POINTS))),
    ):
        torch.testing.assert_close(both.pull(POINTS), expected)
        torch.testing.assert_close(both[2].pull(POINTS), expected[2:])


def test_a_subclass_is_repeated_and_cast() -> None:
    three = Waves()[[0, 0, 0]]
    assert len(three) == 3
    torch.testing.assert_close(three.at(POINTS), Waves().at(POINTS).expand(3, -1, -1))
    own = torch.stack([POINTS, POINTS + 1, POINTS + 2])
    torch.testing.assert_close(three.at(own), Waves().at(own))
    torch.testing.assert_close(three.warp(IMAGES), Waves().warp(IMAGES))
    single = Waves().to(dtype=torch.float32)
    assert single.displacement().dtype == single[0].jacobian().dtype == torch.float32
    torch.testing.assert_close(single.displacement().double(), Waves().displacement())


def test_a_selection_equals_the_selected_deformations() -> None:
    many = SineField((10, 12), cutoff=3).sample(4, delta=0.5, generator=seeded(), dtype=torch.float64)
    some, expected = Selection(many, torch.tensor([2, 0, 2])), many[[2, 0, 2]]
    own = torch.stack([POINTS, POINTS.flip(0), POINTS / 2])
    for points in (POINTS, own):
        torch.testing.assert_close(some.at(points), expected.at(points))
        torch.testing.assert_close(some.gradient(points), expected.gradient(points))
    torch.testing.assert_close(some[1:].warp(IMAGES[1:]), expected[1:].warp(IMAGES[1:]))
    torch.testing.assert_close(some[1].at(own), expected[[1, 1, 1]].at(own))
    torch.testing.assert_close(some[[True, False, True]].at(POINTS), expected[[0, 2]].at(POINTS))


SMOOTH = SineField((10, 12), cutoff=2).sample(3, delta=0.2, generator=seeded(), dtype=torch.float64)
KINDS: dict[str, Diffeo] = {
    "expansion": SMOOTH,
    "affine": Affine.rotation(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), (10, 12)),
    "inverse": Inverse(SMOOTH),
    "composition": Composition(SMOOTH, Affine.rotation(5.0, (10, 12), dtype=torch.float64)),
    "selection": Selection(SMOOTH, torch.tensor([2, 1, 0])),
}


@pytest.mark.parametrize("diffeo", KINDS.values(), ids=KINDS)
def test_one_of_several_is_a_batch_of_one(diffeo: Diffeo) -> None:
    u = diffeo.displacement()
    for k in (0, 2, -1):
        assert len(diffeo[k]) == 1
        torch.testing.assert_close(diffeo[k].displacement()[0], u[k])
    torch.testing.assert_close(diffeo[torch.tensor(1)].displacement(), u[1:2])
    torch.testing.assert_close(torch.cat([one.displacement() for one in diffeo]), u)
    with pytest.raises(IndexError, match="for 3 deformations, got 3"):
        diffeo[3]


@pytest.mark.parametrize("refine", [0, -1, 1.5])
def test_refinement_is_a_whole_number(refine: float) -> None:
    for function in (SMOOTH.det, SMOOTH.displacement, SMOOTH.inverse().jacobian, Waves().det):
        with pytest.raises(ValueError, match="refine: expected a whole number of at least 1"):
            function(refine)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="refine: expected a whole number"):
        SMOOTH.is_bijective(refine=refine)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_nan_points_are_not_reported_as_a_fold(value: float) -> None:
    with pytest.raises(ValueError, match="points: expected finite coordinates"):
        SMOOTH.push(torch.tensor([[1.0, value]]))


def test_integer_coefficients_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"dtype: expected a floating-point dtype, got torch\.int32"):
        SineField((10, 12), cutoff=2).sample(1, delta=1.0, generator=None, dtype=torch.int32)
    with pytest.raises(ValueError, match="coefficients: expected a floating-point dtype"):
        SMOOTH.to(dtype=torch.int32)
    with pytest.raises(ValueError, match="matrix: expected a floating-point dtype"):
        Affine(torch.eye(2, dtype=torch.int64)[None], shape=(9, 9))
