"""MNIST on the sphere: a spherical CNN and a plain one, trained upright, tested rotated.

    python examples/spherical_mnist.py --output runs/spherical_mnist

Digits are projected onto the northern hemisphere (`symnets.data.on_sphere`), as in Cohen et al. 2018
(arXiv:1801.10130), and sampled on a grid of latitudes and longitudes. `SphericalCNN`, whose logits are
invariant under rotations of the sphere, and LeNet, which treats the grid as an image, learn upright digits,
without augmentation. Both are tested on the same digits, upright and after random rotations, uniform on
SO(3). A rotated 6 may look like a 9, so errors are counted with these classes kept apart and merged; merged
logits are log(e^{f_6} + e^{f_9}).

The script prints a table, and writes results.json and errors.png. About three minutes on one core, most of it
training. MNIST is read from the folder SYMNETS_DATA, or downloaded. If neither is possible, the 8 x 8 digits
of scikit-learn are used instead.
"""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from symnets.data import Images, Loader, TensorPairs, load_images, on_sphere
from symnets.models import SphericalCNN, image_net
from symnets.provenance import provenance
from symnets.report import colors, save_picture, style, write
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

NETS = {"spherical": "spherical CNN", "plain": "plain CNN"}


@dataclass(frozen=True)
class Example:
    """A spherical CNN and a plain one on digits on the sphere."""

    output: Path = Path("runs/spherical_mnist")
    """Folder of results.json and errors.png."""
    data: str = "mnist"
    """Images: mnist, fashion-mnist or digits."""
    resolution: int = 32
    """Number of latitudes, and of longitudes, of the grid."""
    lmax: tuple[int, ...] = (8, 5)
    """Highest degree of each convolution of the spherical CNN."""
    channels: tuple[int, ...] = (12, 24)
    """Channels of each convolution of the spherical CNN."""
    oversampling: float = 1.0
    """Oversampling of its activations."""
    epochs: int = 12
    """Epochs of the spherical CNN; the plain one, whose steps are faster, has four times as many."""
    n_train: int = 3000
    """Number of training images."""
    n_test: int = 2000
    """Number of test images."""
    seed: int = 0

    def run(self) -> dict:
        """Train and test both nets; print and write what was found."""
        train, test = self.images()
        grid = (self.resolution, self.resolution)
        rotations = torch.from_numpy(Rotation.random(len(test), random_state=self.seed).as_matrix())
        x = on_sphere(train.scaled(), grid, kind="gauss")
        upright = on_sphere(test.scaled(), grid, kind="gauss")
        rotated = on_sphere(test.scaled(), grid, rotations, kind="gauss")
        scale = float(x.square().mean().rsqrt())
        found = {}
        for name, title in NETS.items():
            print(title, file=sys.stderr)
            torch.manual_seed(self.seed)
            net = self.net(name, len(train.classes))
            start = time.perf_counter()
            epochs = self.epochs if name == "spherical" else 4 * self.epochs
            rate = 1e-2 if name == "spherical" else 2e-3
            fit(net, x * scale, train.labels, epochs, rate, self.seed)
            seconds = time.perf_counter() - start
            first, last = outputs(net, upright * scale), outputs(net, rotated * scale)
            found[name] = {
                "n_weights": sum(p.numel() for p in net.parameters()),
                "epochs": epochs,
                "seconds": seconds,
                "train": classification_errors(outputs(net, x * scale), train.labels),
                "upright": classification_errors(first, test.labels),
                "rotated": classification_errors(last, test.labels),
                "change_of_logits": float((last - first).norm() / first.norm()),
            }
        result = {
            "data": train.name,
            "n_train": len(train),
            "n_test": len(test),
            "grid": grid,
            "lmax": self.lmax,
            "channels": self.channels,
            "oversampling": self.oversampling,
            "errors": ["10 classes", "6 and 9 merged"],
            "seed": self.seed,
            "threads": torch.get_num_threads(),
            "nets": found,
            "made_with": provenance(),
        }
        write(self.output / "results.json", f"{json.dumps(result, indent=1)}\n".encode())
        save_picture(figure(result, [upright[0, 0], rotated[0, 0]]), self.output / "errors.png")
        print_table(result)
        return result

    def images(self) -> tuple[Images, Images]:
        """Training and test images, or digits that need no download."""
        generator = torch.Generator().manual_seed(self.seed)
        try:
            train, test = load_images(self.data, "train"), load_images(self.data, "test")
        except OSError as error:
            print(f"{error}\n{self.data} is not available: 8 x 8 digits instead", file=sys.stderr)
            train, test = load_images("digits", "train"), load_images("digits", "test")
        return tuple(
            part[torch.randperm(len(part), generator=generator)[:n]]
            for part, n in ((train, self.n_train), (test, self.n_test))
        )  # pyright: ignore[reportReturnType]

    def net(self, name: str, n_classes: int) -> nn.Module:
        """Untrained net."""
        shape = (1, self.resolution, self.resolution)
        if name == "plain":
            return image_net("lenet", shape, n_classes)
        return SphericalCNN(
            shape,
            n_classes,
            lmax=self.lmax,
            channels=self.channels,
            oversampling=self.oversampling,
            kind="gauss",
        )


