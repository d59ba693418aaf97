"""Small predictions and logs in the form of real runs."""

import numpy as np
import pandas as pd

from symnets.observables import Predictions

CARBON_DIOXIDE = np.array([6, 8, 8])


def predictions(
    n: int = 4, *, forces: bool = True, stress: bool = False, energy: bool = True, seed: int = 0
) -> Predictions:
    """n structures of three atoms with total energies near -9,400 eV, predicted 5 meV too high."""
    rng = np.random.default_rng(seed)
    energy_label = -9400 + rng.normal(size=n)
    forces_label, stress_label = rng.normal(size=(3 * n, 3)), 0.01 * rng.normal(size=(n, 3, 3))
    return Predictions(
        energy=energy_label + 0.005,
        energy_label=energy_label if energy else np.full(n, np.nan),
        forces=forces_label + 0.02,
        forces_label=forces_label if forces else np.full((3 * n, 3), np.nan),
        stress=stress_label + 1e-3 if stress else np.full((n, 3, 3), np.nan),
        stress_label=stress_label if stress else np.full((n, 3, 3), np.nan),
        species=np.tile(CARBON_DIOXIDE, n),
        n_atoms=np.full(n, 3),
    )


def history() -> pd.DataFrame:
    """A training of ten records, validated at every second."""
    step = np.arange(10)
    validated = np.where(step % 2 == 0, 0.1 / (1 + step), np.nan)
    names = ("forces_rmse", "forces_mae", "energy_per_atom_rmse", "energy_per_atom_mae")
    table = {f"validation/{name}": validated for name in names}
    return pd.DataFrame({"step": 10 * step, "seconds": 6.0 * step, "loss": np.exp(-step)} | table)


def md_log(slope: float = 0.0) -> pd.DataFrame:
    """1 ps of a vibration whose total energy rises by `slope` eV/ps."""
    time = np.linspace(0, 1, 41)
    kinetic = 0.1 + 0.05 * np.sin(40 * time)
    total = -9400 + slope * time
    return pd.DataFrame(
        {
            "time_ps": time,
            "potential_energy": total - kinetic,
            "kinetic_energy": kinetic,
            "total_energy": total,
            "temperature": 3000 * kinetic,
        }
    )
