"""Packings of soft spheres: minima of their energy, contacts, and decompression to jamming.

Spheres in a periodic box of side 1 repel when they overlap. `relax_packing` finds a minimum of the energy,
`count_contacts` counts the contacts and degrees of freedom of a minimum, and `decompress_packing` follows a
jammed packing down to its own jamming point.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray
from scipy.optimize import minimize
from scipy.spatial import KDTree

_UNJAMMED = 1e-20  # an energy per sphere below this counts as zero: overlaps of at most 1e-10
_BALANCED = 1e-4  # forces balance below this ratio of net force to root mean square contact force
_MAX_ITERATIONS = 50_000
_SKIN = 0.3  # of the smallest diameter: how far pairs are listed beyond contact


@dataclass(frozen=True)
class Packing:
    """Spheres in a periodic box of side 1; spheres i and j touch at r = (diameter_i + diameter_j) / 2.

    Attributes:
        positions: positions in the box, (spheres, dim).
        diameters: diameters in units of the side of the box, below 1/2, (spheres,).
    """

    positions: ndarray
    diameters: ndarray

    @property
    def phi(self) -> float:
        """Packing fraction: sum of the volumes of the spheres; overlaps count twice."""
        dim = self.positions.shape[1]
        ball = math.pi ** (dim / 2) / math.gamma(dim / 2 + 1)
        return float(ball * np.sum((self.diameters / 2) ** dim))

    def at(self, phi: float) -> "Packing":
        """The packing with the same positions and all diameters scaled to another packing fraction."""
        factor = (phi / self.phi) ** (1 / self.positions.shape[1])
        return replace(self, diameters=self.diameters * factor)


@dataclass(frozen=True)
class Minimum:
    """A packing at a minimum of its energy.

    Attributes:
        packing: the spheres.
        energy: sum over pairs of (1 - r / sigma)^2 / 2.
        verdict: "SAT" if the energy is zero (below 1e-20 per sphere), "UNSAT" if it is positive and the
            forces balance, otherwise "UNCONVERGED".
        imbalance: largest net force on a sphere over the root mean square contact force; 0 if "SAT".
        n_iterations: steps of the minimiser.
    """

    packing: Packing
    energy: float
    verdict: str
    imbalance: float
    n_iterations: int


def random_packing(n: int, dim: int, phi: float, rng: np.random.Generator, *, ratio: float = 1.4) -> Packing:
    """Spheres at random positions, half of them `ratio` times as large as the others.

    The mixture keeps discs from forming a crystal (O'Hern et al. 2003).

    Args:
        n: number of spheres.
        dim: dimension of space.
        phi: packing fraction.
        rng: random generator of the positions.
        ratio: diameter of the large spheres divided by that of the small ones.
    """
    diameters = np.where(np.arange(n) < n // 2, 1.0, ratio)
    return Packing(rng.random((n, dim)), diameters * 1e-3).at(phi)


def relax_packing(packing: Packing) -> Minimum:
    """Minimise the energy of a packing by L-BFGS (scipy), restarted while the forces do not balance.

    The energy is a sum of squares, so that its value is exact to all digits however small it is, and the line
    search can follow it to the last digit: in an unjammed packing to exactly zero.
    """
    positions, n_iterations, imbalance = packing.positions, 0, np.inf
    n, _ = positions.shape
    energy = HarmonicEnergy(packing)
    value = np.inf
    for _ in range(4):
        result = minimize(
            energy,
            positions.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxcor": 20, "ftol": 0, "gtol": 0, "maxiter": _MAX_ITERATIONS, "maxfun": 10**7},
        )
        positions, value = result.x.reshape(positions.shape), float(result.fun)
        n_iterations += result.nit
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

    This corresponds to the quadratic hinge: of finite range, and quadratic within it. Pairs come from a
    neighbour list with a skin (scipy's periodic k-d tree), renewed when a sphere has moved by half the skin.

    Args:
        packing: the diameters, and the positions at which pairs are listed first.
    """

    def __init__(self, packing: Packing) -> None:
        self.diameters = packing.diameters
        self.shape = packing.positions.shape
        self.skin = _SKIN * float(packing.diameters.min())
        self._list_pairs(packing.positions)

    def __call__(self, flat: ndarray) -> tuple[float, ndarray]:
        """(energy, gradient) at positions of shape (spheres * dim,), as scipy's minimisers expect."""
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


_LEAST = 1e-5  # overlaps below this fraction of the root mean square overlap are rounding errors


@dataclass(frozen=True)
class Contacts:
    """Contacts and degrees of freedom of a minimum of the energy, without rattlers.

    Attributes:
        n_contacts: overlapping pairs of spheres that are not rattlers; 0 in an unjammed packing.
        n_effective: degrees of freedom N = d (n - n_rattlers - 1) + 1. The d translations of the whole are
            not counted, and the packing fraction counts as one, since it is not given at the transition but
            adjusts to it. A packing at its jamming point has exactly N contacts (Goodrich, Liu, Nagel, PRL
            109, 095704, 2012: one contact more than the positions alone would need).
        n_rattlers: spheres with fewer than d + 1 contacts, removed until none is left; 0 if unjammed.
        energy: energy per sphere.
        slope: derivative of the total energy with respect to the packing fraction, exact at a minimum.
        pressure: -dE/dV in units of the springs' energy over the smallest diameter^d.
    """

    n_contacts: int
    n_effective: int
    n_rattlers: int
    energy: float
    slope: float
    pressure: float


def count_contacts(minimum: Minimum) -> Contacts:
    """Count contacts and rattlers, and compute the pressure from the virial.

    Scaling all diameters at fixed positions changes the energy by dE = sum_pairs (1 - r/sigma) (r/sigma)
    dsigma/sigma. At a minimum, relaxing the positions afterwards does not change E to first order.
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


_MAX_STATES = 200


@dataclass(frozen=True)
class JammedPacking:
    """A jammed packing during decompression.

    Attributes:
        minimum: the packing at a minimum of its energy.
        contacts: its contacts and degrees of freedom.
        phi_jamming: estimate of the packing fraction at which its energy would vanish.
    """

    minimum: Minimum
    contacts: Contacts
    phi_jamming: float

    @property
    def excess(self) -> float:
        """Packing fraction above the estimated jamming point."""
        return self.minimum.packing.phi - self.phi_jamming


def decompress_packing(start: Minimum, *, to: float, ratio: float = 10**-0.25) -> Iterator[JammedPacking]:
    """Shrink the spheres of a jammed packing step by step until its excess packing fraction is below `to`.

    Every packing has its own jamming point. Near it sqrt(E) is linear in the packing fraction, so that one
    step of Newton's method for sqrt(E) = 0 finds it from the energy and its exact slope,

        phi_J = phi - 2 E / (dE/dphi),

    more accurately as phi decreases. The next packing fraction is phi_J + ratio (phi - phi_J). A step that
    ends at zero energy went below the jamming point: the estimate was too low, or the packing became unstable
    and rearranged into another one with a higher phi_J. That packing is compressed until it jams, by half
    the step at a time, and followed from there.

    Args:
        start: an "UNSAT" minimum.
        to: excess packing fraction at which to stop.
        ratio: ratio of successive excesses.

    Yields:
        Jammed packings, the start first; the last one has an excess below `to`.

    Raises:
        ValueError: the start is not jammed.
        RuntimeError: `to` was not reached within 200 packings, or a minimum was not found.
    """
    if start.verdict != "UNSAT":
        raise ValueError(f"start: expected a jammed packing (UNSAT), got {start.verdict}")
    state = _jammed(start)
    for _ in range(_MAX_STATES):
        yield state
        if state.excess < to:
            return
        phi = state.minimum.packing.phi
        step = (1 - ratio) * state.excess
        minimum = relax_packing(state.minimum.packing.at(phi - step))
        for _ in range(_MAX_STATES):
            if minimum.verdict != "SAT":
                break
            minimum = relax_packing(minimum.packing.at(minimum.packing.phi + step / 2))
        if minimum.verdict != "UNSAT":
            raise RuntimeError(f"decompress_packing: no jammed packing found near packing fraction {phi:.8f}")
        state = _jammed(minimum)
    raise RuntimeError(
        f"decompress_packing: expected an excess below {to:.1e} within {_MAX_STATES} packings, "
        f"got {state.excess:.1e}"
    )


def _jammed(minimum: Minimum) -> JammedPacking:
    measured = count_contacts(minimum)
    return JammedPacking(minimum, measured, minimum.packing.phi - 2 * minimum.energy / measured.slope)
