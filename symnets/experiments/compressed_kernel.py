r"""Compressed kernel: dividing irrelevant inputs by √P gives a kernel the feature-training exponent.

**Question.** Nets that learn features compress the directions of the inputs on which labels do not depend.
Is that compression all of their advantage: does a fixed kernel on compressed inputs learn as fast?

**Law.** Points are Gaussian in $d$ dimensions. The label is +1 inside a stripe, between two planes
perpendicular to one direction $x_\parallel$, and -1 outside of it. The test error of a support vector machine
with the tangent kernel of an infinitely wide net falls with the number $P$ of training points as
$P^{-\beta}$:

$$\beta = \frac{d}{3d - 2} \quad\text{on } x, \qquad
\beta = \frac{2d - 1}{3d - 2} \quad\text{on } (x_\parallel, x_\perp/\sqrt{P}),$$

5/13 and 9/13 in $d = 5$ (Paccolat et al. 2021, arXiv:2007.11471). Compression by any factor $\lambda$ lowers
the error as $\lambda^{-2(d-1)/(3d-3+\xi)}$, with $\xi = 1$ for this kernel (Paccolat, Spigler, Wyart 2021,
arXiv:2006.09754): $\lambda^{-8/13}$ in $d = 5$. With $\lambda = \sqrt{P}$ this factor turns the first
exponent into the second.

**How.** One hidden layer of ReLU with standard normal biases, infinitely wide; support vector machine with a
hard margin. The training set of a seed at one $P$ contains those at smaller $P$; all seeds are tested on the
same points. Both exponents in $P$ are asymptotic. They are fitted to all $P \geq 512$, and to the last three
$P$. Errors come from resampling seeds.

**Figure.** Test error against $P$ on inputs as they are and compressed, with the published exponents; test
error against $\lambda$ at one $P$.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from symnets.config import SEED, at_least, check_ranges
from symnets.data import binary_task
from symnets.estimates import SeedCurve, mean_over_seeds
from symnets.report import COLORS, draw_seed_curve, row_of_panels, style
from symnets.setups import point_svm
from symnets.sweeps import Arrays, Finding, Result, grid

__all__ = ["CLAIMS", "PRESETS", "Config", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ("D3", "D6")
FIT_FROM = 512
"""Exponents are fitted to this number of training patterns and more, and to the last three numbers."""
_PACCOLAT, _ISOTROPIC = "Paccolat et al. 2021, arXiv:2007.11471", "Paccolat et al. 2021, arXiv:2006.09754"


@dataclass(frozen=True)
class Config:
    """Configuration of a support vector machine on points with compressed irrelevant directions."""

    n_train: int = 1024
    """P, number of training patterns."""
    n_test: int = 10_000
    """Number of test patterns."""
    data: str = "stripe"
    """Name of a task on points with a relevant subspace."""
    dim: int = 5
    """d, input dimension."""
    compression: float | None = 1.0
    """λ, factor by which irrelevant components are divided; None is √P."""
    seed: int = 0
    """Seed of the training patterns."""

    def __post_init__(self) -> None:
        check_ranges(
            "",
            self,
            n_train=at_least(2),
            n_test=at_least(1),
            dim=at_least(2),
            compression=at_least(1),
            seed=SEED,
        )

    @property
    def factor(self) -> float:
        """Factor λ by which irrelevant components are divided."""
        return self.n_train**0.5 if self.compression is None else self.compression


def _grids(sizes: Sequence[int], scan: int, n_seeds: int, **settings: int) -> tuple[Config, ...]:
    """Configurations of both curves against P, and of a scan of λ at P = `scan`."""
    seeds = range(n_seeds)
    curves = grid(Config, n_train=sizes, compression=(1.0, None), seed=seeds, **settings)
    factors = [2.0**k for k in range(1, 6) if 4.0**k < scan]
    return curves + grid(Config, n_train=scan, compression=factors, seed=seeds, **settings)


_SIZES = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
PRESETS = {
    "quick": _grids(_SIZES, 1024, n_seeds=5, dim=5),
    "hour": _grids((*_SIZES, 16_384), 1024, n_seeds=10, dim=5, n_test=200_000),
    "paper": _grids((*_SIZES, 16_384), 2048, n_seeds=10, dim=10, n_test=200_000),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Train and test one support vector machine for each configuration.

    Rows have `factor`, λ; `test_error`; `n_support`, the number of support vectors; `margin`, their distance
    from the interface in feature space; and `smallest_margin`, the smallest y f on training patterns, 1 if
    the machine has converged.
    """
    results = []
    for config in configs:
        task = binary_task(
            config.data, n_train=config.n_train, n_test=config.n_test, dim=config.dim, seed=config.seed
        )
        machine, error = point_svm(task, config.factor)
        row = {
            "verdict": "DONE",
            "factor": config.factor,
            "test_error": error,
            "n_support": len(machine.support),
            "margin": machine.margin,
            "smallest_margin": float((task.y_train * machine.outputs).min()),
        }
        results.append(Result(row))
    return results


