r"""Motion of the tangent kernel in training: it falls with the width and with the scale of the output.

**Question.** How much does the tangent kernel $\Theta^t$ of a net change until the net fits its data? How
does that depend on the width $h$, and on the scale $\tilde\alpha$ that leads from feature to lazy training?

**Law.** For a net in the NTK parametrisation, which is $\tilde\alpha = \sqrt h$, the relative change is
$\|\Theta^t - \Theta^0\| / \|\Theta^0\| \sim 1/h$, much less than the fluctuations over initial weights
(Geiger et al. 2019, arXiv:1901.01608). In general, for a smooth activation,

$$\frac{\|\Theta^t - \Theta^0\|}{\|\Theta^0\|} \simeq \frac{a}{\sqrt h\, \tilde\alpha} +
\frac{b}{\tilde\alpha^2}, \qquad \tilde\alpha \gg 1.$$

Each unit moves by $1/\tilde\alpha$. To first order the changes of the units have random signs, which is the
first term; the second order adds up. The slope in $\tilde\alpha$ is $-2$ up to $\tilde\alpha$ of order $\sqrt
h$, then $-1$, and at $\tilde\alpha = \sqrt h$ both terms are $1/h$. With ReLU a fraction $1/\tilde\alpha$ of
the units switches on or off at a given pattern, with random sign: this adds a term $c\, (h
\tilde\alpha)^{-1/2}$. It dominates at the largest $\tilde\alpha$, where the slope is $-1/2$, and at
$\tilde\alpha = \sqrt h$ it falls only as $h^{-3/4}$.
For $\tilde\alpha \ll 1$ weights have to grow until $f$ is $1/\tilde\alpha$: for $L$ layers of a homogeneous
activation without biases $\Theta \sim \tilde\alpha^{-2L/(L+1)}$.

**How.** Gaussian points with the labels of a random net, gradient flow of $\tilde\alpha (f(w) - f(w_0))$
until all patterns are satisfied; the kernel on the training patterns. The width is varied for two hidden
layers at $\tilde\alpha = \sqrt h$, the scale for one hidden layer at the largest width. The change is also
split into that of the norm, which only rescales time, and that of the direction, $1 - \cos$, which is
quadratic in the change. The three laws of $\tilde\alpha$ are derived here, to leading order; slopes are
fitted to $4 \leq \tilde\alpha \leq \sqrt h / 3$ and to $\tilde\alpha \geq 5 \sqrt h$. Errors come from
resampling seeds. The bands are our choice.

**Figure.** Relative change of the kernel against the width; against $\tilde\alpha$, with both slopes; and
changes of norm and of direction against $\tilde\alpha$.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symnets.estimates import SeedCurve
from symnets.observables.kernels import kernel_change
from symnets.report import (
    COLORS,
    FAINT,
    draw_published_exponent,
    draw_seed_curve,
    mark_values,
    row_of_panels,
    style,
)
from symnets.setups import RegimeConfig, batch_key, regime_kernels, train_regime
from symnets.sweeps import Arrays, Finding, Result, grid

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ("C4",)
MAX_BATCH = 16
_EMORY = "Geiger et al. 2019, arXiv:1901.01608"
SCALES = (0.01, 0.03, 0.1, 1.0, 4.0, 10.0, 25.0, 100.0, 500.0, 2000.0, 10_000.0)
"""Values of α̃ of the scan at one width."""


@dataclass(frozen=True)
class Config(RegimeConfig):
    """Configuration of a net whose kernel is compared before and after training."""

    n_train: int = 30
    n_test: int = 0
    data: str = "teacher"
    dim: int = 10
    depth: int = 2
    bias: bool = False


def _grids(widths: Sequence[int], scan: int, n_seeds: int, **common: Any) -> tuple[Config, ...]:
    """Widths at α̃ = √h, and a scan of α̃ at one width and one hidden layer, for ReLU and tanh.

    For tanh the scan begins at α̃ = 1: the law of the feature regime holds for ReLU, and where tanh saturates
    the flow takes hours.
    """
    axes: dict[str, Any] = {"activation": ("relu", "tanh"), "seed": range(n_seeds), **common}
    in_width = [replace(c, alpha_tilde=c.width**0.5) for c in grid(Config, width=widths, **axes)]
    in_scale = grid(Config, width=scan, alpha_tilde=SCALES, depth=1, **axes)
    return (*in_width, *(c for c in in_scale if c.activation == "relu" or c.alpha_tilde >= 1))


PRESETS = {
    "quick": _grids((32, 64, 128, 256, 512), 8192, 4),
    "hour": _grids((32, 64, 128, 256, 512, 1024, 2048), 65_536, 6),
    "paper": _grids((32, 64, 128, 256, 512, 1024, 2048), 65_536, 10, n_train=300),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Train the nets and compare their kernels before and after.

    Rows are those of `TrainedRegime.rows` with `change` |Θ^t - Θ^0|/|Θ^0|, `norm_change` ||Θ^t|/|Θ^0| - 1|
    and `direction_change`, 1 - cosine.
    """
    trained = train_regime(configs)
    initial, final = regime_kernels(trained)
    change = kernel_change(final, initial)
    rows = trained.rows(configs)
    for k, row in enumerate(rows):
        row["change"] = float(change.distance[k])
        row["norm_change"] = abs(float(change.norm[k]))
        row["direction_change"] = float(change.direction[k])
    return [Result(row) for row in rows]


