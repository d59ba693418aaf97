"""EnergyDrift: how well dynamics at constant energy kept it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd


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
