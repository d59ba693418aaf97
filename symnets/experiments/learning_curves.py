r"""Learning curves: exponents of nets in both regimes, of kernel classification, and of kernel regression.

**Question.** How does the test error fall with the number $P$ of training patterns, and which methods
learn faster if labels do not depend on some directions?

**Law.** $\epsilon \sim P^{-\beta}$. For labels that are the sides of a regular interface, kernels with a
cusp, such as the tangent kernel of ReLU nets, have

$$\beta = \frac{d}{3d - 2}$$

whatever the number $d_\parallel$ of relevant directions: stripe ($d_\parallel = 1$), cylinder (2), sphere
($d$). This is above 1/3 in any dimension: classification has no curse of dimension. Feature learning
compresses irrelevant directions: on the stripe $\beta = (2d - 1)/(3d - 2)$ (Paccolat et al. 2021,
arXiv:2006.09754 and arXiv:2007.11471). Regression is the control: of a random function of $d_\parallel$
coordinates, with a cusp in its covariance, $\beta = 1/d$ for every $d_\parallel$ (arXiv:2006.09754).

**How.** $d = 5$. Nets: one hidden layer of 200 ReLU, gradient flow of $\tilde\alpha (f - f_0)$ on the
quadratic hinge, until all patterns are satisfied or the budget of steps ends, $\tilde\alpha = 10^{-6}$
(feature) and $10^4$ (lazy), on the stripe and, with 256 patterns, on the cylinder; exponents are fitted in
the preset `hour` only, to $P \geq 128$ on the stripe. Kernel
classification: support vector machine with the tangent kernel of infinitely wide nets with one hidden layer,
fitted to $P \geq 512$. Regression: Laplace kernels $e^{-r/\sigma}$ with $\sigma = \sqrt{d_\parallel}$ for the
random function and $\sigma = 10 \sqrt{d}$ for the regression, without ridge, mean square error over 20
functions for each seed, fitted to $P \geq 128$. Errors come from resampling seeds.

**Figure.** Test error against $P$ of nets, beside the support vector machine of infinitely wide ones; of
kernel classification; of kernel regression.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import torch
from matplotlib.figure import Figure

from symnets.config import at_least, check_ranges
from symnets.data import binary_task, covariance_matrix
from symnets.estimates import SeedCurve, mean_over_seeds
from symnets.report import COLORS, draw_seed_curve, row_of_panels, style
from symnets.setups import (
    RegimeConfig,
    batch_key,
    point_svm,
    regression_error,
    seeded_generator,
    train_regime,
)
from symnets.sweeps import Arrays, Finding, Result, Scalar, grid

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ("C12", "D3", "D4", "D10")
MAX_BATCH = 5
FEATURE, LAZY = 1e-6, 1e4
FIT_FROM = {"net": 128, "svm": 512, "regression": 128}
"""Smallest P of the fits, by method."""
_PACCOLAT, _ISOTROPIC = "Paccolat et al. 2021, arXiv:2007.11471", "Paccolat et al. 2021, arXiv:2006.09754"


@dataclass(frozen=True)
class Config(RegimeConfig):
    """Configuration of a net, a support vector machine or a kernel regression, and of its task."""

    method: Literal["net", "svm", "regression"] = "net"
    """What learns; kernels use no field of nets."""
    n_test: int = 8000
    width: int = 200
    budget: int = 800
    relevant_dim: int = 1
    """d_∥ of the functions of "regression"; tasks of classification have their own."""
    n_fields: int = 20
    """Random functions of "regression" for each seed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges("", self, relevant_dim=at_least(1), n_fields=at_least(1))
        if self.relevant_dim > self.dim:
            raise ValueError(f"relevant_dim: expected at most dim={self.dim}, got {self.relevant_dim}")


