"""Slow twin of deformations: sums of sines and bilinear interpolation in loops over pixels."""

import itertools
import math

import torch
from torch import Tensor


def displacement(coefficients: Tensor, point: tuple[float, ...], shape: tuple[int, ...]) -> list[float]:
    """Displacement u at a point, in pixels; `coefficients` of one field, (dim, k_1, ..., k_d), k from 1."""
    total = [0.0] * len(shape)
    for k in itertools.product(*[range(size) for size in coefficients.shape[1:]]):
        wave = 1.0
        for axis, x in enumerate(point):
            wave *= math.sin(math.pi * (k[axis] + 1) * x / (shape[axis] - 1))
        for a in range(len(shape)):
            total[a] += float(coefficients[(a, *k)]) * wave
    return total


def bilinear(image: Tensor, point: list[float]) -> float:
    """Interpolated value of an image or volume at a point; outside, that of the nearest border point."""
    inside = [min(max(x, 0.0), n - 1.0) for x, n in zip(point, image.shape, strict=True)]
    low = [min(int(x), max(n - 2, 0)) for x, n in zip(inside, image.shape, strict=True)]
    value = 0.0
    for corner in itertools.product((0, 1), repeat=len(point)):
        weight = 1.0
        for x, start, step in zip(inside, low, corner, strict=True):
            weight *= (x - start) if step else 1 - (x - start)
        value += weight * float(image[tuple(start + step for start, step in zip(low, corner, strict=True))])
    return value


def warp(image: Tensor, coefficients: Tensor) -> Tensor:
    """(τ x)(s) = x(s - u(s)) of one image without channels."""
    shape, warped = tuple(image.shape), torch.empty_like(image)
    for s in itertools.product(*[range(n) for n in shape]):
        u = displacement(coefficients, s, shape)
        warped[s] = bilinear(image, [x - du for x, du in zip(s, u, strict=True)])
    return warped
