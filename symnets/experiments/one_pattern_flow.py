r"""One-pattern flow: the neurons of a net that learns a single pattern move to one point, in closed form.

**Question.** Where do the hyperplanes of the neurons of a net with one hidden layer move in feature training?
With one training pattern $x$ the motion can be computed exactly.

**Law.** Let $f = \frac{1}{h} \sum_n \beta_n \sigma(u_n)$ with $u_n = \omega_n \cdot x / \sqrt{d} + b_n$ and
$\sigma$ the ReLU, and let $z_n = -\sqrt{d}\, b_n \omega_n / |\omega_n|^2$ be the point of the hyperplane $u_n
= 0$ that is nearest to the origin. Gradient flow of an active neuron is $\dot\omega = g \beta x / \sqrt{d}$,
$\dot b = g \beta$, $\dot\beta = g u$, with the same $g = -\partial_f L / h$ for all neurons (Petrini's
candidacy exam, 2020). In the rescaled time $\tau = \int g\, dt$, with $\kappa^2 = 1 + |x|^2/d$, it is linear:

$$ u \pm \kappa \beta \propto e^{\pm\kappa\tau}, \qquad |\omega|^2 + b^2 - \beta^2 = \text{const}, \qquad
\frac{dz}{d\tau} = \frac{\beta}{b} \left[ z \left( 1 + \frac{2\, z \cdot x}{d} \right) - \frac{|z|^2 x}{d}
\right]. $$

Growing neurons therefore approach the fixed point $z^* = -d\, x / |x|^2$ of this field from any direction as
$e^{-\kappa\tau}$, because the derivative of the field is $-\beta/b$ times the identity there, and $\beta/b
\to \kappa$. Active neurons of the wrong sign of $\beta$ are switched off when $u$ reaches zero, which happens
if $|\beta_0| > u_0/\kappa$: for Gaussian initial weights this is a quarter of the active neurons. Inactive
neurons do not move. The closed form in terms of $u \pm \kappa\beta$ and the quarter are derived here
(`symnets.setups.one_pattern_net`).

**How.** The predictor $\tilde\alpha (f(w) - f(w_0))$ with $\tilde\alpha = 10^{-6}$ learns $y = \pm 1$ on one
Gaussian pattern: weights have to grow by a factor of a thousand. The flow of all weights is integrated
(`symnets.training.gradient_flow`). The closed form is evaluated at the same times, for which one equation for
$\tau(t)$ is solved (`symnets.setups.rescaled_time`). The laws are exact, and deviations are errors of the
integration; the bands are ours. Neurons that are switched off have larger errors, of first order in the step,
because their slope jumps within a step; for them the median over neurons is taken.

**Figure.** Field, and positions of neurons in $d = 2$: closed form (lines) and flow of the net (dots);
distance from $z^*$, and the two modes, against $\kappa\tau$.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray
from torch import Tensor

from symnets.config import SEED, at_least, check_ranges, more_than
from symnets.estimates import Estimate, mean_over_seeds
from symnets.models import Dense, Scaled
from symnets.observables import neurons
from symnets.report import COLORS, FAINT, row_of_panels, style
from symnets.setups import (
    batch_key,
    fixed_point,
    growth_rate,
    one_pattern_net,
    position_field,
    rescaled_time,
    seeded_generator,
)
from symnets.sweeps import Arrays, Finding, Result, grid
from symnets.training import Criterion, QuadraticHinge, TrainState, gradient_flow

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS = ("D15",)

MAX_BATCH = 10
_OURS = "closed form, derived here"
_TALK = "Petrini's candidacy exam, 2020"


@dataclass(frozen=True)
class Config:
    """Configuration of a net with one hidden layer and its only pattern."""

    dim: int = 2
    """d, input dimension."""
    width: int = 400
    """h, number of neurons."""
    alpha_tilde: float = 1e-6
    """Scale of the predictor."""
    tolerance: float = 1e-4
    """Largest error of the predictor in one step of the flow."""
    slope_tolerance: float = 1e-4
    """Largest relative error of the direction in one step of the flow."""
    budget: int = 20_000
    """Largest number of trial steps of the flow."""
    seed: int = 0
    """Seed of the pattern, its label and the initial weights."""

    def __post_init__(self) -> None:
        check_ranges(
            "",
            self,
            dim=at_least(1),
            width=at_least(2),
            alpha_tilde=more_than(0),
            tolerance=more_than(0),
            slope_tolerance=more_than(0),
            budget=at_least(1),
            seed=SEED,
        )


PRESETS = {
    "quick": grid(Config, dim=(2, 10), seed=range(8)),
    "paper": grid(Config, dim=(2, 10, 100), width=1000, seed=range(20)),
}


def run(configs: Sequence[Config]) -> list[Result]:
    """Integrate the flow of nets with one pattern each, and evaluate the closed form at the same times.

    Rows have `kappa`; `kappa_tau`, the last κ|τ|; errors of the closed form (`position_error`,
    `switched_off_error`, `invariant_drift`); rates over κ of both modes and of the approach to z* (`growth`,
    `decay`, `approach`); `n_active`, neurons active at the start; and the fractions `switched_off` of these
    and `positive_biases` of the growing ones. Arrays: `kappa_tau`, `distance` to z*, and `modes`; in two
    dimensions also the pattern `x` and the positions `z_start`, `z` and `z_exact` of some neurons.
    """
    first = configs[0]
    starts = [initial_net(config) for config in configs]
    samples = [pattern(config) for config in configs]
    x, y = (torch.stack([sample[k] for sample in samples])[:, None] for k in (0, 1))
    model = Dense.stack(starts)
    predictor = Scaled(model, first.alpha_tilde)
    flow = gradient_flow(
        TrainState(predictor),
        QuadraticHinge(),
        (x, y),
        budget=first.budget,
        tolerance=first.tolerance,
        slope_tolerance=first.slope_tolerance,
        criterion=Criterion(tolerance=1e-2),
    )
    times, states, verdicts = [], [], [""] * len(configs)
    for state in flow:
        assert state.members is not None
        times.append(state.members.time.clone())
        states.append(model.select(range(len(configs))))
        verdicts = state.members.verdicts
    results = []
    for k, config in enumerate(configs):
        own = torch.stack(times)[:, k]
        moved = torch.cat([own[:1] > 0, own.diff() > 0]).nonzero()[:, 0].tolist()
        nets = [states[j].member(k) for j in moved]
        measured = _compare(config, starts[k], nets, own[moved], x[k, 0], float(y[k, 0]))
        results.append(Result(measured.row | {"verdict": verdicts[k]}, measured.arrays))
    return results


def initial_net(config: Config) -> Dense:
    """Net in the mean-field parametrisation with weights and hidden biases from N(0, 1)."""
    generator = seeded_generator(config.seed, 0)
    net = Dense(
        config.dim,
        config.width,
        1,
        parametrization="mean_field",
        bias=True,
        generator=generator,
        dtype=torch.float64,
    )
    net.biases[0].data.normal_(generator=generator)
    net.biases[1].requires_grad_(False)
    return net


def pattern(config: Config) -> tuple[Tensor, Tensor]:
    """A pattern from N(0, 1), and its label, +1 for even seeds and -1 for odd ones."""
    x = torch.randn(config.dim, generator=seeded_generator(config.seed, 1), dtype=torch.float64)
    return x, torch.tensor(1.0 - 2 * (config.seed % 2), dtype=torch.float64)


def _compare(
    config: Config, start: Dense, nets: Sequence[Dense], times: Tensor, x: Tensor, y: float
) -> Result:
    """Compare nets at the given times with the closed form."""
    alpha, kappa, target = config.alpha_tilde, growth_rate(x), fixed_point(x)
    f0 = start(x[None]).item()
    tau = rescaled_time(start, x, lambda f: alpha * y * max(0.0, 1 - y * alpha * (f - f0)), times)
    exact = [neurons(one_pattern_net(start, x, float(t))) for t in tau]
    found = [neurons(net) for net in nets]
    z, z_exact = (torch.stack([one.positions for one in each]) for each in (found, exact))
    on_first, on_last = (neurons(n).active(x[None])[:, 0] for n in (start, nets[-1]))
    error = (z - z_exact).norm(dim=-1) / (z_exact.norm(dim=-1) + target.norm())

    def modes(net: Dense) -> Tensor:
        """u + y κ β, which grows, and u - y κ β, which decays, of the neurons that stay active."""
        u, beta = neurons(net).preactivations(x[None])[:, 0], net.weights[1][0].detach()
        return torch.stack([u + y * kappa * beta, u - y * kappa * beta])[:, on_last]

    ratios = torch.stack([(modes(net) / modes(start)).median(1).values for net in nets])
    distance = (z[:, on_last] - target).norm(dim=-1).median(1).values
    steps = kappa * tau.abs().numpy()
    late, middle = steps > 2 * steps[-1] / 3, int(np.abs(steps - 1.5).argmin())
    row = {
        "kappa": kappa,
        "kappa_tau": float(steps[-1]),
        "position_error": float(error[:, on_last].max()),
        "switched_off_error": float(error[:, on_first & ~on_last].amax(0).median()),
        "invariant_drift": float((_invariant(nets[-1]) - _invariant(start)).abs().max() / _scale(nets[-1])),
        "growth": float(ratios[-1, 0].log()) / float(steps[-1]),
        "decay": float(ratios[middle, 1].log()) / float(steps[middle]),
        "approach": float(np.polyfit(steps[late], np.log(distance.numpy())[late], 1)[0]),
        "n_active": int(on_first.sum()),
        "switched_off": float((on_first & ~on_last).sum() / on_first.sum()),
        "positive_biases": float((found[-1].biases[on_last] > 0).double().mean()),
    }
    arrays = {"kappa_tau": steps, "distance": distance.numpy(), "modes": ratios.numpy()}
    if config.dim == 2:
        shown = on_first.nonzero()[:40, 0]
        arrays |= {"x": x.numpy(), "z": z[:, shown].numpy(), "z_exact": z_exact[:, shown].numpy()}
        arrays |= {"z_start": neurons(start).positions[shown].numpy()}
    return Result(row, arrays)


def _invariant(net: Dense) -> Tensor:
    """Conserved quantity |ω|² + b² - β² of each neuron."""
    omega, b, beta = net.weights[0].detach(), net.biases[0].detach(), net.weights[1][0].detach()
    return omega.square().sum(1) + b.square() - beta.square()


def _scale(net: Dense) -> float:
    """Largest β² of the neurons."""
    return float(net.weights[1].detach().square().max())


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Errors of the closed form, rates of the modes and of the approach to z*, neurons switched off."""
    dims = " and ".join(str(d) for d in sorted(set(table["dim"])))
    where = f"d = {dims}, h = {table['width'].iloc[0]}"

    def mean(column: str) -> Estimate:
        return mean_over_seeds(list(table[column]))

    return [
        Finding(
            f"largest distance of z from the closed form, over |z| + |z*|, neurons that stay active, {where}",
            Estimate(float(np.max(table["position_error"].to_numpy()))),
            f"0 ({_OURS})",
            0.0,
            0.01,
        ),
        Finding(
            f"the same for neurons that are switched off, median, {where}",
            Estimate(float(np.max(table["switched_off_error"].to_numpy()))),
            f"0 ({_OURS})",
            0.0,
            0.01,
        ),
        Finding(
            f"largest change of |ω|² + b² - β², relative to the largest β², {where}",
            Estimate(float(np.max(table["invariant_drift"].to_numpy()))),
            f"0: conserved ({_OURS})",
            0.0,
            0.01,
        ),
        Finding(f"growth rate of u + y κ β over κ, {where}", mean("growth"), f"1 ({_OURS})", 0.98, 1.02),
        Finding(f"growth rate of u - y κ β over κ, {where}", mean("decay"), f"-1 ({_OURS})", -1.05, -0.95),
        Finding(
            f"growth rate of |z - z*| over κ, growing neurons, {where}",
            mean("approach"),
            f"-1: they approach z* = -d x/|x|² ({_OURS}; field: {_TALK})",
            -1.1,
            -0.9,
        ),
        Finding(
            f"fraction of the active neurons that are switched off, {where}",
            mean("switched_off"),
            f"1/4 ({_OURS})",
            0.22,
            0.28,
        ),
        Finding(
            f"fraction of the growing neurons with b > 0 at the end, {where}",
            mean("positive_biases"),
            f"1: active on the side of the origin ({_OURS})",
            0.99,
            1.0,
        ),
    ]


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Positions in the plane with their field, approach to the fixed point, and modes."""
    fig, (plane, approach, modes) = row_of_panels(3)
    rows = table[table["seed"] == table["seed"].min()]
    dims = np.asarray(rows["dim"])
    for dim, name, color in zip(dims, rows.index, COLORS, strict=False):
        run = arrays(str(name))
        if dim == 2:
            draw_positions(plane, run["x"], run["z_start"], run["z"], run["z_exact"])
        steps = run["kappa_tau"]
        approach.semilogy(steps, run["distance"], "o-", markersize=3, color=color, label=f"d = {dim}")
        for k, marker in enumerate(("o", "s")):
            kept = run["modes"][:, k] > 1e-3  # later the decaying mode is the rounding of the growing one
            label = f"{'growing' if k == 0 else 'decaying'}, d = {dim}"
            modes.semilogy(steps[kept], run["modes"][kept, k], marker, markersize=3, color=color, label=label)
        t = np.linspace(0, steps[-1], 50)
        if dim == dims[0]:
            modes.semilogy(t, np.exp(t), color=FAINT, linestyle="--", label="$e^{\\pm\\kappa\\tau}$")
            early = t[t < math.log(1e3)]
            modes.semilogy(early, np.exp(-early), color=FAINT, linestyle="--")
            law = run["distance"][-1] * np.exp(steps[-1] - t)
            approach.semilogy(t, law, color=FAINT, linestyle="--", label="$e^{-\\kappa\\tau}$")
    approach.set(title="Approach to z*", xlabel="κ |τ|", ylabel="median |z - z*|, growing neurons")
    modes.set(title="Modes u ± y κ β", xlabel="κ |τ|", ylabel="relative to the start (median)")
    for axes in (approach, modes):
        axes.legend(fontsize=7.5)
    return fig


def draw_positions(axes: Axes, x: ndarray, start: ndarray, z: ndarray, exact: ndarray) -> None:
    """Draw the field of growing neurons in the plane, and trajectories of active ones.

    Args:
        axes: where to draw.
        x: the pattern, (2,).
        start: initial positions, (neurons, 2).
        z: positions in the flow of the net, (times, neurons, 2).
        exact: positions of the closed form, (times, neurons, 2).
    """
    target = fixed_point(torch.as_tensor(x)).numpy()
    size = 2.2 * float(np.linalg.norm(target))
    side = np.linspace(-size, size, 25)
    points = np.stack(np.meshgrid(side, side), -1)
    field = position_field(torch.as_tensor(points), torch.as_tensor(x)).numpy()
    axes.streamplot(side, side, field[..., 0], field[..., 1], color="#d5d9de", linewidth=0.6, arrowsize=0.6)
    paths = np.concatenate([start[None], exact])
    axes.plot(paths[..., 0], paths[..., 1], color=COLORS[0], linewidth=0.8)
    axes.plot(z[::4, :, 0], z[::4, :, 1], ".", color=COLORS[1], markersize=2.5)
    axes.plot(start[:, 0], start[:, 1], "o", color=COLORS[0], markersize=3, label="neurons at t = 0")
    axes.plot([], [], color=COLORS[0], linewidth=0.8, label="closed form")
    axes.plot([], [], ".", color=COLORS[1], label="flow of the net")
    axes.plot(*target, "*", color=COLORS[6], markersize=10, label="z*")
    axes.plot(*x, "x", color=COLORS[3], markersize=7, markeredgewidth=2, label="pattern x")
    axes.set(
        title="Positions z, d = 2", xlabel="$z_1$", ylabel="$z_2$", xlim=(-size, size), ylim=(-size, size)
    )
    axes.set_aspect("equal")
    axes.legend(fontsize=6, loc="lower right", frameon=True, framealpha=0.9, edgecolor="none")
