r"""Noise of SGD: weights grow with its temperature and with the size of the training set.

**Question.** How does the noise of SGD, of temperature $T$ = learning rate / batch size, change what is
learned, in a perceptron and in nets of different scale $\alpha$?

**Law.** With a hinge loss, training ends when all $P$ patterns are satisfied. Noise makes this harder:
weights along uninformative directions fluctuate with an amplitude of order $T$, and the informative ones have
to grow until they dominate even at the patterns nearest to the interface. For the change $\Delta w$ of the
weights and the training time $t^*$, Sclocchi, Geiger and Wyart 2023 (arXiv:2301.13703) find $\|\Delta w\|
\sim T^\delta P^\gamma$ and $t^* \sim T P^b$; a net whose weights hardly move at small $T$ (lazy, $\alpha \gg
1$) leaves that regime at $T_c \sim P^{-a}$. In a perceptron whose data have density $|x_1|^\chi$ at the
interface $x_1 = 0$, the exponents follow from $\chi$. The argument, in our words: let $w_1$ be the weight of
$x_1$, and $s = \|w_\perp\|$ the norm of the other weights. A fraction $n \sim (s/w_1)^{1 + \chi}$ of the
patterns is unsatisfied. Drift and diffusion of $w_\perp$ are proportional to $n$ and $n T$, and balance at $s
\sim T$. The drift of $w_1$ is $(s/w_1)^{2 + \chi}$, since $|x_1| \sim s/w_1$ at these patterns. Training ends
at $n \sim 1/P$, hence

$$w_1 \sim T P^{\gamma}, \quad \gamma = 1/(1 + \chi), \qquad t^* \sim T P^b, \quad b = 1 + 2\gamma,$$

for $T$ large in units of the margin. For small $T$ noise does not matter, and weights do not depend on $T$.

**How.** The perceptron $w \cdot x/\sqrt{d}$, $d = 16$, margin 1, starts at $w = 0$; steps without an
unsatisfied pattern are skipped in one go, exactly (`train_perceptron`). Its exponents in $T$ are fitted for
$T \geq 100$ and $T \leq 0.3$, far from the margin on either side; those in $P$ at the largest $T$ and
$P \gg d$. Nets: `RegimeConfig` on the stripe task, loss $\ell(\alpha (f(w) - f(w_0)))/\alpha$ with the hinge
$\ell$ and $f$ in the NTK parametrisation, batches of 16; weight changes are relative to the initial weights.
Averages are geometric means of the runs that satisfied all patterns. The bands are ours.

**Figure.** Perceptron: $\|w\|$ against $T$, and $\|w\|$ and $t^*$ against $P$ at the largest $T$. Nets:
relative weight change and test error against $T$, for each $\alpha$.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from symnets.config import SEED, at_least, check_ranges, more_than
from symnets.data import Batch
from symnets.estimates import Estimate, PowerLaw, fit_power_law, mean_over_seeds
from symnets.models import Dense, Scaled
from symnets.report import COLORS, draw_power_law, row_of_panels, style
from symnets.setups import (
    RegimeConfig,
    batch_key,
    held_out,
    interface_points,
    regime_net,
    regime_patterns,
    train_perceptron,
    weight_change,
)
from symnets.sweeps import Arrays, Finding, Result, Scalar, grid
from symnets.training import Criterion, Hinge, Trainer, TrainState, all_finished, descend_members, every

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ()
MAX_BATCH = 50
_SCLOCCHI = "Sclocchi et al. 2023, arXiv:2301.13703"


@dataclass(frozen=True)
class Config:
    """Configuration of a perceptron or a dense net, its patterns, and the temperature of SGD."""

    model: Literal["perceptron", "dense"] = "perceptron"
    """Perceptron on `interface_points`, or a dense net on the stripe task."""
    n_train: int = 2048
    """P, number of training patterns."""
    temperature: float = 1.0
    """T, learning rate / batch size."""
    chi: float = 1.0
    """χ, exponent of the density of points at the interface; for the perceptron only."""
    alpha: float = 1.0
    """α, scale of the predictor; for dense nets only."""
    dim: int = 16
    """d, input dimension."""
    batch_size: int = 1
    """Number of patterns per step."""
    width: int = 64
    """h, units of each hidden layer; for dense nets only."""
    depth: int = 1
    """L, number of hidden layers; for dense nets only."""
    n_test: int = 2048
    """Number of test patterns; for dense nets only."""
    budget: int = 1_000_000
    """Largest number of steps of a net, or of steps of a perceptron that change its weights."""
    seed: int = 0
    """Seed of patterns, weights and batches."""

    def __post_init__(self) -> None:
        check_ranges(
            "",
            self,
            n_train=at_least(2),
            temperature=more_than(0),
            chi=more_than(-1),
            alpha=more_than(0),
            dim=at_least(2),
            batch_size=at_least(1),
            width=at_least(1),
            depth=at_least(1),
            n_test=at_least(1),
            budget=at_least(1),
            seed=SEED,
        )


_NETS: dict[str, Any] = {"model": "dense", "dim": 5, "batch_size": 16}
PRESETS = {
    "quick": (
        *grid(
            Config,
            temperature=(0.03, 0.1, 0.3, 1.0, 10.0, 100.0, 300.0, 1000.0),
            chi=(1.0, 3.0),
            seed=range(8),
        ),
        *grid(Config, n_train=(512, 8192, 32_768), temperature=1000.0, chi=(1.0, 3.0), seed=range(8)),
        *grid(
            Config,
            n_train=256,
            alpha=(1.0, 8.0, 64.0),
            temperature=(2**-6, 2**-3, 1.0, 8.0),
            budget=4000,
            seed=range(3),
            **_NETS,
        ),
        *grid(
            Config, n_train=(64, 128, 512), alpha=64.0, temperature=1.0, budget=4000, seed=range(3), **_NETS
        ),
    ),
    "paper": (
        *grid(
            Config,
            temperature=tuple(np.geomspace(0.01, 1000, 16)),
            chi=(0.0, 1.0, 2.0, 3.0),
            dim=128,
            seed=range(50),
        ),
        *grid(
            Config,
            n_train=tuple(2**k for k in (8, 9, 10, 12, 13, 14, 15, 16)),
            temperature=1000.0,
            chi=(1.0, 2.0, 3.0),
            dim=128,
            seed=range(50),
        ),
        *grid(
            Config,
            n_train=(256, 1024, 4096),
            alpha=tuple(4.0**k for k in range(-2, 8)),
            temperature=tuple(4.0**k for k in range(-6, 4)),
            width=256,
            budget=1_000_000,
            seed=range(5),
            **_NETS,
        ),
    ),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Train the models; rows have `weight_change`, a norm, `time`, and `test_error` (NaN for perceptrons)."""
    return [Result(row) for row in (_perceptrons if configs[0].model == "perceptron" else _nets)(configs)]


