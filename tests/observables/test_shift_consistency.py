"""Shift consistency of classifiers with known consistency."""

import pytest
import torch
from torch import Tensor, nn

from symnets.observables import shift_consistency
from symnets.observables._shift_consistency import shifted


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def points(n: int, size: int, where: tuple[int, int]) -> Tensor:
    """Images of one bright pixel each."""
    x = torch.zeros(n, 1, size, size, dtype=torch.float64)
    x[:, :, where[0], where[1]] = 1
    return x


class Position(nn.Module):
    """The class is the row of the brightest pixel modulo 2, or in a quarter of the image."""

    def forward(self, x: Tensor) -> Tensor:
        row = x[:, 0].sum(2).argmax(1)
        return nn.functional.one_hot(row % 2, 2).double()


def test_global_averages_are_consistent() -> None:
    """While the content stays inside of the image, a mean over pixels does not feel a shift."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = shift_consistency(net.double(), points(40, 11, (5, 5)), max_shift=3, generator=generator())
    assert (found.value, found.high, found.standard_error) == (1, 1, 0)
    assert found.low == pytest.approx(40 / (40 + 1.959964**2), rel=1e-6)  # Wilson's at 1


def test_consistency_of_the_parity_of_a_position_is_one_half() -> None:
    """Shifts 0 and ±1 are odd with probability 2/3: two agree with probability 5/9."""
    found = shift_consistency(Position(), points(4000, 7, (3, 3)), max_shift=1, generator=generator())
    assert found.value == pytest.approx(5 / 9, abs=4 * (20 / 81 / 4000) ** 0.5)
    assert found.low < 5 / 9 < found.high
    assert found.standard_error == pytest.approx((20 / 81 / 4000) ** 0.5, rel=0.05)


def test_zero_shift_has_consistency_one() -> None:
    found = shift_consistency(Position(), points(3, 5, (2, 2)), max_shift=0, generator=generator())
    assert found.value == 1


def test_shifts_move_by_pixels_and_repeat_the_border() -> None:
    x = torch.arange(12.0).reshape(1, 1, 3, 4).repeat(2, 2, 1, 1)
    moved = shifted(x, torch.tensor([[1, 0], [0, -2]]))
    assert moved[0, 1].tolist() == [[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7]]
    assert moved[1, 0].tolist() == [[2, 3, 3, 3], [6, 7, 7, 7], [10, 11, 11, 11]]


def test_batches_see_the_same_shifts_and_the_net_is_left_as_found() -> None:
    x = torch.rand(50, 1, 6, 6, generator=generator(1))
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(36, 3)).train()
    values = {
        shift_consistency(net, x, max_shift=2, generator=generator(), batch_size=size).value
        for size in (1, 7, 500)
    }
    assert len(values) == 1
    assert net.training
    assert net[0].num_batches_tracked == 0


@pytest.mark.parametrize(
    ("images", "max_shift", "message"),
    [
        (points(2, 5, (0, 0)), 5, "expected 0 to 4 for images of 5 x 5 pixels, got 5"),
        (points(2, 5, (0, 0)), -1, "got -1"),
        (points(2, 5, (0, 0))[:, 0], 1, r"expected shape \(n, channels, rows, columns\)"),
        (points(0, 5, (0, 0)), 1, "expected at least one"),
        (points(2, 5, (0, 0)) / 0, 1, "NaN or infinity"),
    ],
)
def test_bad_input_is_refused(images: Tensor, max_shift: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shift_consistency(Position(), images, max_shift=max_shift, generator=generator())


def test_outputs_without_classes_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"expected outputs \(2, classes\), got \(2, 1, 5, 5\)"):
        shift_consistency(nn.Identity(), points(2, 5, (0, 0)), max_shift=1, generator=generator())


def test_nan_outputs_are_inconsistent() -> None:
    class Half(nn.Module):
        """NaN for every other image."""

        def forward(self, x: Tensor) -> Tensor:
            classes = torch.zeros(len(x), 2)
            classes[::2, 1] = torch.nan
            return classes

    found = shift_consistency(Half(), points(10, 5, (2, 2)), max_shift=1, generator=generator())
    assert found.value == 0.5


def test_integer_images_are_an_error() -> None:
    with pytest.raises(TypeError, match=r"torch\.uint8; divide by 255"):
        shift_consistency(Position(), points(2, 5, (0, 0)).byte(), max_shift=1, generator=generator())
