r"""Teacher and student kernels: exponents of regression follow from the smoothness of target and kernel.

**Question.** How fast does the error of kernel regression fall with the number $P$ of training points, and
what determines the exponent?

**Law.** The target is a Gaussian random field, the teacher, whose spectral density falls as $k^{-\alpha_T}$.
The regression uses another kernel, the student, with $\alpha_S$. On a manifold of $d$ dimensions the mean
squared error falls as $P^{-\beta}$,

$$\beta = \frac{1}{d} \min(\alpha_T - d, 2 \alpha_S),$$

with $\alpha = d + 1$ for the Laplace kernel $e^{-r}$, $d + 3$ for the Matern kernel $(1 + \sqrt{3} r)
e^{-\sqrt{3} r}$, and $\alpha = \infty$ for the Gaussian kernel (Spigler, Geiger, Wyart 2020,
arXiv:1905.10843). A rough target limits the exponent to $1/d$: the curse of dimensionality. On images the
exponent is larger than their dimension suggests: $\beta \approx 0.4$ on the parity of MNIST digits.

**How.** Points are uniform on the unit sphere in $d + 1$ dimensions, which has no boundary; the length scale
of all kernels is 1, each set of points has 32 fields, and the regression interpolates without regularisation.
Exponents are fitted to $P \geq 256$. The bands, 15 % of the exponent, are ours. MNIST: raw pixels from 0 to
1, parity as a number ±1, Laplace kernel of length 10, the typical distance between two images; 2,000 test
images. The Gaussian kernel as student is left out: without regularisation its matrix is singular to rounding.

**Figure.** Error over variance against $P$ for pairs of teacher and student, with the predicted exponents;
error and misclassified images of MNIST against $P$.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import pandas as pd
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from symnets.config import SEED, at_least, check_ranges
from symnets.data import (
    Covariance,
    balanced_subset,
    covariance_matrix,
    load_images,
    parity_labels,
    sphere_points,
)
from symnets.estimates import SeedCurve
from symnets.observables.kernels import kernel_regression
from symnets.report import COLORS, draw_seed_curve, row_of_panels, style
from symnets.setups import regression_error, seeded_generator
from symnets.sweeps import Arrays, Finding, Result, Scalar, grid

__all__ = ["CLAIMS", "PRESETS", "Config", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ("C13",)
FIT_FROM = 256
"""Exponents are fitted to this number of training points and more."""
_SPIGLER = "Spigler et al. 2020, arXiv:1905.10843"
_LENGTH = 10.0  # of the kernel of images
_ROUGHNESS = {"laplace": 1.0, "matern32": 3.0, "gaussian": float("inf")}  # alpha - d


@dataclass(frozen=True)
class Config:
    """Configuration of a kernel regression of random fields on a sphere, or of the parity of images."""

    n_train: int = 256
    """P, number of training points."""
    n_test: int = 500
    """Number of test points."""
    task: Literal["fields", "mnist", "digits"] = "fields"
    """Regression of random fields, or of the parity of the images of a data set."""
    dim: int = 2
    """d, dimension of the sphere; not used for images."""
    teacher: Covariance = "laplace"
    """Covariance of the fields."""
    student: Covariance = "laplace"
    """Kernel of the regression of fields; that of images is the Laplace kernel."""
    n_fields: int = 32
    """Number of fields for each set of points."""
    seed: int = 0
    """Seed of points and fields, or of the choice of training images."""

    def __post_init__(self) -> None:
        check_ranges(
            "",
            self,
            n_train=at_least(2),
            n_test=at_least(1),
            dim=at_least(1),
            n_fields=at_least(1),
            seed=SEED,
        )


PAIRS: tuple[tuple[Covariance, Covariance], ...] = (
    ("laplace", "laplace"),
    ("laplace", "matern32"),
    ("matern32", "laplace"),
    ("matern32", "matern32"),
    ("gaussian", "laplace"),
)
"""Pairs of teacher and student."""


def _grids(
    sizes: Sequence[int], images: Sequence[int], n_seeds: int, dims: Sequence[int]
) -> tuple[Config, ...]:
    fields = tuple(
        config
        for teacher, student in PAIRS
        for config in grid(
            Config, dim=dims, teacher=teacher, student=student, n_train=sizes, seed=range(n_seeds)
        )
    )
    return fields + grid(Config, task="mnist", n_train=images, n_test=2000, seed=range(3))


PRESETS = {
    "quick": _grids((64, 128, 256, 512, 1024), (125, 250, 500, 1000, 2000, 4000), 5, (2,)),
    "paper": _grids(
        (64, 128, 256, 512, 1024, 2048, 4096), (125, 250, 500, 1000, 2000, 4000, 8000), 10, (2, 4)
    ),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Interpolate fields or parities.

    Rows have `squared_error`, the mean squared error over the variance of the target; and `misclassified`,
    the fraction of test images with the wrong sign, NaN for fields.
    """
    return [Result(_fields(config) if config.task == "fields" else _images(config)) for config in configs]