def _perceptrons(configs: Sequence[Config]) -> Iterator[dict[str, Scalar]]:
    for config in configs:
        generator = np.random.default_rng([config.seed, config.n_train])
        x, y = interface_points(config.n_train, config.dim, config.chi, generator)
        trained = train_perceptron(
            x,
            y,
            config.temperature,
            generator=generator,
            batch_size=config.batch_size,
            max_updates=config.budget,
        )
        yield {
            "verdict": "SAT" if trained.satisfied else "UNCONVERGED",
            "weight_change": float(np.linalg.norm(trained.weights)),
            "noise": trained.noise,
            "time": trained.time,
            "steps_done": trained.steps,
            "updates": trained.updates,
            "test_error": float("nan"),
        }


def _nets(configs: Sequence[Config]) -> Iterator[dict[str, Scalar]]:
    first = configs[0]
    shared = {name: getattr(first, name) for name in ("n_train", "n_test", "dim", "width", "depth")}
    each = [
        RegimeConfig(**shared, alpha_tilde=first.alpha * first.width**0.5, dtype="float32", seed=config.seed)
        for config in configs
    ]
    tasks = [regime_patterns(config) for config in each]
    train, test = (
        Batch(*(torch.stack([getattr(task, f"{letter}_{part}") for task in tasks]) for letter in "xy"))
        for part in ("train", "test")
    )
    nets: Any = [regime_net(config, train.inputs.shape[2:]) for config in each]
    net = Dense.stack(nets).float()
    predictor = Scaled(net, each[0].alpha_tilde)
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    # The loss is divided by α, and with α̃ = α √h the weights are those of the NTK parametrisation.
    rate = first.temperature * first.batch_size
    state = TrainState(predictor, torch.optim.SGD(weights, lr=rate / first.alpha))
    dynamics = descend_members(
        state,
        Hinge(),
        train,
        budget=first.budget,
        criterion=Criterion(tolerance=1e-2),
        stride=20,
        batch_size=first.batch_size,
        seed=first.seed,
    )
    Trainer(all_finished(), record=every(10 * first.budget), on_interrupt="raise").fit(dynamics)
    assert state.members is not None
    change, error = weight_change(net, predictor.start), held_out(predictor, test).error
    for k in range(len(configs)):
        steps = int(state.members.steps[k])
        yield {
            "verdict": state.members.verdicts[k],
            "weight_change": float(change[k]),
            "time": rate * steps,
            "steps_done": steps,
            "test_error": float(error[k]),
        }


