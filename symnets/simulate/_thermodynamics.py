"""Thermodynamics of molecular dynamics: initial momenta, temperature, the log of a run, energy drift."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ase import Atoms, units
from jaxtyping import Float


def degrees_of_freedom(atoms: Atoms, *, at_rest: bool) -> int:
    """Number n of degrees of freedom: at the kinetic energy K the temperature is 2 K / (n k_B).

    For a structure at rest, 3 translations are subtracted and, without periodicity, 3 rotations (2 for a
    linear molecule, 0 for an atom). With constraints n is ASE's number of degrees of freedom; constraints
    break those symmetries, so that nothing else is subtracted.

    Args:
        atoms: the structure.
        at_rest: whether total momentum, and angular momentum where conserved, are zero and stay zero.
    """
    if atoms.constraints:
        return int(atoms.get_number_of_degrees_of_freedom())
    free = 3 * len(atoms)
    if at_rest:
        free -= 3
        if not atoms.pbc.any():
            free -= len(_rotations(atoms)[0])
    return max(free, 0)


def kinetic_temperature(atoms: Atoms, n_dof: int) -> float:
    """Kinetic temperature in K, 2 / (n_dof k_B) times the kinetic energy; 0 without degrees of freedom."""
    return float(2 * atoms.get_kinetic_energy() / (n_dof * units.kB)) if n_dof else 0.0


def thermal_momenta(
    atoms: Atoms, temperature: float, n_dof: int, generator: np.random.Generator
) -> Float[np.ndarray, "atoms 3"]:
    """Maxwell-Boltzmann momenta of a structure at rest, in ASE's units.

    Each component is sampled from a Gaussian of variance m k_B T. Total momentum and, without periodicity,
    angular momentum about the centre of mass are removed; if there are constraints, they are applied instead.
    Finally the momenta are scaled so that the kinetic energy is exactly n_dof k_B T / 2.

    Args:
        atoms: the structure.
        temperature: T in K.
        n_dof: number of degrees of freedom.
        generator: random generator of the momenta.
    """
    masses = atoms.get_masses()[:, None]
    sampled = atoms.copy()
    sampled.set_momenta(generator.standard_normal((len(atoms), 3)) * np.sqrt(masses * units.kB * temperature))
    if not atoms.constraints:
        velocities = sampled.get_velocities()
        velocities -= (masses * velocities).sum(axis=0) / masses.sum()
        if not atoms.pbc.any():
            arms = atoms.positions - atoms.get_center_of_mass()
            angular = np.cross(arms, masses * velocities).sum(axis=0)
            inertia, axes = _rotations(atoms)
            spin = axes @ (axes.T @ angular / inertia)
            velocities -= np.cross(spin, arms)
        sampled.set_velocities(velocities)
    now = kinetic_temperature(sampled, n_dof)
    return sampled.get_momenta() * (np.sqrt(temperature / now) if now > 1e-9 * temperature else 0.0)


def _rotations(atoms: Atoms) -> tuple[Float[np.ndarray, " axes"], Float[np.ndarray, "3 axes"]]:
    """Non-zero principal moments of inertia (amu Å²) and their axes (columns).

    The tensor is Σ m (r² 1 - r rᵀ) about the centre of mass; a linear molecule has two axes, an atom none.
    """
    arms = atoms.positions - atoms.get_center_of_mass()
    second = np.einsum("n,na,nb->ab", atoms.get_masses(), arms, arms)
    moments, axes = np.linalg.eigh(np.trace(second) * np.eye(3) - second)
    real = moments > max(1e-6 * moments.max(), 1e-9)
    return moments[real], axes[:, real]


@dataclass(frozen=True)
class EnergyDrift:
    """Drift of the total energy of a run at constant energy, per atom."""

    per_atom: float
    """Slope of the least-squares line of total energy against time, times `duration`, in eV per atom."""
    max_deviation: float
    """Largest |E(t) - E(0)|, in eV per atom."""
    duration: float
    """Time between the first and the last row, in ps."""

    def __str__(self) -> str:
        return (
            f"energy drift {1e3 * self.per_atom:+.4f} meV/atom over {self.duration:g} ps, "
            f"at most {1e3 * self.max_deviation:.4f} meV/atom from the start"
        )


def energy_drift(log: pd.DataFrame, n_atoms: int) -> EnergyDrift:
    """Drift of the total energy in the log of a run; zeros for a single row.

    Args:
        log: table with columns `time_ps` (ps) and `total_energy` (eV).
        n_atoms: number of atoms.

    Raises:
        ValueError: the log is empty.
    """
    if len(log) == 0:
        raise ValueError("log: expected at least one row, got none")
    time = log["time_ps"].to_numpy(dtype=np.float64)
    # Relative to the first row and centred in time: totals near -10⁴ eV would lose digits in the fit.
    energy = log["total_energy"].to_numpy(dtype=np.float64) - log["total_energy"].iloc[0]
    centred = time - time.mean()
    spread = (centred**2).sum()
    slope = (centred * energy).sum() / spread if spread > 0 else 0.0
    duration = float(time[-1] - time[0])
    return EnergyDrift(float(slope * duration / n_atoms), float(np.abs(energy).max() / n_atoms), duration)


class MDLog:
    """Log of a run: time, energies and temperature, and for periodic structures pressure and volume.

    | column | unit |
    |---|---|
    | `step` | |
    | `time_ps` | ps |
    | `potential_energy`, `kinetic_energy`, `total_energy` | eV |
    | `temperature` | K, kinetic |
    | `pressure` | GPa, kinetic part included; periodic structures only |
    | `volume` | Å³; periodic structures only |
    | `dipole_x`, `dipole_y`, `dipole_z` | e·Å |
    | `NAME_xx`, ..., `NAME_zz` of a matrix, else `NAME_0`, `NAME_1`, ... | that of the tensor NAME |

    Args:
        path: CSV file, to which each row is appended; None keeps the rows in memory only.
        n_dof: number of degrees of freedom for the temperature.
        tensors: names of properties of the calculator that are tensors of the structure.
    """

    def __init__(self, path: Path | None, n_dof: int, tensors: Sequence[str] = ()) -> None:
        self.rows: list[dict[str, int | float]] = []
        self._n_dof, self._tensors = n_dof, tensors
        self._path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")

    def write(self, atoms: Atoms, step: int, time: float) -> dict[str, int | float]:
        """Append the row of a structure, and return it; `time` in ps."""
        potential, kinetic = atoms.get_potential_energy(), atoms.get_kinetic_energy()
        row: dict[str, int | float] = {
            "step": step,
            "time_ps": time,
            "potential_energy": float(potential),
            "kinetic_energy": float(kinetic),
            "total_energy": float(potential + kinetic),
            "temperature": float(kinetic_temperature(atoms, self._n_dof)),
        }
        if atoms.pbc.all():
            stress = atoms.get_stress(voigt=False, include_ideal_gas=True)
            row["pressure"] = float(-stress.trace() / 3 / units.GPa)
            row["volume"] = float(atoms.get_volume())
        for name, value in tensors_of(atoms, self._tensors).items():
            row |= _components(name, value)
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                writer = csv.DictWriter(file, row, lineterminator="\n")
                if not self.rows:
                    writer.writeheader()
                writer.writerow(row)
        self.rows.append(row)
        return row

    @property
    def table(self) -> pd.DataFrame:
        """The rows so far."""
        return pd.DataFrame(self.rows)


def tensors_of(atoms: Atoms, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Properties of a structure's calculator by name."""
    calculator: Any = atoms.calc
    return {name: calculator.get_property(name, atoms) for name in names}


def _components(name: str, value: np.ndarray) -> dict[str, float]:
    """Components of a tensor by name of the column: Cartesian ones of dipoles and matrices, else numbered."""
    if name == "dipole":
        indices = list("xyz")
    elif value.shape == (3, 3):
        indices = [a + b for a in "xyz" for b in "xyz"]
    else:
        indices = list(map(str, range(value.size)))
    return {f"{name}_{index}": float(x) for index, x in zip(indices, value.ravel(), strict=True)}
