"""Compressed kernel: exponents of made-up errors that obey the law or not, and tiny machines."""

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import compressed_kernel
from symnets.experiments.compressed_kernel import Config

SIZES = (256, 512, 1024, 2048, 4096)


def table(plain: float, root: float, in_factor: float) -> pd.DataFrame:
    """Errors with given exponents, 2 % noise, five seeds."""
    rng, lines = np.random.default_rng(0), []
    curves = [(n, 1.0, 2 * n**-plain) for n in SIZES] + [(n, n**0.5, 2 * n**-root) for n in SIZES]
    scan = [(1024, f, 2 * 1024**-plain * f**-in_factor) for f in (2.0, 4.0, 8.0, 16.0)]
    for n, factor, error in curves + scan:
        for seed in range(5):
            noisy = error * (1 + 0.02 * rng.standard_normal())
            lines.append({"n_train": n, "factor": factor, "seed": seed, "dim": 5, "test_error": noisy})
    return pd.DataFrame(lines)


def no_arrays(name: str) -> dict:
    raise AssertionError(name)


def test_errors_that_obey_the_law_agree() -> None:
    results = compressed_kernel.findings(table(5 / 13, 9 / 13, 8 / 13), no_arrays)
    assert len(results) == 6
    assert all(finding.agrees for finding in results)
    assert results[0].measured.value == pytest.approx(5 / 13, abs=0.02)
    assert results[0].measured.error is not None
    assert results[0].quantity == "exponent on inputs as they are, 512 <= P <= 4096, d = 5"
    assert results[1].quantity.endswith("1024 <= P <= 4096, d = 5")


def test_a_kernel_that_gains_nothing_does_not_agree() -> None:
    results = compressed_kernel.findings(table(0.2, 0.2, 0.1), no_arrays)
    assert not any(finding.agrees for finding in results[:5])


def test_the_figure_has_both_panels() -> None:
    made = compressed_kernel.figure(table(5 / 13, 9 / 13, 8 / 13), no_arrays)
    assert [axes.get_title(loc="left") for axes in made.axes] == [
        "Compressed and not",
        "Compression at one P",
    ]
    made.canvas.draw()


def test_compression_lowers_the_error_of_small_machines() -> None:
    """64 points: the error falls from some 0.2 to some 0.05 when irrelevant directions are divided by 8."""
    plain, root = compressed_kernel.run([Config(64, 1000), Config(64, 1000, compression=None)])
    assert plain.row["factor"] == 1
    assert root.row["factor"] == 8
    assert root.row["test_error"] < 0.6 * plain.row["test_error"]
    assert root.row["n_support"] < plain.row["n_support"] <= 64
    for result in (plain, root):
        assert result.row["smallest_margin"] == pytest.approx(1, abs=0.01)


def test_configurations_are_checked() -> None:
    with pytest.raises(ValueError, match="compression"):
        Config(compression=0.5)
    with pytest.raises(ValueError, match="relevant subspace"):
        compressed_kernel.run([Config(8, 8, data="random", compression=2.0)])
    factors = {c.factor for c in compressed_kernel.PRESETS["quick"] if c.n_train == 1024}
    assert factors == {1, 2, 4, 8, 16, 32}
