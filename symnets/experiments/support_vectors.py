r"""Support vectors: their spacing suffers the curse of dimensionality, the test error does not.

**Question.** Points become sparse in many dimensions. Why does a kernel still learn a simple interface at a
rate that does not vanish with the dimension? Does regression profit from a simple target in the same way?

**Law.** Points are Gaussian in $d$ dimensions. The label is +1 inside a stripe, between two planes
perpendicular to one direction, and -1 outside of it. The support vectors among $P$ training points form a
layer of thickness $\Delta$ along these planes, the interface. The distance between neighbouring support
vectors is $r_c$. For a kernel with a cusp $|x - x'|^\xi$, where $\xi = 1$ for the tangent kernel of ReLU
nets (Paccolat, Spigler, Wyart 2021, arXiv:2006.09754), $\Delta$, $r_c$ and the test error $\epsilon$ obey

$$\Delta \sim \epsilon \sim P^{-\beta}, \quad \beta = \frac{d - 1 + \xi}{3d - 3 + \xi} \geq \frac{1}{3},
\qquad P \Delta r_c^{d-1} \sim 1 \;\Rightarrow\; r_c \sim P^{-2/(3d - 3 + \xi)},$$

and the number of support vectors is of order $P \Delta$. The exponent of $r_c$ vanishes for large $d$, the
curse of dimensionality, but that of the error does not, because the interface is smooth between neighbouring
support vectors. This holds for classification only. In regression of a rough target the error falls as
$P^{-1/d}$ (Spigler, Geiger, Wyart 2020, arXiv:1905.10843), also if the target depends on $d_\parallel < d$
directions only.

**How.** Tangent kernel of infinitely wide nets with one hidden layer of ReLU, whose biases are standard
normal; in $d = 5$ also of nets whose biases are zero at first (`infinite_width`). Classification: support
vector machine with a hard margin; $\Delta$ is the mean distance of support vectors to the nearest plane,
$r_c$ their mean distance to the nearest other one. Regression: kernel interpolation of Gaussian random fields
with covariance $\exp(-|x_\parallel - x_\parallel'|/\sqrt{d_\parallel})$, 32 fields for each set of points.
Exponents are fitted to $P \geq 512$. The bands of number and distances are ours.

**Figure.** Error, $\Delta$ and $r_c$ against $P$ in $d = 5$; exponents of $\epsilon$ and $r_c$ against $d$;
error of regression against $P$.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy.stats import norm
from torch import Tensor

from symnets.config import SEED, at_least, check_ranges
from symnets.data import binary_task, covariance_matrix, gaussian_cloud
from symnets.estimates import Estimate, SeedCurve
from symnets.observables import infinite_width
from symnets.observables.kernels import kernel_svm
from symnets.report import COLORS, FAINT, draw_seed_curve, row_of_panels, style
from symnets.setups import bias_kernel, regression_error, seeded_generator
from symnets.sweeps import Arrays, Finding, Result, Scalar, grid

__all__ = ["CLAIMS", "PRESETS", "Config", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ("D10",)
FIT_FROM = 512
"""Exponents are fitted to this number of training points and more."""
_PLANES = (-0.3, float(norm.ppf(0.5 + norm.cdf(-0.3))))
_ISOTROPIC, _SPIGLER = "Paccolat et al. 2021, arXiv:2006.09754", "Spigler et al. 2020, arXiv:1905.10843"


@dataclass(frozen=True)
class Config:
    """Configuration of a support vector machine on the stripe, or of a kernel regression of random fields."""

    n_train: int = 1024
    """P, number of training points."""
    n_test: int = 10_000
    """Number of test points."""
    task: Literal["classification", "regression"] = "classification"
    """Support vector machine on the stripe, or kernel regression of random fields."""
    dim: int = 5
    """d, input dimension."""
    biases: Literal["normal", "zero"] = "normal"
    """Initial biases of the net whose tangent kernel is used: standard normal, or zero."""
    relevant_dim: int = 1
    """d_∥, number of directions on which the target depends; 1 in classification."""
    n_fields: int = 32
    """Number of fields of a regression."""
    seed: int = 0
    """Seed of the points, and of the fields."""

    def __post_init__(self) -> None:
        check_ranges(
            "",
            self,
            n_train=at_least(2),
            n_test=at_least(1),
            dim=at_least(2),
            relevant_dim=at_least(1),
            n_fields=at_least(1),
            seed=SEED,
        )
        if self.relevant_dim > self.dim or (self.task == "classification" and self.relevant_dim != 1):
            raise ValueError(
                f"relevant_dim: expected 1 in classification and at most dim={self.dim} in regression, got "
                f"{self.relevant_dim}"
            )


def _grids(sizes: Sequence[int], regression: Sequence[int], n_seeds: int) -> tuple[Config, ...]:
    seeds = range(n_seeds)
    return (
        grid(Config, n_train=sizes, dim=(2, 5, 10), seed=seeds)
        + grid(Config, n_train=sizes, biases="zero", seed=seeds)
        + grid(Config, task="regression", n_train=regression, n_test=500, relevant_dim=(1, 2, 5), seed=seeds)
    )


PRESETS = {
    "quick": _grids((128, 256, 512, 1024, 2048, 4096), (128, 256, 512, 1024, 2048), 5),
    "paper": _grids(
        (128, 256, 512, 1024, 2048, 4096, 8192, 16_384), (128, 256, 512, 1024, 2048, 4096, 8192), 10
    ),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Train one machine, or interpolate fields, for each configuration.

    Rows have `test_error`: the fraction of test points on the wrong side, or the mean squared error over the
    variance; in classification also `n_support`, `thickness` (Δ) and `spacing` (r_c), NaN in regression.
    """
    return [Result(_classify(c) if c.task == "classification" else _regress(c)) for c in configs]


