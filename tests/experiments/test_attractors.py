"""Attractors: findings and figure of nets whose neurons collapse or not, and small nets in both regimes."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from symnets.experiments import attractors
from symnets.experiments.attractors import FEATURE, LAZY, Config
from symnets.setups import RegimeConfig
from tests import scripts


def made_up(groups: int = 12, motion: float = 1.0) -> tuple[pd.DataFrame, dict[str, dict[str, np.ndarray]]]:
    """Nets whose neurons end in a given number of groups after feature training."""
    rng = np.random.default_rng(0)
    lines, arrays = [], {}
    for data, dim, sizes in (("stripe", 2, (20, 100)), ("mnist", 10, (100,))):
        for n_train in sizes:
            for alpha in (LAZY, FEATURE):
                for seed in range(2):
                    lazy, name = alpha > 1, f"run{len(lines)}"
                    row: dict[str, Any] = {"data": data, "dim": dim, "n_train": n_train, "width": 100}
                    row |= {"alpha_tilde": alpha, "seed": seed, "name": name, "groups_start": 90}
                    row |= {"groups": 90 if lazy else groups, "patterns": 88 if lazy else groups}
                    row |= {"motion": 0.01 if lazy else motion, "neighbours_start": 0.1}
                    row |= {"neighbours": 0.1 if lazy else 1e-3 / motion, "test_error": 0.03}
                    lines.append(row | {"merged_error": 0.031, "merged_change": 1e-14})
                    arrays[name] = {"x": rng.normal(size=(20, 2)), "y": np.tile([1.0, -1.0], 10)}
                    for when in ("start", "during", "end"):
                        arrays[name] |= {
                            f"z_{when}": rng.normal(size=(100, 2)),
                            f"group_{when}": rng.integers(-1, groups, 100),
                            f"share_{when}": np.full(100, 0.01),
                        }
    return pd.DataFrame(lines).set_index("name"), arrays


def test_neurons_that_collapse_agree() -> None:
    table, arrays = made_up()
    results = attractors.findings(table, arrays.__getitem__)
    assert len(results) == 2 * 7 + 1
    assert all(finding.agrees for finding in results)
    assert results[3].quantity.endswith("feature, stripe, d = 2, P = 100, h = 100")
    assert results[3].measured.value == pytest.approx(12 / 90)


def test_neurons_that_stay_apart_disagree() -> None:
    table, arrays = made_up(groups=80, motion=0.02)
    results = attractors.findings(table, arrays.__getitem__)
    assert [finding.agrees for finding in results[:7]] == [True, False, True, False, False, True, True]


def test_a_change_of_outputs_disagrees() -> None:
    table, arrays = made_up()
    table.loc["run3", "merged_change"] = 1e-9
    assert not attractors.findings(table, arrays.__getitem__)[-1].agrees


def test_the_figure_has_positions_and_numbers_of_groups() -> None:
    table, arrays = made_up()
    made = attractors.figure(table, arrays.__getitem__)
    titles = [axes.get_title(loc="left") for axes in made.axes]
    assert titles[4:] == ["E  mnist, feature, end", "F  groups"]
    assert len(titles) == 6
    made.canvas.draw()


@pytest.mark.parametrize("alpha_tilde", [LAZY, 1e-2])
def test_neurons_of_small_nets(alpha_tilde: float) -> None:
    (result,) = attractors.run([Config(n_train=4, width=8, n_test=20, alpha_tilde=alpha_tilde)])
    row: dict[str, Any] = result.row
    assert row["verdict"] == "SAT"
    assert row["merged_change"] < 1e-12
    assert row["groups"] <= 2 * row["patterns"]
    assert (row["motion"] < 0.05) == (alpha_tilde == LAZY)
    assert (row["amplification"] > 3) == (alpha_tilde != LAZY)
    for when in ("start", "during", "end"):
        assert result.arrays[f"z_{when}"].shape == (8, 2)
        assert result.arrays[f"share_{when}"].sum() == pytest.approx(1)
    moved = np.abs(result.arrays["z_end"] - result.arrays["z_during"]).max()
    assert moved > 0


@pytest.mark.slow
def test_the_animation_is_a_gif(tmp_path: Path) -> None:
    module = scripts.example("attractors_animation")
    config = RegimeConfig(data="stripe", dim=2, n_train=4, n_test=0, width=8, alpha_tilde=1e-2, stride=2)
    assert module.film(config, tmp_path / "neurons.gif", n_frames=2, fps=2) == 3  # the last is held
    with Image.open(tmp_path / "neurons.gif") as image:
        assert image.format == "GIF"
        assert 2 <= getattr(image, "n_frames", 1) <= 3  # equal frames may be one