def average(table: pd.DataFrame, axis: str, name: str) -> tuple[np.ndarray, list[Estimate]]:
    """Geometric means of column `name` at each value of column `axis`, over the runs that are SAT."""
    lines = table.query("verdict == 'SAT'")
    points = np.unique(lines[axis].to_numpy())
    values = [
        mean_over_seeds(lines.loc[lines[axis] == point, name].tolist(), geometric=True) for point in points
    ]
    return points, values


def law(table: pd.DataFrame, axis: str, name: str) -> PowerLaw | None:
    """Power law of the `average` of column `name` against `axis`; None with fewer than three points."""
    points, values = average(table, axis, name)
    errors = [value.error or np.nan for value in values]
    if len(points) < 3 or not np.isfinite(errors).all():
        return None
    return fit_power_law(points, [value.value for value in values], error=errors)


def _runs_of(table: pd.DataFrame, model: str) -> pd.DataFrame:
    return table.query("model == @model")


def perceptron_parts(table: pd.DataFrame) -> Iterator[tuple[float, pd.DataFrame, pd.DataFrame]]:
    """χ, runs at the number of patterns with most temperatures, and runs at the highest temperature."""
    lines = _runs_of(table, "perceptron")
    for chi in np.unique(lines["chi"].to_numpy()):
        part: Any = lines.query(f"chi == {chi}")
        most = part.groupby("n_train")["temperature"].nunique().idxmax()
        yield float(chi), part.query(f"n_train == {most}"), part.query("temperature == temperature.max()")


