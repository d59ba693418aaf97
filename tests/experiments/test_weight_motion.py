"""Motion of weights: exponents of known motions, and the squares of a tiny net."""

import numpy as np
import pandas as pd
import pytest
import torch

from symnets.experiments import weight_motion
from symnets.experiments.weight_motion import Config
from symnets.setups import regime_net


def moved(later: float, first: float) -> pd.DataFrame:
    """Squares that are powers of the width, and scatter by 10 %."""
    rng = np.random.default_rng(0)

    def power(h: int, exponent: float) -> float:
        return h**exponent * np.exp(0.1 * rng.standard_normal())

    lines = [
        {
            "width": h,
            "activation": activation,
            "seed": seed,
            "moved_first": power(h, first),
            "moved_hidden": power(h, later),
            "moved_output": power(h, later),
        }
        for h in (32, 128, 512)
        for activation in ("relu", "tanh")
        for seed in range(5)
    ]
    return pd.DataFrame(lines)


def test_motions_of_known_size_have_the_published_exponents() -> None:
    found = weight_motion.findings(moved(-1.0, 0.0), {}.__getitem__)
    assert [f.measured.value for f in found] == pytest.approx([-1, 0, -1, 0], abs=0.06)
    assert all(f.agrees for f in found)


def test_weights_that_move_alike_at_all_widths_do_not_agree() -> None:
    found = weight_motion.findings(moved(-0.5, -0.5), {}.__getitem__)
    assert not any(f.agrees for f in found)


def test_the_figure_has_both_kinds_of_layers() -> None:
    made = weight_motion.figure(moved(-1.0, 0.0), {}.__getitem__)
    assert [axes.get_title(loc="left") for axes in made.axes] == [
        "Layers of fan-in h",
        "First layer, of fan-in d",
    ]
    made.canvas.draw()


def test_squares_are_those_of_standard_weights() -> None:
    """One step of the flow moves the weights along the gradient; the factor of a layer is 1/fan-in."""
    config = Config(n_train=6, width=8, dim=4, alpha_tilde=8**0.5, budget=100)
    (row,) = [result.row for result in weight_motion.run([config])]
    net = regime_net(config, (4,))
    norms = [float(w.detach().square().sum()) / w.shape[1] for w in net.weights]
    total = sum(n * f for n, f in zip(norms, (4, 8, 8), strict=True))
    change = row["moved_first"] * 4 + (row["moved_hidden"] + row["moved_output"]) * 8
    assert row["weight_change"] == pytest.approx((change / total) ** 0.5, rel=1e-10)
    assert torch.finfo(torch.float64).eps < row["moved_first"]
