"""Animation of neurons that collapse on attractors while a net learns, as a GIF.

A net with one hidden layer of ReLU learns the stripe in two dimensions by gradient flow. Each dot is the
position z of a neuron, the point of its hyperplane that is nearest to the origin, with an area that grows
with the neuron's part of the slope of the output. Neurons of one colour are active on the same training
patterns and have the same sign of the output weight. In feature training they move together; in lazy
training (`--alpha_tilde 1e3`) nothing moves:

    python examples/attractors_animation.py attractors.gif
    python examples/attractors_animation.py lazy.gif --alpha_tilde 1e3

It takes about half a minute. matplotlib writes the GIF by itself (PillowWriter): no other program is needed.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.animation import PillowWriter
from matplotlib.figure import Figure

from symnets.experiments.attractors import draw_neurons
from symnets.models import Dense
from symnets.observables import attractors, neurons
from symnets.report import style
from symnets.setups import RegimeConfig, train_regime
from symnets.training import Callback, TrainState


class Film(Callback):
    """Copies of a net at every check, with the fraction of satisfied patterns."""

    def __init__(self, n_train: int) -> None:
        self.n_train = n_train
        self.nets: list[Dense] = []
        self.satisfied: list[float] = []

    def after_step(self, state: TrainState) -> None:
        """Copy the net."""
        assert state.members is not None
        predictor: Any = state.model
        self.nets.append(predictor.model.member(0))
        self.satisfied.append(1 - int(state.members.n_unsatisfied[0]) / self.n_train)


def film(config: RegimeConfig, path: str | Path, *, n_frames: int = 60, fps: int = 10) -> int:
    """Train a net and write the positions of its neurons as a GIF; returns the number of frames.

    Args:
        config: one hidden layer of ReLU, two input dimensions.
        path: path of the GIF.
        n_frames: largest number of frames, evenly spaced in steps; the last one is held for a second.
        fps: frames per second.
    """
    recorded = Film(config.n_train)
    trained = train_regime([config], [recorded])
    start: Any = trained.start
    nets, satisfied = [start.member(0), *recorded.nets], [0.0, *recorded.satisfied]
    chosen = np.unique(np.linspace(0, len(nets) - 1, n_frames).round().astype(int)).tolist()
    x, y = trained.train.inputs[0], trained.train.targets[0].numpy()
    with style():
        figure = Figure(figsize=(4.6, 4.6), layout="constrained")
        axes = figure.subplots()
        writer = PillowWriter(fps=fps)
        with writer.saving(figure, str(path), dpi=90):
            for k in [*chosen, *[chosen[-1]] * (fps - 1)]:
                axes.clear()
                found, groups = neurons(nets[k]), attractors(nets[k], x)
                share = found.amplitudes.abs() * found.weights.norm(dim=1)
                z, number = found.positions.numpy(), groups.group.numpy()
                draw_neurons(axes, z, number, (share / share.sum()).numpy(), x.numpy(), y)
                text = f"{int(groups.n_groups)} groups, {satisfied[k]:.0%} satisfied"
                axes.set(title=text, xlabel="$z_1$", ylabel="$z_2$")
                writer.grab_frame()
    return len(chosen) + fps - 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and write the GIF."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("output", type=Path, help="path of the GIF")
    parser.add_argument("--alpha_tilde", type=float, default=1e-3, help="scale of the predictor")
    parser.add_argument("--n_train", type=int, default=20, help="number of training patterns")
    parser.add_argument("--width", type=int, default=100, help="number of neurons")
    parser.add_argument("--seed", type=int, default=0, help="seed of patterns and weights")
    parser.add_argument("--n_frames", type=int, default=60, help="largest number of frames")
    options = vars(parser.parse_args(arguments))
    path, n_frames = options.pop("output"), options.pop("n_frames")
    torch.set_num_threads(1)
    config = RegimeConfig(data="stripe", dim=2, n_test=0, stride=2, **options)
    print(f"{path}: {film(config, path, n_frames=n_frames)} frames")


if __name__ == "__main__":
    main()
