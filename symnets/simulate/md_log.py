"""The log of a run: a row of thermodynamics now and then, in memory and in a CSV file."""

from pathlib import Path

import pandas as pd
from ase import Atoms, units

from symnets.simulate.momenta import temperature


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