def in_width(table: pd.DataFrame, activation: str, quantity: str) -> SeedCurve:
    """Curve of a column of the table against the width at α̃ = √h, for one activation."""
    usual = table.query("abs(alpha_tilde**2 - width) < 1e-6 * width and depth > 1")
    return SeedCurve.from_table(usual.query(f"activation == {activation!r}"), "width", quantity)


def in_scale(table: pd.DataFrame, activation: str, quantity: str) -> SeedCurve:
    """Curve of a column of the table against α̃ for one hidden layer and one activation."""
    chosen = table.query(f"depth == 1 and activation == {activation!r}")
    return SeedCurve.from_table(chosen, "alpha_tilde", quantity)


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Exponents in the width at α̃ = √h, and in α̃ in three ranges, for smooth activation and for ReLU."""
    root = float(max(table.query("depth == 1")["width"])) ** 0.5
    rest = f"h = {root**2:g}"
    results: list[Finding] = []

    def add(quantity: str, curve: SeedCurve, law: str, low: float, high: float) -> None:
        results.append(Finding(f"{quantity}, {len(curve.values)} seeds", curve.exponent, law, low, high))

    for name, activation in (("tanh", "tanh"), ("ReLU", "relu")):
        if activation not in set(table["activation"]):
            continue
        smooth = activation == "tanh"
        by_width = in_width(table, activation, "change")
        law = f"-1 ({_EMORY})" if smooth else f"-1 ({_EMORY}), -3/4 for h → ∞ (derived)"
        low, high = (-1.1, -0.9) if smooth else (-1.1, -0.65)
        add(f"exponent in h of the change of the kernel, {name}, α̃ = √h", by_width, law, low, high)
        direction = in_width(table, activation, "direction_change")
        law, high = ("-2: quadratic", -1.8) if smooth else ("-2 to -3/2: quadratic", -1.3)
        add(f"exponent in h of the change of direction, {name}, α̃ = √h", direction, law, -2.2, high)
        by_scale = in_scale(table, activation, "change")
        middle, lazy = by_scale.between(4, root / 3), by_scale.between(5 * root)
        law = "-2 (derived)" if smooth else "-2 (derived, for smooth activations)"
        add(f"exponent in α̃ of the change, {name}, 4 <= α̃ <= √h/3, {rest}", middle, law, -2.25, -1.75)
        law, low, high = ("-1 (derived)", -1.15, -0.85) if smooth else ("-1/2 (derived)", -0.65, -0.35)
        add(f"exponent in α̃ of the change, {name}, α̃ >= 5√h, {rest}", lazy, law, low, high)
        if not smooth:
            feature, law = by_scale.between(0, 0.1), "-2L/(L + 1) = -1 (derived)"
            add(f"exponent in α̃ of the change, {name}, α̃ <= 0.1, {rest}", feature, law, -1.15, -0.85)
    return results


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Change of the kernel against width and scale, and its split into norm and direction."""
    fig, (left, middle, right) = row_of_panels(3)
    width = float(max(table.query("depth == 1")["width"]))
    for color, (name, activation) in zip(COLORS, (("tanh", "tanh"), ("ReLU", "relu")), strict=False):
        curve = in_width(table, activation, "change")
        guide = (-1.0, "slope -1 (1901.01608)") if activation == "tanh" else None
        draw_seed_curve(left, curve, color=color, label=f"{name}: slope {curve.exponent}", published=guide)
        mark_values(left, curve.x)
        curve = in_scale(table, activation, "change")
        draw_seed_curve(middle, curve, color=color, label=name)
        if activation == "tanh" and len(curve.values):
            _guide(middle, curve, 10.0, -2.0, (3.0, width**0.5), "slopes -2, -1 (derived)")
            _guide(middle, curve, float(curve.x[-1]), -1.0, (width**0.5, float(curve.x[-1])), "_")
    for k, (label, quantity) in enumerate((("norm", "norm_change"), ("1 - cos", "direction_change"))):
        for activation, marker in (("tanh", "o-"), ("relu", "s--")):
            curve = in_scale(table, activation, quantity)
            if len(curve.values):
                name = f"{label}, {'ReLU' if activation == 'relu' else activation}"
                right.loglog(curve.x, curve.mean, marker, color=COLORS[2 + k], markersize=4, label=name)
    left.set(title="Two hidden layers, α̃ = √h", xlabel="width h", ylabel="relative change of the kernel")
    for axes, title, label in (
        (middle, f"One hidden layer, h = {width:g}", "relative change of the kernel"),
        (right, "Norm and direction apart", "change of the kernel"),
    ):
        axes.set(title=title, xlabel="scale α̃", ylabel=label)
        axes.axvline(width**0.5, color=FAINT, linestyle=":", linewidth=1, label="√h")
    for axes in (left, middle, right):
        axes.legend(fontsize=7.5)
    return fig


def _guide(
    axes: Axes, curve: SeedCurve, at: float, slope: float, between: tuple[float, float], label: str
) -> None:
    """Draw a slope through the point of a curve whose x is nearest to `at`."""
    k = int(np.argmin(abs(np.log(curve.x / at))))
    draw_published_exponent(
        axes, slope, through=(float(curve.x[k]), float(curve.mean[k])), between=between, label=label
    )
