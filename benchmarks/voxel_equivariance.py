"""How well does a net on voxels keep its outputs when solids are rotated by any angle?

    OMP_NUM_THREADS=1 python benchmarks/voxel_equivariance.py

A `SteerableCNN3D` with random weights, whose batch normalisations have statistics of other solids, gets
solids of `symnets.data.solids`, and the same solids rotated about a coordinate axis: they are sampled anew
after the rotation, not interpolated. The error is ‖f(R x) - f(x)‖ / ‖f(x) - <f>‖ of the logits, with the mean
<f> over solids, for

- angles from 0 to 90 degrees, on grids of three sizes (left), and
- 45 degrees on more sizes (right), for faces of one width in units of the box, so that finer grids resolve
  them better, and for faces that are 0.7 voxels wide on every grid.

It writes docs/images/voxel_equivariance.png and benchmarks/results/voxel_equivariance.json. Two minutes on
one core.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure
from torch import Tensor

from symnets.data import solids
from symnets.models import SteerableCNN3D
from symnets.provenance import provenance
from symnets.report import save_picture, style

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Measurement:
    """Errors of rotations against angle and resolution."""

    sizes: tuple[int, ...] = (13, 17, 25, 33)
    """Voxels along an edge of the box."""
    angles: tuple[float, ...] = (0, 10, 20, 30, 45, 60, 70, 80, 90)
    """Angles of the rotations in degrees."""
    edge: float = 0.1
    """Width of the faces, in a box with edges of length 2."""
    width: float = 0.5
    """Width of the net."""
    seeds: int = 3
    """Number of nets; squared errors are averaged over them."""
    output: Path = ROOT / "benchmarks" / "results" / "voxel_equivariance.json"
    picture: Path = ROOT / "docs" / "images" / "voxel_equivariance.png"

    def run(self) -> dict:
        """Measure, print, draw and save."""
        by_angle = {
            size: [self.error(size, angle, self.edge) for angle in self.angles]
            for size in (self.sizes[0], self.sizes[1], self.sizes[-1])
        }
        by_size = {
            "faces of one width": [self.error(size, 45, self.edge) for size in self.sizes],
            "faces of 0.7 voxels": [self.error(size, 45, None) for size in self.sizes],
        }
        result = {
            "question": __doc__,
            "sizes": self.sizes,
            "angles": self.angles,
            "edge": self.edge,
            "width": self.width,
            "seeds": self.seeds,
            "by_angle": by_angle,
            "by_size": by_size,
            "made_with": provenance(),
        }
        print(json.dumps(result["by_angle"]), json.dumps(by_size))
        self.output.write_text(json.dumps(result, indent=1) + "\n")
        save_picture(figure(result), self.picture)
        return result

    def error(self, size: int, angle: float, edge: float | None) -> float:
        """Root mean square error over nets."""
        errors = [rotation_error(size, angle, edge, self.width, seed) for seed in range(self.seeds)]
        return math.sqrt(sum(e**2 for e in errors) / len(errors))


@torch.no_grad()
def rotation_error(size: int, angle: float, edge: float | None, width: float, seed: int) -> float:
    """Error of one net."""
    torch.manual_seed(seed)
    net = SteerableCNN3D((1, size, size, size), 8, width=width)
    for module in net.modules():
        if hasattr(module, "momentum"):
            module.momentum = 1.0  # running averages are those of the next batch
    net.train()(solids(14, size, seed=1, edge=edge).voxels)
    net.eval()
    before, after = (net(solids(7, size, edge=edge, rotation=r).voxels) for r in (None, rotation(angle)))
    return float((after - before).norm() / (before - before.mean(0)).norm())


def rotation(degrees: float) -> Tensor:
    """Rotation about the last axis."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)


@style()
def figure(result: dict) -> Figure:
    """Error against angle, and against resolution."""
    picture = Figure(figsize=(7.2, 2.9), layout="constrained")
    left, right = picture.subplots(1, 2)
    for size, errors in result["by_angle"].items():
        left.plot(result["angles"], errors, "o-", ms=3, label=f"{size}³ voxels")
    left.set(xlabel="angle (degrees)", ylabel="relative error of logits", ylim=(0, None))
    left.legend()
    for name, errors in result["by_size"].items():
        right.plot(result["sizes"], errors, "o-", ms=3, label=name)
    right.set(xlabel="voxels along an edge", ylabel="relative error at 45 degrees", ylim=(0, None))
    right.set_xticks(result["sizes"], [str(size) for size in result["sizes"]])
    right.legend()
    return picture


if __name__ == "__main__":
    torch.set_num_threads(1)
    tyro.cli(Measurement).run()
