r"""Attractors: neurons collapse on few points in feature training and do not move in lazy training.

**Question.** A ReLU neuron of a net with one hidden layer is active on one side of the hyperplane $\omega
\cdot x/\sqrt{d} + b = 0$. Its position $z = -\sqrt{d}\, b\, \omega/|\omega|^2$ is the point of this
hyperplane that is nearest to the origin. Where are the neurons before, during and after training, and how
many distinct ones are there?

**Law.** In lazy training positions do not change. In feature training weights grow until their initial values
are negligible, and neurons that are active on the same training patterns have gradients in the same
direction: they come together. An attractor is a set of neurons that are active on the same patterns. It can
be replaced by a single neuron without any change of the outputs on the training set (Petrini's candidacy
exam, 2020) if all its output weights have one sign; otherwise by two, one for each sign
(`symnets.observables.merge_neurons`). The motion towards one pattern is solved in `one_pattern_flow`.

**How.** Gradient flow of the predictor $\tilde\alpha (f - f_0)$ until all patterns are satisfied, with
$\tilde\alpha = 10^3$ (lazy) and $10^{-3}$ (feature); biases are random at first, so that positions are
different. Data are the stripe in $d = 2$ and the parity of MNIST in ten principal components. "During
training" is the first check with more than 10 % of the patterns satisfied. The activation pattern of a neuron
is the set of training patterns on which it is active; neurons of a group have the same activation pattern and
the same sign of the output weight. The motion is the median over neurons of $|z - z_0|/|z_0|$, with $z_0$ the
initial position; the distance of neighbours is the median over neurons of the distance to the nearest other
$z$. The bands are ours, since the talk shows pictures without numbers.

**Figure.** Positions on the stripe at the start, at the end of lazy training, during and at the end of
feature training, and on MNIST (two of ten coordinates), with a colour for each of the six groups that
contribute most; number of groups against the number $P$ of training patterns, with that at the start in grey.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray
from torch import Tensor

from symnets.estimates import Estimate, SeedCurve, mean_over_seeds
from symnets.models import Dense
from symnets.observables import amplification, attractors, merge_neurons, neurons
from symnets.report import COLORS, FAINT, style
from symnets.setups import RegimeConfig, batch_key, train_regime
from symnets.sweeps import Arrays, Finding, Result, grid
from symnets.training import Callback, TrainState

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ("D12", "D13", "D16")
MAX_BATCH = 10
FEATURE, LAZY = 1e-3, 1e3
_TALK = "Petrini's candidacy exam, 2020"


@dataclass(frozen=True)
class Config(RegimeConfig):
    """Configuration of a net whose neurons are measured before and after training."""

    n_train: int = 100
    n_test: int = 2000
    dim: int = 2
    width: int = 100
    alpha_tilde: float = FEATURE


def _grids(sizes: Sequence[int], n_seeds: int, **settings: Any) -> tuple[Config, ...]:
    """Both regimes on the stripe in the plane and, for sizes of at least 100, on MNIST."""
    shared = {"alpha_tilde": (LAZY, FEATURE), "seed": range(n_seeds)} | settings
    images = [size for size in sizes if size >= 100]
    return grid(Config, n_train=sizes, **shared) + grid(
        Config, data="mnist", dim=10, n_train=images, **shared
    )


PRESETS = {
    "quick": _grids((20, 50, 100), 3),
    "hour": _grids((20, 50, 100, 200, 500), 5, width=400),
    "paper": _grids((20, 50, 100, 200, 500), 10, width=1000),
}


class During(Callback):
    """Copies of the members at the first check with more than 10 % of their patterns satisfied."""

    def __init__(self, n_train: int) -> None:
        self.n_train = n_train
        self.nets: dict[int, Dense] = {}

    def after_step(self, state: TrainState) -> None:
        """Copy members that have just satisfied enough patterns."""
        assert state.members is not None
        predictor: Any = state.model
        satisfied = 1 - state.members.n_unsatisfied.double() / self.n_train
        for k in (satisfied > 0.1).nonzero()[:, 0].tolist():
            if k not in self.nets:
                self.nets[k] = predictor.model.member(k)


def run(configs: Sequence[Config]) -> list[Result]:
    """Train nets, and measure the positions and groups of their neurons.

    Rows are those of `TrainedRegime.rows` with the number of groups at the start and the end, the numbers of
    activation patterns and of silent neurons at the end, the motion of positions, the growth of neurons, and
    the test error of the net of merged neurons. Seed 0 has positions and groups as arrays.
    """
    during = During(configs[0].n_train)
    trained = train_regime(configs, [during])
    model: Any = trained.model
    start: Any = trained.start
    results = []
    for k, row in enumerate(trained.rows(configs)):
        alpha, x = configs[k].alpha_tilde, trained.train.inputs[k]
        net, first, test = model.member(k), start.member(k), (trained.test.inputs[k], trained.test.targets[k])
        measured = _measure(net, first, x, alpha) | _merged(net, first, x, test, alpha)
        nets = {"start": first, "during": during.nets.get(k, net), "end": net}
        arrays = _arrays(nets, x, trained.train.targets[k]) if configs[k].seed == 0 else {}
        results.append(Result(row | measured, arrays))
    return results


def _measure(net: Dense, start: Dense, x: Tensor, alpha: float) -> dict[str, float]:
    """Numbers of groups, motion and growth of the neurons of one net."""
    groups, groups_0 = attractors(net, x), attractors(start, x)
    z, z_0 = neurons(net).positions, neurons(start).positions
    growth = amplification(net, start)
    return {
        "groups_start": int(groups_0.n_groups),
        "groups": int(groups.n_groups),
        "patterns": int(groups.n_patterns),
        "silent": int(groups.n_silent),
        "motion": float(((z - z_0).norm(dim=1) / z_0.norm(dim=1)).median()),
        "neighbours_start": _nearest(z_0),
        "neighbours": _nearest(z),
        "amplification": float(growth.contribution.median()),
        "cosine": float(growth.cosine.median()),
    }


def _nearest(z: Tensor) -> float:
    """Median distance of a neuron to the nearest other."""
    distances = torch.cdist(z, z).fill_diagonal_(torch.inf)
    return float(distances.amin(1).median())


def _merged(
    net: Dense, start: Dense, x: Tensor, test: tuple[Tensor, Tensor], alpha: float
) -> dict[str, float]:
    """Change of the predictor on the training set, and test error, with one neuron for each group."""
    merged = merge_neurons(net, x)
    with torch.no_grad():
        change = alpha * float((merged(x) - net(x)).abs().max())
        outputs = alpha * (merged(test[0]) - start(test[0]))
    return {"merged_change": change, "merged_error": float((~(outputs * test[1] > 0)).double().mean())}


def _arrays(nets: dict[str, Dense], x: Tensor, y: Tensor) -> dict[str, ndarray]:
    """Two coordinates of positions and patterns, groups, and contributions of neurons."""
    arrays = {"x": x[:, :2].numpy(), "y": y.numpy()}
    for name, net in nets.items():
        found = neurons(net)
        share = found.amplitudes.abs() * found.weights.norm(dim=1)
        arrays[f"z_{name}"] = found.positions[:, :2].numpy()
        arrays[f"group_{name}"] = attractors(net, x).group.numpy()
        arrays[f"share_{name}"] = (share / share.sum()).numpy()
    return arrays


def _data_sets(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Name and rows of each data set, the plane first."""
    pairs = sorted({(int(dim), str(data)) for dim, data in zip(table["dim"], table["data"], strict=True)})
    return [(f"{data}, d = {dim}", table.query(f"data == {data!r} and dim == {dim}")) for dim, data in pairs]


