r"""Stability in hierarchies: nets become insensitive to deformations and synonyms at the same sample size.

**Question.** Small deformations of images hardly change the outputs of good nets. Is this stability learned
together with the hierarchy of a task?

**Law.** In the sparse random hierarchy model each symbol stands at random in a block with $s_0$ empty
positions. Moving it within its block is a discrete deformation, which keeps the label, as do exchanges of
synonymous tuples of symbols. The sensitivities $D$ to deformations and $S$ to synonyms fall at the same
number $P^*$ of training inputs, at which the task is learned; this explains why $D$ and the test error are
correlated. Convolutional nets need

$$P^* \sim (s_0 + 1)^2 n_c m^L$$

inputs, an observation without derivation (Tomasini and Wyart 2024, arXiv:2404.10727).

**How.** Tuples of $s = 2$ symbols, $L = 2$ levels, and $n_c = v = m$; nets as in
`hierarchy_sample_complexity`, with filters that cover a tuple and its empty positions. $D = \langle \|f(x') -
f(x)\|^2 \rangle / \langle \|f(x) - f(z)\|^2 \rangle$ of the last hidden layer, where $x'$ is $x$ with all
symbols moved to other positions of their blocks, and $z$ is another input; in $S$ all tuples of the lowest
level are replaced by synonyms instead. $P^*$ is where the mean test error over seeds falls through a tenth of
that of guessing. All bands are ours.

**Figure.** Test error over that of guessing, $D$ and $S$ against $P/((s_0 + 1)^2 n_c m^L)$; $D$ and test
error of all nets; $P^*$ against $s_0 + 1$.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from scipy.stats import spearmanr

from symnets.estimates import Estimate, PowerLaw, SizeCurves
from symnets.report import COLORS, draw_power_law, draw_published_exponent, logarithmic, row_of_panels, style
from symnets.setups import (
    LEARNED,
    HierarchyConfig,
    estimate_jointly,
    hierarchy_curves,
    measure_hierarchies,
    sample_complexity,
    size_below_level,
)
from symnets.sweeps import Arrays, Finding, Result, grid

__all__ = ["CLAIMS", "PRESETS", "Config", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ()
_TOMASINI = "Tomasini and Wyart 2024, arXiv:2404.10727"
_COLUMNS = ("relative_error", "synonyms", "deformations")
_SCALED = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4)
"""P / ((s0 + 1)² n_c m^L)."""


@dataclass(frozen=True)
class Config(HierarchyConfig):
    """Configuration of a net that is trained on a sparse random hierarchy."""

    n_empty: int = 1  # pyright: ignore[reportIncompatibleVariableOverride]


def _sizes(scaled: Sequence[float], n_empty: Sequence[int], m: int, n_seeds: int, **fixed: Any) -> tuple:
    """Configurations at equal P / ((s0 + 1)² n_c m^L) for each s0."""
    return tuple(
        config
        for s0 in n_empty
        for config in grid(
            Config,
            n_train=tuple(round(x * (s0 + 1) ** 2 * m**3) for x in scaled),
            n_synonyms=m,
            n_empty=s0,
            seed=range(n_seeds),
            **fixed,
        )
    )


PRESETS = {
    "quick": _sizes(_SCALED, (1, 2, 3), 4, 3, rate=0.3),
    "hour": _sizes((*_SCALED, 8), (1, 2, 3, 4), 6, 6, width=256, steps=20_000),
    "paper": _sizes((*_SCALED, 8, 16), (1, 2, 3, 4, 6), 8, 10, width=512, steps=100_000),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Train nets and measure errors and sensitivities on test inputs; rows as in `TrainedHierarchy`."""
    return measure_hierarchies(configs)


def by_sparsity(table: pd.DataFrame) -> dict[int, SizeCurves]:
    """Curves of the relative error, and of the sensitivities of the last hidden layer, for each s0."""
    levels = int(table["levels"].iloc[0])
    lines = table.assign(synonyms=table[f"S_{levels}_1"], deformations=table[f"D_{levels}_1"])
    return {
        int(s0): hierarchy_curves(lines.query("n_empty == @s0"), *_COLUMNS)
        for s0 in np.unique(table["n_empty"].to_numpy())
    }


def scale(table: pd.DataFrame) -> int:
    """Scale n_c m^L of the sample complexity, without the factor of a sparse hierarchy."""
    return int(table["n_synonyms"].iloc[0]) ** (int(table["levels"].iloc[0]) + 1)


