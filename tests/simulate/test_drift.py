"""Energy drift of logs with known answers."""

import numpy as np
import pandas as pd
import pytest

from symnets.simulate import energy_drift


def log(time: np.ndarray, energy: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"time_ps": time, "total_energy": energy})


def test_drift_of_a_line_is_its_rise():
    time = np.linspace(2, 12, 50)
    drift = energy_drift(log(time, -9400 + 0.03 * time), n_atoms=3)
    assert drift.per_atom == pytest.approx(0.1, abs=1e-12)
    assert drift.max_deviation == pytest.approx(0.1, abs=1e-12)
    assert drift.duration == 10


def test_an_oscillation_deviates_without_drifting():
    time = np.linspace(0, 10, 1001)
    drift = energy_drift(log(time, np.cos(2 * np.pi * time)), n_atoms=2)
    assert drift.per_atom == pytest.approx(0, abs=1e-3)
    assert drift.max_deviation == pytest.approx(1, abs=1e-6)


def test_one_row_has_no_drift():
    drift = energy_drift(log(np.zeros(1), np.ones(1)), n_atoms=2)
    assert (drift.per_atom, drift.max_deviation, drift.duration) == (0, 0, 0)


def test_an_empty_log_is_refused():
    with pytest.raises(ValueError, match="at least one row"):
        energy_drift(log(np.zeros(0), np.zeros(0)), n_atoms=2)
