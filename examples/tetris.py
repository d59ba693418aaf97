"""Tetris: networks learn eight shapes in one orientation and are tested on random rotations.

    python examples/tetris.py --output runs/tetris

Two of the shapes are mirror images of each other. Whether a network can tell them apart depends on its
symmetry:

- Features of SO(3): no symmetry relates the outputs of mirror images, and the network separates them.
- Features of O(3), outputs from even scalars (0e) alone: mirror images have exactly the same outputs, and the
  cross-entropy cannot fall below (2 ln 2) / 8 = 0.173.
- Features of O(3), and a pseudoscalar (0o) among the outputs: it changes its sign under reflections. The
  outputs of the two classes are f + p and f - p.

`PlainPointNet`, which takes coordinates and has no symmetry, learns the eight shapes in their orientation,
and fails on rotations.

Prints a table and writes results.json and tetris.png. One to two minutes on one core.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from symnets.data import Batch, Loader, point_cloud, tetris
from symnets.models import EGNN, CloudClassifier, NequIP, PlainPointNet, SE3Transformer, TensorFieldNetwork
from symnets.provenance import provenance
from symnets.report import COLORS, save_picture, style, write
from symnets.testing import random_rotation
from symnets.training import ProgressBar, Trainer, TrainState, descend, max_steps

RADIUS = 1.3
"""Cutoff radius of the edges: they connect cubes at a distance of 1 (neighbours), not at √2."""
COMMON = {"cutoff": RADIUS, "layers": 3, "mean_neighbors": 1.5, "n_basis": 4}
TENSORS = COMMON | {"lmax": 1, "channels": 16, "radial_hidden": (16,)}
WITH_0O = TENSORS | {"irreps_last": "16x0e+16x0o", "parity": True}
MIRROR_IMAGES = [(0, 1)]
"""Classes "chiral 1" and "chiral 2"."""


@dataclass(frozen=True)
class Entry:
    """A network of the comparison."""

    name: str
    symmetry: str
    outputs: str
    """Irreps of which the outputs are made."""
    build: Callable[[], nn.Module]


def classifier(network: nn.Module, *, pseudoscalars: bool = False) -> nn.Module:
    """Classifier of eight shapes on top of a network."""
    return CloudClassifier(network, 8, mirror_images=MIRROR_IMAGES if pseudoscalars else ())


H = ("H",)
ENTRIES = (
    Entry(
        "TensorFieldNetwork",
        "SO(3)",
        "0e",
        lambda: classifier(TensorFieldNetwork(H, parity=False, **TENSORS)),
    ),
    Entry(
        "TensorFieldNetwork",
        "O(3)",
        "0e + 0o",
        lambda: classifier(TensorFieldNetwork(H, **WITH_0O), pseudoscalars=True),
    ),
    Entry(
        "SE3Transformer",
        "O(3)",
        "0e + 0o",
        lambda: classifier(SE3Transformer(H, **WITH_0O), pseudoscalars=True),
    ),
    Entry("NequIP", "O(3)", "0e + 0o", lambda: classifier(NequIP(H, **WITH_0O), pseudoscalars=True)),
    Entry("TensorFieldNetwork", "O(3)", "0e", lambda: classifier(TensorFieldNetwork(H, **TENSORS))),
    Entry("EGNN", "O(3)", "0e", lambda: classifier(EGNN(H, channels=16, **COMMON))),
    Entry("PlainPointNet", "none", "numbers", lambda: PlainPointNet(8)),
)


@dataclass(frozen=True)
class Result:
    """Results of one network."""

    name: str
    symmetry: str
    outputs: str
    n_weights: int
    loss: float
    """Cross-entropy after training."""
    upright: float
    """Fraction of the training shapes that are recognised."""
    rotated: float
    """Fraction of rotated shapes that are recognised."""
    chiral: float
    """Largest difference between outputs for the two mirror images, relative to the largest output."""
    rotation_error: float
    """Largest change of an output under rotations, relative to the largest output."""


@dataclass(frozen=True)
class Example:
    """Eight shapes of tetris: training on one orientation, tests on rotations, and mirror images."""

    output: Path = Path("runs/tetris")
    """Folder of results.json and tetris.png."""
    steps: int = 150
    """Steps of each training, all eight shapes at once."""
    rotations: int = 100
    """Random rotations of each shape in the test."""
    seed: int = 0

    def run(self) -> list[Result]:
        """Train and test all networks; print and write what was found."""
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # to show that outputs are equal, not similar
        try:
            tests = [turned(self.seed + 1 + number) for number in range(self.rotations)]
            results = [self.result(entry, tests) for entry in ENTRIES]
        finally:
            torch.set_default_dtype(default)
        found = {
            "config": {"steps": self.steps, "rotations": self.rotations, "seed": self.seed},
            "networks": [asdict(result) for result in results],
            "made_with": provenance(),
        }
        write(self.output / "results.json", f"{json.dumps(found, indent=1)}\n".encode())
        save_picture(figure(results), self.output / "tetris.png")
        Console(width=110).print(table(results))
        return results

    def result(self, entry: Entry, tests: Sequence[Batch]) -> Result:
        """Train and test one network."""
        print(f"{entry.name}, {entry.symmetry}, {entry.outputs}", file=sys.stderr)
        torch.manual_seed(self.seed)
        net = entry.build()
        examples = [
            (point_cloud(positions, RADIUS), torch.tensor(label))
            for label, positions in enumerate(tetris().values())
        ]
        loss = nn.CrossEntropyLoss()
        state = TrainState(net, torch.optim.Adam(net.parameters(), lr=0.01))
        bar = ProgressBar(self.steps)
        trainer = Trainer(max_steps(self.steps), callbacks=[bar])
        trainer.fit(descend(state, loss, Loader(examples, len(examples))))
        (upright,) = Loader(examples, len(examples))
        with torch.no_grad():
            outputs, *turned_outputs = (net(batch.inputs) for batch in (upright, *tests))
        largest = float(outputs.abs().max())
        return Result(
            entry.name,
            entry.symmetry,
            entry.outputs,
            sum(p.numel() for p in net.parameters()),
            float(loss(outputs, upright.targets)),
            recognised(outputs, upright),
            sum(map(recognised, turned_outputs, tests)) / len(tests),
            float((outputs[0] - outputs[1]).abs().max()) / largest,
            max(float((other - outputs).abs().max()) for other in turned_outputs) / largest,
        )


def turned(seed: int) -> Batch:
    """The eight shapes, each after a random rotation and a random translation."""
    generator = torch.Generator().manual_seed(seed)
    examples = []
    for label, positions in enumerate(tetris().values()):
        rotation = torch.as_tensor(random_rotation(8 * seed + label))
        moved = positions @ rotation.T + torch.randn(3, dtype=positions.dtype, generator=generator)
        examples.append((point_cloud(moved, RADIUS), torch.tensor(label)))
    (batch,) = Loader(examples, len(examples))
    return batch


def recognised(outputs: Tensor, batch: Batch) -> float:
    """Fraction of clouds whose largest output is that of their class."""
    return float((outputs.argmax(1) == batch.targets).double().mean())


def table(results: list[Result]) -> Table:
    """The results in columns."""
    columns = ("symmetry", "outputs", "weights", "loss", "trained on", "rotated", "mirror images differ by")
    found = Table("network", *columns)
    for r in results:
        chiral = "0, exactly" if r.chiral == 0 else f"{r.chiral:.2g}"
        found.add_row(
            r.name,
            r.symmetry,
            r.outputs,
            f"{r.n_weights:,}",
            f"{r.loss:.3g}",
            f"{r.upright:.1%}",
            f"{r.rotated:.1%}",
            chiral,
        )
    return found


@style()
def figure(results: list[Result]) -> Figure:
    """The shapes; the accuracy of each network; how much its outputs differ for the mirror images."""
    upright, rotated, mirrored = COLORS[:3]
    fig = Figure(figsize=(8.2, 5.8), layout="constrained")
    top, bottom = fig.subfigures(2, 1, height_ratios=[1.4, 3])  # pyright: ignore[reportGeneralTypeIssues]
    shapes = tetris()
    panels = top.subplots(1, len(shapes), subplot_kw={"projection": "3d"})
    for axes, (name, positions) in zip(panels, shapes.items(), strict=True):
        cubes = torch.zeros(3, 3, 4, dtype=torch.bool)
        cubes[tuple((positions - positions.min(0).values).long().T)] = True
        axes.voxels(cubes.numpy(), facecolor=rotated if "chiral" in name else upright, edgecolor="white")
        axes.set(xlim=(0, 3), ylim=(0, 3), zlim=(0, 4))
        axes.set_box_aspect((3, 3, 4), zoom=1.15)
        axes.view_init(25, -50)
        axes.set_axis_off()
        axes.set_title(name, fontsize=9, fontweight="normal", loc="center")
    left, right = bottom.subplots(1, 2, sharey=True, width_ratios=[1.5, 1])
    rows = list(range(len(results)))[::-1]
    names = [f"{r.name}\n{r.symmetry}, {r.outputs}" for r in results]
    for label, offset, values, color in (
        ("as in training", 0.2, [r.upright for r in results], upright),
        ("rotated", -0.2, [r.rotated for r in results], rotated),
    ):
        left.barh([y + offset for y in rows], [100 * v for v in values], 0.36, color=color, label=label)
    left.set_yticks(rows, names, fontsize=8)
    left.set(xlabel="shapes recognised, %", xlim=(0, 100), ylim=(-0.6, len(rows) + 0.4))
    left.legend(loc="upper left", ncols=2)
    right.barh(rows, [r.chiral for r in results], 0.6, color=mirrored)
    for y, r in zip(rows, results, strict=True):
        if r.chiral < 1e-12:
            right.text(0.03, y, "0, exactly" if r.chiral == 0 else f"{r.chiral:.0e}", va="center", fontsize=9)
    right.set(xlim=(0, 2.1), xlabel="outputs of chiral 1 and 2 differ by")
    for axes in (left, right):
        axes.grid(axis="y", visible=False)
    return fig


if __name__ == "__main__":
    tyro.cli(Example).run()
