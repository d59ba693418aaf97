r"""Principal components of hidden layers: training maps digits near a line, sorted by class.

**Question.** What do hidden layers look like in a net that has learned to distinguish two classes of images?

**Law.** The pre-activations of the last hidden layer lie near a one-dimensional manifold, and the position on
it determines the class (Petrini, candidacy exam, 2020, after Paccolat et al. 2021, arXiv:2007.11471). In the
feature regime irrelevant directions are compressed, and one principal component has most of the variance.
Initially a wide net keeps about as many components as its inputs have.

**How.** Parity of MNIST digits, given by ten whitened principal components of the images; fully connected
ReLU nets with predictor $\tilde\alpha (f - f_0)$, quadratic hinge loss, full-batch Adam until all patterns
are satisfied; $\tilde\alpha = 0.1$ in the feature regime and 100 in the lazy one, as a control. Principal
components are those of the pre-activations of each hidden layer on held-out digits, along training. With
shares $p_k$ of the variance, the participation ratio $1/\sum p_k^2$ is the effective number of components.
The intrinsic dimension is that of TwoNN (`intrinsic_dimension`). The published result is a picture; all bands
are ours.

**Figure.** Share of the first component by layer along training in the feature regime; digits in the plane of
the first two components of the last hidden layer, before and after training, by class; participation ratio
and intrinsic dimension by layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from symnets.config import at_least, check_ranges
from symnets.estimates import mean_over_seeds
from symnets.observables import hidden_representations
from symnets.observables.kernels import twonn
from symnets.report import COLORS, FAINT, colors, row_of_panels, style
from symnets.setups import RegimeConfig, batch_key, descend_regime, regime_patterns
from symnets.sweeps import Arrays, Finding, Result, grid
from symnets.training import Callback, TrainState

__all__ = ["CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run"]
CLAIMS: tuple[str, ...] = ("D11",)
MAX_BATCH = 4
FEATURE, LAZY = 0.1, 100.0
"""α̃ of both regimes."""
N_SHOWN = 300
"""Number of digits in the scatter plots."""
_SOURCE = "Petrini, candidacy exam, 2020"
_MOMENTS = ("initial", "final")


@dataclass(frozen=True)
class Config(RegimeConfig):
    """Configuration of a net that learns the parity of digits and is measured during training."""

    n_train: int = 1000
    n_test: int = 1000
    data: str = "mnist"
    dim: int = 10
    depth: int = 3
    alpha_tilde: float = FEATURE
    budget: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges("", self, n_test=at_least(10))


_REGIMES = (FEATURE, LAZY)
PRESETS = {
    "quick": grid(Config, alpha_tilde=_REGIMES, seed=range(4)),
    "paper": grid(
        Config,
        n_train=(1000, 5000),
        n_test=5000,
        width=400,
        alpha_tilde=_REGIMES,
        budget=20_000,
        seed=range(10),
    ),
}


@dataclass(frozen=True)
class Components:
    """Principal components of the pre-activations of a layer.

    Attributes:
        shares: share of each component in the variance, descending.
        scores: positions along the first two components, in units of the standard deviation of the first.
    """

    shares: Float[Tensor, " components"]
    scores: Float[Tensor, "n 2"]

    @classmethod
    def of(cls, z: Float[Tensor, "n features"]) -> "Components":
        """Principal components of points, by a singular value decomposition."""
        left, values, _ = torch.linalg.svd(z.double() - z.double().mean(0), full_matrices=False)
        scores = (left * values)[:, :2]
        return cls(values.square() / values.square().sum(), scores / scores[:, 0].std())

    @property
    def participation(self) -> float:
        """Participation ratio 1 / Σ p_k²: the effective number of components."""
        return float(1 / self.shares.square().sum())


def dimension(z: Float[Tensor, "n features"]) -> float:
    """Intrinsic dimension by TwoNN of the distinct points; NaN with fewer than three.

    Inputs at which all units of the layer below are off coincide, and count as one point.
    """
    different = torch.unique(z, dim=0)
    return twonn(different).dimension if len(different) > 2 else float("nan")


class FirstComponent(Callback):
    """Shares of the first component of each layer of each member, at steps in geometric progression.

    Args:
        inputs: held-out patterns of each member.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self.inputs, self.steps, self.shares, self._next = inputs, list[int](), list[Tensor](), 0.0

    def after_step(self, state: TrainState) -> None:
        """Measure if a step is due."""
        if state.step < self._next:
            return
        self._next = 1.5 * state.step
        predictor: Any = state.model
        nets = [predictor.model.member(s).cpu() for s in range(len(self.inputs))]
        shares = [
            [float(Components.of(z).shares[0]) for z in hidden_representations(net, x).values()]
            for net, x in zip(nets, self.inputs, strict=True)
        ]
        self.steps.append(state.step)
        self.shares.append(torch.tensor(shares))