def lazy_nets(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Nets of the largest α: at the P with most temperatures, and at the temperature with most P."""
    lines = _runs_of(table, "dense").query("alpha == alpha.max()")
    if not len(lines):
        return lines, lines
    most = lines.groupby("n_train")["temperature"].nunique().idxmax()
    usual = lines.groupby("temperature")["n_train"].nunique().idxmax()
    return lines.query(f"n_train == {most}"), lines.query(f"temperature == {usual}")


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Exponents of the perceptron in T and P, and those of lazy nets."""
    result = []

    def add(quantity: str, fitted: PowerLaw | None, published: str, low: float, high: float) -> None:
        exponent = fitted.exponent if fitted else Estimate(float("nan"))
        result.append(Finding(quantity, exponent, published, low, high))

    derived = f"by the argument above (model of {_SCLOCCHI}); band ours"
    for chi, in_t, in_p in perceptron_parts(table):
        gamma, where = 1 / (1 + chi), f"perceptron, χ = {chi:g}"
        for range_of_t, delta in ((">= 100", 1.0), ("<= 0.3", 0.0)):
            chosen: Any = in_t.query(f"temperature {range_of_t}")
            name, fitted = (
                f"δ of |Δw| ~ T^δ, T {range_of_t}, {where}",
                law(chosen, "temperature", "weight_change"),
            )
            add(name, fitted, f"{delta:g} {derived}", delta - 0.1, delta + 0.1)
        b = 1 + 2 * gamma
        fitted = law(in_p, "n_train", "weight_change")
        add(f"γ of |Δw| ~ P^γ, {where}", fitted, f"{gamma:g} {derived}", gamma - 0.1, gamma + 0.1)
        add(f"b of t* ~ P^b, {where}", law(in_p, "n_train", "time"), f"{b:g} {derived}", b - 0.2, b + 0.2)
    in_t, in_p = lazy_nets(table)
    if len(in_t):
        where = f"net, α = {in_t['alpha'].iloc[0]:g}"
        fitted = law(in_t, "temperature", "weight_change")
        add(f"δ of |Δw| ~ T^δ, {where}", fitted, f"1 in a perceptron ({_SCLOCCHI}); band ours", 0.7, 1.3)
        fitted = law(in_p, "n_train", "weight_change")
        add(f"γ of |Δw| ~ P^γ, {where}", fitted, f"positive ({_SCLOCCHI})", 0.05, 2.0)
    return result


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Weights and time of the perceptron, weight change and error of nets."""
    fig, panels = row_of_panels(5)
    hot, patterns, time, change, error = panels
    for (chi, in_t, in_p), color in zip(perceptron_parts(table), COLORS, strict=False):
        for axes, lines, axis, name in (
            (hot, in_t, "temperature", "weight_change"),
            (patterns, in_p, "n_train", "weight_change"),
            (time, in_p, "n_train", "time"),
        ):
            _draw(axes, lines, axis, name, color, f"χ = {chi:g}")
            if axis == "n_train" and (fitted := law(lines, axis, name)):
                draw_power_law(axes, fitted, f"χ = {chi:g}", color=color)
    nets = _runs_of(table, "dense")
    most = lazy_nets(table)[0]["n_train"].max()
    nets = nets.query(f"n_train == {most}")
    for alpha, color in zip(np.unique(nets["alpha"].to_numpy()), COLORS, strict=False):
        lines = nets.query("alpha == @alpha")
        _draw(change, lines, "temperature", "weight_change", color, f"α = {alpha:g}")
        _draw(error, lines, "temperature", "test_error", color, f"α = {alpha:g}")
    hot.set(title="Perceptron", xlabel="T", ylabel=r"$|\Delta w|$")
    patterns.set(title="Perceptron, largest T", xlabel="P", ylabel=r"$|\Delta w|$")
    time.set(title="Perceptron, largest T", xlabel="P", ylabel="time $t^*$")
    change.set(title="Nets, stripe", xlabel="T", ylabel=r"$|\Delta w| / |w_0|$")
    error.set(title="Nets, stripe", xlabel="T", ylabel="test error")
    for axes in panels:
        axes.set(xscale="log", yscale="log")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7.5)
    return fig


def _draw(axes: Any, lines: pd.DataFrame, axis: str, name: str, color: str, label: str) -> None:
    points, values = average(lines, axis, name)
    axes.errorbar(
        points,
        [value.value for value in values],
        [value.error or 0.0 for value in values],
        fmt="o",
        markersize=3.5,
        capsize=2,
        color=color,
        label=label,
    )