def _kernels(sizes: Sequence[int], dim: int, n_seeds: int) -> tuple[Config, ...]:
    """Kernel classification on three tasks, and regression of functions of 1, 2 and d coordinates."""
    tasks, seeds, small = ("stripe", "cylinder", "sphere"), range(n_seeds), [n for n in sizes if n <= 2048]
    return (
        *grid(Config, method="svm", data=tasks, n_train=sizes, n_test=20_000, dim=dim, seed=seeds),
        *grid(
            Config,
            method="regression",
            relevant_dim=(1, 2, dim),
            n_train=small,
            n_test=500,
            dim=dim,
            seed=seeds,
        ),
    )


_SIZES = (64, 128, 256, 512, 1024, 2048, 4096)
_REGIMES = (FEATURE, LAZY)
_CYLINDER = grid(Config, data="cylinder", n_train=256, alpha_tilde=_REGIMES, seed=range(5))
PRESETS = {
    "quick": (
        *grid(Config, n_train=512, alpha_tilde=_REGIMES, seed=range(5)),
        *_CYLINDER,
        *_kernels(_SIZES, dim=5, n_seeds=5),
    ),
    "hour": (
        *grid(Config, n_train=(64, 128, 256, 512), alpha_tilde=_REGIMES, budget=4000, seed=range(5)),
        *_CYLINDER,
        *_kernels((*_SIZES, 8192), dim=5, n_seeds=5),
    ),
    "paper": (
        *grid(
            Config,
            n_train=_SIZES,
            dim=10,
            alpha_tilde=_REGIMES,
            width=2000,
            budget=100_000,
            seed=range(10),
        ),
        *_kernels((*_SIZES, 8192, 16_384), dim=10, n_seeds=10),
    ),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Train nets and kernel machines, and measure their test errors.

    Rows have `test_error`: the fraction of wrong labels, or for "regression" the mean square error over the
    variance. Those of nets are the rows of `TrainedRegime.rows`.
    """
    if configs[0].method == "net":
        return [Result(row) for row in train_regime(configs).rows(configs)]
    learn = _classify if configs[0].method == "svm" else _regress
    return [Result({"verdict": "DONE"} | learn(config)) for config in configs]


def _classify(config: Config) -> dict[str, Scalar]:
    task = binary_task(
        config.data, n_train=config.n_train, n_test=config.n_test, dim=config.dim, seed=config.seed
    )
    machine, error = point_svm(task)
    return {"test_error": error, "n_support": len(machine.support)}


def _regress(config: Config) -> dict[str, Scalar]:
    n = config.n_train + config.n_test
    x = torch.randn(n, config.dim, generator=seeded_generator(config.seed, 1), dtype=torch.float64)
    x_relevant, length = x[:, : config.relevant_dim], 10 * config.dim**0.5
    error = regression_error(
        x,
        covariance_matrix(x_relevant, x_relevant, length=config.relevant_dim**0.5),
        lambda a, b: covariance_matrix(a, b, length=length),
        n_test=config.n_test,
        n_fields=config.n_fields,
        generator=seeded_generator(config.seed, 2),
    )
    return {"test_error": error}


def curve(table: pd.DataFrame, query: str, method: str = "") -> SeedCurve:
    """Errors against P of the rows of a query; with a method, from the smallest P of its fits on."""
    found = SeedCurve.from_table(table.query(query), "n_train", "test_error")
    return found.between(FIT_FROM[method]) if method else found


_REGIME = {"feature": "alpha_tilde < 1", "lazy": "alpha_tilde > 1"}


def net_curves(table: pd.DataFrame, task: str) -> dict[str, SeedCurve]:
    """Errors of nets on a task against P, by regime."""
    return {
        name: curve(table, f"method == 'net' and data == {task!r} and {rule}")
        for name, rule in _REGIME.items()
    }


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Feature against lazy nets, and the exponents of nets, of classification and of regression."""
    dim = int(table["dim"].iloc[0])
    lazy, feature = dim / (3 * dim - 2), (2 * dim - 1) / (3 * dim - 2)
    results = []
    for task in _present(table.query("method == 'net'"), "data"):
        nets = net_curves(table, task)
        if len(nets["lazy"].x) and nets["lazy"].values.shape == nets["feature"].values.shape:
            k = list(nets["lazy"].x).index(512) if 512 in nets["lazy"].x else -1
            ratio = list(nets["feature"].values[:, k] / nets["lazy"].values[:, k])
            results.append(
                Finding(
                    f"{task}, nets: test error, feature over lazy, P = {nets['lazy'].x[k]:g}",
                    mean_over_seeds(ratio),
                    f"below 1: features win ({_PACCOLAT})",
                    0.0,
                    1.0,
                )
            )
    nets = net_curves(table, "stripe")
    for name, published in (("feature", feature), ("lazy", lazy)):
        if len((found := nets[name].between(FIT_FROM["net"])).x) >= 3:
            law = "(2d - 1)/(3d - 2)" if name == "feature" else "d/(3d - 2)"
            results.append(
                Finding(
                    f"stripe, nets, {name}: exponent, P >= {FIT_FROM['net']}",
                    -found.exponent,
                    f"{law} = {published:.3f} ({_PACCOLAT})",
                    published - 0.15,
                    published + 0.15,
                )
            )
    results += [
        Finding(
            f"{task}, kernel classification: exponent, P >= {FIT_FROM['svm']}",
            -curve(table, f"method == 'svm' and data == {task!r}", "svm").exponent,
            f"d/(3d - 2) = {lazy:.3f} ({_ISOTROPIC})",
            lazy - 0.05,
            lazy + 0.05,
        )
        for task in _present(table.query("method == 'svm'"), "data")
    ]
    results += [
        Finding(
            f"kernel regression, d∥ = {n}: exponent, P >= {FIT_FROM['regression']}",
            -curve(table, f"method == 'regression' and relevant_dim == {n}", "regression").exponent,
            f"1/d = {1 / dim:g} for any d∥ ({_ISOTROPIC})",
            1 / dim - 0.05,
            1 / dim + 0.05,
        )
        for n in _present(table.query("method == 'regression'"), "relevant_dim")
    ]
    return results


def _present(table: pd.DataFrame, column: str) -> list:
    """Values of a column, in the order of their first rows."""
    return list(dict.fromkeys(table[column].tolist()))


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Learning curves of nets, of classification and of regression."""
    dim = int(table["dim"].iloc[0])
    lazy, feature = dim / (3 * dim - 2), (2 * dim - 1) / (3 * dim - 2)
    fig, (nets, classification, regression) = row_of_panels(3)
    for (name, own), color, slope in zip(
        net_curves(table, "stripe").items(), (COLORS[1], COLORS[0]), (feature, lazy), strict=True
    ):
        guide = (-slope, f"slope -{slope:.3f} (2007.11471)")
        draw_seed_curve(nets, own, color=color, label=name, published=guide)
    wide = curve(table, "method == 'svm' and data == 'stripe'")
    draw_seed_curve(nets, wide, color=COLORS[2], label="infinitely wide, support vectors")
    panels = (
        (classification, "svm", "data", -lazy, "2006.09754"),
        (regression, "regression", "relevant_dim", -1 / dim, "2006.09754"),
    )
    for axes, method, column, slope, source in panels:
        chosen = table.query(f"method == {method!r}")
        for k, value in enumerate(_present(chosen, column)):
            query = f"method == {method!r} and {column} == {value!r}"
            name = value if column == "data" else f"$d_\\parallel$ = {value}"
            label = f"{name}: slope {curve(table, query, method).exponent}"
            guide = (slope, f"slope {slope:.3f} ({source})") if k == 0 else None
            draw_seed_curve(axes, curve(table, query), color=COLORS[k], label=label, published=guide)
    nets.set(title=f"Nets on the stripe, d = {dim}", ylabel="test error")
    nets.set_ylim(top=1.0)  # room for the legend
    classification.set(title="Kernel classification", ylabel="test error")
    regression.set(title="Kernel regression", ylabel="mean square error / variance")
    for axes in (nets, classification, regression):
        axes.set_xlabel("training patterns P")
        axes.legend(fontsize=7.5, loc="upper right" if axes is nets else "lower left")
    return fig
