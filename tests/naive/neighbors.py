"""Neighbours by brute force: all pairs and all images within reach."""

import itertools

import numpy as np


def naive_neighbors(pos, cell, pbc, cutoff) -> set[tuple[int, int, int, int, int]]:
    """All (sender, receiver, shift) closer than the cutoff, by a loop over images.

    Along lattice vector a, planes of images are |det| / area apart; the two positions may differ by some
    planes already. Non-periodic rows are replaced by unit normals, which fixes the areas.
    """
    pos, full = np.asarray(pos, dtype=float), np.asarray(cell, dtype=float).copy()
    _, _, directions = np.linalg.svd(full[pbc] if any(pbc) else np.zeros((1, 3)))
    for row, normal in zip(np.flatnonzero(~np.asarray(pbc)), directions[::-1], strict=False):
        full[row] = normal
    fractional = pos @ np.linalg.inv(full)
    planes = 1 / np.linalg.norm(np.linalg.inv(full), axis=0)
    reach = np.ceil(cutoff / planes + np.ptp(fractional, axis=0)).astype(int) + 1
    ranges = [range(-n, n + 1) if periodic else (0,) for n, periodic in zip(reach, pbc, strict=True)]
    found = set()
    for shift in itertools.product(*ranges):
        for i, j in itertools.product(range(len(pos)), repeat=2):
            itself = i == j and shift == (0, 0, 0)
            if not itself and np.linalg.norm(pos[j] + shift @ full - pos[i]) < cutoff:
                found.add((j, i, *shift))
    return found
