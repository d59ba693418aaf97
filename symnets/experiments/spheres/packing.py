"""Soft spheres in a periodic unit box, and the minima of their energy."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray
from scipy.optimize import minimize
from scipy.spatial import KDTree

_UNJAMMED = 1e-20  # energy per sphere below which there is none: overlaps of 1e-10 and less
_BALANCED = 1e-4  # net force over root mean square contact force at which a minimum is one
_MAX_ITERATIONS = 50_000
_SKIN = 0.3  # of the smallest diameter: how far pairs are listed beyond contact


@dataclass(frozen=True)
class Packing:
    """Spheres in a periodic box of side 1; spheres i and j touch at r = (diameter_i + diameter_j) / 2.

    Attributes:
        positions: (spheres, dim), in the box.
        diameters: (spheres,), below half the box, in its units.
    """

    positions: ndarray
    diameters: ndarray

    @property
    def phi(self) -> float:
        """Packing fraction: sum of the spheres' volumes, overlaps counted twice."""
        dim = self.positions.shape[1]
        ball = math.pi ** (dim / 2) / math.gamma(dim / 2 + 1)
        return float(ball * np.sum((self.diameters / 2) ** dim))

    def at(self, phi: float) -> "Packing":
        """The same positions with all diameters scaled to another packing fraction."""
        factor = (phi / self.phi) ** (1 / self.positions.shape[1])
        return replace(self, diameters=self.diameters * factor)


@dataclass(frozen=True)
class Minimum:
    """A packing at a minimum of its energy, and how it got there.

    Attributes:
        packing: the spheres.
        energy: sum over pairs of (1 - r / sigma)^2 / 2.
        verdict: "SAT" if there is no energy (below 1e-20 per sphere), "UNSAT" if there is and the forces
            balance, else "UNCONVERGED".
        imbalance: largest net force on a sphere over the root mean square contact force; 0 if "SAT".
        n_iterations: steps of the minimiser.
    """

    packing: Packing
    energy: float
    verdict: str
    imbalance: float
    n_iterations: int


def random_packing(n: int, dim: int, phi: float, rng: np.random.Generator, *, ratio: float = 1.4) -> Packing:
    """Spheres thrown into the box at random, half of them `ratio` times as large as the others.

    The mixture keeps discs from forming a crystal (O'Hern et al. 2003).
    """
    diameters = np.where(np.arange(n) < n // 2, 1.0, ratio)
    return Packing(rng.random((n, dim)), diameters * 1e-3).at(phi)


def relax(packing: Packing) -> Minimum:
    """Slides down to a minimum of the energy by L-BFGS (scipy), started anew while forces are unbalanced.

    The energy is a sum of squares, so that its value is known to all digits however small it is, and the
    line search may follow it down to the last one: in an unjammed packing to exactly zero.
    """
    positions, n_iterations, imbalance = packing.positions, 0, np.inf
    n, _ = positions.shape
    energy = HarmonicEnergy(packing)
    value = np.inf
    for _ in range(4):
        found = minimize(
            energy,
            positions.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxcor": 20, "ftol": 0, "gtol": 0, "maxiter": _MAX_ITERATIONS, "maxfun": 10**7},
        )
        positions, value = found.x.reshape(positions.shape), float(found.fun)
        n_iterations += found.nit
        imbalance = energy.imbalance(positions)
        if value / n < _UNJAMMED or imbalance < _BALANCED:
            break
    relaxed = replace(packing, positions=positions % 1.0)
    if value / n < _UNJAMMED:
        return Minimum(relaxed, value, "SAT", 0.0, n_iterations)
    verdict = "UNSAT" if imbalance < _BALANCED else "UNCONVERGED"
    return Minimum(relaxed, value, verdict, imbalance, n_iterations)


class HarmonicEnergy:
    """Energy of overlaps, sum over pairs of (1 - r / sigma)^2 / 2 for r < sigma, and its gradient.

    This is the quadratic hinge of particles: a finite range, and a square beyond it. Pairs come from a list
    with a skin (scipy's k-d tree, periodic), renewed when a sphere has moved half the skin.

    Args:
        packing: the diameters, and the positions to list pairs at.
    """

    def __init__(self, packing: Packing) -> None:
        self.diameters = packing.diameters
        self.shape = packing.positions.shape
        self.skin = _SKIN * float(packing.diameters.min())
        self._list_pairs(packing.positions)

    def __call__(self, flat: ndarray) -> tuple[float, ndarray]:
        """(energy, gradient) at positions of shape (spheres * dim,), as minimisers of scipy want it."""
        i, j, overlap, push = self._contacts(flat.reshape(self.shape))
        gradient = np.empty(self.shape)
        for axis, column in enumerate(push.T):
            gradient[:, axis] = np.bincount(j, column, len(gradient)) - np.bincount(i, column, len(gradient))
        return float(0.5 * np.sum(overlap**2)), gradient.ravel()

    def imbalance(self, positions: ndarray) -> float:
        """Largest net force on a sphere over the root mean square contact force; 0 without contacts."""
        _, _, _, push = self._contacts(positions)
        if len(push) == 0:
            return 0.0
        _, gradient = self(positions.ravel())
        net = np.linalg.norm(gradient.reshape(self.shape), axis=1).max()
        return float(net / np.sqrt(np.mean(np.sum(push**2, axis=1))))

    def _list_pairs(self, positions: ndarray) -> None:
        self._listed_at = positions.copy()
        reach = float(self.diameters.max()) + self.skin
        pairs = KDTree(positions % 1.0, boxsize=1.0).query_pairs(reach, output_type="ndarray")
        self._i, self._j = pairs.T
        self._sigma = (self.diameters[self._i] + self.diameters[self._j]) / 2

    def _contacts(self, positions: ndarray) -> tuple[ndarray, ndarray, ndarray, ndarray]:
        """Spheres i and j of overlapping pairs, the overlap 1 - r / sigma, and the force on i."""
        moved = np.max(np.sum((positions - self._listed_at) ** 2, axis=1))
        if moved > (self.skin / 2) ** 2:
            self._list_pairs(positions)
        apart = positions[self._i] - positions[self._j]
        apart -= np.round(apart)
        distance = np.sqrt(np.einsum("pd,pd->p", apart, apart))
        touching = distance < self._sigma
        distance, sigma = distance[touching], self._sigma[touching]
        overlap = 1 - distance / sigma
        push = (overlap / (sigma * distance))[:, None] * apart[touching]
        return self._i[touching], self._j[touching], overlap, push
