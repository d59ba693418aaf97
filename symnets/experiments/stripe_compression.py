r"""Compression on the stripe: feature learning shrinks irrelevant weights by the square root of P.

**Question.** Labels depend on one direction of the inputs. Do nets find this direction, and how closely do
the weights of their first layer align with it?

**Law.** One hidden layer of ReLU, $f = \frac{1}{h} \sum_n \beta_n \sigma(\omega_n \cdot x/\sqrt{d} + b_n)$,
predictor $\tilde\alpha (f - f_0)$. For small $\tilde\alpha$ weights grow until their initial values are
negligible. The gradient has a component of order one along the relevant direction, and components of order
$P^{-1/2}$ along the others, from the fluctuations of the $P$ training points. Hence weights turn towards the
relevant direction, and the compression

$$\lambda = \frac{\mathrm{rms}(\omega_\parallel)}{\mathrm{rms}(\omega_\perp)} \sim \sqrt{P}.$$

For large $\tilde\alpha$ (lazy training) weights do not move and $\lambda = 1$. Paccolat et al. 2021
(arXiv:2007.11471).

**How.** Stripe in five dimensions (the label is +1 between two planes), 200 units, gradient flow until more
than 10 % of patterns are satisfied in all nets of a batch, and for at least 40 steps. $\lambda$ is read where
10 % are first satisfied, interpolated along training; the published code takes the next record.
$\tilde\alpha = 10^{-6}$ as published, and $10^4$ for lazy training. The exponent is the mean over seeds of
the exponents of single seeds. Each seed has its own weights and points; the points at one $P$ contain those
at smaller $P$. The loss is the hinge, as published, and the quadratic hinge. The rotation is the mean
$\langle \omega_\parallel^2/|\omega|^2 \rangle$ over units at the end: $1/d$ for random weights, 1 if all
point along the relevant direction.

**Figure.** $\lambda$ at 10 % against $P$; $\lambda$ along training of the first seed; rotation against $P$.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symnets.estimates import Estimate, SeedCurve, fit_power_law, mean_over_seeds
from symnets.report import COLORS, FAINT, colors, draw_published_exponent, row_of_panels, style
from symnets.setups import CompressionCrossing, RegimeConfig, batch_key, regime_patterns, train_regime
from symnets.sweeps import Arrays, Finding, Result, grid
from symnets.training import Callback, TrainState, Verdict

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ("D2", "D12")
MAX_BATCH = 10
FEATURE, LAZY = 1e-6, 1e4
_PACCOLAT = "Paccolat et al. 2021, arXiv:2007.11471"
_N_RECORDS = 60  # number of records of the path that are kept


@dataclass(frozen=True)
class Config(RegimeConfig):
    """Configuration of a net on the stripe, trained until 10 % of its patterns have been satisfied."""

    n_test: int = 0
    width: int = 200
    alpha_tilde: float = FEATURE
    loss: str = "hinge"  # pyright: ignore
    budget: int = 600
    stride: int = 1


_SIZES = (32, 64, 128, 256, 512, 1024)


def _grids(n_seeds: int, **settings: Any) -> tuple[Config, ...]:
    """Feature learning with two losses, and lazy training with the hinge."""
    losses = ("hinge", "quadratic_hinge")
    feature = grid(Config, n_train=_SIZES, loss=losses, seed=range(n_seeds), **settings)
    lazy = grid(Config, n_train=(32, 1024), alpha_tilde=LAZY, seed=range(5), **settings)
    return feature + lazy


PRESETS = {"quick": _grids(20), "paper": _grids(50, width=2000, dim=10, budget=2000)}


class _UntilCrossed(Callback):
    """End the flow of all members once all have crossed the level, after at least 40 steps."""

    def __init__(self, crossing: CompressionCrossing) -> None:
        self.crossing = crossing

    def after_step(self, state: TrainState) -> None:
        if state.members is not None and state.step >= 40 and not self.crossing.factor.isnan().any():
            for index in state.members.active.nonzero()[:, 0].tolist():
                state.members.finish(index, Verdict.UNCONVERGED)


def run(configs: Sequence[Config]) -> list[Result]:
    """Train the nets and measure their compression.

    Rows are those of `TrainedRegime.rows` with `compression`, λ where 10 % of patterns are first satisfied,
    and `compression_end` (λ) and `rotation` at the end. Seed 0 has the arrays `fraction`, of satisfied
    patterns, and `path`, λ, along training.
    """
    first = configs[0]
    relevant = regime_patterns(first).relevant
    if relevant is None:
        raise ValueError(f"data: expected a task with a relevant subspace, got {first.data!r}")
    crossing = CompressionCrossing(relevant, first.n_train)
    trained = train_regime(configs, [crossing, _UntilCrossed(crossing)])
    weights = trained.model.weights[0].detach()
    rotation = ((weights @ relevant.to(weights)).square().sum(-1) / weights.square().sum(-1)).mean(-1)
    chosen = np.unique(np.linspace(0, len(crossing.path) - 1, _N_RECORDS).round().astype(int))
    results = []
    for k, row in enumerate(trained.rows(configs)):
        fraction, path = crossing.path[chosen, :, k].T.float().numpy()
        measured = {
            "verdict": "DONE",  # the flow is not meant to satisfy all patterns
            "compression": float(crossing.factor[k]),
            "compression_end": float(crossing.path[-1, 1, k]),
            "rotation": float(rotation[k]),
        }
        arrays = {"fraction": fraction, "path": path} if configs[k].seed == 0 else {}
        results.append(Result(row | measured, arrays))
    return results


def regimes(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Rows of feature learning by loss, and those of lazy training."""
    for loss in sorted(set(table["loss"])):
        if len(part := table.query(f"alpha_tilde < 1 and loss == {loss!r}")):
            yield f"feature, {loss.replace('_', ' ')}", part
    if len(part := table.query("alpha_tilde > 1")):
        yield "lazy", part


