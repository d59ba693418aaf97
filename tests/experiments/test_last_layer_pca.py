"""Principal components of hidden layers: findings on made-up shares, known points, and a tiny run."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from symnets.experiments import last_layer_pca as experiment
from symnets.experiments.last_layer_pca import Components, Config

Arrays = Callable[[Any], Mapping[str, np.ndarray]]


def made_up(feature: float, lazy: float) -> tuple[pd.DataFrame, Arrays]:
    """Shares of the first component of the last layer at the end, in both regimes; 0.2 elsewhere."""
    lines: list[dict[str, Any]] = []
    for alpha, end in ((experiment.FEATURE, feature), (experiment.LAZY, lazy)):
        for seed in range(3):
            numbers = {}
            for layer in (1, 2, 3):
                for moment in ("initial", "final"):
                    share = end if (layer, moment) == (3, "final") else 0.2
                    numbers |= {
                        f"share_{layer}_{moment}": share,
                        f"participation_{layer}_{moment}": share**-2,
                        f"dimension_{layer}_{moment}": 6.0,
                        f"label_{layer}_{moment}": share**2,
                    }
            lines.append(asdict(Config(alpha_tilde=alpha, seed=seed)) | numbers)
    plane, labels = np.zeros((4, 2)), np.array([1, -1, 1, -1])
    shares = np.full((3, 3), 0.2)
    arrays = {"steps": np.arange(3), "shares": shares, "plane_initial": plane, "plane_final": plane}
    return pd.DataFrame(lines), lambda index: arrays | {"labels": labels}


def test_a_line_of_classes_agrees() -> None:
    found = experiment.findings(*made_up(0.9, 0.2))
    assert len(found) == 6
    assert all(finding.agrees for finding in found)
    assert found[1].measured.value == pytest.approx(0.7)


def test_no_change_disagrees() -> None:
    found = experiment.findings(*made_up(0.2, 0.9))
    assert [finding.agrees for finding in found] == [False, False, True, False, False, False]


def test_the_figure_has_four_panels() -> None:
    assert len(experiment.figure(*made_up(0.9, 0.2)).axes) == 4


def test_components_of_an_ellipse() -> None:
    """Points on the axes of an ellipse: variances in the ratio of the squared axes, 9 : 1."""
    points = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=torch.float64) + 5
    found = Components.of(points)
    torch.testing.assert_close(found.shares, torch.tensor([0.9, 0.1], dtype=torch.float64))
    assert found.participation == pytest.approx(1 / 0.82)
    torch.testing.assert_close(found.scores[:, 0].abs()[2:], torch.zeros(2, dtype=torch.float64))


def test_a_tiny_run() -> None:
    config = Config(n_train=12, n_test=30, data="random", dim=4, width=8, depth=2, budget=20)
    (result,) = experiment.run([config])
    assert result.arrays["shares"].shape == (len(result.arrays["steps"]), 2)
    assert result.arrays["steps"][0] == 0
    assert result.row["share_2_initial"] == pytest.approx(result.arrays["shares"][0, 1])
