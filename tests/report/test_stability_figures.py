"""Figures of stability: every layer with its interval, and deformations of increasing strength."""

import numpy as np
import pytest
import torch

from symnets.diffeo import SineField
from symnets.models import image_net
from symnets.observables import LayerEstimates, Stability, stability
from symnets.report import deformed_samples, png, stability_figure


def measured(values: dict[str, list[float]], layers: tuple[str, ...]) -> Stability:
    def estimate(value: list[float]) -> LayerEstimates:
        return LayerEstimates(np.array(value), 0.9 * np.array(value), 1.2 * np.array(value))

    return Stability(
        layers=layers,
        **{name: estimate(values[name]) for name in "DGR"},
        n_images=10,
        n_draws=2,
        temperature=1e-3,
        delta=1.0,
        noise_norm=1.0,
        noise="per_image",
        average="mean",
        batch_norm="running",
        confidence=0.95,
    )


THREE = measured(
    {"D": [0.1, 0.2, 0.3], "G": [0.2, 0.2, np.nan], "R": [0.5, 1.0, np.nan]}, ("a", "b", "output")
)


def test_panels_are_d_g_and_r_over_the_layers() -> None:
    figure = stability_figure(THREE)
    assert len(figure.axes) == 3
    for axes, estimate in zip(figure.axes, (THREE.D, THREE.G, THREE.R), strict=True):
        np.testing.assert_array_equal(np.asarray(axes.lines[0].get_ydata()), estimate.value)
        assert axes.get_yscale() == "log"
        assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "output"]
    assert figure.axes[0].get_legend() is None


def test_baseline_is_in_the_legend() -> None:
    legend = stability_figure(THREE, THREE, label="trained").axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["initial weights", "trained"]


def test_baseline_of_another_net_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the 3 layers of the network, got 1"):
        stability_figure(THREE, measured({name: [1.0] for name in "DGR"}, ("output",)))


def test_one_layer_has_an_error_bar_and_undefined_panels_say_so() -> None:
    figure = stability_figure(measured({"D": [0.5], "G": [0.0], "R": [np.nan]}, ("output",)))
    assert len(figure.axes[0].containers) == 1
    for axes in figure.axes[1:]:
        assert [text.get_text() for text in axes.texts] == ["undefined"]
    assert png(figure).startswith(b"\x89PNG")


def test_of_many_layers_some_and_the_output_are_named() -> None:
    layers = (*(f"layer{k}" for k in range(140)), "output")
    figure = stability_figure(measured({name: [0.5] * 141 for name in "DGR"}, layers))
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert len(names) <= 25
    assert names[-1] == "output"


def test_figure_of_a_measurement() -> None:
    torch.manual_seed(0)
    field = SineField((8, 8), cutoff=3)
    found = stability(
        image_net("lenet", (1, 8, 8), width=0.25),
        torch.rand(6, 1, 8, 8),
        field,
        delta=0.5,
        layers="all",
        generator=torch.Generator().manual_seed(0),
    )
    assert png(stability_figure(found, found)).startswith(b"\x89PNG")


def drawn_pixels(figure: object) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes]  # type: ignore[attr-defined]


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_rows_are_images_and_columns_are_temperatures(channels: int) -> None:
    images = torch.rand(2, channels, 12, 16, generator=torch.Generator().manual_seed(0))
    field = SineField((12, 16), cutoff=2)
    figure = deformed_samples(
        images, field, deltas=[0.0, 0.3, 0.6, 3.0], generator=torch.Generator().manual_seed(1)
    )
    grid = np.array(drawn_pixels(figure), dtype=object)
    assert len(grid) == 2 * 5
    titles = [axes.get_title() for axes in figure.axes[:5]]
    assert titles[:4] == ["original", "δ = 0 px", "δ = 0.3 px", "δ = 0.6 px"]
    assert titles[4].endswith("% fold")
    original, *moved = (np.stack((grid[k], grid[5 + k])).astype(float) for k in range(5))
    np.testing.assert_array_equal(original, moved[0])
    distance = [np.linalg.norm(image - original) for image in moved]
    assert distance == sorted(distance)
    assert original.shape == ((2, 12, 16, 3) if channels == 3 else (2, 12, 16))


def test_normalisation_does_not_change_the_figure() -> None:
    images = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    field = SineField((8, 8), cutoff=2)
    one, other = (
        drawn_pixels(deformed_samples(x, field, deltas=[0.3], generator=torch.Generator().manual_seed(1)))
        for x in (images, 5 * images - 2)
    )
    np.testing.assert_allclose(one, other, atol=1e-5)  # float32, times 5


def test_temperatures_or_deltas_are_required() -> None:
    images, field, generator = torch.rand(1, 1, 8, 8), SineField((8, 8), cutoff=2), torch.Generator()
    with pytest.raises(ValueError, match="one of temperatures and deltas"):
        deformed_samples(images, field, generator=generator)
    with pytest.raises(ValueError, match="at least one image"):
        deformed_samples(images[:0], field, deltas=[1.0], generator=generator)
