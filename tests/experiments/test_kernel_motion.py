"""Motion of kernels: exponents of a kernel that moves as the law says, and tiny nets."""

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import kernel_motion
from symnets.experiments.kernel_motion import SCALES, Config

WIDE = 8192


def moving(*, smooth: bool) -> pd.DataFrame:
    """Changes by the law of smooth activations, or with the term of ReLU, which scatter by 2 %."""
    rng = np.random.default_rng(0)

    def line(activation: str, depth: int, h: int, scale: float, seed: int) -> dict:
        lazy = 1 / (h**0.5 * scale) if smooth or activation == "tanh" else 1 / (h * scale) ** 0.5
        change = lazy + 1 / scale**2 if scale > 0.5 else 2 / scale
        change *= np.exp(0.02 * rng.standard_normal())
        return {
            "activation": activation,
            "depth": depth,
            "width": h,
            "alpha_tilde": scale,
            "seed": seed,
            "change": change,
            "norm_change": change / 2,
            "direction_change": change**2 / 4,
        }

    lines = []
    for activation in ("relu", "tanh"):
        for seed in range(4):
            lines += [line(activation, 2, h, h**0.5, seed) for h in (32, 64, 128, 256, 512)]
            lines += [line(activation, 1, WIDE, scale, seed) for scale in SCALES]
    return pd.DataFrame(lines)


def test_kernels_that_move_by_the_law_agree() -> None:
    found = kernel_motion.findings(moving(smooth=False), {}.__getitem__)
    by_name = {f.quantity.split(",")[0] + f.quantity.split(",")[1]: f for f in found}
    width = by_name["exponent in h of the change of the kernel tanh"]
    assert width.measured.value == pytest.approx(-1, abs=0.02)
    tanh = [f for f in found if "tanh" in f.quantity]
    assert [f.agrees for f in tanh] == [True] * 4
    feature = next(f for f in found if "<= 0.1" in f.quantity)
    assert feature.agrees
    # The term of ReLU takes over within the range of the first slope.
    lazy = next(f for f in found if "ReLU" in f.quantity and ">= 5√h" in f.quantity)
    assert lazy.measured.value == pytest.approx(-0.5, abs=0.02)
    assert lazy.agrees


def test_a_kernel_of_relu_without_the_term_of_its_kinks_does_not_agree() -> None:
    found = kernel_motion.findings(moving(smooth=True), {}.__getitem__)
    lazy = next(f for f in found if "ReLU" in f.quantity and ">= 5√h" in f.quantity)
    assert lazy.measured.value == pytest.approx(-1, abs=0.05)
    assert not lazy.agrees


def test_the_figure_has_width_scale_and_split() -> None:
    made = kernel_motion.figure(moving(smooth=False), {}.__getitem__)
    titles = [axes.get_title(loc="left") for axes in made.axes]
    assert titles == [
        "Two hidden layers, α̃ = √h",
        f"One hidden layer, h = {WIDE}",
        "Norm and direction apart",
    ]
    made.canvas.draw()


def test_kernels_of_lazy_nets_move_less() -> None:
    rows = [
        kernel_motion.run([Config(n_train=6, width=16, dim=4, depth=1, alpha_tilde=scale, budget=300)])[0].row
        for scale in (1.0, 100.0)
    ]
    assert rows[1]["change"] < 0.1 * rows[0]["change"]
    for row in rows:  # distance² = norm² + 2 (1 ± norm) direction, whether the norm grew or shrank
        grew, shrank = (
            row["norm_change"] ** 2 + 2 * (1 + sign * row["norm_change"]) * row["direction_change"]
            for sign in (1, -1)
        )
        assert row["change"] ** 2 in (pytest.approx(grew, rel=1e-9), pytest.approx(shrank, rel=1e-9))
