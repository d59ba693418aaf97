r"""Eigenvectors of the kernel: after training the labels lie mostly on the first eigenvectors.

**Question.** What changes in the tangent kernel of a net that learns features?

**Law.** In kernel regression the projection $\omega_r = \phi_r \cdot y$ of the labels on the eigenvector
$\phi_r$ of eigenvalue $\lambda_r$ is learned at the rate $\lambda_r$, so a kernel suits a task if its first
eigenvectors carry the labels. Training in the feature regime leads to this: the fraction $\sum_{r \leq R}
\omega_r^2 / |y|^2$ of the labels on the first $R$ eigenvectors rises, and so does the mutual information
between the first eigenvectors and the label (Geiger et al. 2020, arXiv:1906.08034; Paccolat et al. 2021,
arXiv:2007.11471). This happens on MNIST as on the stripe, where the relevant direction is known.

**How.** Nets as in `kernel_after_training`, $P = 500$. Kernels of the training patterns at $w_0$ and at the
end of training; equal numbers of labels $\pm 1$. Mutual information is estimated with 10 bins of equal
counts and the Miller-Madow correction; its largest possible value is $\ln 2$ nats. The published result is a
set of curves. It is compared by two numbers, with bands of ours: the fraction of the labels on the first ten
eigenvectors should rise by 0.1 or more, and their largest mutual information by a factor of 1.5 or more.

**Figure.** Fraction of the labels on the first $R$ eigenvectors, and mutual information of each of the first
ten, before and after training; means over seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from symnets.estimates import mean_over_seeds
from symnets.observables.kernels import effective_rank, label_projections, mutual_information
from symnets.report import COLORS, FAINT, row_of_panels, style
from symnets.setups import (
    RegimeConfig,
    batch_key,
    descend_regime,
    regime_kernels,
    runs_by_task,
    train_regime,
)
from symnets.sweeps import Arrays, Finding, Result, grid

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ("D8",)
MAX_BATCH = 8
FIRST, BINS = 10, 10
"""Number of first eigenvectors that are analysed, and number of bins of their entries."""
_SOURCE = "Paccolat et al. 2021, arXiv:2007.11471"
_MOMENTS = ("initial", "final")


@dataclass(frozen=True)
class Config(RegimeConfig):
    """Configuration of a net in the feature regime; its kernel is diagonalised before and after training."""

    n_train: int = 500
    n_test: int = 2000
    alpha_tilde: float = 0.1


_IMAGES = {"data": "mnist", "net": "convolutional", "pixels": 14, "depth": 3}
PRESETS = {
    "quick": grid(Config, budget=500, seed=range(3))
    + grid(Config, width=16, dtype="float32", budget=500, seed=range(3), **_IMAGES),
    "paper": grid(Config, width=400, seed=range(10)) + grid(Config, width=64, seed=range(10), **_IMAGES),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Train nets, and diagonalise their kernels on the training patterns.

    Rows are those of `TrainedRegime.rows` with the effective rank of both kernels (`rank_initial`,
    `rank_final`), the fraction of the labels on the first eigenvectors (`fraction_...`) and the largest
    mutual information of these with the label (`information_...`). Arrays are the first 100 cumulative
    fractions (`cumulative_...`), and the mutual information of each first eigenvector (`information_...`).
    """
    train = descend_regime if configs[0].net == "convolutional" else train_regime
    trained = train(configs)
    kernels, results = regime_kernels(trained), []
    for s, row in enumerate(trained.rows(configs)):
        y, arrays = trained.train.targets[s], {}
        for name, kernel in zip(_MOMENTS, (each[s] for each in kernels), strict=True):
            found = label_projections(kernel, y)
            cumulative = found.fractions.cumsum(0)[:100].cpu().numpy()
            information = mutual_information(found.eigenvectors[:, :FIRST], y, n_bins=BINS).cpu().numpy()
            arrays |= {f"cumulative_{name}": cumulative, f"information_{name}": information}
            row |= {
                f"rank_{name}": float(effective_rank(kernel)),
                f"fraction_{name}": float(cumulative[min(FIRST, len(cumulative)) - 1]),
                f"information_{name}": float(information.max()),
            }
        results.append(Result(row, arrays))
    return results


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Change of the fraction on the first eigenvectors, and of their mutual information, for each task."""
    result = []
    for name, lines in runs_by_task(table).items():
        rise = lines["fraction_final"] - lines["fraction_initial"]
        ratio = lines["information_final"] / lines["information_initial"]
        result += [
            Finding(
                f"rise of the fraction of labels on the first {FIRST} eigenvectors, {name}",
                mean_over_seeds(list(rise.to_numpy())),
                f"rises ({_SOURCE}); 0.1 or more is ours",
                0.1,
                1.0,
            ),
            Finding(
                f"largest mutual information of the first {FIRST} eigenvectors, final over initial, {name}",
                mean_over_seeds(list(ratio.to_numpy()), geometric=True),
                f"above 1 ({_SOURCE}); 1.5 or more is ours",
                1.5,
                np.inf,
            ),
        ]
    return result


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Cumulative fractions and mutual information, a pair of panels for each task."""
    by_task = runs_by_task(table)
    fig, panels = row_of_panels(2 * len(by_task))
    for k, (name, lines) in enumerate(by_task.items()):
        left, right = panels[2 * k : 2 * k + 2]
        for moment, color in zip(_MOMENTS, (FAINT, COLORS[0]), strict=True):
            runs = [arrays(index) for index in lines.index]
            cumulative = np.mean([run[f"cumulative_{moment}"] for run in runs], axis=0)
            information = np.array([run[f"information_{moment}"] for run in runs])
            left.plot(
                np.arange(1, len(cumulative) + 1), cumulative, "-", color=color, label=f"{moment} kernel"
            )
            places = np.arange(1, information.shape[1] + 1)
            right.plot(places, information.mean(0), "o-", markersize=4, color=color, label=f"{moment} kernel")
        left.set(
            title=name,
            xscale="log",
            xlabel="first R eigenvectors",
            ylabel="fraction of labels",
            ylim=(0, 1.02),
        )
        right.axhline(np.log(2), color=FAINT, linestyle=":", linewidth=1)
        right.set(
            title=f"{name.partition(', P')[0]} (dotted: ln 2)",
            xlabel="eigenvector r",
            ylabel="mutual information, nats",
        )
        for axes in (left, right):
            axes.legend(fontsize=7.5)
    return fig
