"""Archived values of R and of the test error against P, from before the paper."""

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

SOURCE = "diffeo-sota commit 12915f1, February 2021"


@dataclass(frozen=True)
class ArchivedCurve:
    """R of the logits and test error of one net, geometric means over seeds.

    Attributes:
        sizes: P.
        r: mean averages, bilinear interpolation, δ about 1 pixel by the formula of that day.
        error: fraction.
    """

    sizes: ndarray
    r: ndarray
    error: ndarray


def _curve(sizes: list[int], r: list[float], percent: list[float]) -> ArchivedCurve:
    return ArchivedCurve(np.array(sizes, dtype=float), np.array(r), np.array(percent) / 100)


_P = [64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768]
# fmt: off
ARCHIVED: dict[tuple[str, str], ArchivedCurve] = {
    ("cifar10", "EfficientNet-B0"): _curve(
        _P,
        [5.55, 6.22, 4.46, 4.22, 2.06, 1.19, 0.846, 0.552, 0.352, 0.282],
        [79.9, 75.8, 70.4, 66.5, 57.6, 45.6, 35.0, 25.8, 17.5, 13.3],
    ),
    ("cifar10", "MobileNet"): _curve(
        _P,
        [5.27, 5.21, 4.40, 2.98, 1.41, 0.789, 0.646, 0.578, 0.471, 0.408],
        [77.9, 74.1, 70.3, 64.8, 52.5, 38.4, 26.0, 19.2, 13.2, 9.8],
    ),
    ("cifar10", "ResNet"): _curve(
        [64, 128, 256, 512, 1000, 2385, 3684, 8787, 13572, 32373, 50000],
        [1.76, 1.89, 1.87, 1.18, 0.533, 0.282, 0.224, 0.216, 0.200, 0.171, 0.161],
        [75.1, 69.8, 63.0, 54.7, 38.3, 23.2, 18.4, 18.9, 16.8, 12.5, 12.0],
    ),
    ("fashion-mnist", "EfficientNet-B0"): _curve(
        _P,
        [2.08, 1.13, 0.928, 0.868, 0.879, 0.683, 0.406, 0.297, 0.218, 0.167],
        [41.1, 32.8, 26.6, 23.9, 19.2, 16.2, 13.5, 11.2, 9.4, 8.1],
    ),
    ("fashion-mnist", "ResNet"): _curve(
        [*_P, 50000],
        [2.33, 1.49, 0.947, 0.683, 0.400, 0.288, 0.246, 0.176, 0.085, 0.0371, 0.0186],
        [41.7, 29.9, 24.0, 20.0, 16.3, 14.0, 11.7, 9.8, 8.3, 7.0, 6.3],
    ),
    ("mnist", "EfficientNet-B0"): _curve(
        _P,
        [2.59, 2.83, 1.29, 1.92, 1.85, 1.07, 1.36, 0.922, 0.623, 0.559],
        [28.5, 15.9, 8.3, 5.9, 3.6, 2.2, 1.3, 0.94, 0.70, 0.61],
    ),
    ("mnist", "ResNet"): _curve(
        [*_P, 50000],
        [2.04, 1.70, 1.55, 0.500, 0.475, 0.281, 0.179, 0.112, 0.0744, 0.0244, 0.0221],
        [26.2, 10.7, 5.5, 3.6, 2.5, 1.6, 0.96, 0.60, 0.46, 0.38, 0.37],
    ),
}
# fmt: on
"""By data set and net. "ResNet" is `res-net` in the archive, 18 layers as its scripts suggest. Cutoff 5 on
CIFAR-10, 3 elsewhere; no values of nets at the start."""
