r"""Infinite width: initial outputs become Gaussian and the mean tangent kernel approaches its limit.

**Question.** How do the initial outputs and the initial tangent kernel of a net depend on its width $h$? From
which width on does the theory of infinite width describe nets?

**Law.** As $h \to \infty$ the initial output becomes a Gaussian random field over initial weights, whose
covariance follows from a recursion over layers (Neal 1996; Lee et al. 2018, arXiv:1711.00165), and the
tangent kernel becomes deterministic (Jacot, Gabriel, Hongler 2018, arXiv:1806.07572). At every depth the
fourth moment of the output differs from that of a Gaussian by $O(1/h)$. With one hidden layer, the covariance
of outputs and the mean kernel are those of the limit at every width; with several, the mean kernel differs
from its limit by $O(1/h)$ (corrections in $1/h$: Huang and Yau 2019, arXiv:1909.08156).

**How.** ReLU nets without biases on eight points of a circle, $|x|^2 = d = 2$; 2,000 nets for each seed,
whose kernels are computed in closed form. The excess of the fourth moment is $\langle f^4 \rangle / 3 \langle
f^2 \rangle^2 - 1$, which is $5/h$ for one hidden layer. The bias is the limit minus the mean kernel, averaged
over pairs at 135 and 180 degrees. Entries of the mean kernel are compared with the limit in units of the
standard error over nets. All bands are ours.

**Figure.** Variance of $f$ over its limit, excess of the fourth moment, and bias of the mean kernel, against
$h$.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure

from symnets.config import SEED, at_least, check_ranges
from symnets.estimates import Estimate, SeedCurve, mean_over_seeds
from symnets.models import Dense
from symnets.observables import infinite_width, tangent_kernel
from symnets.report import COLORS, draw_published, draw_seed_curve, row_of_panels, style
from symnets.setups import seeded_generator
from symnets.sweeps import Arrays, Finding, Result, grid

__all__ = ["CLAIMS", "PRESETS", "Config", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ("C1", "C2")
_BLOCK = 2**23  # weights of the nets evaluated at once


@dataclass(frozen=True)
class Config:
    """Configuration of nets of one shape at initialisation."""

    width: int = 64
    """h, units of each hidden layer."""
    depth: int = 1
    """L, number of hidden layers."""
    activation: str = "relu"
    """Activation, normalised to unit second moment."""
    n_nets: int = 2000
    """Number of nets to average over."""
    seed: int = 0
    """Seed of the weights."""

    def __post_init__(self) -> None:
        check_ranges("", self, width=at_least(1), depth=at_least(1), n_nets=at_least(2), seed=SEED)


PRESETS = {
    "quick": grid(Config, depth=(1, 3), width=(8, 16, 32, 64, 128), seed=range(5)),
    "paper": grid(
        Config, depth=(1, 2, 3, 5), width=(8, 16, 32, 64, 128, 256, 512), n_nets=10_000, seed=range(10)
    ),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Evaluate outputs and tangent kernels of initial nets.

    Rows have `variance`, the mean of f² over that of the limit; `excess` of the fourth moment; `bias` of the
    mean kernel; and `largest_deviation` of its entries, in standard errors.
    """
    return [_run(config) for config in configs]


def _run(config: Config) -> Result:
    angles = torch.arange(8, dtype=torch.float64) * math.pi / 4
    x = math.sqrt(2) * torch.stack([angles.cos(), angles.sin()], 1)
    limit = infinite_width(config.depth, config.activation, x)
    outputs, kernels = [], []
    with torch.no_grad():
        for nets in _nets(config):
            outputs.append(nets(x))
            kernels.append(tangent_kernel(nets, x))
    f, kernel = torch.cat(outputs), torch.cat(kernels)
    mean, error = kernel.mean(0), kernel.std(0) / len(kernel) ** 0.5
    second, fourth = (f.pow(power).mean() for power in (2, 4))
    obtuse = (x @ x.T)[0] < -1
    return Result(
        {
            "verdict": "DONE",
            "variance": float(second / limit.nngp.diagonal().mean()),
            "excess": float(fourth / (3 * second**2) - 1),
            "bias": float((limit.ntk - mean)[0, obtuse].mean()),
            # Entries without error, those of opposite points, are zero for every net.
            "largest_deviation": float(((mean - limit.ntk) / error)[error > 0].abs().max()),
        }
    )