def _kernel(config: Config, x1: Tensor, x2: Tensor) -> Tensor:
    """The tangent kernel of the configuration."""
    if config.biases == "normal":
        return bias_kernel(x1, x2)
    return infinite_width(1, "relu", x1, x2, bias=True).ntk


def _classify(config: Config) -> dict[str, Scalar]:
    task = binary_task(
        "stripe", n_train=config.n_train, n_test=config.n_test, dim=config.dim, seed=config.seed
    )
    x = task.x_train
    machine = kernel_svm(_kernel(config, x, x), task.y_train, _kernel(config, task.x_test, x), tolerance=1e-3)
    vectors = x[machine.support]
    planes = torch.tensor(_PLANES, dtype=vectors.dtype)
    others = torch.cdist(vectors, vectors).fill_diagonal_(torch.inf)
    return {
        "verdict": "DONE",
        "test_error": machine.error(task.y_test),
        "n_support": len(vectors),
        "thickness": float((vectors[:, :1] - planes).abs().amin(1).mean()),
        "spacing": float(others.amin(1).mean()),
    }


def _regress(config: Config) -> dict[str, Scalar]:
    generator = seeded_generator(config.seed, 1)
    x = gaussian_cloud(config.n_test + config.n_train, config.dim, generator=generator)
    relevant = x[:, : config.relevant_dim]
    teacher = covariance_matrix(relevant, relevant, "laplace", length=config.relevant_dim**0.5)
    error = regression_error(
        x,
        teacher,
        partial(_kernel, config),
        n_test=config.n_test,
        n_fields=config.n_fields,
        generator=generator,
    )
    nothing = float("nan")
    return {
        "verdict": "DONE",
        "test_error": error,
        "n_support": nothing,
        "thickness": nothing,
        "spacing": nothing,
    }


def curve(
    table: pd.DataFrame, quantity: str, dim: int, relevant_dim: int | None = None, biases: str = "normal"
) -> SeedCurve:
    """Curve of a quantity against P: of classification, or of regression if `relevant_dim` is given."""
    task = "classification" if relevant_dim is None else "regression"
    chosen = (table["task"] == task) & (table["dim"] == dim) & (table["biases"] == biases)
    if relevant_dim is not None:
        chosen &= table["relevant_dim"] == relevant_dim
    rows: Any = table[chosen]
    return SeedCurve.from_table(rows, "n_train", quantity)


def exponent(
    table: pd.DataFrame, quantity: str, dim: int, relevant_dim: int | None = None, biases: str = "normal"
) -> Estimate:
    """Exponent in P of a `curve`, fitted to P >= `FIT_FROM`."""
    return curve(table, quantity, dim, relevant_dim, biases).between(FIT_FROM).exponent


def beta(dim: int) -> float:
    """Predicted exponent β = d/(3d - 2) of the error in P."""
    return dim / (3 * dim - 2)


