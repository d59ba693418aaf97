"""Rotated MNIST: a harmonic network and a plain one, trained upright, tested rotated.

    python examples/rotated_mnist.py --output runs/rotated_mnist

Two nets with the same number of weights are trained for the same processor time: `HarmonicNetwork2D`, whose
logits are invariant under rotations, and a narrow VGG-11 with batch normalisation. They learn upright digits,
without augmentation. Test images are rotated about their centre by random angles, interpolated by cubic
polynomials (`symnets.diffeo.Affine`). A rotated 6 is a 9, so errors are counted with these classes kept apart
and merged; merged logits are log(e^{f_6} + e^{f_9}). R = D / G of the logits is the stability to small smooth
deformations relative to noise (`symnets.observables.stability`), at one temperature for both nets.

The script prints a table, and writes results.json and errors.png. Four minutes on one core, most of it
training. MNIST is read from the folder SYMNETS_DATA, or downloaded. If neither is possible, the 8 x 8 digits
of scikit-learn are used instead, which are too coarse for rotations other than quarter turns.
"""

import json
import statistics
import sys
import time
from bisect import bisect_left
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
import tyro
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from symnets.data import load_images
from symnets.diffeo import Affine
from symnets.models import image_net
from symnets.provenance import provenance
from symnets.report import colors, save_picture, style, write
from symnets.setups import SHAPES, DeformedConfig, measure_stability, train_classifier
from symnets.threads import set_threads
from symnets.training import Callback, ProgressBar, TrainState

NETS = {"harmonic": "harmonic network", "vgg_bn": "plain network"}
ANGLES = tuple(range(0, 181, 15))


@dataclass(frozen=True)
class Example:
    """A harmonic network and a plain one on rotated digits."""

    output: Path = Path("runs/rotated_mnist")
    """Folder of results.json and errors.png."""
    data: str = "mnist"
    """Images: mnist, fashion-mnist or digits."""
    seconds: float = 75.0
    """Processor time of each training in seconds."""
    width: float = 0.6
    """Width of the harmonic network; the other one gets the same number of weights."""
    rate: float = 8e-3
    """Largest learning rate."""
    n_train: int = 20_000
    """Number of training images."""
    n_test: int = 4000
    """Number of test images."""
    n_angle: int = 500
    """Number of test images at each angle of the figure."""
    seed: int = 0

    def run(self) -> dict:
        """Train and test both nets; print and write what was found."""
        data, n_train, n_test = self.available()
        widths = {"harmonic": self.width, "vgg_bn": equal_width(SHAPES[data], self.width)}
        found, rotated = {}, None
        for name, title in NETS.items():
            config = DeformedConfig(
                net=name,
                width=widths[name],
                data=data,
                n_train=n_train,
                n_test=n_test,
                batch_size=32,
                rate=self.rate,
                augment="none",
                seed=self.seed,
                n_images=min(500, n_test),
                cutoff=2.0 if data == "digits" else 3.0,
                delta=0.6 if data == "digits" else 1.0,
            )
            steps = max(2, int(self.seconds / seconds_per_step(config)))
            config = replace(config, min_steps=steps, max_steps=steps)
            bar = ProgressBar(steps)
            print(title, file=sys.stderr)
            start = time.process_time()
            trained = train_classifier(config, [bar])
            seconds = time.process_time() - start
            bar.close()
            images, labels = trained.test
            if rotated is None:
                generator = torch.Generator().manual_seed(self.seed)
                rotated = turned(images, 360 * torch.rand(len(images), generator=generator))
            stable = measure_stability(trained.net, trained.test, config, trained=True)
            logits = outputs(trained.net, images)
            few, few_labels = images[: self.n_angle], labels[: self.n_angle]
            by_angle = [
                classification_errors(outputs(trained.net, turned(few, angle)), few_labels)[0]
                for angle in ANGLES
            ]
            found[name] = {
                "n_weights": trained.row["n_params"],
                "steps": steps,
                "epochs": steps * config.batch_size / n_train,
                "seconds": seconds,
                "train_error": trained.row["train_error"],
                "upright": classification_errors(logits, labels),
                "rotated": classification_errors(outputs(trained.net, rotated), labels),
                "by_angle": by_angle,
                "change_of_logits_by_quarter_turn": float(
                    (outputs(trained.net, images.rot90(1, (2, 3))) - logits).norm() / logits.norm()
                ),
                "D": float(stable.D.value[-1]),
                "G": float(stable.G.value[-1]),
                "R": [float(end[-1]) for end in (stable.R.value, stable.R.low, stable.R.high)],
            }
        result = {
            "data": data,
            "n_train": n_train,
            "n_test": n_test,
            "errors": ["10 classes", "6 and 9 merged"],
            "angles": ANGLES,
            "seed": self.seed,
            "nets": found,
            "made_with": provenance(),
        }
        write(self.output / "results.json", f"{json.dumps(result, indent=1)}\n".encode())
        save_picture(figure(result), self.output / "errors.png")
        print_table(result)
        return result

    def available(self) -> tuple[str, int, int]:
        """Data set and numbers of images as requested, or those of the digits, which need no download."""
        try:
            load_images(self.data, "test")
        except OSError as error:
            print(f"{error}\n{self.data} is not available: 8 x 8 digits instead", file=sys.stderr)
            return "digits", min(1200, self.n_train), min(400, self.n_test)
        limits = (1200, 400) if self.data == "digits" else (50_000, 8000)
        return self.data, min(limits[0], self.n_train), min(limits[1], self.n_test)