def curves(table: pd.DataFrame) -> tuple[SeedCurve, SeedCurve, SeedCurve]:
    """Errors against P without compression and with λ = √P, and against λ at the P where λ was varied."""
    plain = table.query("factor == 1")
    root = table.query("abs(factor**2 - n_train) < 1e-6 * n_train")
    scan = table.query(f"n_train == {scanned(table)}")
    return (
        SeedCurve.from_table(plain, "n_train", "test_error"),
        SeedCurve.from_table(root, "n_train", "test_error"),
        SeedCurve.from_table(scan, "factor", "test_error"),
    )


def scanned(table: pd.DataFrame) -> int:
    """The P at which the error was measured for the largest number of factors λ."""
    counts = table.groupby("n_train")["factor"].nunique()
    return int(counts.index.to_numpy()[counts.to_numpy().argmax()])


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """The two exponents in P, the exponent in λ, and the gain by compression at the largest P."""
    dim = int(table["dim"].iloc[0])
    plain, root, scan = curves(table)
    where = f"d = {dim}"
    lazy, feature, in_factor = (
        dim / (3 * dim - 2),
        (2 * dim - 1) / (3 * dim - 2),
        2 * (dim - 1) / (3 * dim - 2),
    )
    largest = f"P = {plain.x[-1]:g}, {where}"
    in_size = [
        Finding(
            f"exponent on inputs {inputs}, {low:g} <= P <= {curve.x[-1]:g}, {where}",
            -curve.between(low).exponent,
            f"{law} = {value:.3f} ({_PACCOLAT})",
            value - half_width,
            value + half_width,
        )
        for curve, inputs, law, value, half_width in (
            (plain, "as they are", "d/(3d - 2)", lazy, 0.05),
            (root, "compressed by √P", "(2d - 1)/(3d - 2)", feature, 0.08),
        )
        for low in (FIT_FROM, float(curve.x[-3:][0]))
    ]
    return [
        *in_size,
        Finding(
            f"exponent in λ, P = {scanned(table)}, {where}",
            -scan.exponent,
            f"2(d - 1)/(3d - 2) = {in_factor:.3f} ({_ISOTROPIC})",
            in_factor - 0.08,
            in_factor + 0.08,
        ),
        Finding(
            f"error compressed by √P over error on inputs as they are, {largest}",
            mean_over_seeds(list(root.values[:, -1] / plain.values[:, -1])),
            f"below 1 ({_PACCOLAT})",
            0.0,
            0.5,
        ),
    ]


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Errors against P, and against λ."""
    dim = int(table["dim"].iloc[0])
    plain, root, scan = curves(table)
    fig, (left, right) = row_of_panels(2)
    for curve, color, label, published in (
        (plain, COLORS[0], "$x$", dim / (3 * dim - 2)),
        (root, COLORS[1], "$(x_\\parallel, x_\\perp/\\sqrt{P})$", (2 * dim - 1) / (3 * dim - 2)),
    ):
        exponent = curve.between(curve.x[-3:][0]).exponent
        guide = (-published, f"slope -{published:.3f} (2007.11471)")
        draw_seed_curve(left, curve, color=color, label=f"{label}: last slope {exponent}", published=guide)
    left.set(title="Compressed and not", xlabel="training patterns P", ylabel="test error")
    published = 2 * (dim - 1) / (3 * dim - 2)
    label, guide = f"P = {scanned(table)}: slope {scan.exponent}", f"slope -{published:.3f} (2006.09754)"
    draw_seed_curve(right, scan, color=COLORS[2], label=label, published=(-published, guide))
    right.set(title="Compression at one P", xlabel="compression λ", ylabel="test error")
    for axes in (left, right):
        axes.legend(fontsize=7.5, loc="lower left")
    return fig
