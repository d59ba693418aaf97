r"""Fluctuations of the tangent kernel: over initial weights they fall as h^(-1/2) with the width h.

**Question.** The kernel of an infinitely wide net does not depend on its initial weights. How fast does the
dependence vanish with the width $h$? Does it vanish as fast after training, when features have been learned?

**Law.** At initialisation the tangent kernel $\Theta$ is an average over units, so that it fluctuates over
initial weights as

$$\|\Theta - \langle \Theta \rangle\| \sim h^{-1/2} \sim N^{-1/4},$$

and so does the output $f$ after training in the lazy regime (Geiger et al. 2019, arXiv:1901.01608). In the
feature regime the net is an average over units, too, whose distribution does not depend on $h$: the exponent
is the same (Geiger et al. 2020, arXiv:1906.08034).

**How.** Two hidden layers of ReLU on Gaussian points in $d = 10$ with the labels of a random net (`teacher`),
the same for all nets; gradient flow of the predictor $F = \tilde\alpha (f(w) - f(w_0))$ until all patterns
are satisfied. The largest $\tilde\alpha$ gives the lazy regime, the smallest the feature regime. A run is a
pair of nets $a$, $b$ with different initial weights. The relative fluctuation is

$$\frac{\|\Theta_a - \Theta_b\|}{\sqrt{2\, \Theta_a \cdot \Theta_b}}$$

on the training patterns, before and after training, and that of the output is $\langle (F_a - F_b)^2
\rangle^{1/2} / \sqrt{2}$ on test patterns. Errors come from resampling pairs. The bands are our choice: ± 0.1
for the kernel and ± 0.15 for the output, whose fluctuations at small widths are not small.

**Figure.** Fluctuations of the kernel at the start and at the end of both regimes, and of the output, against
the width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from symnets.estimates import SeedCurve
from symnets.report import COLORS, draw_seed_curve, mark_values, row_of_panels, style
from symnets.setups import RegimeConfig, batch_key, regime_kernels, train_regime
from symnets.sweeps import Arrays, Finding, Result, grid

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ("C3", "C10")
MAX_BATCH = 16
_EMORY, _DISENTANGLING = "Geiger et al. 2019, arXiv:1901.01608", "Geiger et al. 2020, arXiv:1906.08034"


@dataclass(frozen=True)
class Config(RegimeConfig):
    """Configuration of two nets that differ in their initial weights; pair k has the seeds 2k and 2k + 1."""

    n_train: int = 30
    n_test: int = 256
    data: str = "teacher"
    dim: int = 10
    depth: int = 2
    bias: bool = False
    data_seed: int | None = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data_seed is None:
            raise ValueError("data_seed: expected a number, got None; the nets of a pair share patterns")


PRESETS = {
    "quick": grid(Config, width=(16, 32, 64, 128, 256), alpha_tilde=(0.1, 100.0), seed=range(12)),
    "hour": grid(
        Config,
        width=(16, 32, 64, 128, 256, 512, 1024),
        alpha_tilde=(0.1, 1000.0),
        seed=range(16),
        n_train=100,
    ),
    "paper": grid(
        Config,
        width=(16, 32, 64, 128, 256, 512, 1024, 2048),
        alpha_tilde=(0.01, 1.0, 1000.0),
        seed=range(32),
        n_train=300,
        data="mnist",
    ),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Train the pairs and compare their kernels and outputs.

    Rows have the relative fluctuations `initial_fluctuation` and `final_fluctuation` of the kernel, the
    `output_fluctuation`, and `n_unsatisfied`, the larger of both nets. The `verdict` is that of both nets, or
    MIXED if theirs differ.
    """
    pairs = [replace(c, seed=2 * c.seed + k) for c in configs for k in range(2)]
    trained = train_regime(pairs)
    initial, final = regime_kernels(trained)
    outputs = trained.predictor(trained.test.inputs).detach()
    results = []
    for k in range(len(configs)):
        a, b = 2 * k, 2 * k + 1
        verdicts = {trained.members.verdicts[net] for net in (a, b)}
        difference = (outputs[a] - outputs[b]).square().mean().sqrt()
        row = {
            "verdict": verdicts.pop() if len(verdicts) == 1 else "MIXED",
            "initial_fluctuation": _fluctuation(initial[a], initial[b]),
            "final_fluctuation": _fluctuation(final[a], final[b]),
            "output_fluctuation": float(difference) * 0.5**0.5,
            "n_unsatisfied": int(trained.members.n_unsatisfied[[a, b]].max()),
        }
        results.append(Result(row))
    return results


def _fluctuation(one: Tensor, other: Tensor) -> float:
    """|Θ_a - Θ_b| / (2 Θ_a · Θ_b)^(1/2), whose square is the variance over the square of the mean."""
    return float((one - other).norm() / (2 * (one * other).sum()).sqrt())


def curves(table: pd.DataFrame) -> dict[str, SeedCurve]:
    """Fluctuations against the width: of the initial kernel, and of kernel and output in both regimes."""
    scales = sorted(float(scale) for scale in set(table["alpha_tilde"]))
    found = {
        "kernel at initialisation": SeedCurve.from_table(
            table.query(f"alpha_tilde == {scales[-1]!r}"), "width", "initial_fluctuation"
        )
    }
    for quantity, column in (("kernel", "final_fluctuation"), ("output", "output_fluctuation")):
        for regime, scale in (("lazy", scales[-1]), ("feature", scales[0])):
            part = table.query(f"alpha_tilde == {scale!r}")
            found[f"{quantity} after {regime} training"] = SeedCurve.from_table(part, "width", column)
    return found


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Exponents in the width."""
    low, high = min(table["alpha_tilde"]), max(table["alpha_tilde"])
    results = []
    for name, curve in curves(table).items():
        source = _DISENTANGLING if "feature" in name else _EMORY
        width = 0.15 if name.startswith("output") else 0.1
        scale = f", α̃ = {low if 'feature' in name else high:g}" if "after" in name else ""
        results.append(
            Finding(
                f"exponent in h of the fluctuations of the {name}{scale}, {len(curve.values)} pairs",
                curve.exponent,
                f"-1/2 ({source})",
                -0.5 - width,
                -0.5 + width,
            )
        )
    return results


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Fluctuations of kernel and output against the width."""
    fig, panels = row_of_panels(2)
    titles = "Tangent kernel", "Output"
    labels = "relative fluctuation of the kernel", "fluctuation of the output"
    for axes, quantity, title, label in zip(panels, ("kernel", "output"), titles, labels, strict=True):
        chosen = [(name, curve) for name, curve in curves(table).items() if name.startswith(quantity)]
        for color, (name, curve) in zip(COLORS[0 if quantity == "kernel" else 1 :], chosen, strict=False):
            guide = (-0.5, "slope -1/2 (1901.01608)") if name == chosen[0][0] else None
            what = f"{name.removeprefix(quantity + ' ')}: slope {curve.exponent}"
            draw_seed_curve(axes, curve, color=color, label=what, published=guide)
            mark_values(axes, curve.x)
        axes.set(title=title, xlabel="width h", ylabel=label)
        axes.set_ylim(bottom=axes.get_ylim()[0] / 2)  # room for the legend
        axes.legend(fontsize=7.5, loc="lower left")
    return fig
