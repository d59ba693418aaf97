"""Slow twin of harmonic spheres: every pair, every image, derivatives by autograd."""

import itertools

import torch
from torch import Tensor


def energy(positions: Tensor, diameters: Tensor) -> Tensor:
    """Sum over pairs of (1 - r / sigma)^2 / 2 for r < sigma, over the images of a box of side 1."""
    n, dim = positions.shape
    total = positions.new_zeros(())
    for i, j in itertools.combinations(range(n), 2):
        sigma = (diameters[i] + diameters[j]) / 2
        for image in itertools.product((-1.0, 0.0, 1.0), repeat=dim):
            r = torch.linalg.vector_norm(positions[i] - positions[j] + positions.new_tensor(image))
            if r < sigma:
                total = total + (1 - r / sigma) ** 2 / 2
    return total
