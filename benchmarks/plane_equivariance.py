"""How far are circular convolutions and harmonic networks from equivariance between quarter turns?

    python benchmarks/plane_equivariance.py

Images are made of Gaussians, so that rotated ones are known exactly, without interpolation.

- A convolution of kernel 5 from images to orders 0 to 3: at the central pixel a rotation by θ multiplies the
  field of order m by e^{imθ}; the error is the root mean square of the difference over images and channels,
  relative to the field. Images are white noise blurred by Gaussians of a width of 1.5 pixels.
- A random `HarmonicNetwork2D` in its initial state, with batch statistics: change of the logits under
  rotation, relative to their standard deviation over images, at 15, 29 and 57 pixels a side. Images are
  random sets of blobs of a width of 1/20 of the side within the inscribed disc; mean over four nets. A net
  that is not invariant changes by about √2.

The picture is docs/images/plane_equivariance.png, the numbers are in results/plane_equivariance.json.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure
from torch import Tensor

from symnets.models import HarmonicNetwork2D
from symnets.nn import CircularConvolution
from symnets.provenance import provenance
from symnets.report import colors, save_picture, style, write

HERE = Path(__file__).parent
LAYER_ANGLES = tuple(range(0, 91, 5))
NET_ANGLES = (0, 5, 15, 30, 45, 60, 75, 85, 90)


@dataclass
class Benchmark:
    """Errors of equivariance in the plane."""

    sides: tuple[int, ...] = (15, 29, 57)
    n_images: int = 20
    n_nets: int = 4
    output: Path = HERE / "results" / "plane_equivariance.json"
    picture: Path = HERE.parent / "docs" / "images" / "plane_equivariance.png"

    def run(self) -> None:
        """Measure, print, write."""
        torch.set_default_dtype(torch.float64)
        layer = {order: [layer_error(order, angle) for angle in LAYER_ANGLES] for order in range(4)}
        net = {side: self.net_errors(side) for side in self.sides}
        result = {
            "question": __doc__,
            "layer": {"angles": LAYER_ANGLES, "errors": layer},
            "net": {"angles": NET_ANGLES, "errors": net},
            "made_with": provenance(),
        }
        print(json.dumps({"layer": layer, "net": net}, indent=1))
        write(self.output, f"{json.dumps(result, indent=1)}\n".encode())
        save_picture(figure(result), self.picture)

    def net_errors(self, side: int) -> list[float]:
        """Change of logits at each angle."""
        centres, heights = random_blobs(self.n_images, 12, 0.3 * side)
        squares = torch.zeros(len(NET_ANGLES))
        for seed in range(self.n_nets):
            torch.manual_seed(seed)
            net = HarmonicNetwork2D((1, side, side), 10, width=0.25)
            with torch.no_grad():
                logits = [net(blobs(centres, heights, side, side / 20, angle)) for angle in NET_ANGLES]
            spread = logits[0].var(0, correction=0).sum()
            changes = [(one - logits[0]).square().sum(1).mean() for one in logits]
            squares += torch.stack(changes) / spread / self.n_nets
        return squares.sqrt().tolist()


def layer_error(order: int, angle: float, width: float = 1.5, kernel: int = 5) -> float:
    """Relative error of fields of one order at the central pixel."""
    torch.manual_seed(0)
    layer = CircularConvolution((1,), (0,) * order + (8,), kernel, padding=0)
    centres, heights = random_blobs(500, 40, 6.0)
    with torch.no_grad():
        start, found = (layer(blobs(centres, heights, kernel, width, d))[:, :, 0, 0] for d in (0, angle))
    if order:
        start, found = (torch.complex(*z.chunk(2, dim=1)) for z in (start, found))
        start = start * torch.exp(torch.tensor(1j * order * math.radians(angle)))
    return float((found - start).norm() / start.norm())


def random_blobs(n: int, k: int, radius: float) -> tuple[Tensor, Tensor]:
    """Centres (n, k, 2), uniform in a disc, and heights (n, k) of Gaussians."""
    generator = torch.Generator().manual_seed(0)
    r, angle = torch.rand(2, n, k, generator=generator)
    r, angle = radius * r.sqrt(), 2 * math.pi * angle
    return torch.stack([r * angle.cos(), r * angle.sin()], -1), torch.randn(n, k, generator=generator)


def blobs(centres: Tensor, heights: Tensor, side: int, width: float, degrees: float) -> Tensor:
    """Images (n, 1, side, side) of Gaussians, rotated about the centre."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = centres.unbind(-1)
    pixels = torch.arange(side) - (side - 1) / 2
    columns = torch.exp(-((pixels - (cos * x - sin * y)[..., None]) ** 2) / (2 * width**2))
    rows = torch.exp(-((-pixels - (sin * x + cos * y)[..., None]) ** 2) / (2 * width**2))
    return torch.einsum("nb,nbr,nbc->nrc", heights, rows, columns)[:, None]


@style()
def figure(result: dict) -> Figure:
    """Errors of a layer, and of a net, against the angle."""
    fig = Figure(figsize=(8.8, 3.4), layout="constrained")
    left, right = fig.subplots(1, 2)
    layer, net = result["layer"], result["net"]
    for (order, errors), color in zip(layer["errors"].items(), colors(4), strict=True):
        left.plot(layer["angles"], errors, "o-", ms=3, color=color, label=f"order {order}")
    left.set_title("convolution, kernel 5")
    left.set_ylabel("relative error of the field")
    for (side, errors), color in zip(net["errors"].items(), colors(len(net["errors"])), strict=True):
        right.plot(net["angles"], errors, "o-", ms=3, color=color, label=f"{side} pixels")
    right.set_title("random harmonic network")
    right.set_ylabel("change of logits / their spread")
    for axes in (left, right):
        axes.set(xlabel="rotation, degrees", yscale="symlog")
        axes.set_yscale("symlog", linthresh=1e-3)
        axes.set_ylim(0, 2)
        axes.set_xticks([0, 15, 30, 45, 60, 75, 90])
        axes.legend(fontsize=8)
    return fig


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
