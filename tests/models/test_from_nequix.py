"""Published Nequix weights: energies, forces and stress of Nequix itself, and files that are refused."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from symnets.data import from_ase
from symnets.models import NEQUIX, Compiled, from_nequix, load, save
from symnets.simulate import SymnetsCalculator, compile_error, relax
from tests.models.small_nequix import small_file

REFERENCE = json.loads((Path(__file__).parent / "nequix_reference.json").read_text("utf-8"))
"""Written by benchmarks/workers/nequix_reference.py."""
FOLDER = Path(os.environ.get("SYMNETS_DATA", "/nonexistent")) / "nequix"
needs_weights = pytest.mark.skipif(not FOLDER.is_dir(), reason="SYMNETS_DATA has no folder nequix")


@needs_weights
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n != "nequix-mp-1")) for n in REFERENCE["models"]]
)
def test_published_models_have_the_energies_forces_and_stress_of_nequix(name: str) -> None:
    force_field = from_nequix(name, dtype=torch.float64)
    for structure, expected in REFERENCE["models"][name].items():
        atoms = Atoms(**REFERENCE["structures"][structure])
        found = force_field(from_ase(atoms, cutoff=force_field.cutoff, dtype=torch.float64))
        assert abs(float(found.energy) - expected["energy"]) < 1e-5, structure  # eV
        assert np.abs(found.forces.numpy() - expected["forces"]).max() < 1e-5, structure  # eV/Å
        if expected["stress"] is not None:
            assert np.abs(found.stress[0].numpy() - expected["stress"]).max() < 1e-6, structure  # eV/Å³


@needs_weights
@pytest.mark.slow
def test_published_models_are_compiled_and_relax_crystals() -> None:
    force_field = from_nequix("nequix-mp-1", dtype=torch.float64)
    tables = Compiled(force_field.energy_model, 1000)  # `compile` may choose more: its clusters are denser
    for structure in ("Cu", "NaCl", "benzene"):
        atoms = Atoms(**REFERENCE["structures"][structure])
        graph = from_ase(atoms, cutoff=force_field.cutoff, dtype=torch.float64)
        assert compile_error(force_field, tables, graph).forces < 1e-4, structure
    result = relax(bulk("Cu", a=3.7), SymnetsCalculator(tables), cell=True)
    assert result.converged
    lattice_constant = (4 * result.atoms.get_volume()) ** (1 / 3)
    assert abs(lattice_constant - 3.632) < 0.03  # Å, of PBE (Haas, Tran and Blaha 2009)


@needs_weights
def test_all_published_names_are_compared_and_their_checksums_checked(tmp_path, monkeypatch) -> None:
    assert set(REFERENCE["models"]) == set(NEQUIX)
    (tmp_path / "nequix").mkdir()
    altered = bytearray((FOLDER / "nequix-mp-1.nqx").read_bytes())
    altered[-100] ^= 1
    (tmp_path / "nequix" / "nequix-mp-1.nqx").write_bytes(altered)
    monkeypatch.setenv("SYMNETS_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="sha256"):
        from_nequix("nequix-mp-1")
    assert (tmp_path / "nequix" / "nequix-mp-1.nqx").read_bytes() == altered


def test_a_file_becomes_a_force_field_that_is_saved_and_loaded(tmp_path) -> None:
    force_field = from_nequix(small_file(tmp_path / "small.nqx"), dtype=torch.float64)
    assert force_field.species == (1, 8)
    assert force_field.cutoff == 4.0
    energies = force_field.energy_model.atomic_energy.shift
    torch.testing.assert_close(energies, torch.tensor([-4.0, -6.0], dtype=torch.float64))
    graph = from_ase(Atoms("OH", [[0, 0, 0], [0, 0.6, 0.8]]), cutoff=4.0, dtype=torch.float64)
    save(force_field, tmp_path / "small.safetensors")
    again = load(tmp_path / "small.safetensors").double()
    assert torch.equal(again(graph).energy, force_field(graph).energy)


@pytest.mark.parametrize(
    ("settings", "change", "message"),
    [
        ({"index_weights": True}, None, "index_weights = False, got True"),
        ({"layer_norm": False}, None, "layer_norm = True, got False"),
        ({"layer_norm": False, "index_weights": True}, None, "True, got False; index_weights = False"),
        ({"zbl": True, "activation": "gelu"}, None, "model: activation = 'gelu', zbl = True"),
        ({"kernel": True, "n_epochs": 6}, lambda arrays: arrays[:-1], "damaged or missing"),
        ({"hidden_irreps": "4x0e + 3x1o"}, None, "expected shape"),
        ({"hidden_irreps": "cats"}, None, "cats"),
        ({"cutoff": None}, None, "wrong kind"),
        ({"atomic_numbers": [8, 1]}, None, "increasing order"),
        ({}, lambda arrays: arrays[:-1], "damaged or missing"),
        ({}, lambda arrays: [*arrays[:-1], np.full((4, 1), np.nan, np.float32)], "finite"),
        ({}, lambda arrays: [*arrays[:-1], np.array([{"a": 1}], object)], "damaged or missing"),
        ({}, lambda arrays: [arrays[0], *arrays[2:]], "expected shape"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, settings, change, message) -> None:
    path = small_file(tmp_path / "m.nqx", settings=settings, change=change or (lambda arrays: arrays))
    with pytest.raises(ValueError, match=message):
        from_nequix(path)


@pytest.mark.parametrize("kept", [10, 700, 3000])
def test_a_cut_file_is_refused(tmp_path, kept: int) -> None:
    path = small_file(tmp_path / "m.nqx")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"m\.nqx"):
        from_nequix(path)


def test_pickles_unknown_names_and_missing_files_are_refused(tmp_path) -> None:
    torch.save({"weights": torch.zeros(3)}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="pickles"):
        from_nequix(tmp_path / "model.pt")
    with pytest.raises(ValueError, match="nequix-oam-1"):
        from_nequix("nequix-oam-2")
    with pytest.raises(FileNotFoundError, match="no such file"):
        from_nequix(tmp_path / "none.nqx")


def test_without_network_and_cache_the_message_names_the_file_to_put_there(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("SYMNETS_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("pooch.retrieve", offline)
    with pytest.raises(OSError, match=r"nequix-mp-1\.nqx into the folder nequix of the folder SYMNETS_DATA"):
        from_nequix("nequix-mp-1")


def offline(*_: object, **__: object) -> str:
    """A download without a network."""
    raise OSError("no network")
