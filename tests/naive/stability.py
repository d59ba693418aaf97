"""Slow twin of stability: D, G and R from their definitions, with a loop for every sum."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy import ndarray

from tests.naive.diffeo import warp


def warped(image: ndarray, coefficients: ndarray) -> ndarray:
    """x(s - u(s)) of an image (channels, rows, columns), from C of shape (2, modes, modes)."""
    c = torch.from_numpy(coefficients)
    return np.stack([warp(torch.from_numpy(channel), c).numpy() for channel in image])


def numbers(f: ndarray, deformed: ndarray, noisy: ndarray, average: str) -> tuple[float, float, float]:
    """D, G, R of outputs f (P, d), and of outputs (draws, P, d) of deformed and of noisy images."""
    if average == "reference":
        above = [np.sum(_lower_median(np.concatenate((moved - f) ** 2))) for moved in (deformed, noisy)]
        pairs = np.array([[np.sum((a - b) ** 2) for a in f] for b in f])
        below = float(_lower_median(pairs.reshape(-1, 1))[0]) + 1e-10
    elif average == "mean":
        above = [np.mean(_distances(f, moved)) for moved in (deformed, noisy)]
        pairs = [np.sum((f[i] - f[j]) ** 2) for i in range(len(f)) for j in range(len(f)) if i != j]
        below = float(np.mean(pairs))
    else:
        above = [np.median(np.mean(_distances(f, moved), axis=0)) for moved in (deformed, noisy)]
        below = float(np.median([np.sum((f[i] - f[i + 1]) ** 2) for i in range(0, len(f) - 1, 2)]))
    return above[0] / below, above[1] / below, above[0] / above[1]


def _distances(f: ndarray, moved: Sequence[ndarray]) -> ndarray:
    return np.array([[np.sum((a - b) ** 2) for a, b in zip(one, f, strict=True)] for one in moved])


def _lower_median(values: ndarray) -> ndarray:
    """Median; of an even number of values the lower of the two middle ones, as in torch."""
    return np.sort(values, axis=0)[(len(values) - 1) // 2]
