"""Compression on the stripe: exponents of made-up λ, and tiny nets in both regimes."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import stripe_compression
from symnets.experiments.stripe_compression import FEATURE, LAZY, Config

SIZES = (32, 128, 512)


def table(exponent: float, lazy: float = 1.0) -> tuple[pd.DataFrame, dict[str, Mapping[str, np.ndarray]]]:
    """λ = P^exponent times a factor of each seed."""
    lines, arrays = [], {}
    for loss, alpha in (("hinge", FEATURE), ("quadratic_hinge", FEATURE), ("hinge", LAZY)):
        for n in SIZES:
            for seed in range(4):
                value = lazy if alpha == LAZY else (0.5 + 0.2 * seed) * n**exponent
                name = f"run{len(lines)}"
                lines.append(
                    {
                        "name": name,
                        "n_train": n,
                        "seed": seed,
                        "loss": loss,
                        "alpha_tilde": alpha,
                        "dim": 5,
                        "compression": value,
                        "compression_end": value,
                        "rotation": 0.2 if alpha == LAZY else value**2 / (value**2 + 4),
                    }
                )
                if seed == 0:
                    arrays[name] = {"fraction": np.linspace(0, 0.5, 5), "path": np.geomspace(1, value, 5)}
    return pd.DataFrame(lines).set_index("name"), arrays


def test_compression_that_obeys_the_law_agrees() -> None:
    rows, arrays = table(0.5)
    results = stripe_compression.findings(rows, arrays.__getitem__)
    assert len(results) == 6
    assert all(finding.agrees for finding in results)
    assert results[0].measured.value == pytest.approx(0.5, abs=1e-9)
    assert results[0].measured.error == pytest.approx(0, abs=1e-9)  # seeds differ by a factor
    assert results[0].quantity.endswith("feature, hinge, d = 5, n = 4")


def test_nets_that_do_not_compress_do_not_agree() -> None:
    rows, arrays = table(0.0, lazy=3.0)
    results = stripe_compression.findings(rows, arrays.__getitem__)
    assert [finding.agrees for finding in results] == [False, False, False, False, False, True]


def test_a_seed_that_never_crossed_is_left_out() -> None:
    rows, arrays = table(0.5)
    rows.loc["run0", "compression"] = np.nan
    first, *_ = stripe_compression.findings(rows, arrays.__getitem__)
    assert first.quantity.endswith("n = 3")


def test_the_figure_shows_size_training_and_rotation() -> None:
    rows, arrays = table(0.5)
    made = stripe_compression.figure(rows, arrays.__getitem__)
    titles = [axes.get_title(loc="left") for axes in made.axes]
    assert titles == ["Compression at 10 % satisfied", "Training, hinge", "Rotation at the end"]
    assert len(made.axes[1].lines) == len(SIZES) + 1
    made.canvas.draw()


def test_weights_of_small_nets_turn_in_the_feature_regime_only() -> None:
    """At P = 32 λ exceeds 1.5 where 10 % is satisfied; in the lazy regime weights keep their λ of about 1."""
    tiny = Config(n_train=32, width=40, budget=100)
    feature, other = stripe_compression.run([tiny, replace(tiny, seed=1)])
    (lazy,) = stripe_compression.run([replace(tiny, alpha_tilde=LAZY)])
    assert feature.row["compression"] > 1.5
    assert feature.row["rotation"] > 0.3
    assert lazy.row["compression_end"] == pytest.approx(lazy.arrays["path"][0], rel=0.01)
    assert lazy.row["rotation"] < 0.3
    assert feature.arrays["fraction"].shape == feature.arrays["path"].shape
    assert not other.arrays


def test_a_task_without_a_relevant_subspace_is_refused() -> None:
    with pytest.raises(ValueError, match="relevant subspace, got 'random'"):
        stripe_compression.run([Config(n_train=8, data="random")])
