"""How far are spherical CNNs from exact invariance under rotations?

    python benchmarks/sphere_equivariance.py

Untrained nets in float64, the mean over random rotations of ‖f(turned) - f‖ / ‖f‖:

- of a convolution on the sphere followed by one on rotations, which is exact;
- of the logits of `SphericalCNN` with lmax 5 and 3 for random signals with degrees up to 5, whose values on
  the input's grid are exact, against the oversampling of the grids on which activations are sampled;
- of its logits for scikit-learn's digits, with a margin of two pixels, projected onto the sphere, against the
  number of latitudes and longitudes of the input, with oversampling 4: digits have degrees above those that
  the grid of the input resolves.

The means over rotations before the readout are nearly constant over signals, and batch normalisation takes
this constant away. Relative changes are therefore given for logits centred over the signals, too.
It writes results/sphere_equivariance.json and docs/images/sphere_equivariance.png. Half a minute on one core.
"""

import json
from pathlib import Path

import torch
from e3nn import o3
from matplotlib.figure import Figure
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.functional import pad

from symnets.data import load_images, on_sphere
from symnets.models import SphericalCNN
from symnets.nn import S2Convolution, S2Grid, SO3Convolution
from symnets.provenance import provenance
from symnets.report import colors, save_picture, style

ROOT = Path(__file__).parents[1]
OVERSAMPLINGS = (1.0, 1.4, 2.0, 2.8, 4.0, 5.6)
RESOLUTIONS = (11, 16, 23, 32, 45, 64)
LMAX, N_SIGNALS, N_ROTATIONS = (5, 3), 8, 4


def net(shape: tuple[int, int, int], activation: str, oversampling: float) -> SphericalCNN:
    """Untrained net, with the same weights for all grids."""
    torch.manual_seed(1)
    options = {"lmax": LMAX, "channels": (4, 8), "batch_norm": False}
    return SphericalCNN(shape, activation=activation, oversampling=oversampling, **options).double()


def turned(coefficients: Tensor, matrix: Tensor) -> Tensor:
    """Coefficients of signals on the sphere, after a rotation."""
    blocks = coefficients.split([2 * degree + 1 for degree in range(LMAX[0] + 1)], dim=-1)
    angles = o3.matrix_to_angles(matrix)
    return torch.cat([b @ o3.wigner_D(degree, *angles).T for degree, b in enumerate(blocks)], dim=-1)


def change(first: Tensor, last: Tensor) -> list[float]:
    """Relative change, and that of values centred over the signals."""
    centred = first - first.mean(0)
    return [float((last - first).norm() / reference.norm()) for reference in (first, centred)]


@torch.no_grad()
def measure() -> dict:
    """Relative changes."""
    matrices = torch.from_numpy(Rotation.random(N_ROTATIONS, random_state=0).as_matrix())
    generator = torch.Generator().manual_seed(0)
    signals = torch.randn(N_SIGNALS, 1, (LMAX[0] + 1) ** 2, generator=generator)
    linear = torch.nn.Sequential(S2Convolution(1, 4, LMAX[0]), SO3Convolution(4, 4, LMAX[0]))
    shape, found = (1, 12, 12), {}
    values = S2Grid(LMAX[0], shape[1:])
    by_degree = [(2 * degree + 1) ** 2 for degree in range(LMAX[0] + 1)]
    exact = []
    for matrix in matrices:
        first, last = linear(signals), linear(turned(signals, matrix))
        angles = o3.matrix_to_angles(matrix)
        parts = [
            (o3.wigner_D(degree, *angles) @ block.unflatten(-1, (2 * degree + 1, -1))).flatten(-2)
            for degree, block in enumerate(first.split(by_degree, dim=-1))
        ]
        exact.append(float((torch.cat(parts, -1) - last).norm() / last.norm()))
    found["convolutions"] = sum(exact) / len(exact)
    for activation in ("relu", "swish"):
        rows = []
        for oversampling in OVERSAMPLINGS:
            model = net(shape, activation, oversampling)
            first = model(values.to_grid(signals))
            each = [change(first, model(values.to_grid(turned(signals, m)))) for m in matrices]
            rows.append([sum(column) / len(each) for column in zip(*each, strict=True)])
        found[activation] = rows
    digits = pad(load_images("digits", "test")[torch.arange(N_SIGNALS)].scaled(torch.float64), (2, 2, 2, 2))
    rows = []
    for n in RESOLUTIONS:
        model = net((1, n, n), "relu", 4.0)
        first = model(on_sphere(digits, (n, n)))
        each = [change(first, model(on_sphere(digits, (n, n), m))) for m in matrices]
        rows.append([sum(column) / len(each) for column in zip(*each, strict=True)])
    return found | {"resolution": rows}


@style()
def figure(result: dict) -> Figure:
    """Errors against oversampling, and against the resolution of the input."""
    fig = Figure(figsize=(8.0, 3.2), layout="constrained")
    left, right = fig.subplots(1, 2, sharey=True)
    first, second, third = colors(3)
    for activation, color in (("relu", first), ("swish", second)):
        rows = result[activation]
        left.plot(result["oversampling"], [row[0] for row in rows], "o-", color=color, label=activation)
        left.plot(result["oversampling"], [row[1] for row in rows], "o:", color=color)
    left.plot([], [], " ", label=f"convolutions alone: {result['convolutions']:.0e}")
    left.set(xscale="log", yscale="log", xlabel="oversampling of activations", ylabel="relative change")
    left.set_xticks([1, 2, 4], ["1", "2", "4"])
    left.minorticks_off()
    left.set_title("logits of random signals")
    left.legend()
    rows = result["resolution"]
    right.plot(result["resolutions"], [row[0] for row in rows], "o-", color=third, label="logits")
    right.plot(result["resolutions"], [row[1] for row in rows], "o:", color=third, label="centred")
    right.set(xscale="log", xlabel="latitudes and longitudes of the input", title="logits of digits")
    right.set_xticks([16, 32, 64], ["16", "32", "64"])
    right.minorticks_off()
    right.legend()
    return fig


def main() -> None:
    """Measure, write and draw."""
    torch.set_default_dtype(torch.float64)
    result = {"question": __doc__, "oversampling": OVERSAMPLINGS, "resolutions": RESOLUTIONS}
    result |= measure() | {"made_with": provenance()}
    file = ROOT / "benchmarks" / "results" / "sphere_equivariance.json"
    file.write_text(json.dumps(result, indent=1) + "\n")
    save_picture(figure(result), ROOT / "docs" / "images" / "sphere_equivariance.png")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