def exponent(curve: SeedCurve) -> Estimate:
    """Mean over seeds of the exponents of single seeds; NaN with fewer than three points."""
    if len(curve.x) < 3:
        return Estimate(float("nan"))
    return mean_over_seeds([fit_power_law(curve.x, values).exponent.value for values in curve.values])


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """The exponent of λ in P and the rotation of feature learning, and λ of lazy training."""
    results = []
    for name, part in regimes(table):
        dim = int(part["dim"].iloc[0])
        curve = SeedCurve.from_table(part, "n_train", "compression")
        last = part.query(f"n_train == {part['n_train'].max()}")
        where = f"{name}, d = {dim}, n = {len(curve.values)}"
        largest = f"P = {curve.x[-1]:g}, {where}" if len(curve.x) else where
        rotation = mean_over_seeds(last["rotation"].tolist())
        if name == "lazy":
            end = mean_over_seeds(last["compression_end"].tolist())
            results += [
                Finding(f"λ at the end, {largest}", end, f"1 ({_PACCOLAT})", 0.9, 1.1),
                Finding(
                    f"mean ω∥²/|ω|² at the end, {largest}",
                    rotation,
                    f"1/d = {1 / dim:g}: no rotation ({_PACCOLAT})",
                    0.9 / dim,
                    1.1 / dim,
                ),
            ]
            continue
        results += [
            Finding(
                f"exponent of λ at 10 % satisfied against P, {where}",
                exponent(curve),
                f"1/2 ({_PACCOLAT})",
                0.38,
                0.62,
            ),
            Finding(
                f"mean ω∥²/|ω|² at the end, {largest}",
                rotation,
                f"near 1: neurons turn ({_PACCOLAT}); we ask for 1/2",
                0.5,
                1.0,
            ),
        ]
    return results


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """λ against P, λ along training, and rotation."""
    fig, (factor, path, rotation) = row_of_panels(3)
    for (name, part), color in zip(regimes(table), COLORS, strict=False):
        curve = SeedCurve.from_table(part, "n_train", "compression")
        if len(curve.values):
            middle = np.exp(np.log(curve.values).mean(0))
            spread = middle * np.log(curve.values).std(0) / len(curve.values) ** 0.5
            label = name if name == "lazy" else f"{name}: slope {exponent(curve)}"
            factor.errorbar(
                curve.x, middle, spread, fmt="o-", capsize=2, markersize=4, color=color, label=label
            )
        turned = SeedCurve.from_table(part, "n_train", "rotation")
        rotation.errorbar(turned.x, turned.mean, turned.error, fmt="o-", capsize=2, color=color, label=name)
        if name.startswith("feature") and len(curve.values):
            between, through = (float(curve.x[0]), float(curve.x[-1])), (float(curve.x[0]), float(middle[0]))
            label = "slope 1/2 (2007.11471)" if color == COLORS[0] else "_"
            draw_published_exponent(factor, 0.5, through=through, between=between, label=label)
    _draw_paths(path, table, arrays)
    dim = int(table["dim"].iloc[0])
    rotation.axhline(1 / dim, color=FAINT, linestyle="--", linewidth=1.2, label="random weights, 1/d")
    factor.set(
        title="Compression at 10 % satisfied", xlabel="training patterns P", ylabel="geometric mean of λ"
    )
    factor.set(xscale="log", yscale="log")
    rotation.set(title="Rotation at the end", xlabel="training patterns P", xscale="log", ylim=(0, 1.05))
    rotation.set_ylabel("mean $\\omega_\\parallel^2/|\\omega|^2$")
    low, high = factor.get_ylim()
    factor.set_ylim(low, 6 * high)  # room for the legend
    factor.legend(fontsize=7.5, loc="upper left")
    path.legend(fontsize=7.5, loc="lower right")
    rotation.legend(fontsize=7.5, loc="center right")
    return fig


def _draw_paths(axes: Axes, table: pd.DataFrame, arrays: Arrays) -> None:
    """Draw λ against the fraction of satisfied patterns, for seed 0 at each P."""
    losses = sorted(set(table["loss"]))
    loss = "hinge" if "hinge" in losses else losses[0]
    chosen = table.query(f"seed == 0 and alpha_tilde < 1 and loss == {loss!r}").sort_values("n_train")
    for (name, n), color in zip(chosen["n_train"].items(), colors(len(chosen)), strict=True):
        run = arrays(str(name))
        axes.plot(run["fraction"], run["path"], color=color, linewidth=1, label=f"P = {n}")
    axes.axvline(0.1, color=FAINT, linestyle=":", linewidth=1)
    axes.set(title=f"Training, {loss.replace('_', ' ')}", xlabel="fraction of satisfied patterns")
    axes.set(ylabel="compression λ", yscale="log")
