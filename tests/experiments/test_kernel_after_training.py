"""Kernel after training: findings on made-up errors, and a tiny run."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import kernel_after_training as experiment
from symnets.experiments.kernel_after_training import Config


def table(final: float, initial: float) -> pd.DataFrame:
    """Errors of three nets on each task; kernels are worse than the net by given amounts."""
    lines: list[dict[str, Any]] = []
    for config in (Config(n_train=256), Config(data="mnist", net="convolutional", pixels=14, n_train=500)):
        for seed in range(3):
            error = 0.05 + 0.01 * seed
            kernels = {
                "svm_final": error + final,
                "flow_final": error + final + 0.001,
                "svm_initial": error + initial,
                "flow_initial": error + initial + 0.001,
            }
            lines.append(asdict(config) | {"seed": seed, "test_error": error} | kernels)
    return pd.DataFrame(lines)


def no_arrays(index: Any) -> dict[str, np.ndarray]:
    return {}


def test_kernels_that_obey_the_law_agree() -> None:
    found = experiment.findings(table(0.004, 0.03), no_arrays)
    assert len(found) == 10
    assert all(finding.agrees for finding in found)
    assert found[0].measured.value == pytest.approx(0.004)
    assert found[1].measured.value == pytest.approx(0.026)


def test_kernels_that_do_not_obey_the_law_disagree() -> None:
    found = experiment.findings(table(0.03, 0.02), no_arrays)
    assert [finding.agrees for finding in found] == 2 * [False, False, False, False, True]


def test_the_figure_has_a_panel_for_each_task() -> None:
    titles = [axes.get_title("left") for axes in experiment.figure(table(0.004, 0.03), no_arrays).axes]
    assert titles == ["stripe, P = 256", "MNIST, convolutional, P = 500"]


def test_a_lazy_net_has_the_errors_of_its_kernels() -> None:
    """With large α̃ the weights hardly move: both kernels are the same, and so are flow and net."""
    config = Config(n_train=6, n_test=400, dim=2, width=20, alpha_tilde=1e4, budget=200)
    (result,) = experiment.run([config])
    row = result.row
    assert row["verdict"] == "SAT"
    assert row["svm_initial"] == row["svm_final"]
    assert row["flow_initial"] == pytest.approx(row["test_error"], abs=0.02)  # eight of 400 patterns