def _dims(table: pd.DataFrame, task: str) -> list[int]:
    return sorted(set(table.loc[table["task"] == task, "dim"]))


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Exponents of error, thickness, number and spacing in each dimension, and those of regression."""
    results = []
    machines = table[table["task"] == "classification"]
    for biases, d in sorted(set(zip(machines["biases"], machines["dim"], strict=True))):
        where = ", biases zero at first" if biases == "zero" else ""
        for name, quantity, expected, formula in (
            ("test error", "test_error", -beta(d), "-d/(3d - 2)"),
            ("distance of support vectors to the interface", "thickness", -beta(d), "-d/(3d - 2)"),
            ("number of support vectors", "n_support", 1 - beta(d), "(2d - 2)/(3d - 2)"),
            ("distance between support vectors", "spacing", -2 / (3 * d - 2), "-2/(3d - 2)"),
        ):
            results.append(
                Finding(
                    f"exponent of the {name}, d = {d}{where}",
                    exponent(table, quantity, d, biases=biases),
                    f"{formula} = {expected:.3f} ({_ISOTROPIC})",
                    expected - 0.05,
                    expected + 0.05,
                )
            )
    for d in _dims(table, "regression"):
        rows = table[(table["task"] == "regression") & (table["dim"] == d)]
        for d_par in sorted(set(rows["relevant_dim"])):
            results.append(
                Finding(
                    f"exponent of the error of regression, d = {d}, target of {d_par} direction"
                    + "s" * (d_par > 1),
                    exponent(table, "test_error", d, d_par),
                    f"-1/d = {-1 / d:.3f} for any number of directions ({_SPIGLER})",
                    -1 / d - 0.05,
                    -1 / d + 0.05,
                )
            )
    return results


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Curves in d = 5, exponents against d, and regression."""
    fig, (left, middle, right) = row_of_panels(3)
    dims = _dims(table, "classification")
    shown = 5 if 5 in dims else dims[0]
    quantities = ("test_error", "thickness", "spacing")
    exponents = {(each, d): exponent(table, each, d) for each in quantities for d in {shown, *dims}}
    for k, (quantity, label, published) in enumerate(
        (
            ("test_error", "error", -beta(shown)),
            ("thickness", "distance to interface Δ", -beta(shown)),
            ("spacing", "distance to each other $r_c$", -2 / (3 * shown - 2)),
        )
    ):
        draw_seed_curve(
            left,
            curve(table, quantity, shown),
            color=COLORS[k],
            label=f"{label}: {exponents[quantity, shown]}",
            published=(published, "_" if k == 1 else f"slope {published:.3f} (2006.09754)"),
        )
    zero = curve(table, "test_error", shown, biases="zero")
    label = f"error, zero biases: {exponent(table, 'test_error', shown, biases='zero')}"
    draw_seed_curve(left, zero, color=COLORS[3], label=label)
    left.set(title=f"Stripe in d = {shown}", xlabel="training points P", ylabel="error, distance")
    d = np.linspace(min(dims), max(dims) + 1e-9, 50)
    for k, (quantity, label, law) in enumerate(
        (("test_error", "error", d / (3 * d - 2)), ("spacing", "distance $r_c$", 2 / (3 * d - 2)))
    ):
        color = COLORS[0 if k == 0 else 2]
        found = [exponents[quantity, each] for each in dims]
        errors = [e.error or 0.0 for e in found]
        middle.errorbar(dims, [-e.value for e in found], errors, fmt="o", color=color, capsize=2, label=label)
        middle.plot(d, law, "--", color=color, linewidth=1.2, label="_" if k else "2006.09754")
    middle.axhline(1 / 3, color=FAINT, linestyle=":", linewidth=1, label="1/3")
    middle.set(title="Exponents", xlabel="dimension d", ylabel="exponent", ylim=(0, None))
    for d_reg in _dims(table, "regression")[:1]:
        rows = table[(table["task"] == "regression") & (table["dim"] == d_reg)]
        for k, d_par in enumerate(sorted(set(rows["relevant_dim"]))):
            draw_seed_curve(
                right,
                curve(table, "test_error", d_reg, d_par),
                color=COLORS[k],
                label=f"$d_\\parallel$ = {d_par}: {exponent(table, 'test_error', d_reg, d_par)}",
                published=None if k else (-1 / d_reg, f"slope -1/{d_reg} (1905.10843)"),
            )
        right.set(title=f"Regression in d = {d_reg}", xlabel="training points P", ylabel="error / variance")
    for axes in (left, middle, right):
        axes.legend(fontsize=7.5)
    return fig
