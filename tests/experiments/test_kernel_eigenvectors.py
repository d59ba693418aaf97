"""Eigenvectors of the kernel: findings on made-up kernels, and a tiny run."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import kernel_eigenvectors as experiment
from symnets.experiments.kernel_eigenvectors import Config

Arrays = Callable[[Any], Mapping[str, np.ndarray]]


def made_up(rise: float, ratio: float) -> tuple[pd.DataFrame, Arrays]:
    """Kernels of which the first eigenvectors gain a fraction of the labels, and information by a factor."""
    lines: list[dict[str, Any]] = []
    for config in (Config(), Config(data="mnist", net="convolutional", pixels=14)):
        for seed in range(3):
            numbers = {"fraction_initial": 0.3, "fraction_final": 0.3 + rise + 0.01 * seed}
            numbers |= {"information_initial": 0.2, "information_final": 0.2 * ratio}
            lines.append(asdict(config) | {"seed": seed} | numbers)
    curve, information = np.linspace(0, 1, 100), np.full(10, 0.2)
    arrays = {
        "cumulative_initial": curve,
        "cumulative_final": curve**0.5,
        "information_initial": information,
        "information_final": ratio * information,
    }
    return pd.DataFrame(lines), lambda index: arrays


def test_kernels_that_learned_the_labels_agree() -> None:
    found = experiment.findings(*made_up(0.4, 3.0))
    assert len(found) == 4
    assert all(finding.agrees for finding in found)
    assert found[0].measured.value == pytest.approx(0.41)
    assert found[1].measured.value == pytest.approx(3.0)


def test_kernels_that_did_not_move_disagree() -> None:
    assert not any(finding.agrees for finding in experiment.findings(*made_up(0.0, 1.0)))


def test_the_figure_has_two_panels_for_each_task() -> None:
    assert len(experiment.figure(*made_up(0.4, 3.0)).axes) == 4


def test_a_tiny_run() -> None:
    config = Config(n_train=40, n_test=50, dim=2, width=20, alpha_tilde=1e4, budget=5)
    (result,) = experiment.run([config])
    row, cumulative = result.row, result.arrays["cumulative_final"]
    assert len(cumulative) == 40
    assert cumulative[-1] == pytest.approx(1)
    assert np.all(np.diff(cumulative) >= 0)
    # A lazy net: the kernel does not change.
    assert row["fraction_final"] == pytest.approx(row["fraction_initial"], abs=1e-3)
    assert row["rank_final"] == pytest.approx(row["rank_initial"], rel=1e-3)