def _nets(config: Config) -> Iterator[Dense]:
    """The nets, in stacks of bounded memory."""
    one = Dense(2, config.width, config.depth, activation=config.activation, members=1, dtype=torch.float64)
    size = max(1, _BLOCK // sum(weight.numel() for weight in one.weights))
    generator = seeded_generator(config.seed, 0)
    for start in range(0, config.n_nets, size):
        nets = one.select([0] * min(size, config.n_nets - start))
        for weight in nets.weights:
            weight.data.normal_(generator=generator)
        yield nets


def curve(table: pd.DataFrame, quantity: str, depth: int) -> SeedCurve:
    """Curve of a column of the table against the width h, for nets of one depth."""
    rows: Any = table[table["depth"] == depth]
    return SeedCurve.from_table(rows, "width", quantity)


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Variance at the largest width, exponents of excess and bias, deviation of the mean kernel."""
    results = []
    for depth in sorted(set(table["depth"])):
        variance = curve(table, "variance", depth)
        where = f"L = {depth}"
        largest = variance.x[-1] if len(variance.x) else float("nan")
        results.append(
            Finding(
                f"variance of f over that of the limit, {where}, h = {largest:g}",
                mean_over_seeds(list(variance.values[:, -1])),
                "1 (Neal 1996; Lee et al. 2018, arXiv:1711.00165)",
                0.95,
                1.05,
            )
        )
        results.append(
            Finding(
                f"exponent of the excess of the fourth moment, {where}, h <= 64",
                curve(table, "excess", depth).between(0, 64).exponent,
                "-1 (Huang and Yau 2019, arXiv:1909.08156)",
                -1.2,
                -0.8,
            )
        )
        if depth == 1:
            deviation = curve(table, "largest_deviation", 1)
            results.append(
                Finding(
                    f"largest deviation of the mean kernel from the limit in standard errors, {where}",
                    Estimate(float(deviation.values.max())),
                    "0 on average at any width (algebra)",
                    0.0,
                    4.0,
                )
            )
        else:
            results.append(
                Finding(
                    f"exponent of the bias of the mean kernel, {where}, h <= 64",
                    curve(table, "bias", depth).between(0, 64).exponent,
                    "-1 (Huang and Yau 2019, arXiv:1909.08156)",
                    -1.2,
                    -0.8,
                )
            )
    return results


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Variance, excess and bias against h."""
    fig, (left, middle, right) = row_of_panels(3)
    for color, depth in zip(COLORS, sorted(set(table["depth"])), strict=False):
        variance = curve(table, "variance", depth)
        left.errorbar(
            variance.x, variance.mean, variance.error, fmt="o-", color=color, capsize=2, label=f"L = {depth}"
        )
        for axes, quantity in ((middle, "excess"), (right, "bias")):
            if quantity == "bias" and depth == 1:
                continue
            found = curve(table, quantity, depth)
            found = found.between(0, 64)
            draw_seed_curve(
                axes,
                found,
                color=color,
                label=f"L = {depth}: {found.exponent}",
                published=(-1, "slope -1 (1909.08156)" if depth != 1 else "_"),
            )
    draw_published(left, 1.0, band=(0.95, 1.05), label="limit, 5 %")
    left.set(title="Variance of the output", ylabel="variance / limit", xscale="log", ylim=(0.8, 1.2))
    middle.set(title="Fourth moment", ylabel="$\\langle f^4 \\rangle / 3 \\langle f^2 \\rangle^2 - 1$")
    right.set(title="Mean tangent kernel", ylabel="limit - mean")
    for axes in (left, middle, right):
        axes.set(xlabel="width h")
        axes.legend(fontsize=7.5)
    return fig