def _parts(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """For each data set its name, and the rows of the largest P in lazy and in feature training."""
    parts = []
    for data, rows in _data_sets(table):
        largest = rows.query(f"n_train == {np.max(rows['n_train'])}")
        size, width = (int(np.max(largest[column])) for column in ("n_train", "width"))
        name = f"{data}, P = {size}, h = {width}"
        parts.append((name, largest.query("alpha_tilde > 1"), largest.query("alpha_tilde < 1")))
    return parts


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Motion and collapse of positions in both regimes, and the nets of merged neurons."""
    results = []
    for name, lazy, feature in _parts(table):

        def ratio(part: pd.DataFrame, column: str, start: str) -> Estimate:
            return mean_over_seeds(list(part[column] / part[start]))

        results += [
            Finding(
                f"motion |z - z0|/|z0|, lazy, {name}",
                mean_over_seeds(list(lazy["motion"])),
                f"0: unchanged ({_TALK})",
                0.0,
                0.05,
            ),
            Finding(
                f"motion |z - z0|/|z0|, feature, {name}",
                mean_over_seeds(list(feature["motion"])),
                f"of order 1: neurons move ({_TALK})",
                0.3,
                np.inf,
            ),
            Finding(
                f"groups at the end over groups at the start, lazy, {name}",
                ratio(lazy, "groups", "groups_start"),
                f"1 ({_TALK})",
                0.9,
                1.1,
            ),
            Finding(
                f"groups at the end over groups at the start, feature, {name}",
                ratio(feature, "groups", "groups_start"),
                f"well below 1: neurons collapse on few points ({_TALK})",
                0.0,
                0.5,
            ),
            Finding(
                f"distance of neighbours at the end over that at the start, feature, {name}",
                ratio(feature, "neighbours", "neighbours_start"),
                f"well below 1: neurons collapse on few points ({_TALK})",
                0.0,
                0.1,
            ),
            Finding(
                f"neurons needed for each activation pattern, feature, {name}",
                ratio(feature, "groups", "patterns"),
                f"1: an attractor can be replaced by one neuron ({_TALK})",
                1.0,
                1.1,
            ),
            Finding(
                f"test error with one neuron for each group minus that of the net, feature, {name}",
                mean_over_seeds(list(feature["merged_error"] - feature["test_error"])),
                "0, if the neurons of a group are in one place (extension)",
                -0.02,
                0.02,
            ),
        ]
    change = Estimate(float(np.max(table["merged_change"])))
    quantity = "largest change of a training output when groups are merged, all nets"
    return [*results, Finding(quantity, change, "0 (algebra)", 0.0, 1e-12)]


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Positions of neurons in both regimes and on both data sets, and numbers of groups."""
    fig = Figure(figsize=(11.7, 7.0), layout="constrained")
    panels = fig.subplots(2, 3).ravel()
    (_, lazy, feature), *others = _parts(table)
    for axes, part, when, title in (
        (panels[0], lazy, "start", "A  start"),
        (panels[1], lazy, "end", "B  lazy, end"),
        (panels[2], feature, "during", "C  feature, 10 % satisfied"),
        (panels[3], feature, "end", "D  feature, end"),
    ):
        _draw_first(axes, part, arrays, when, title)
    for name, _, part in others[:1]:
        _draw_first(panels[4], part, arrays, "end", f"E  {name.split(',')[0]}, feature, end")
    _draw_numbers(panels[5], table)
    return fig


def _draw_first(axes: Axes, part: pd.DataFrame, arrays: Arrays, when: str, title: str) -> None:
    """Draw the positions of the neurons of seed 0."""
    for name in part.query("seed == 0").index[:1]:
        run = arrays(str(name))
        draw_neurons(axes, run[f"z_{when}"], run[f"group_{when}"], run[f"share_{when}"], run["x"], run["y"])
    axes.set(title=title, xlabel="$z_1$", ylabel="$z_2$")


def draw_neurons(axes: Axes, z: ndarray, group: ndarray, share: ndarray, x: ndarray, y: ndarray) -> None:
    """Draw neurons in the plane, one colour for each of the groups that contribute most, and the patterns.

    Args:
        axes: where to draw.
        z: positions, (neurons, 2).
        group: number of the group of each neuron, -1 for silent ones, (neurons,).
        share: contribution of each neuron, |a||v| over its sum, (neurons,).
        x: training patterns, (patterns, 2).
        y: labels of the patterns, +1 or -1, (patterns,).
    """
    for label, marker in ((1, "+"), (-1, "_")):
        axes.plot(*x[y == label].T, marker, color="#c3c9d0", markersize=4, linestyle="none", zorder=1)
    n_groups = max(int(group.max()) + 1, 1)
    totals = np.bincount(group[group >= 0], share[group >= 0], minlength=n_groups)
    leading = np.argsort(-totals)[: len(COLORS) - 1]
    size = 12 + 60 * np.sqrt(share / share.max())
    rest = ~np.isin(group, leading)
    axes.scatter(*z[rest].T, s=size[rest], color=FAINT, alpha=0.5, linewidths=0, zorder=2)
    for number, color in zip(leading, COLORS, strict=False):
        own = group == number
        axes.scatter(*z[own].T, s=size[own], color=color, alpha=0.7, linewidths=0, zorder=3)
    axes.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2))
    axes.set_aspect("equal")


def _draw_numbers(axes: Axes, table: pd.DataFrame) -> None:
    """Number of groups at the start and at the end against P."""
    for (data, own), marker in zip(_data_sets(table), "osv^", strict=False):
        for rule, label, color in (("> 1", "lazy", COLORS[0]), ("< 1", "feature", COLORS[1])):
            part = own.query(f"alpha_tilde {rule}")
            curve = SeedCurve.from_table(part, "n_train", "groups")
            style = {"fmt": f"{marker}-", "color": color, "capsize": 2, "markersize": 4}
            axes.errorbar(curve.x, curve.mean, curve.error, label=f"{data.split(',')[0]}, {label}", **style)
            first = SeedCurve.from_table(part, "n_train", "groups_start")
            axes.plot(first.x, first.mean, marker, color=FAINT, markersize=7, fillstyle="none", zorder=0)
    sizes = sorted(set(table["n_train"]))
    axes.set(title="F  groups", xlabel="P", ylabel="number of groups", xscale="log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7.5)
