"""D, G and R written down from their definitions: a loop for every sum."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy import ndarray


def displacement(coefficients: ndarray) -> Callable[..., ndarray]:
    """u at a pixel (i, j) of a grid of `shape`, from C of shape (2, modes, modes), in pixels."""

    def at(i: int, j: int, shape: tuple[int, int]) -> ndarray:
        found = np.zeros(2)
        for axis in range(2):
            for p in range(coefficients.shape[1]):
                for q in range(coefficients.shape[2]):
                    wave = math.sin(math.pi * (p + 1) * i / (shape[0] - 1))
                    wave *= math.sin(math.pi * (q + 1) * j / (shape[1] - 1))
                    found[axis] += coefficients[axis, p, q] * wave
        return found

    return at


def warped(image: ndarray, coefficients: ndarray) -> ndarray:
    """x(s - u(s)) of an image (channels, rows, columns), bilinear, clamped to the border."""
    channels, rows, columns = image.shape
    u, found = displacement(coefficients), np.zeros_like(image)
    for i in range(rows):
        for j in range(columns):
            y, x = np.clip(np.array([i, j]) - u(i, j, (rows, columns)), 0, [rows - 1, columns - 1])
            top, left = min(int(y), rows - 2), min(int(x), columns - 2)
            v, w = y - top, x - left
            for c in range(channels):
                found[c, i, j] = (
                    (1 - v) * (1 - w) * image[c, top, left]
                    + (1 - v) * w * image[c, top, left + 1]
                    + v * (1 - w) * image[c, top + 1, left]
                    + v * w * image[c, top + 1, left + 1]
                )
    return found


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
    """The lower of the two middle values of an even number, as torch has it."""
    return np.sort(values, axis=0)[(len(values) - 1) // 2]