def equal_width(shape: tuple[int, ...], width: float) -> float:
    """Width of the plain net for which it has about as many weights as the harmonic one."""

    def n_weights(name: str, width: float) -> int:
        return sum(p.numel() for p in image_net(name, shape, width=width).parameters())

    with torch.random.fork_rng(devices=[]):
        wanted = n_weights("harmonic", width)
        widths = [k / 64 for k in range(4, 129)]
        above = bisect_left(widths, wanted, key=lambda w: n_weights("vgg_bn", w))
        near = widths[max(above - 1, 0) : above + 1]
        return min(near, key=lambda w: abs(n_weights("vgg_bn", w) - wanted))


class Clock(Callback):
    """Processor time after each step."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def after_step(self, state: TrainState) -> None:
        """Read the clock."""
        self.times.append(time.process_time())


def seconds_per_step(config: DeformedConfig, n: int = 20) -> float:
    """Processor time of a training step, the median of a short training."""
    clock = Clock()
    short = replace(config, n_train=320, n_test=10, n_images=10, min_steps=n, max_steps=n)
    train_classifier(short, [clock])
    return statistics.median(after - before for before, after in pairwise(clock.times))


def turned(
    images: Float[Tensor, "n channels rows columns"], degrees: float | Tensor
) -> Float[Tensor, "n channels rows columns"]:
    """Images rotated counterclockwise about their centre, pixels in [0, 1]."""
    return Affine.rotation(degrees, images.shape[2:]).warp(images, "bicubic").clamp(0, 1)


@torch.no_grad()
def outputs(net: nn.Module, images: Tensor) -> Float[Tensor, "n classes"]:
    """Logits, in eval mode."""
    return torch.cat([net.eval()(part) for part in images.split(500)])


def classification_errors(logits: Float[Tensor, "n 10"], labels: Int[Tensor, " n"]) -> tuple[float, float]:
    """Fraction of wrong classes, with 6 and 9 apart and merged."""
    apart = (logits.argmax(1) != labels).double().mean()
    together = logits.clone()
    together[:, 6] = logits[:, [6, 9]].logsumexp(1)
    together[:, 9] = -torch.inf
    merged = (together.argmax(1) != torch.where(labels == 9, 6, labels)).double().mean()
    return float(apart), float(merged)


def print_table(result: dict) -> None:
    """One line for each net."""
    table = Table("", "weights", "epochs", "upright", "rotated", "6 = 9: upright", "rotated", "R")
    for name, row in result["nets"].items():
        (upright, merged), (rotated, rotated_merged) = row["upright"], row["rotated"]
        r, low, high = row["R"]
        table.add_row(
            NETS[name],
            f"{row['n_weights']:,}",
            f"{row['epochs']:.1f}",
            *(f"{100 * error:.2f} %" for error in (upright, rotated, merged, rotated_merged)),
            f"{r:.3f} ({low:.3f} to {high:.3f})",
        )
    Console(width=110).print(table)


@style()
def figure(result: dict) -> Figure:
    """Error against the angle of rotation."""
    fig = Figure(figsize=(5.2, 3.5), layout="constrained")
    axes = fig.subplots()
    for (name, row), color in zip(result["nets"].items(), colors(len(NETS)), strict=True):
        axes.plot(result["angles"], [100 * e for e in row["by_angle"]], "o-", color=color, label=NETS[name])
    axes.set(xlabel="rotation of test images, degrees", ylabel="test error, %", ylim=(0, 100))
    axes.set_title(f"Trained on upright images of {result['data']}")
    axes.set_xticks([0, 45, 90, 135, 180])
    axes.legend()
    return fig


if __name__ == "__main__":
    set_threads(1)
    tyro.cli(Example).run()
