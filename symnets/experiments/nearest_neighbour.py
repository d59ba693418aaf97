r"""Nearest neighbour: the distance to the nearest of P points falls as P^(-1/d).

**Question.** How many points does it take to have one near every place, in $d$ dimensions?

**Law.** $P$ points in a volume fill it with balls of radius $\delta$ when $P \delta^d$ is constant,

$$\delta \sim P^{-1/d}.$$

A method that only uses the continuity of the target predicts from the nearest points, so its error falls with
the same exponent: the curse of dimensionality (von Luxburg and Bousquet 2004). On a torus of volume 1, which
has no boundary, $\langle \delta \rangle = \Gamma(1 + 1/d) (P V_d)^{-1/d}$ for large $P$, with $V_d$ the
volume of the unit ball.

**How.** Uniform points in the unit cube and on the torus, in $d = 2$, 5 and 10; mean distance of 1,000 test
points to the nearest of $P$ points. In ten dimensions most of the cube is near its boundary. The bands are
ours: 5 % of the exponent on the torus, 20 % in the cube.

**Figure.** Distance against $P$ on the torus and in the cube, with the law; exponents against $1/d$.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from symnets.config import SEED, at_least, check_ranges
from symnets.data import uniform_cloud
from symnets.estimates import SeedCurve
from symnets.report import COLORS, FAINT, draw_seed_curve, row_of_panels, style
from symnets.setups import seeded_generator
from symnets.sweeps import Arrays, Finding, Result, grid

__all__ = ["CLAIMS", "PRESETS", "Config", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ("C14",)
_LUXBURG = "von Luxburg and Bousquet 2004"
_BANDS = {"torus": 0.05, "cube": 0.2}


@dataclass(frozen=True)
class Config:
    """Configuration of uniformly distributed points: their number, dimension and space."""

    n_points: int = 1000
    """P, number of points."""
    dim: int = 2
    """d, dimension."""
    space: Literal["torus", "cube"] = "torus"
    """Whether opposite faces of the unit cube are joined."""
    n_test: int = 1000
    """Number of points from which distances are measured."""
    seed: int = 0
    """Seed of all points."""

    def __post_init__(self) -> None:
        check_ranges("", self, n_points=at_least(1), dim=at_least(1), n_test=at_least(1), seed=SEED)


PRESETS = {
    "quick": grid(
        Config,
        dim=(2, 5, 10),
        space=("torus", "cube"),
        n_points=(100, 300, 1000, 3000, 10_000),
        seed=range(5),
    ),
    "paper": grid(
        Config,
        dim=(2, 5, 10, 20),
        space=("torus", "cube"),
        n_points=(100, 300, 1000, 3000, 10_000, 30_000, 100_000),
        seed=range(10),
    ),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Measure distances to the nearest point; rows have `distance`, the mean over test points."""
    return [Result({"verdict": "DONE", "distance": _distance(config)}) for config in configs]


def _distance(config: Config) -> float:
    generator = seeded_generator(config.seed, 0)
    test, points = (
        uniform_cloud(n, config.dim, generator=generator) for n in (config.n_test, config.n_points)
    )
    size = max(1, 2**21 // config.n_test)
    nearest = torch.stack([_squares(test, part, config.space).amin(1) for part in points.split(size)])
    return float(nearest.amin(0).sqrt().mean())


def _squares(test: Float[Tensor, "m d"], points: Float[Tensor, "n d"], space: str) -> Float[Tensor, "m n"]:
    """Squared distances, summed one coordinate after the other to save memory."""
    total = test.new_zeros(len(test), len(points))
    for a, b in zip(test.T, points.T, strict=True):
        difference = (a[:, None] - b).abs_()
        if space == "torus":
            difference = torch.minimum(difference, 1 - difference)
        total.addcmul_(difference, difference)
    return total


def law(n_points: float, dim: int) -> float:
    """Mean distance on the torus for large P, Γ(1 + 1/d) (P V_d)^(-1/d), V_d = π^(d/2) / Γ(1 + d/2)."""
    volume = math.pi ** (dim / 2) / math.gamma(1 + dim / 2)
    return math.gamma(1 + 1 / dim) * (n_points * volume) ** (-1 / dim)


def curve(table: pd.DataFrame, space: str, dim: int) -> SeedCurve:
    """Curve of the distance to the nearest point against P, in one space and dimension."""
    rows: Any = table[(table["space"] == space) & (table["dim"] == dim)]
    return SeedCurve.from_table(rows, "n_points", "distance")


def _cases(table: pd.DataFrame) -> list[tuple[str, int]]:
    present = set(zip(table["space"], table["dim"], strict=True))
    return [
        (space, int(dim)) for space in _BANDS for dim in sorted(set(table["dim"])) if (space, dim) in present
    ]


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """The exponent of each space and dimension."""
    return [
        Finding(
            f"exponent of the distance to the nearest point, {space}, d = {dim}",
            curve(table, space, dim).exponent,
            f"-1/d = {-1 / dim:.3g} ({_LUXBURG})",
            -(1 + _BANDS[space]) / dim,
            -(1 - _BANDS[space]) / dim,
        )
        for space, dim in _cases(table)
    ]


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Distances against P in both spaces, and exponents."""
    fig, panels = row_of_panels(3)
    dims = sorted(set(table["dim"]))
    exponents = {(space, dim): curve(table, space, dim).exponent for space, dim in _cases(table)}
    for axes, space in zip(panels, _BANDS, strict=False):
        for color, dim in zip(COLORS, dims, strict=False):
            if (space, dim) not in exponents:
                continue
            label = f"d = {dim}: {exponents[space, dim]}"
            draw_seed_curve(axes, curve(table, space, dim), color=color, label=label)
            x = np.array([table["n_points"].min(), table["n_points"].max()])
            axes.plot(x, [law(each, dim) for each in x], "--", color=FAINT, linewidth=1.2, label="_")
        axes.set(title=space.capitalize(), xlabel="points P", ylabel="distance to the nearest point")
    for color, space in zip(COLORS, _BANDS, strict=False):
        mine = {dim: value for (where, dim), value in exponents.items() if where == space}
        panels[2].errorbar(
            [1 / dim for dim in mine],
            [-each.value for each in mine.values()],
            [each.error or 0.0 for each in mine.values()],
            fmt="o",
            color=color,
            capsize=2,
            label=space,
        )
    panels[2].plot([0, 0.55], [0, 0.55], "--", color=FAINT, label="1/d")
    panels[2].set(title="Exponents", xlabel="1/d", ylabel="exponent")
    for axes in panels:
        axes.legend(fontsize=7.5)
    return fig