def fit(net: nn.Module, x: Tensor, labels: Tensor, epochs: int, rate: float, seed: int) -> None:
    """Train with Adam; the learning rate decays as a cosine."""
    loader = Loader(TensorPairs(x, labels), 32, shuffle=True, seed=seed)
    steps = epochs * len(loader)
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    schedule = learning_rate(optimizer, steps, decay="cosine", warmup=steps // 20)
    bar = ProgressBar(steps)
    state = TrainState(net, optimizer, schedule)
    Trainer(max_steps(steps), callbacks=[bar]).fit(descend(state, cross_entropy, loader))


@torch.no_grad()
def outputs(net: nn.Module, x: Tensor) -> Float[Tensor, "n classes"]:
    """Logits, in eval mode."""
    return torch.cat([net.eval()(part) for part in x.split(100)])


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
    table = Table("", "weights", "seconds", "train", "upright", "rotated", "6 = 9: upright", "rotated")
    for name, row in result["nets"].items():
        (upright, merged), (rotated, rotated_merged) = row["upright"], row["rotated"]
        errors = (row["train"][0], upright, rotated, merged, rotated_merged)
        table.add_row(
            NETS[name],
            f"{row['n_weights']:,}",
            f"{row['seconds']:.0f}",
            *(f"{100 * error:.1f} %" for error in errors),
        )
    Console(width=110).print(table)


@style()
def figure(result: dict, samples: list[Tensor]) -> Figure:
    """A digit on the sphere, upright and rotated, and the errors of both nets."""
    fig = Figure(figsize=(8.2, 2.9), layout="constrained")
    *maps, axes = fig.subplots(1, 3, width_ratios=[1, 1, 1.5])
    for ax, sample, title in zip(maps, samples, ("upright", "rotated"), strict=True):
        ax.imshow(sample.numpy(), cmap="gray", extent=(0, 360, 180, 0), aspect="auto")
        ax.grid(visible=False)
        ax.set(title=title, xlabel="longitude, degrees", xticks=[0, 180, 360], yticks=[0, 90, 180])
    maps[0].set_ylabel("polar angle, degrees")
    kinds = [("upright", 0), ("rotated", 0), ("upright", 1), ("rotated", 1)]
    for k, ((name, row), color) in enumerate(zip(result["nets"].items(), colors(2), strict=True)):
        places = [i + 0.4 * k - 0.2 for i in range(4)]
        axes.bar(places, [100 * row[kind][j] for kind, j in kinds], 0.38, color=color, label=NETS[name])
    labels = ["upright", "rotated", "upright\n6 = 9", "rotated\n6 = 9"]
    axes.set_xticks(range(4), labels)
    axes.set(ylabel="test error, %", title=f"trained upright, {result['data']}", ylim=(0, 120))
    axes.set_yticks([0, 20, 40, 60, 80, 100])
    axes.legend(ncols=2, loc="upper left")
    return fig


if __name__ == "__main__":
    set_threads(1)
    tyro.cli(Example).run()
