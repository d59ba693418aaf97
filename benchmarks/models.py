"""All networks of symnets.models: symmetry, size, time and a drawing of each, for docs/models.md.

    OMP_NUM_THREADS=1 python benchmarks/models.py
    OMP_NUM_THREADS=1 python benchmarks/models.py --only NequIP MACE

Each network is built as its constructor does by default, with random weights. Its symmetry is measured: the
outputs for a transformed input are compared in float64, and a symmetry is listed if they differ by less than
1e-10 of their size. The time is the median of nine evaluations in float32 without gradients, divided by the
number of edges, points, pixels or voxels. Writes results/models.json and docs/images/models/NAME.svg.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from ase import Atoms
from ase.build import molecule
from drawing import draw
from machine import machine
from torch import Tensor, nn

import symnets.models as models
from symnets.data import AtomGraph, from_ase
from symnets.models import architectures
from symnets.models._architectures import image_net_classes
from symnets.testing import random_rotation

HERE = Path(__file__).parent
IMAGES = HERE.parent / "docs" / "images" / "models"
Transformed = tuple[str, Callable[[], Tensor]]


@dataclass(frozen=True)
class Kind:
    """A family of networks: its inputs and outputs, and the symmetries that are tested.

    Attributes:
        inputs, outputs: description in words.
        unit: what the time is divided by, such as "edge".
        sample: inputs of a dtype, and their number of units.
        moved: name of each symmetry -> function that transforms inputs.
        output: turns outputs into numbers that the symmetry leaves unchanged.
    """

    inputs: str
    outputs: str
    unit: str
    sample: Callable[[torch.dtype], tuple[object, int]]
    moved: dict[str, Callable]
    output: Callable[[Tensor], Tensor] = lambda y: y


def graph(dtype: torch.dtype, change: Callable[[Atoms], Atoms] = lambda atoms: atoms) -> AtomGraph:
    """Ethanol, rattled, after a change, as a graph with all neighbours within 5 Å."""
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.1, seed=0)
    return from_ase(change(atoms), cutoff=5.0, dtype=dtype)


def rotated(atoms: Atoms, *, improper: bool) -> Atoms:
    """Atoms after a random rotation, with inversion if improper."""
    atoms.positions = atoms.positions @ random_rotation(1, improper=improper).T
    return atoms


def shifted(atoms: Atoms) -> Atoms:
    """Atoms moved by a vector."""
    atoms.translate([1.0, 2.0, -0.5])
    return atoms


def graph_sample(dtype: torch.dtype) -> tuple[AtomGraph, int]:
    """A graph and its number of edges."""
    sample = graph(dtype)
    return sample, sample.edge_index.shape[1]


def tensor_sample(*shape: int) -> Callable[[torch.dtype], tuple[Tensor, int]]:
    """Random inputs of a shape (n, channels, ...), and their number of pixels."""

    def sample(dtype: torch.dtype) -> tuple[Tensor, int]:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)
        return x, x[:, 0].numel()

    return sample


GRAPH = Kind(
    "atoms or points: `AtomGraph`",
    "energy of each atom",
    "edge",
    graph_sample,
    {
        "translations": lambda g: graph(g.pos.dtype, shifted),
        "rotations": lambda g: graph(g.pos.dtype, lambda a: rotated(a, improper=False)),
        "reflections": lambda g: graph(g.pos.dtype, lambda a: rotated(a, improper=True)),
        "permutations": lambda g: graph(g.pos.dtype, lambda a: a[::-1]),
    },
    output=lambda energies: energies.sum(),
)
IMAGE = Kind(
    "images (n, channels, rows, columns)",
    "logits (n, classes)",
    "pixel",
    tensor_sample(8, 1, 28, 28),
    {
        "cyclic shifts by a pixel": lambda x: x.roll(1, -1),
        "quarter turns": lambda x: x.rot90(1, (-2, -1)),
        "reflections": lambda x: x.flip(-1),
    },
)
SPHERE = Kind(
    "signals on the sphere (n, channels, latitudes, longitudes)",
    "logits (n, classes)",
    "point of the grid",
    tensor_sample(8, 1, 20, 40),
    {
        "quarter turns about the axis": lambda x: x.roll(10, -1),
        "shifts by a latitude": lambda x: x.roll(1, -2),
    },
)
VOXELS = Kind(
    "voxels (n, channels, depth, rows, columns)",
    "logits (n, classes)",
    "voxel",
    tensor_sample(2, 1, 17, 17, 17),
    {
        "cyclic shifts by a voxel": lambda x: x.roll(1, -1),
        "quarter turns about any axis": lambda x: x.rot90(1, (-3, -1)).rot90(1, (-2, -1)),
        "reflections": lambda x: x.flip(-1),
    },
)
POINTS = Kind(
    "vectors (n, d), or images of d pixels",
    "numbers (n, outputs)",
    "input",
    tensor_sample(64, 28 * 28),
    {"permutations of the components": lambda x: x.flip(-1)},
)


CLOUD = replace(GRAPH, outputs="logits (graphs, classes)", output=lambda logits: logits)
SHAPES = {"SphericalCNN": (SPHERE, (1, 20, 40)), "SteerableCNN3D": (VOXELS, (1, 17, 17, 17))}
"""Family and input shape of image networks whose inputs are not plane images."""


def main(only: tuple[str, ...] = (), output: Path = HERE / "results" / "models.json") -> None:
    """Measure and draw; entries of networks that are not named in `only` are kept."""
    kept = {row["name"]: row for row in json.loads(output.read_text("utf-8"))["rows"]} if only else {}
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, (kind, build) in networks().items():
        if not only or name in only:
            kept[name] = measure(name, kind, build)
            print(json.dumps(kept[name]), flush=True)
    where = machine() | {"threads": torch.get_num_threads()}
    rows = [kept[name] for name in networks() if name in kept]
    document = {"question": __doc__, "machine": where, "torch": torch.__version__, "rows": rows}
    output.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def networks() -> dict[str, tuple[Kind, Callable[[], nn.Module]]]:
    """Family and constructor of each network, by the name of its class."""
    found: dict[str, tuple[Kind, Callable[[], nn.Module]]] = {}
    for name, cls in architectures().items():
        found[name] = GRAPH, lambda cls=cls: cls((1, 6, 8))
    for name, cls in image_net_classes().items():
        kind, shape = SHAPES.get(name, (IMAGE, (1, 28, 28)))
        found[name] = kind, lambda cls=cls, shape=shape: cls(shape, 10)
    found["PlainPointNet"] = CLOUD, lambda: models.PlainPointNet(10, kinds=8)
    found["Dense"] = POINTS, lambda: models.Dense(28 * 28, 100, 3)
    return found


def measure(name: str, kind: Kind, build: Callable[[], nn.Module]) -> dict:
    """Symmetries, number of parameters, time and drawing of a network."""
    torch.manual_seed(0)
    model = build().eval()
    sample, _ = kind.sample(torch.float64)
    exact = build().double().eval()
    with torch.no_grad():
        before = kind.output(exact(sample))
        errors = {
            symmetry: float((kind.output(exact(move(sample))) - before).norm() / before.norm())
            for symmetry, move in kind.moved.items()
        }
        inputs, n_units = kind.sample(torch.float32)
        draw(model, inputs, IMAGES / f"{name}.svg")
        times = []
        for _ in range(9):
            start = time.perf_counter()
            model(inputs)
            times.append(time.perf_counter() - start)
    return {
        "name": name,
        "inputs": kind.inputs,
        "outputs": kind.outputs,
        "symmetries": [symmetry for symmetry, error in errors.items() if error < 1e-10],
        "errors": {symmetry: float(f"{error:.2g}") for symmetry, error in errors.items()},
        "n_params": sum(p.numel() for p in model.parameters()),
        "unit": kind.unit,
        "us_per_unit": float(f"{1e6 * statistics.median(times) / n_units:.3g}"),
    }


if __name__ == "__main__":
    tyro.cli(main)
