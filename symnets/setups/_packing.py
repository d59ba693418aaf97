"""Soft spheres in a periodic unit box, and the minima of their energy.

Contacts of a packing: how many, on how many degrees of freedom, and the pressure they bear.

The way from a jammed packing down to its own jamming point.
"""

import math
from collections.abc import Iterator
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


_MOST_STATES = 200


@dataclass(frozen=True)
class Decompressed:
    """A jammed packing on the way down.

    Attributes:
        minimum: the packing.
        contacts: what it rests on.
        phi_jamming: estimate of the packing fraction at which its energy would vanish.
    """

    minimum: Minimum
    contacts: Contacts
    phi_jamming: float

    @property
    def excess(self) -> float:
        """Packing fraction above the estimated jamming point."""
        return self.minimum.packing.phi - self.phi_jamming


def decompress_packing(start: Minimum, *, to: float, ratio: float = 10**-0.25) -> Iterator[Decompressed]:
    """Shrinks the spheres of a jammed packing step by step until its excess packing fraction is below `to`.

    Every packing has its own jamming point. Near it sqrt(E) is linear in the packing fraction, so that one
    step of Newton's method for sqrt(E) = 0 finds it from the energy and its exact slope,

        phi_J = phi - 2 E / (dE/dphi),

    ever better as phi comes down. The next packing fraction is phi_J + ratio (phi - phi_J). A step that ends
    without energy went below the jamming point: the estimate came out too low, or the packing lost its
    stability on the way and fell into another, roomier one. That one is compressed until it jams, by half the
    step at a time, and followed from there.

    Args:
        start: an "UNSAT" minimum.
        to: smallest excess packing fraction.
        ratio: of successive excesses.

    Yields:
        Jammed packings, the start first; the last has an excess below `to`.

    Raises:
        ValueError: the start is not jammed.
        RuntimeError: `to` was not reached in 200 packings, or a minimum was not found.
    """
    if start.verdict != "UNSAT":
        raise ValueError(f"decompress: expected a jammed packing (UNSAT), got {start.verdict}")
    state = _measured(start)
    for _ in range(_MOST_STATES):
        yield state
        if state.excess < to:
            return
        phi = state.minimum.packing.phi
        step = (1 - ratio) * state.excess
        found = relax(state.minimum.packing.at(phi - step))
        for _ in range(_MOST_STATES):
            if found.verdict != "SAT":
                break
            found = relax(found.packing.at(found.packing.phi + step / 2))
        if found.verdict != "UNSAT":
            raise RuntimeError(f"decompress: no jammed packing found near packing fraction {phi:.8f}")
        state = _measured(found)
    raise RuntimeError(
        f"decompress: excess {state.excess:.1e} after {_MOST_STATES} packings, wanted {to:.1e}"
    )


def _measured(minimum: Minimum) -> Decompressed:
    measured = contacts(minimum)
    return Decompressed(minimum, measured, minimum.packing.phi - 2 * minimum.energy / measured.slope)
