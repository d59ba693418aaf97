"""Stability during training: sensitivity to deformations and noise along a training, with the test error.

**Question.** At which stage of training does a net become stable to deformations?

**Law.** With $D$ the sensitivity to deformations and $G$ that to noise of the same norm, as in
`stability_vs_error`, the relative stability $R = D/G$ is of order 1 at initialization, and falls as nets
learn to classify (Petrini et al. 2021, arXiv:2105.02468).

**How.** Nets, training and deformations as in `stability_vs_error`, measured at steps evenly spaced on the
logarithmic scale. Batch normalisations use the statistics of each batch before step 30, and running
statistics from there on, in which the initial values then have a weight of at most 4 %. With statistics of
the batch a net looks much less sensitive to noise, because the statistics of a batch of noisy images include
the noise. So $D$, $G$ and $R$ jump where one kind of statistics replaces the other; dotted curves use
statistics of the batch throughout. The fall of $R$ is given twice: as published, from statistics of the batch
at initialization to running ones at the end, and with statistics of the batch at both ends. Rank correlations
are over the steps of one training with statistics of the batch throughout, and are given as means over seeds
with standard errors.

**Figure.** Test error, $D$, $G$ and $R$ against the step, one colour for each net.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from symnets.config import at_least, check_ranges
from symnets.device import usable_device
from symnets.estimates import Seeds, by_net, geometric_mean, mean_over_seeds
from symnets.observables import classification_error
from symnets.report import COLORS, FAINT, row_of_panels, style
from symnets.setups import (
    PUBLISHED,
    DeformedConfig,
    Precision,
    classified_images,
    initial_classifier,
    measure_stability,
    stability_row,
    train_classifier,
)
from symnets.sweeps import Arrays, Finding, Result, grid
from symnets.training import TrainState, log_spaced

__all__ = ["CLAIMS", "PRESETS", "Config", "figure", "findings", "run"]
CLAIMS = ("E3",)
_SOURCE = "Petrini et al. 2021, arXiv:2105.02468"
_NAMES = ("test_error", "D", "G", "R")
_OF_BATCH = ("D_batch", "G_batch", "R_batch")
RUNNING_FROM = 30
"""Step from which on running statistics are used; the initial ones then have the weight 0.9^30 = 0.04."""


@dataclass(frozen=True)
class Config(DeformedConfig):
    """Configuration of a net whose stability is measured during its training."""

    per_decade: int = 5
    """Number of measurements per decade of steps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges("", self, per_decade=at_least(1))


PRESETS = {
    "quick": grid(
        Config,
        net=("resnet", "vgg_bn", "lenet", "fc2"),
        n_train=1000,
        n_test=1000,
        min_steps=400,
        n_images=250,
        n_draws=2,
        seed=range(3),
    ),
    "hour": grid(
        Config,
        data=("mnist", "fashion-mnist", "cifar10"),
        net=("resnet", "vgg_bn", "lenet", "fc2"),
        n_train=10_000,
        max_steps=3000,
        n_draws=2,
        seed=range(2),
    ),
    "paper": grid(
        Config,
        **PUBLISHED,
        net=("resnet", "efficientnet", "vgg_bn"),
        n_train=50_000,
        per_decade=10,
    ),
}


def run(configs: Sequence[Config], *, precision: Precision = "float32") -> list[Result]:
    """Train nets and measure them during training.

    Rows as in `stability_vs_error`. Arrays: `step`, starting at 0; `test_error`, D, G, R; and D_batch,
    G_batch, R_batch with statistics of the batch throughout.
    """
    return [_run(config, precision) for config in configs]


def _run(config: Config, precision: Precision) -> Result:
    _, test = classified_images(config, usable_device(config.device))

    def measure(state: TrainState) -> dict[str, float]:
        of_batch = measure_stability(state.model, test, config, trained=False).table().iloc[-1]
        chosen = of_batch
        if state.step >= RUNNING_FROM:
            chosen = measure_stability(state.model, test, config, trained=True).table().iloc[-1]
        error = classification_error(state.model, *test).error
        running = {name: float(chosen[name]) for name in "DGR"}
        return {"test_error": error} | running | {f"{name}_batch": float(of_batch[name]) for name in "DGR"}

    start = measure(TrainState(initial_classifier(config)))
    trained = train_classifier(
        config, observables={"at": measure}, record=log_spaced(config.per_decade), precision=precision
    )
    row = stability_row(trained, config)
    arrays = {"step": np.array([0, *trained.history.values("step")])}
    for name in (*_NAMES, *_OF_BATCH):
        arrays[name] = np.array([start[name], *trained.history.values(f"at/{name}")])
    return Result(row, arrays)


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """How far R falls, and its correlation with the test error along a training."""
    return [finding for where, seeds in by_net(table, arrays) for finding in _findings(where, seeds)]


def _findings(where: str, seeds: Seeds) -> Iterator[Finding]:
    start = [s["R"][0] for s in seeds]
    published = f"of order 1 ({_SOURCE}); band ours"
    yield Finding(
        f"R at the start, {where}, {len(seeds)} seeds",
        mean_over_seeds(start, geometric=True),
        published,
        0.3,
        3.0,
    )
    # Nets without batch normalisation have the same value in both.
    for name, how in (("R", "running statistics at the end"), ("R_batch", "statistics of the batch at both")):
        fall = [s[name][-1] / s[name][0] for s in seeds]
        quantity = f"R at the end over R at the start, {how}, {where}"
        published = f"below 1: R falls in training ({_SOURCE})"
        yield Finding(quantity, mean_over_seeds(fall, geometric=True), published, 0.0, 1.0)
    for name, low, high in (("R", 0.5, 1.0), ("D", -1.0, 1.0)):
        # The same statistics throughout, since the change of statistics makes a jump.
        ranks = [float(np.asarray(spearmanr(s[f"{name}_batch"], s["test_error"]))[0]) for s in seeds]
        published = "R falls with the test error (ours)" if name == "R" else "none (exploratory)"
        quantity = f"rank correlation of {name} and ε along the training, {where}"
        yield Finding(quantity, mean_over_seeds(ranks), published, low, high)


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Test error, D, G and R against the step."""
    fig, panels = row_of_panels(4)
    for (where, seeds), color in zip(by_net(table, arrays), COLORS * 3, strict=False):
        for axes, name in zip(panels, _NAMES, strict=True):
            step = np.maximum(seeds[0]["step"], 0.5)  # the start, on a logarithmic scale
            for s in seeds:
                axes.plot(step, s[name], color=color, alpha=0.25, linewidth=0.8)
            axes.plot(
                step,
                geometric_mean([s[name] for s in seeds]),
                "o-",
                color=color,
                markersize=3.5,
                label=where,
            )
            if name in "DGR":
                mean = geometric_mean([s[f"{name}_batch"] for s in seeds])
                axes.plot(step, mean, ":", color=color, linewidth=1)
    for axes, name in zip(panels, _NAMES, strict=True):
        axes.set(xscale="log", yscale="log", xlabel="step (start at 0.5)")
        axes.set(ylabel="test error ε" if name == "test_error" else f"${name}$ of the logits")
    panels[3].axhline(1.0, color=FAINT, linestyle=":", linewidth=1)
    panels[0].legend(fontsize=7.5)
    return fig
