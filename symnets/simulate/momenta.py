"""Thermal momenta: where molecular dynamics starts."""

import numpy as np
from ase import Atoms, units
from jaxtyping import Float


def degrees_of_freedom(atoms: Atoms, *, at_rest: bool) -> int:
    """Number n of velocities that are free, so that the temperature is 2 K / (n k_B).

    A structure at rest lacks the motions that its Hamiltonian conserves at zero: 3 translations and, without
    periodicity, 3 rotations (2 of a linear molecule, 0 of an atom). Constraints take what ASE says;
    they break those symmetries, so that nothing else is taken.

    Args:
        at_rest: total momentum, and angular momentum where it is conserved, are zero and stay so.
    """
    if atoms.constraints:
        return int(atoms.get_number_of_degrees_of_freedom())
    free = 3 * len(atoms)
    if at_rest:
        free -= 3
        if not atoms.pbc.any():
            free -= len(_rotations(atoms)[0])
    return max(free, 0)


def temperature(atoms: Atoms, n_dof: int) -> float:
    """Kinetic temperature 2 K / (n_dof k_B) in K; 0 where nothing can move."""
    return float(2 * atoms.get_kinetic_energy() / (n_dof * units.kB)) if n_dof else 0.0


def thermal_momenta(
    atoms: Atoms, kelvin: float, n_dof: int, generator: np.random.Generator
) -> Float[np.ndarray, "atoms 3"]:
    """Maxwell-Boltzmann momenta of a structure at rest, in ASE's units.

    Drawn from the Gaussian of variance m k_B T, then stripped of total momentum and, without periodicity,
    of angular momentum about the centre of mass; constraints are obeyed instead where there are any.
    Finally scaled so that 2 K = n_dof k_B T exactly.
    """
    masses = atoms.get_masses()[:, None]
    moving = atoms.copy()
    moving.set_momenta(generator.standard_normal((len(atoms), 3)) * np.sqrt(masses * units.kB * kelvin))
    if not atoms.constraints:
        velocities = moving.get_velocities()
        velocities -= (masses * velocities).sum(axis=0) / masses.sum()
        if not atoms.pbc.any():
            arms = atoms.positions - atoms.get_center_of_mass()
            angular = np.cross(arms, masses * velocities).sum(axis=0)
            inertia, axes = _rotations(atoms)
            spin = axes @ (axes.T @ angular / inertia)
            velocities -= np.cross(spin, arms)
        moving.set_velocities(velocities)
    now = temperature(moving, n_dof)
    return moving.get_momenta() * (np.sqrt(kelvin / now) if now > 1e-9 * kelvin else 0.0)


def _rotations(atoms: Atoms) -> tuple[Float[np.ndarray, " axes"], Float[np.ndarray, "3 axes"]]:
    """Principal moments of inertia (amu Å²) and axes (columns) a structure can turn about.

    The tensor is Σ m (r² 1 - r rᵀ) about the centre of mass; a linear molecule has two axes, an atom none.
    """
    arms = atoms.positions - atoms.get_center_of_mass()
    second = np.einsum("n,na,nb->ab", atoms.get_masses(), arms, arms)
    moments, axes = np.linalg.eigh(np.trace(second) * np.eye(3) - second)
    real = moments > max(1e-6 * moments.max(), 1e-9)
    return moments[real], axes[:, real]
