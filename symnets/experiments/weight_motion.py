r"""Weights of wide nets hardly move: the squares of their changes fall as 1/h with the width h.

**Question.** How far do the weights of a net move until it fits its data, as its width $h$ grows?

**Law.** With weights in the standard parametrisation, $W \sim N(0, 1/h)$ for a layer of fan-in $h$,

$$\|W^t - W^0\|^2 \sim 1/h$$

(Jacot et al. 2018, arXiv:1806.07572). The reason: with weights of unit variance and factors $h^{-1/2}$ in
front of them (the NTK parametrisation), the output changes by one when the weights of each layer together
move by a distance of order one; the standard weights are these divided by $h^{1/2}$. The fan-in of the first
layer is $d$ at all widths: there the square stays of order one, although each weight moves by $h^{-1/2}$.

**How.** Two hidden layers of ReLU or tanh on Gaussian points in $d = 10$ with the labels of a random net;
gradient flow until all patterns are satisfied. The predictor is the net in the NTK parametrisation minus its
initial output ($\tilde\alpha = \sqrt h$). Squares are summed over the weights of a layer. Errors come from
resampling seeds. The band of ± 0.1 is our choice.

**Figure.** Squared change of the layers after the first, in standard weights, and of the first, against the
width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from symnets.estimates import SeedCurve
from symnets.report import COLORS, draw_seed_curve, mark_values, row_of_panels, style
from symnets.setups import RegimeConfig, batch_key, train_regime
from symnets.sweeps import Arrays, Finding, Result, grid

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ("C5",)
MAX_BATCH = 16


@dataclass(frozen=True)
class Config(RegimeConfig):
    """Configuration of a net whose weights are compared before and after training."""

    n_train: int = 30
    n_test: int = 0
    data: str = "teacher"
    dim: int = 10
    depth: int = 2
    bias: bool = False


def _grid(**axes: Any) -> tuple[Config, ...]:
    """Configurations with α̃ = √h, which is the NTK parametrisation."""
    return tuple(replace(c, alpha_tilde=c.width**0.5) for c in grid(Config, **axes))


PRESETS = {
    "quick": _grid(width=(32, 64, 128, 256, 512), activation=("relu", "tanh"), seed=range(5)),
    "paper": _grid(
        width=(32, 64, 128, 256, 512, 1024, 2048), activation=("relu", "tanh"), seed=range(10), n_train=300
    ),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Train the nets.

    Rows are those of `TrainedRegime.rows` with the squared changes of standard weights: `moved_first` of the
    first layer, `moved_hidden` of the hidden layers after it and `moved_output` of the output layer.
    """
    trained = train_regime(configs)
    squares = []
    for w, w0 in zip(trained.model.weights, trained.start.weights, strict=True):
        squares.append((w - w0).detach().square().sum((1, 2)) / w.shape[2])  # W / √fan-in, squared
    first, *hidden, output = squares
    rows = trained.rows(configs)
    for k, row in enumerate(rows):
        row["moved_first"], row["moved_output"] = float(first[k]), float(output[k])
        row["moved_hidden"] = float(sum(layer[k] for layer in hidden))
    return [Result(row) for row in rows]


def curves(table: pd.DataFrame, activation: str) -> tuple[SeedCurve, SeedCurve]:
    """Squared change of the layers after the first, and of the first, against the width."""
    part = table[table["activation"] == activation]
    part = part.assign(moved_later=part["moved_hidden"] + part["moved_output"])
    later, first = (SeedCurve.from_table(part, "width", name) for name in ("moved_later", "moved_first"))
    return later, first


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Exponents in the width, of the layers whose fan-in is the width and of the first."""
    results = []
    for activation in sorted(set(table["activation"])):
        later, first = curves(table, activation)
        where = f"{activation}, α̃ = √h, {len(later.values)} seeds"
        results += [
            Finding(
                f"exponent in h of the squared change of standard weights after the first layer, {where}",
                later.exponent,
                "-1 (Jacot et al. 2018, arXiv:1806.07572)",
                -1.1,
                -0.9,
            ),
            Finding(
                f"exponent in h of the squared change of the first layer, {where}",
                first.exponent,
                "0: its fan-in does not depend on h (derived)",
                -0.1,
                0.1,
            ),
        ]
    return results


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Squared changes against the width."""
    fig, panels = row_of_panels(2)
    activations = sorted(set(table["activation"]))
    for color, activation in zip(COLORS, activations, strict=False):
        for axes, curve, published in zip(panels, curves(table, activation), (-1.0, 0.0), strict=True):
            text = "slope -1 (1806.07572)" if published else "slope 0 (derived)"
            guide = (published, text) if activation == activations[0] else None
            label = f"{activation}: slope {curve.exponent}"
            draw_seed_curve(axes, curve, color=color, label=label, published=guide)
            mark_values(axes, curve.x)
    for axes, title in zip(panels, ("Layers of fan-in h", "First layer, of fan-in d"), strict=True):
        axes.set(title=title, xlabel="width h", ylabel="|W(t) - W(0)|², standard weights")
        axes.legend(fontsize=8)
    panels[1].set_ylim(0.1, 10)
    return fig
