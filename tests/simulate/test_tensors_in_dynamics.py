"""Dipoles and other tensors of the structure along molecular dynamics."""

from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas as pd
import pytest
import torch
from ase.build import bulk, molecule

from symnets.cli import main
from symnets.models import ForceField, NequIP, TensorModel, TensorOutput, save
from symnets.simulate import SymnetsCalculator, run_md

OUTPUTS = {
    "alpha": TensorOutput("polarizability"),
    "mu": TensorOutput("dipole"),
    "pair": TensorOutput(irreps="1x0e+1x1o"),
    "q": TensorOutput("charges"),
}
MATRIX = [a + b for a in "xyz" for b in "xyz"]


@pytest.fixture(scope="module")
def model() -> TensorModel:
    torch.manual_seed(0)
    options = {"lmax": 2, "channels": 2, "layers": 1, "radial_hidden": (4,), "cutoff": 3.0}
    network = NequIP(["H", "O"], irreps_last="2x0e+2x1o+2x2e", **options)  # pyright: ignore
    return TensorModel(ForceField(network), OUTPUTS).double()


def test_tensors_of_the_structure_are_in_log_and_trajectory(model: TensorModel, tmp_path: Path) -> None:
    atoms = molecule("H2O")
    atoms.info |= {"charge": 1, "alpha": np.eye(3), "mu": 0.5}  # an ion; an old label; and another quantity
    files: dict[str, Any] = {"trajectory": tmp_path / "md.xyz", "log": tmp_path / "md.csv"}
    calculator = SymnetsCalculator(model)
    run = run_md(atoms, calculator, steps=4, temperature=500.0, save_every=2, log_every=2, **files)
    names = ["dipole_x", "dipole_y", "dipole_z", *(f"alpha_{index}" for index in MATRIX)]
    names += [f"pair_{index}" for index in range(4)]
    assert sorted(run.log.columns[6:]) == sorted(names)
    log = pd.read_csv(files["log"])
    pd.testing.assert_frame_equal(log, run.log, rtol=1e-12)
    frames: Any = ase.io.read(files["trajectory"], ":")
    assert len(frames) == 3
    fresh = SymnetsCalculator(model)
    for frame, row in zip(frames, log.to_dict("records"), strict=True):
        dipole, alpha, pair = (
            np.array(fresh.get_property(name, frame)) for name in ("dipole", "alpha", "pair")
        )
        # Files round positions to 1e-8 Å.
        np.testing.assert_allclose([row[f"dipole_{axis}"] for axis in "xyz"], dipole, atol=1e-6)
        np.testing.assert_allclose(frame.get_dipole_moment(), dipole, atol=1e-6)
        np.testing.assert_allclose([row[f"alpha_{index}"] for index in MATRIX], alpha.ravel(), atol=1e-6)
        np.testing.assert_allclose(frame.info["alpha"], alpha, atol=1e-6)
        np.testing.assert_allclose(frame.info["pair"], pair, atol=1e-6)
        assert frame.info["mu"] == 0.5
    assert np.ptp(log["dipole_x"]) + np.ptp(log["dipole_y"]) + np.ptp(log["dipole_z"]) > 1e-6  # it moved
    np.testing.assert_allclose(run.atoms.get_dipole_moment(), frames[-1].get_dipole_moment(), atol=1e-6)


def test_crystal_has_no_dipole_but_other_tensors(model: TensorModel) -> None:
    run = run_md(bulk("O", "sc", a=2.0), SymnetsCalculator(model), steps=1, log_every=1)
    assert "alpha_xx" in run.log
    assert not [name for name in run.log if name.startswith("dipole")]


def test_command_line_prints_the_mean_dipole(
    model: TensorModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    save(model, "joint.safetensors")
    assert main(["md", "joint.safetensors", "H2O", "--steps", "2", "--log-every", "1"]) == 0
    assert "dipole z / e·Å" in capsys.readouterr().out
    assert isinstance(model.force_field, ForceField)
    save(TensorModel(model.force_field.energy_model, OUTPUTS), "tensors.safetensors")
    assert main(["md", "tensors.safetensors", "H2O", "--steps", "2", "--log", "other.csv"]) == 2
    assert "expected a model with energies and forces" in capsys.readouterr().err
