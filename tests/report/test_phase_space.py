"""Figure of the plane of temperature and cutoff."""

import numpy as np
import pytest
import torch

from symnets.diffeo import SineField
from symnets.report import phase_space, png


def image(channels: int = 1, n: int = 20) -> torch.Tensor:
    return torch.rand(channels, n, n, generator=torch.Generator().manual_seed(1))


def draw(**options):
    return phase_space(
        image(options.pop("channels", 1)), generator=torch.Generator().manual_seed(0), **options
    )


def test_lines_pass_through_both_ends_of_each_range():
    made = draw(cutoffs=(2, 4), n_temperatures=3)
    first, second = (line for line in made.axes[0].lines if str(line.get_label()).startswith("$T_"))
    for row, cutoff in enumerate((2, 4)):
        ends = np.log10(SineField((20, 20), cutoff=cutoff).temperature_range())
        for line, end in zip((first, second), ends, strict=True):
            # One point below the first row, one above the last.
            assert (line.get_xdata()[row + 1], line.get_ydata()[row + 1]) == pytest.approx((end, row))


def test_low_temperatures_change_nothing_and_high_ones_fold():
    """At a fourth of the smallest T1 nothing folds; at four times T2 everything does."""
    made = draw(cutoffs=(6,), n_temperatures=2)
    texts = [text.get_text() for text in made.axes[0].texts]
    assert texts == ["none fold", "100 % fold"]
    cold, hot = (np.asarray(picture.get_array()) for picture in made.axes[0].images)
    original = image()[0].numpy()
    scaled = (original - original.min()) / (original.max() - original.min())
    assert np.abs(cold - scaled).mean() < 0.5 * np.abs(hot - scaled).mean()


def test_color_images_and_other_numbers_of_channels():
    for channels, shape in ((3, (20, 20, 3)), (2, (20, 20))):
        made = draw(channels=channels, cutoffs=(2,), n_temperatures=2)
        assert np.asarray(made.axes[0].images[0].get_array()).shape == shape


def test_the_same_generator_gives_the_same_figure():
    assert png(draw(cutoffs=(2, 3), n_temperatures=2), dpi=40) == png(
        draw(cutoffs=(2, 3), n_temperatures=2), dpi=40
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cutoffs": (3, 2)}, "cutoffs: expected ascending numbers above 1"),
        ({"cutoffs": (1, 2)}, "cutoffs: expected ascending numbers above 1"),
        ({"cutoffs": ()}, "cutoffs: expected ascending"),
        ({"n_temperatures": 1}, "n_temperatures: expected at least 2, got 1"),
        ({"cutoffs": (2, 40)}, "cutoff: 40 has modes"),
    ],
)
def test_invalid_input_is_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        draw(**options)
