"""D, G and R against depth: findings on arrays of known trends, and tiny nets on digits."""

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import stability_by_layer
from symnets.experiments.stability_by_layer import Config, depths, filters
from symnets.setups import initial_classifier

TINY = Config(
    net="resnet",
    width=0.25,
    data="digits",
    n_train=60,
    n_test=50,
    min_steps=4,
    max_steps=4,
    cutoff=2.0,
    delta=0.5,
    n_images=20,
    n_draws=1,
)


def table_of(n_seeds: int = 3) -> pd.DataFrame:
    lines = [{"net": "vgg", "data": "mnist", "verdict": "FITTED", "seed": k} for k in range(n_seeds)]
    return pd.DataFrame(lines, index=[f"run{k}" for k in range(n_seeds)])


def arrays_of(fall: float, rise: float):
    """Four layers: D ~ fall^k and G ~ rise^k at the end, constant at the start; seeds differ by factors."""

    def arrays(name: str) -> dict[str, np.ndarray]:
        k, factor = np.arange(4), 1.1 ** int(name[-1])
        d, g = 0.1 * fall**k * factor, 0.2 * rise**k
        return {
            "layers": np.array(["features.relu1", "features.relu2", "features.relu3", "output"]),
            "start": np.stack([0.1 + 0 * k, 0.1 + 0 * k, 1.0 + 0 * k]),
            "end": np.stack([d, g, d / g]),
            "end_batch": np.stack([d, g, d / g]),
            "shuffled": np.stack([d, g, 2 * d / g]),
            "filters_start": np.full((3, 9), 1 / 9),
            "filters_end": np.tile(np.r_[0.2, np.full(8, 0.1)], (3, 1)),
        }

    return arrays


def test_published_trends_agree():
    results = stability_by_layer.findings(table_of(), arrays_of(0.5, 1.5))
    assert [f.measured.value for f in results] == pytest.approx([-1, 1, -1, 8, 1.1 / 54, 1.8, 2])
    assert all(f.agrees for f in results)
    assert results[3].measured.error == pytest.approx(0, abs=1e-12)  # a ratio: factors of seeds cancel


def test_opposite_trends_do_not_agree():
    results = stability_by_layer.findings(table_of(), arrays_of(1.5, 0.5))
    assert [f.agrees for f in results] == [False, False, False, False, False, True, True]


def test_the_figure_has_a_row_for_each_net():
    made = stability_by_layer.figure(table_of(), arrays_of(0.5, 1.5))
    assert [axes.get_ylabel() for axes in made.axes[:3]] == ["$D$", "$G$", "$R$"]
    made.canvas.draw()


@pytest.mark.parametrize(
    ("net", "names"),
    [
        ("vgg", [f"features.relu{k}" for k in range(1, 9)]),
        ("vgg_bn", [f"features.relu{k}" for k in range(1, 9)]),
        ("resnet", ["features.relu", *(f"features.block{k}" for k in range(1, 9))]),
    ],
)
def test_layers_are_activations_or_blocks(net, names):
    assert depths(initial_classifier(Config(net=net))) == names


def test_random_filters_have_equal_weight_at_all_frequencies():
    """Shares of 9 independent normal components, over 1,152 filters or more a layer: 1/9 within 0.02."""
    shares = filters(initial_classifier(Config(net="vgg")))
    assert shares.shape == (8, 9)
    np.testing.assert_allclose(shares.sum(1), 1)
    np.testing.assert_allclose(shares[2:, 0], 1 / 9, atol=0.02)


def test_a_net_without_convolutions_is_refused():
    with pytest.raises(ValueError, match="net: expected one with convolutions, got 'fc4'"):
        Config(net="fc4")


def test_a_run_measures_all_layers_before_and_after_training():
    (result,) = stability_by_layer.run([TINY])
    layers = result.arrays["layers"]
    assert layers[-1] == "output"
    assert len(layers) == 10
    for part in ("start", "end", "end_batch", "shuffled"):
        d, g, r = result.arrays[part]
        np.testing.assert_allclose(r, d / g)
    assert result.row["R"] == result.arrays["end"][2, -1]
    assert result.row["R_init"] == result.arrays["start"][2, -1]
    assert result.arrays["layers"].dtype.kind == "U"  # readable without pickle
