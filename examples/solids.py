"""Solids on voxels: a steerable net and a plain one, trained upright, tested rotated.

    python examples/solids.py --output runs/solids

Seven kinds of solids on 17³ voxels are classified: cones, cubes, cylinders, octahedra, spheres, tetrahedra
and tori. All kinds have the same volume at the same size; sizes and places are random. `SteerableCNN3D` and a
plain net of torch's convolutions learn upright solids, with the same number of weights and for the same
processor time. They are tested on other upright solids and on solids in random orientations. The plain net is
also trained on solids in random orientations, with augmentation in place of symmetry.

The script prints a table, and writes results.json and solids.png. Three minutes on one core.
"""

import copy
import json
import sys
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from symnets.data import SOLIDS, Loader, Solids, TensorPairs, solids
from symnets.models import SteerableCNN3D, scaled
from symnets.provenance import provenance
from symnets.report import save_picture, style, write
from symnets.threads import set_threads
from symnets.training import (
    ProgressBar,
    Trainer,
    TrainState,
    cross_entropy,
    descend,
    learning_rate,
    max_steps,
)

BATCH = 16
TESTS = ("upright", "quarter turn", "random")


@dataclass(frozen=True)
class Example:
    """A steerable and a plain convolutional net on rotated solids."""

    output: Path = Path("runs/solids")
    """Folder of results.json and solids.png."""
    seconds: float = 45.0
    """Processor time of each training in seconds."""
    size: int = 17
    """Voxels along an edge of a box."""
    width: float = 0.5
    """Width of the steerable net; the plain one gets the same number of weights."""
    rate: float = 0.01
    """Largest learning rate."""
    n_train: int = 400
    """Number of training solids."""
    n_test: int = 400
    """Number of test solids of each kind."""
    seed: int = 0

    def run(self) -> dict:
        """Train and test the nets; print and write what was found."""
        turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
        upright = solids(self.n_train, self.size, seed=self.seed, orientation="upright")
        augmented = solids(self.n_train, self.size, seed=self.seed)
        seed = self.seed + 1
        tests = {
            "upright": solids(self.n_test, self.size, seed=seed, orientation="upright"),
            "quarter turn": solids(self.n_test, self.size, seed=seed, orientation="upright", rotation=turn),
            "random": solids(self.n_test, self.size, seed=seed),
        }
        torch.manual_seed(self.seed)
        shape = (1, self.size, self.size, self.size)
        steerable = SteerableCNN3D(shape, len(SOLIDS), width=self.width)
        plain = plain_net(n_weights(steerable))
        found = {}
        for name, net, train in (
            ("steerable", steerable, upright),
            ("plain", plain, upright),
            ("plain, augmented", copy.deepcopy(plain), augmented),
        ):
            print(name, file=sys.stderr)
            steps = self.train(net, train)
            found[name] = {
                "n_weights": n_weights(net),
                "steps": steps,
                "epochs": steps * BATCH / self.n_train,
                "error": {kind: error(net, test) for kind, test in tests.items()},
                "train_error": error(net, train),
            }
        result = {
            "question": __doc__,
            "size": self.size,
            "n_train": self.n_train,
            "n_test": self.n_test,
            "seconds": self.seconds,
            "seed": self.seed,
            "nets": found,
            "made_with": provenance(),
        }
        write(self.output / "results.json", f"{json.dumps(result, indent=1)}\n".encode())
        save_picture(figure(tests["upright"], tests["random"]), self.output / "solids.png")
        print_table(result)
        return result

    def train(self, net: nn.Module, data: Solids) -> int:
        """Train for a given processor time; returns the number of steps."""
        pairs = TensorPairs(data.voxels, data.labels)

        def fit(net: nn.Module, steps: int) -> float:
            optimizer = torch.optim.Adam(net.parameters(), lr=self.rate)
            schedule = learning_rate(optimizer, steps, warmup=min(20, steps // 2))
            state = TrainState(net.train(), optimizer, schedule)
            loader = Loader(pairs, BATCH, shuffle=True, seed=self.seed)
            bar = ProgressBar(steps)
            start = time.process_time()
            Trainer(max_steps(steps), callbacks=[bar]).fit(descend(state, cross_entropy, loader))
            return time.process_time() - start

        few = 3
        fit(copy.deepcopy(net), 1)
        steps = max(2, int(self.seconds / (fit(copy.deepcopy(net), few) / few)))
        fit(net, steps)
        return steps


def plain_net(n: int) -> nn.Module:
    """Convolutions 5³, 3³, 3³, 3³ and 3³, with the strides of the steerable net and about n weights."""

    def build(width: float) -> nn.Module:
        layers, channels = OrderedDict[str, nn.Module](), 1
        for i, (factor, kernel, stride) in enumerate(
            [(1, 5, 1), (1, 3, 2), (2, 3, 1), (2, 3, 2), (4, 3, 1)], start=1
        ):
            out = scaled(8 * factor, width)
            layers[f"conv{i}"] = nn.Conv3d(channels, out, kernel, stride, kernel // 2, bias=False)
            layers[f"norm{i}"], layers[f"relu{i}"] = nn.BatchNorm3d(out), nn.ReLU()
            channels = out
        layers["average"], layers["flatten"] = nn.AdaptiveAvgPool3d(1), nn.Flatten()
        layers["readout"] = nn.Linear(channels, len(SOLIDS))
        return nn.Sequential(layers)

    with torch.random.fork_rng(devices=[]):
        width = min((k / 8 for k in range(1, 33)), key=lambda w: abs(n_weights(build(w)) - n))
    return build(width)


def n_weights(net: nn.Module) -> int:
    """Number of weights."""
    return sum(p.numel() for p in net.parameters())


@torch.no_grad()
def error(net: nn.Module, data: Solids) -> float:
    """Fraction of wrong classes."""
    logits = torch.cat([net.eval()(part) for part in data.voxels.split(50)])
    return float((logits.argmax(1) != data.labels).double().mean())


def print_table(result: dict) -> None:
    """One line for each net."""
    table = Table("errors", "weights", "epochs", "training", *TESTS)
    for name, row in result["nets"].items():
        errors = [row["train_error"], *(row["error"][kind] for kind in TESTS)]
        percent = [f"{100 * e:.1f} %" for e in errors]
        table.add_row(name, f"{row['n_weights']:,}", f"{row['epochs']:.1f}", *percent)
    Console(width=100).print(table)


@style()
def figure(*sets: Solids) -> Figure:
    """Sums along the second axis of one solid of each class, in rows."""
    picture = Figure(figsize=(7.2, 1.2 * len(sets) + 0.2))
    axes = picture.subplots(len(sets), len(SOLIDS), squeeze=False)
    for row, data in zip(axes, sets, strict=True):
        for number, (axis, name) in enumerate(zip(row, SOLIDS, strict=True)):
            image: Tensor = data.voxels[data.labels == number][0, 0].sum(1)
            axis.imshow(image.numpy(), cmap="gray_r", origin="lower")
            axis.set_axis_off()
            if row is axes[0]:
                axis.set_title(name, fontsize=8)
    return picture


if __name__ == "__main__":
    set_threads(1)
    tyro.cli(Example).run()
