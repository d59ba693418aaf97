"""Thermal momenta: where molecular dynamics starts.

EnergyDrift: how well dynamics at constant energy kept it.

The log of a run: a row of thermodynamics now and then, in memory and in a CSV file.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
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


@dataclass(frozen=True)
class EnergyDrift:
    """Departure of the total energy from a constant, per atom."""

    per_atom: float
    """Slope of the least-squares line through total energy against time, times `duration`, in eV per atom."""
    max_deviation: float
    """Largest |E(t) - E(0)|, in eV per atom."""
    duration: float
    """Time between first and last row, in ps."""

    def __str__(self) -> str:
        return (
            f"energy drift {1e3 * self.per_atom:+.4f} meV/atom over {self.duration:g} ps, "
            f"at most {1e3 * self.max_deviation:.4f} meV/atom from the start"
        )


def energy_drift(log: pd.DataFrame, n_atoms: int) -> EnergyDrift:
    """Drift of the total energy in the log of a run.

    Args:
        log: with columns `time_ps` (ps) and `total_energy` (eV).

    Returns:
        Zeros for a single row.

    Raises:
        ValueError: an empty log.
    """
    if len(log) == 0:
        raise ValueError("log: expected at least one row, got none")
    time = log["time_ps"].to_numpy(dtype=np.float64)
    # From the start and from the middle: totals near -10⁴ eV would cost digits in the fit.
    energy = log["total_energy"].to_numpy(dtype=np.float64) - log["total_energy"].iloc[0]
    centred = time - time.mean()
    spread = (centred**2).sum()
    slope = (centred * energy).sum() / spread if spread > 0 else 0.0
    duration = float(time[-1] - time[0])
    return EnergyDrift(float(slope * duration / n_atoms), float(np.abs(energy).max() / n_atoms), duration)


class MDLog:
    """Rows of time, energies, temperature, and of pressure and volume for periodic structures.

    | column | unit |
    |---|---|
    | `step` | |
    | `time_ps` | ps |
    | `potential_energy`, `kinetic_energy`, `total_energy` | eV |
    | `temperature` | K, kinetic |
    | `pressure` | GPa, kinetic part included; periodic structures only |
    | `volume` | Å³; periodic structures only |

    Args:
        path: of the CSV file, written and flushed row by row; None keeps the rows in memory alone.
        n_dof: of the temperature, see `degrees_of_freedom`.
    """

    def __init__(self, path: Path | None, n_dof: int) -> None:
        self.rows: list[dict[str, int | float]] = []
        self._n_dof = n_dof
        self._path = path
        if path is not None:
            path.write_text("")

    def write(self, atoms: Atoms, step: int, time: float) -> dict[str, int | float]:
        """Measure the structure, append the row to the file and return it; `time` in ps."""
        potential, kinetic = atoms.get_potential_energy(), atoms.get_kinetic_energy()
        row: dict[str, int | float] = {
            "step": step,
            "time_ps": time,
            "potential_energy": float(potential),
            "kinetic_energy": float(kinetic),
            "total_energy": float(potential + kinetic),
            "temperature": float(temperature(atoms, self._n_dof)),
        }
        if atoms.pbc.all():
            stress = atoms.get_stress(voigt=False, include_ideal_gas=True)
            row["pressure"] = float(-stress.trace() / 3 / units.GPa)
            row["volume"] = float(atoms.get_volume())
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                pd.DataFrame([row]).to_csv(file, index=False, header=not self.rows)
        self.rows.append(row)
        return row

    @property
    def table(self) -> pd.DataFrame:
        """All rows so far."""
        return pd.DataFrame(self.rows)
