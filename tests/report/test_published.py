"""Published values in figures; figures as PNG and SVG."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from symnets.report import draw_published, draw_published_exponent, save_figure


def test_a_value_and_its_band_share_one_entry() -> None:
    axes = Figure().subplots()
    draw_published(axes, 0.84, (0.83, 0.85), "O'Hern et al. 2003", along="x")
    assert axes.get_legend_handles_labels()[1] == ["O'Hern et al. 2003"]
    assert np.unique(np.asarray(axes.lines[0].get_xdata())).tolist() == [0.84]
    left, right = axes.patches[0].get_extents().transformed(axes.transData.inverted()).intervalx
    assert (left, right) == pytest.approx((0.83, 0.85))


def test_a_band_alone_is_named() -> None:
    axes = Figure().subplots()
    draw_published(axes, band=(0.6, 0.9), label="published")
    assert axes.get_legend_handles_labels()[1] == ["published"]
    with pytest.raises(ValueError, match="a value, a band"):
        draw_published(axes)


def test_an_exponent_passes_the_given_point() -> None:
    axes = Figure().subplots()
    draw_published_exponent(axes, 0.5, through=(4.0, 6.0), between=(1.0, 16.0), band=(0.4, 0.6))
    x, y = np.asarray(axes.lines[0].get_xydata()).T
    assert y == pytest.approx(6 * np.sqrt(x / 4))
    assert (x[0], x[-1]) == pytest.approx((1, 16))


def test_figures_are_kept_as_png_and_svg(tmp_path) -> None:
    figure = Figure()
    figure.subplots().plot([1, 2])
    png, svg = save_figure(figure, tmp_path / "deep" / "plane-0.5")
    assert sorted(path.name for path in png.parent.iterdir()) == ["plane-0.5.png", "plane-0.5.svg"]
    assert png.read_bytes().startswith(b"\x89PNG")
    first = svg.read_bytes()
    assert b"<svg" in first
    save_figure(figure, tmp_path / "deep" / "plane-0.5")
    assert svg.read_bytes() == first