def run(configs: Sequence[Config]) -> list[Result]:
    """Train nets and compute principal components of their hidden layers on held-out digits.

    Rows are those of `TrainedRegime.rows`, with values for each layer l = 1, 2, ... before and after training
    (`initial`, `final`): `share_l_...` of the first component, `participation_l_...`, `dimension_l_...`
    (TwoNN), and `label_l_...`, the squared correlation of the first component and the label. Arrays are
    `steps` and `shares` of the first component along training, and `plane_...`, the first two components of
    the last hidden layer, with `labels`.
    """
    along = FirstComponent([regime_patterns(config).x_test for config in configs])
    # An output moves by about α̃ times the rate in one step.
    trained = descend_regime(configs, [along], rate=0.05 / max(1.0, configs[0].alpha_tilde))
    results = []
    for s, row in enumerate(trained.rows(configs)):
        x, y = trained.test.inputs[s].cpu(), trained.test.targets[s].cpu()
        arrays = {"steps": np.array(along.steps), "shares": torch.stack(along.shares)[:, s].numpy()}
        for moment, nets in zip(_MOMENTS, (trained.start, trained.model), strict=True):
            layers = list(hidden_representations(nets.member(s).cpu(), x).values())
            found = [Components.of(z) for z in layers]
            for layer, (components, z) in enumerate(zip(found, layers, strict=True), start=1):
                correlation = np.corrcoef(components.scores[:, 0].numpy(), y.numpy())[0, 1]
                row |= {
                    f"share_{layer}_{moment}": float(components.shares[0]),
                    f"participation_{layer}_{moment}": components.participation,
                    f"dimension_{layer}_{moment}": dimension(z),
                    f"label_{layer}_{moment}": float(correlation**2),
                }
            arrays[f"plane_{moment}"] = found[-1].scores[:N_SHOWN].float().numpy()
        results.append(Result(row, arrays | {"labels": y[:N_SHOWN].to(torch.int8).numpy()}))
    return results


def by_size(table: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Nets of the feature regime and of the lazy one, for each number of training patterns."""
    feature, lazy = (table.query(f"alpha_tilde == {each}").sort_values("seed") for each in _REGIMES)
    sizes = np.unique(table["n_train"].to_numpy())
    return {f"P = {p}": (feature.query("n_train == @p"), lazy.query("n_train == @p")) for p in sizes}


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """How near the last hidden layer is to a line, and whether the line tells the class."""
    last = int(table["depth"].iloc[0])
    result = []
    for name, (lines, lazy) in by_size(table).items():
        end, start = f"{last}_final", f"{last}_initial"
        rise = lines[f"share_{end}"] - lines[f"share_{start}"]
        over = lines[f"share_{end}"] / lines["share_1_final"]
        one = f"about one dimension ({_SOURCE})"
        for quantity, values, published, low, high in (
            (
                "share of the first component at the end",
                lines[f"share_{end}"],
                f"{one}; 0.7 is ours",
                0.7,
                1.0,
            ),
            ("rise of this share in training", rise, f"rises ({_SOURCE}); 0.2 is ours", 0.2, 1.0),
            ("this share over that of the first layer", over, "above 1; ours", 1.0, np.inf),
            ("participation ratio at the end", lines[f"participation_{end}"], f"{one}; 2 is ours", 1.0, 2.0),
            (
                "squared correlation of first component and label at the end",
                lines[f"label_{end}"],
                f"sorted by class ({_SOURCE}); 0.5 is ours",
                0.5,
                1.0,
            ),
            (
                "share of the first component at the end, lazy regime",
                lazy[f"share_{end}"],
                "as initially: a control of ours, below 0.5",
                0.0,
                0.5,
            ),
        ):
            measured = mean_over_seeds(list(values.to_numpy(dtype=float)))
            result.append(Finding(f"{quantity}, last hidden layer, {name}", measured, published, low, high))
    return result


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Shares along training, the plane of the last layer before and after, and dimensions by layer."""
    lines, lazy = list(by_size(table).values())[-1]
    depth, runs = int(table["depth"].iloc[0]), [arrays(index) for index in lines.index]
    fig, (along, before, after, layers) = row_of_panels(4)
    for layer, color in zip(range(depth), colors(depth), strict=True):
        for k, run_arrays in enumerate(runs):
            label = f"layer {layer + 1}" if k == 0 else None
            along.plot(run_arrays["steps"] + 1, run_arrays["shares"][:, layer], "-", color=color, label=label)
    along.set(
        title="Along training",
        xscale="log",
        xlabel="step + 1",
        ylabel="share of first component",
        ylim=(0, 1),
    )
    along.legend(fontsize=7.5)
    for axes, moment in ((before, "initial"), (after, "final")):
        plane, y = runs[0][f"plane_{moment}"], runs[0]["labels"]
        for sign, word, color in ((1, "even", COLORS[0]), (-1, "odd", COLORS[1])):
            axes.plot(*plane[y == sign].T, ".", markersize=3, color=color, label=word)
        axes.set(
            title=f"Last hidden layer, {moment}",
            xlabel="first component",
            ylabel="second component",
            aspect="equal",
        )
        axes.set(xlim=(-3, 3), ylim=(-3, 3))
        axes.legend(fontsize=7.5)
    places = np.arange(1, depth + 1)
    for name, form in (("participation", "o"), ("dimension", "s")):
        for when, where, moment, color in (
            ("initial", lines, "initial", FAINT),
            ("feature", lines, "final", COLORS[0]),
            ("lazy", lazy, "final", COLORS[1]),
        ):
            values = [mean_over_seeds(list(where[f"{name}_{layer}_{moment}"])) for layer in places]
            word = "participation ratio" if name == "participation" else "TwoNN"
            layers.errorbar(
                places,
                [v.value for v in values],
                [v.error or 0 for v in values],
                fmt=f"{form}-" if form == "o" else f"{form}--",
                color=color,
                capsize=2,
                markersize=4,
                label=f"{word}, {when}",
            )
    layers.set(title="Dimension", xlabel="hidden layer", xticks=places, ylim=(0, None))
    layers.legend(fontsize=7.5)
    return fig