def law(curves: Mapping[int, SizeCurves]) -> PowerLaw | None:
    """P* against s0 + 1; None with fewer than three values of s0."""
    return sample_complexity(curves, lambda s0: s0 + 1)


def correlation(curves: Mapping[int, SizeCurves], one: str, other: str) -> float:
    """Rank correlation of two measurements over all nets."""
    a, b = (np.concatenate([each.values[name].ravel() for each in curves.values()]) for name in (one, other))
    return float(np.asarray(spearmanr(a, b))[0])


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Where D, S and the error fall, their correlation, and the exponent of P* in s0 + 1."""
    curves = by_sparsity(table)
    result = []
    for s0 in curves:
        for name, words in (
            ("synonyms", "sensitivity 1/2 to synonyms"),
            ("relative_error", "half of the error"),
        ):
            result.append(
                Finding(
                    f"P at sensitivity 1/2 to deformations over P at {words}, s0 = {s0}",
                    estimate_jointly(
                        curves,
                        lambda c, s0=s0, name=name: (
                            size_below_level(c[s0], "deformations") / size_below_level(c[s0], name)
                        ),
                    ),
                    f"1: all fall at P* ({_TOMASINI}); within a factor of two is ours",
                    0.5,
                    2.0,
                )
            )
    result.append(
        Finding(
            "rank correlation of D and test error over all nets",
            estimate_jointly(curves, lambda c: correlation(c, "deformations", "relative_error")),
            f"strong ({_TOMASINI}); we ask for 0.9",
            0.9,
            1.0,
        )
    )
    fitted = law(curves)
    result.append(
        Finding(
            f"exponent of P* in s0 + 1, s0 = {', '.join(map(str, curves))}",
            fitted.exponent if fitted else Estimate(float("nan")),
            f"2 ({_TOMASINI}); band ours",
            1.5,
            2.5,
        )
    )
    return result


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Error, D and S against P, D against error, and P*."""
    fig, panels = row_of_panels(4)
    error, changes, pairs, star = panels
    curves, unit = by_sparsity(table), scale(table)
    for (s0, each), color in zip(curves.items(), COLORS, strict=False):
        x = each.sizes / ((s0 + 1) ** 2 * unit)
        label = f"s0 = {s0}" + (f" ({each.n_left_out} seeds left out)" if each.n_left_out else "")
        look: dict[str, Any] = {"markersize": 3.5, "capsize": 2, "color": color}
        error.errorbar(
            x, each.mean("relative_error"), each.error("relative_error"), fmt="o-", label=label, **look
        )
        for axes, name, form, words in (
            (changes, "deformations", "o-", "D"),
            (changes, "synonyms", "s--", "S"),
        ):
            axes.errorbar(x, each.mean(name), each.error(name), fmt=form, label=f"{words}, {label}", **look)
        values = each.values["deformations"].ravel(), each.values["relative_error"].ravel()
        pairs.plot(*values, "o", markersize=3, color=color, label=label)
        star.plot(s0 + 1, size_below_level(each, "relative_error", LEARNED), "o", color=color)
    if fitted := law(curves):
        draw_power_law(star, fitted, "fit")
        x = fitted.x_range[0]
        draw_published_exponent(
            star,
            2.0,
            through=(x, float(fitted(x))),
            between=fitted.x_range,
            band=(1.5, 2.5),
            label="2 (2404.10727)",
        )
    for axes in (error, changes):
        axes.set(xscale="log", xlabel="$P / ((s_0 + 1)^2 n_c m^L)$", ylim=(-0.03, None))
    error.axhline(LEARNED, color="#8c959f", linestyle=":", linewidth=1)
    error.set(title="Test error (dotted: 0.1)", ylabel="test error / error of guessing")
    changes.set(title="Sensitivities", ylabel="last hidden layer")
    pairs.set(title="All nets", xlabel="D", ylabel="test error / error of guessing")
    star.set(title="Inputs needed", xscale="log", yscale="log", xlabel="$s_0 + 1$", ylabel="$P^*$")
    star.set_xticks([s0 + 1 for s0 in curves], [str(s0 + 1) for s0 in curves])
    logarithmic(star)
    for axes in (error, changes):
        axes.set_xticks((0.125, 0.25, 0.5, 1, 2, 4), ("1/8", "1/4", "1/2", "1", "2", "4"))
    for axes in (error, changes, star):
        axes.xaxis.set_minor_formatter(NullFormatter())
    for axes in panels:
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7.5)
    return fig