def _fields(config: Config) -> dict[str, Scalar]:
    generator = seeded_generator(config.seed, 1)
    d = config.dim
    x = sphere_points(config.n_test + config.n_train, d + 1, generator=generator) / (d + 1) ** 0.5
    error = regression_error(
        x,
        covariance_matrix(x, x, config.teacher),
        lambda x1, x2: covariance_matrix(x1, x2, config.student),
        n_test=config.n_test,
        n_fields=config.n_fields,
        generator=generator,
    )
    return {"verdict": "DONE", "squared_error": error, "misclassified": float("nan")}


def _images(config: Config) -> dict[str, Scalar]:
    x, y = _parities(config.task, "train", config.n_train, config.seed)
    x_test, y_test = _parities(config.task, "test", config.n_test, 0)
    kernel, test_kernel = (torch.exp(-torch.cdist(each, x) / _LENGTH) for each in (x, x_test))
    found = kernel_regression(kernel, y, test_kernel).test_outputs
    assert found is not None
    return {
        "verdict": "DONE",
        "squared_error": float((found - y_test).square().mean()),
        "misclassified": float((~(found * y_test > 0)).double().mean()),
    }


@lru_cache(maxsize=4)
def _parities(
    name: str, part: Literal["train", "test"], n: int, seed: int
) -> tuple[Float[Tensor, "n pixels"], Float[Tensor, " n"]]:
    """A balanced subset of images, pixels from 0 to 1, with the parity of their digits."""
    images = load_images(name, part)
    y = parity_labels(images.labels).double()
    chosen = balanced_subset(y, n, seed)
    return images.flat()[chosen].double() / 255, y[chosen]


def curve(table: pd.DataFrame, pair: tuple[str, str], dim: int) -> SeedCurve:
    """Error against P for one teacher and student."""
    chosen = (table["task"] == "fields") & (table["dim"] == dim)
    rows: Any = table[chosen & (table["teacher"] == pair[0]) & (table["student"] == pair[1])]
    return SeedCurve.from_table(rows, "n_train", "squared_error")


def image_curve(table: pd.DataFrame, quantity: str) -> SeedCurve:
    """Curve of a column of the table against P, for images."""
    rows: Any = table[table["task"] != "fields"]
    return SeedCurve.from_table(rows, "n_train", quantity)


def beta(teacher: str, student: str, dim: int) -> float:
    """Predicted exponent β = min(α_T - d, 2 α_S)/d of the error in P."""
    return min(_ROUGHNESS[teacher], 2 * (_ROUGHNESS[student] + dim)) / dim


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Exponents of each teacher and student, and of images."""
    results = []
    for dim in sorted(set(table.loc[table["task"] == "fields", "dim"])):
        for pair in PAIRS:
            expected = beta(*pair, dim)
            results.append(
                Finding(
                    f"exponent, teacher {pair[0]}, student {pair[1]}, d = {dim}",
                    -curve(table, pair, dim).between(FIT_FROM).exponent,
                    f"min(α_T - d, 2 α_S)/d = {expected:.3g} ({_SPIGLER})",
                    0.85 * expected,
                    1.15 * expected,
                )
            )
    if set(table["task"]) - {"fields"}:
        for quantity, name in (
            ("squared_error", "mean squared error"),
            ("misclassified", "fraction misclassified"),
        ):
            results.append(
                Finding(
                    f"exponent of the {name}, parity of images, P >= {FIT_FROM}",
                    -image_curve(table, quantity).between(FIT_FROM).exponent,
                    f"about 0.4 on MNIST ({_SPIGLER})",
                    0.3,
                    0.5,
                )
            )
    return results


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Errors of fields and of images against P."""
    dims = sorted(set(table.loc[table["task"] == "fields", "dim"]))
    fig, panels = row_of_panels(len(dims) + 1)
    for axes, dim in zip(panels, dims, strict=False):
        for k, pair in enumerate(PAIRS):
            found, expected = curve(table, pair, dim), beta(*pair, dim)
            draw_seed_curve(
                axes,
                found,
                color=COLORS[k],
                label=f"{pair[0]}, {pair[1]}: {found.between(FIT_FROM).exponent}",
                published=(-expected, f"slope -{expected:.3g}"),
            )
        axes.set(title=f"Teacher, student on a sphere, d = {dim}", xlabel="training points P")
        axes.set(ylabel="error / variance")
    for k, (quantity, name) in enumerate(
        (("squared_error", "squared error"), ("misclassified", "misclassified"))
    ):
        found = image_curve(table, quantity)
        draw_seed_curve(
            panels[-1],
            found,
            color=COLORS[k],
            label=f"{name}: {found.between(FIT_FROM).exponent}",
            published=(-0.4, "slope -0.4 (1905.10843)" if not k else "_"),
        )
    panels[-1].set(title="Parity of images", xlabel="training images P", ylabel="error")
    for axes in panels:
        axes.legend(fontsize=6.5)
    return fig
