r"""Kernel after training: the tangent kernel at the end of training predicts as well as the net.

**Question.** A net that learns features ends with another tangent kernel than it began with. Does this kernel
contain what the net has learned: does a kernel method with the final kernel do as well as the net, and better
than with the initial one?

**Law.** Error of the final kernel ≈ error of the net < error of the initial kernel, where learning features
helps: on the stripe, and for convolutional nets on images (Geiger et al. 2020, arXiv:1906.08034; Paccolat et
al. 2021, arXiv:2007.11471). For fully connected nets on images, and on the sphere, the opposite is expected.

**How.** Gradient flow of the quadratic hinge loss from $F = \tilde\alpha (f(w) - f(w_0))$ with
$\tilde\alpha < 1$, until all patterns are satisfied. The tangent kernels of $f$ at $w_0$ and at the end
are used in a support vector machine with a hard margin, and in gradient flow from zero on the frozen kernel
with the loss of the net, which stops at first satisfaction as the net does. Net and kernels have the same
training and test patterns; differences are taken seed by seed.

- *Stripe*: $d = 5$, one hidden layer of ReLU.
- *MNIST*: parity of digits of 14 x 14 pixels, three convolutions of stride 2, trained by full-batch Adam
  in place of gradient flow, which would take a hundred times as long.

The band of 1.5 % is ours.

**Figure.** Test errors of the net and of the four kernel methods, a point for each seed, with means.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from symnets.estimates import Estimate, mean_over_seeds
from symnets.observables import tangent_kernel
from symnets.observables.kernels import kernel_flow, kernel_svm
from symnets.report import COLORS, FAINT, row_of_panels, style
from symnets.setups import LOSSES, RegimeConfig, batch_key, descend_regime, runs_by_task, train_regime
from symnets.sweeps import Arrays, Finding, Result, grid

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ("D9",)
MAX_BATCH = 8
TOLERANCE = 0.015
"""Largest difference between the test errors of net and final kernel that counts as agreement."""
_SOURCE = "Paccolat et al. 2021, arXiv:2007.11471"
_METHODS = {
    "test_error": "net",
    "svm_final": "final kernel, SVM",
    "flow_final": "final kernel, flow",
    "svm_initial": "initial kernel, SVM",
    "flow_initial": "initial kernel, flow",
}


@dataclass(frozen=True)
class Config(RegimeConfig):
    """Configuration of a net in the feature regime, whose kernels are measured before and after training."""

    n_test: int = 2000
    alpha_tilde: float = 0.1


_IMAGES = {"data": "mnist", "net": "convolutional", "pixels": 14, "depth": 3}
PRESETS = {
    "quick": grid(Config, n_train=256, budget=500, seed=range(5))
    + grid(Config, n_train=1000, width=16, dtype="float32", budget=500, seed=range(4), **_IMAGES),
    "paper": grid(Config, n_train=(128, 256, 512, 1024), n_test=10_000, width=400, seed=range(10))
    + grid(Config, n_train=(500, 1000, 2000), n_test=10_000, width=64, seed=range(10), **_IMAGES),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Train nets, then predict with their kernels.

    Rows are those of `TrainedRegime.rows` with the test errors `svm_initial`, `svm_final`, `flow_initial` and
    `flow_final` of both kernel methods with both kernels.
    """
    train = descend_regime if configs[0].net == "convolutional" else train_regime
    trained = train(configs)
    rows = trained.rows(configs)
    loss = LOSSES[configs[0].loss]()
    start = trained.initial_model()
    for s, row in enumerate(rows):
        x, y = (part[s] for part in trained.train)
        x_test, y_test = (part[s] for part in trained.test)
        for name, nets in (("initial", start), ("final", trained.model)):
            net = nets.member(s)
            kernel, test_kernel = tangent_kernel(net, x), tangent_kernel(net, x_test, x)
            unit = float(kernel.diagonal().mean())  # only rescales time; makes rounding errors comparable
            machine = kernel_svm(kernel, y, test_kernel)
            flow = kernel_flow(
                kernel / unit, y, loss, test_kernel / unit, max_time=1e8, tolerance=configs[s].tolerance
            )
            assert flow.test_outputs is not None
            wrong = flow.test_outputs[-1] * y_test.double() <= 0
            row |= {
                f"svm_{name}": machine.error(y_test),
                f"flow_{name}": float(wrong.double().mean()),
                f"flow_{name}_verdict": flow.verdict,
            }
    return [Result(row) for row in rows]


def difference(lines: pd.DataFrame, one: str, other: str) -> Estimate:
    """Mean over seeds of the difference of two errors of the same patterns."""
    return mean_over_seeds(list((lines[one] - lines[other]).to_numpy()))


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Final kernel against net, initial against final kernel, and the two kernel methods, for each task."""
    result = []
    for name, lines in runs_by_task(table).items():
        for method, words in (("svm", "SVM"), ("flow", "flow")):
            result += [
                Finding(
                    f"error of the final kernel minus that of the net, {words}, {name}",
                    difference(lines, f"{method}_final", "test_error"),
                    f"0: as good as the net ({_SOURCE}); within 1.5 %",
                    -TOLERANCE,
                    TOLERANCE,
                ),
                Finding(
                    f"error of the initial kernel minus that of the final one, {words}, {name}",
                    difference(lines, f"{method}_initial", f"{method}_final"),
                    f"above 0 ({_SOURCE})",
                    np.nextafter(0, 1),
                    1.0,
                ),
            ]
        result.append(
            Finding(
                f"error of the SVM minus that of the flow, final kernel, {name}",
                difference(lines, "svm_final", "flow_final"),
                "0: both interpolate; within 1.5 % is ours",
                -TOLERANCE,
                TOLERANCE,
            )
        )
    return result


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Test errors of net and kernels, a panel for each task."""
    by_task = runs_by_task(table)
    fig, panels = row_of_panels(len(by_task))
    for axes, (name, lines) in zip(panels, by_task.items(), strict=True):
        for place, (column, color) in enumerate(
            zip(_METHODS, (COLORS[0], *[COLORS[1]] * 2, *[FAINT] * 2), strict=True)
        ):
            values = lines[column].to_numpy(dtype=float)
            spread = np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else np.zeros(1)
            axes.plot(place + spread, values, "o", markersize=4, color=color)
            mean = mean_over_seeds(list(values))
            axes.errorbar(
                place, mean.value, mean.error or 0, fmt="_", markersize=22, capsize=4, color="black"
            )
        axes.set_xticks(
            range(len(_METHODS)), [label.replace(", ", ",\n") for label in _METHODS.values()], fontsize=7.5
        )
        axes.set(title=name, ylabel="test error", ylim=(0, None))
    return fig
