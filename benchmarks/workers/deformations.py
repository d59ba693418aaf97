"""Time deformations of a batch of images, all methods alternately in this process; see ../diffeo.py.

    python deformations.py '{"images": [8, 1, 28, 28], "cutoff": 3, "threads": 1, "rounds": 7, "seconds": 1}'

Prints a line of JSON. Run it in an environment with the other packages; those not installed are left out.
"""

import json
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib import metadata

import torch
import torch.nn.functional as F
from torch import Tensor

import symnets.diffeo._resample
from symnets.diffeo import SineField

Step = Callable[[], object]
DELTA = 1.0
"""Typical displacement in pixels."""
SLOW, SLOW_ROUNDS = 1.0, 3
"""Methods with a longer step are timed in fewer rounds."""


def main() -> None:
    """Time one case."""
    case = json.loads(sys.argv[1])
    torch.backends.opt_einsum.enabled = False  # the loop is faster without it
    torch.set_num_threads(case["threads"])
    warnings.simplefilter("ignore")
    images = torch.rand(*case["images"], generator=torch.Generator().manual_seed(0))
    print(json.dumps({**case, **measure(images, case)}))


def measure(images: Tensor, case: dict) -> dict:
    """Medians of times, and of ratios within a round."""
    steps = contestants(images, case["cutoff"], case["threads"])
    needs = {name: once(step) for name, step in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(case["rounds"]):
        for name, step in steps.items():
            if number < SLOW_ROUNDS or needs[name] < SLOW:
                times[name].append(average(step, max(1, round(case["seconds"] / needs[name]))))
    ours = times["symnets"]
    ratios = {
        name: statistics.median(a / b for a, b in zip(found, ours, strict=False))
        for name, found in times.items()
        if name != "symnets"
    }
    median = {name: statistics.median(found) for name, found in times.items()}
    return {
        "ms": {name: round(1000 * value, 4) for name, value in median.items()},
        "over_symnets": {name: float(f"{value:.3g}") for name, value in ratios.items()},
        "images_per_second": round(len(images) / median["symnets"]),
        "times_ms": {name: [round(1000 * value, 4) for value in found] for name, found in times.items()},
    }


def once(step: Step) -> float:
    """Seconds of a step, after one warm-up step."""
    step()
    return max(average(step, 1), 1e-6)


def average(step: Step, n: int) -> float:
    """Mean seconds of n steps."""
    start = time.perf_counter()
    for _ in range(n):
        step()
    return (time.perf_counter() - start) / n


def contestants(images: Tensor, cutoff: float, threads: int) -> dict[str, Step]:
    """Steps of all packages that can be imported, and of the parts of symnets."""
    steps = {"symnets": ours(images, cutoff), **parts(images, cutoff)}
    peers = {"monai": monai, "kornia": kornia, "torchvision": torchvision, "albumentations": albumentations}
    if images.ndim == 4:
        steps["loop"] = loop(images, cutoff)
    for name, peer in peers.items():
        if images.ndim == 4 or name == "monai":
            try:
                steps[name] = peer(images, cutoff, threads)
            except ImportError as error:
                print(f"{name} is skipped: {error}", file=sys.stderr)
    return steps


def ours(images: Tensor, cutoff: float) -> Step:
    """Sample a field for each image and deform the images by symnets."""
    field = SineField(images.shape[2:], cutoff=cutoff)
    generator = torch.Generator().manual_seed(0)
    return lambda: field.sample(len(images), delta=DELTA, generator=generator).warp(images)


def parts(images: Tensor, cutoff: float) -> dict[str, Step]:
    """Parts of symnets' deformation, and grid_sample alone with a precomputed grid."""
    field = SineField(images.shape[2:], cutoff=cutoff)
    generator = torch.Generator().manual_seed(0)
    diffeo = field.sample(len(images), delta=DELTA, generator=generator)
    displacement = diffeo.displacement()
    axes = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in images.shape[2:]], indexing="ij")
    moved = displacement * (2 / (torch.tensor(images.shape[2:]) - 1))
    grid = (torch.stack(axes, dim=-1) - moved).flip(-1).contiguous()
    size = (len(images), field.dim, field.n_modes)

    def by_torch() -> Tensor:
        before = symnets.diffeo._resample._values_only
        symnets.diffeo._resample._values_only = lambda *tensors: False
        try:
            return field.sample(len(images), delta=DELTA, generator=generator).warp(images)
        finally:
            symnets.diffeo._resample._values_only = before

    return {
        "symnets by grid_sample": by_torch,
        "part: sample": lambda: field.sample(len(images), delta=DELTA, generator=generator),
        "part: randn float64": lambda: torch.randn(size, generator=generator, dtype=torch.float64),
        "part: randn float32": lambda: torch.randn(size, generator=generator),
        "part: displacement": diffeo.displacement,
        "part: resample": lambda: symnets.diffeo._resample.resample(images, displacement),
        "grid_sample alone": lambda: F.grid_sample(images, grid, padding_mode="border", align_corners=True),
        "clone": images.clone,
    }


