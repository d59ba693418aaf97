"""Contacts of a packing: how many, on how many degrees of freedom, and the pressure they bear."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from symnets.experiments.spheres.packing import Minimum

_LEAST = 1e-5  # of the root mean square overlap: below it an overlap is the minimiser's rounding


@dataclass(frozen=True)
class Contacts:
    """What a minimum of the energy rests on, rattlers left out.

    Attributes:
        n_contacts: overlapping pairs between spheres that bear force; 0 in an unjammed packing.
        n_effective: degrees of freedom N = d (n - n_rattlers - 1) + 1. The d translations of the whole count
            for nothing, and the packing fraction counts for one, for its value at the transition is a result
            too. A packing at its jamming point has N contacts exactly (Goodrich, Liu, Nagel, PRL 109, 095704,
            2012: one contact more than positions alone would need).
        n_rattlers: spheres with fewer than d + 1 contacts, found again until none is left; 0 if unjammed.
        energy: per sphere.
        slope: derivative of the whole energy with the packing fraction, exact at a minimum.
        pressure: -dE/dV in units of the springs' energy over the smallest diameter^d.
    """

    n_contacts: int
    n_effective: int
    n_rattlers: int
    energy: float
    slope: float
    pressure: float


def contacts(minimum: Minimum) -> Contacts:
    """Counts contacts and rattlers, and measures the pressure by the virial.

    Scaling all diameters at fixed positions changes the energy by dE = sum_pairs (1 - r/sigma) (r/sigma)
    dsigma/sigma, and moving the spheres after it changes nothing to first order: they rest at a minimum.
    """
    positions, diameters = minimum.packing.positions, minimum.packing.diameters
    n, dim = positions.shape
    if minimum.verdict == "SAT":
        return Contacts(0, dim * (n - 1) + 1, 0, minimum.energy / n, 0.0, 0.0)
    pairs = KDTree(positions, boxsize=1.0).query_pairs(float(diameters.max()), output_type="ndarray")
    i, j = pairs.T
    apart = positions[i] - positions[j]
    apart -= np.round(apart)
    stretch = 2 * np.linalg.norm(apart, axis=1) / (diameters[i] + diameters[j])
    overlap = np.maximum(1 - stretch, 0.0)
    virial = float(np.sum(overlap * stretch))
    typical = np.sqrt(np.mean(overlap[overlap > 0] ** 2)) if (overlap > 0).any() else np.inf
    bears = overlap > _LEAST * typical
    alive = np.ones(n, dtype=bool)
    while True:
        holds = bears & alive[i] & alive[j]
        loose = alive & (np.bincount(np.concatenate((i[holds], j[holds])), minlength=n) < dim + 1)
        if not loose.any():
            break
        alive &= ~loose
    n_alive = int(alive.sum())
    return Contacts(
        n_contacts=int(holds.sum()),
        n_effective=dim * (max(n_alive, 1) - 1) + 1,
        n_rattlers=n - n_alive,
        energy=minimum.energy / n,
        slope=virial / (dim * minimum.packing.phi),
        pressure=virial * float(diameters.min()) ** dim / dim,
    )
