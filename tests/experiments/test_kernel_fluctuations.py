"""Fluctuations of kernels: exponents of known fluctuations, and pairs of tiny nets."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import kernel_fluctuations
from symnets.experiments.kernel_fluctuations import Config

COLUMNS = "initial_fluctuation", "final_fluctuation", "output_fluctuation"


def fluctuating(exponent: float) -> pd.DataFrame:
    """Fluctuations h^exponent, which scatter by 10 %."""
    rng = np.random.default_rng(0)
    lines = [
        {"width": h, "alpha_tilde": scale, "seed": seed}
        | {name: h**exponent * np.exp(0.1 * rng.standard_normal()) for name in COLUMNS}
        for h in (16, 64, 256)
        for scale in (0.1, 100.0)
        for seed in range(8)
    ]
    return pd.DataFrame(lines)


def test_fluctuations_of_known_size_have_the_published_exponent() -> None:
    found = kernel_fluctuations.findings(fluctuating(-0.5), {}.__getitem__)
    assert len(found) == 5
    assert all(finding.agrees for finding in found)
    # 10 % over √8 seeds, over a range of ln 16.
    assert [f.measured.value for f in found] == pytest.approx([-0.5] * 5, abs=0.05)
    assert all(f.measured.error is not None and f.measured.error < 0.05 for f in found)


def test_fluctuations_that_decay_as_the_inverse_width_do_not_agree() -> None:
    assert not any(f.agrees for f in kernel_fluctuations.findings(fluctuating(-1.0), {}.__getitem__))


def test_the_figure_has_kernel_and_output() -> None:
    made = kernel_fluctuations.figure(fluctuating(-0.5), {}.__getitem__)
    assert [axes.get_title(loc="left") for axes in made.axes] == ["Tangent kernel", "Output"]
    assert len(made.axes[0].containers) == 3
    made.canvas.draw()


def test_pairs_share_patterns_and_differ_in_weights() -> None:
    config = Config(n_train=6, n_test=10, width=8, dim=4, alpha_tilde=10.0, budget=300)
    one, other, again = (
        result.row for result in kernel_fluctuations.run([config, replace(config, seed=1), config])
    )
    assert one == again
    assert one["verdict"] in ("SAT", "UNCONVERGED", "MIXED")
    assert 0 < one["initial_fluctuation"] < 2
    assert one["initial_fluctuation"] != other["initial_fluctuation"]
    with pytest.raises(ValueError, match="share patterns"):
        Config(data_seed=None)