def loop(images: Tensor, cutoff: float) -> Step:
    """Published algorithm of Petrini et al. 2021: image by image, sum over all modes, gather, interpolate."""
    n = images.shape[-1]
    temperature = SineField((n, n), cutoff=cutoff).temperature(DELTA)

    def displacement() -> list[Tensor]:
        k = torch.arange(1, int(cutoff) + 1, dtype=torch.float32)
        waves = (k[:, None] ** 2 + k**2).sqrt()
        amplitude = n * temperature**0.5 * (waves <= cutoff) / waves
        sines = torch.sin(math.pi * torch.linspace(0, 1, n)[:, None] * k)
        drawn = [amplitude * torch.randn(waves.shape) for _ in range(2)]
        return [torch.einsum("ij,yi,xj->yx", c, sines, sines) for c in drawn]

    def deform(image: Tensor) -> Tensor:
        u, v = displacement()
        pixels = torch.arange(n, dtype=image.dtype)
        y, x = (pixels[:, None] - u).clamp(0, n - 1), (pixels - v).clamp(0, n - 1)
        top, left = y.floor(), x.floor()
        below, right = y - top, x - left
        upper, lower, first, second = top.long(), y.ceil().long(), left.long(), x.ceil().long()
        above = torch.lerp(image[:, upper, first], image[:, upper, second], right)
        under = torch.lerp(image[:, lower, first], image[:, lower, second], right)
        return torch.lerp(above, under, below)

    return lambda: torch.stack([deform(image) for image in images])


def smoothing(images: Tensor, cutoff: float) -> float:
    """Width σ = n / (π c) in pixels of a Gaussian that halves waves at about the cutoff."""
    return images.shape[-1] / (math.pi * cutoff)


def strength(sigma: float) -> float:
    """Factor that turns smoothed uniform noise in (-1, 1) into displacements of DELTA pixels in the plane."""
    return DELTA / 2**0.5 / (3**-0.5 / (2 * math.pi**0.5 * sigma))


def kornia(images: Tensor, cutoff: float, threads: int) -> Step:
    """kornia: one call for the batch, a field for each image."""
    from kornia.augmentation import RandomElasticTransform

    sigma, n = smoothing(images, cutoff), images.shape[-1]
    size = 2 * math.ceil(3 * sigma) + 1
    alpha = strength(sigma) * 2 / n  # its images are 2 wide
    transform = RandomElasticTransform(
        (size, size), (sigma, sigma), (alpha, alpha), align_corners=True, padding_mode="border", p=1.0
    )
    return lambda: transform(images)


def torchvision(images: Tensor, cutoff: float, threads: int) -> Step:
    """torchvision: one call for each image, because a batch would share its field."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):  # operators of its compiled part, which another build of torch cannot load
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from torchvision.transforms import v2

    sigma = smoothing(images, cutoff)
    transform = v2.ElasticTransform(alpha=2 * strength(sigma), sigma=sigma)
    return lambda: (library, torch.stack([transform(image) for image in images]))[1]


def albumentations(images: Tensor, cutoff: float, threads: int) -> Step:
    """albumentations: one call for each image, on numpy arrays with channels last."""
    import cv2
    from albumentations import ElasticTransform

    cv2.setNumThreads(threads)
    sigma = smoothing(images, cutoff)
    transform = ElasticTransform(
        alpha=strength(sigma),
        sigma=sigma,
        noise_distribution="uniform",
        border_mode=cv2.BORDER_REPLICATE,
        p=1.0,
    )
    arrays = [image.permute(1, 2, 0).contiguous().numpy() for image in images]
    return lambda: [transform(image=array)["image"] for array in arrays]


def monai(images: Tensor, cutoff: float, threads: int) -> Step:
    """monai: one call for each image or volume."""
    from monai.transforms import Rand2DElastic, Rand3DElastic

    n = images.shape[-1]
    if images.ndim == 5:
        sigma = smoothing(images, cutoff)
        # Uniform noise smoothed in three dimensions: its variance falls by (2 √π σ)³.
        size = DELTA * (2 * math.pi**0.5 * sigma) ** 1.5
        volumes = Rand3DElastic((sigma, sigma), (size, size), prob=1.0, padding_mode="border")
        return lambda: [volumes(image) for image in images]
    # Control points half the shortest wave apart.
    size = DELTA * 1.5**0.5
    transform = Rand2DElastic((n / cutoff, n / cutoff), (size, size), prob=1.0, padding_mode="border")
    return lambda: [transform(image) for image in images]


def versions() -> dict[str, str]:
    """Versions of the packages."""
    names = ("torch", "numba", "kornia", "torchvision", "albumentations", "opencv-python-headless", "monai")
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    if sys.argv[1] == "versions":
        print(json.dumps(versions()))
    else:
        main()
