"""`symnets evaluate` measures errors of labelled quantities and names the quantities without labels."""

import inspect
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from safetensors.torch import save_file
from threadpoolctl import threadpool_info

from symnets.cli import main
from symnets.cli._label_options import LabelOptions
from symnets.data import read_files
from symnets.models import load, save
from symnets.threads import set_threads
from tests.cli.models import label, saved_model, water, written

RESOLUTION = 1e-6  # extended XYZ has eight decimals


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return saved_model(tmp_path / "model.safetensors")


@pytest.fixture
def data(tmp_path: Path, model: Path) -> Path:
    return written(tmp_path / "water.xyz", label(water(5), model, bias=0.3))


def evaluated(capsys: pytest.CaptureFixture, *arguments: object) -> dict:
    """The output of `evaluate --json`, which must be JSON and nothing else."""
    assert main(["evaluate", *map(str, arguments), "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out, parse_constant=lambda constant: pytest.fail(f"not JSON: {constant}"))


def error_message(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    """The error message of a wrong input on standard error, without a traceback."""
    assert main(["evaluate", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.err


def test_json_contains_the_errors(model: Path, data: Path, capsys: pytest.CaptureFixture) -> None:
    """The labels are the model's predictions, energies minus 0.3 eV, force components plus 0.01 eV/Å."""
    found = evaluated(capsys, model, data)["errors"]
    assert found["n_structures"] == 5
    assert found["energy"]["rmse"] == pytest.approx(0.3, abs=RESOLUTION)
    assert found["energy_per_atom"]["mae"] == pytest.approx(0.1, abs=RESOLUTION)
    assert found["energy_bias"] == pytest.approx(0.3, abs=RESOLUTION)
    assert found["energy_shifted"]["rmse"] == pytest.approx(0.0, abs=RESOLUTION)
    assert found["forces"]["rmse"] == pytest.approx(0.01, abs=RESOLUTION)
    assert set(found["forces_by_species"]) == {"H", "O"}
    assert found["forces_by_species"]["H"]["n"] == 30
    assert found["stress"] is None


def test_results_are_written_beside_the_model(model: Path, data: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["evaluate", str(model), str(data)]) == 0
    folder = model.parent / "evaluation" / "water"
    assert sorted(file.name for file in folder.iterdir()) == ["errors.json", "parity.png"]
    assert (folder / "parity.png").read_bytes().startswith(b"\x89PNG")
    written_errors = json.loads((folder / "errors.json").read_text(encoding="utf-8"))
    assert written_errors["parity"] == str(folder / "parity.png")
    assert str(folder) in capsys.readouterr().out
    assert evaluated(capsys, model, data) == written_errors | {"parity": None}


def test_output_chooses_the_folder(model: Path, data: Path, capsys: pytest.CaptureFixture) -> None:
    printed = evaluated(capsys, model, data, "--output", model.parent / "there")
    assert json.loads((model.parent / "there" / "errors.json").read_text(encoding="utf-8")) == printed
    assert (model.parent / "there" / "parity.png").is_file()
    assert not (model.parent / "evaluation").exists()


def test_json_writes_nothing(model: Path, data: Path, capsys: pytest.CaptureFixture) -> None:
    before = sorted(model.parent.rglob("*"))
    evaluated(capsys, model, data)
    assert sorted(model.parent.rglob("*")) == before


def test_files_of_one_name_have_folders_of_their_own(model: Path, data: Path) -> None:
    """Also two models in one folder; the same model and data replace their own results."""
    (data.parent / "b").mkdir()
    other = written(data.parent / "b" / data.name, label(water(2), model, bias=1.0))
    fast = Path(shutil.copy(model, model.with_name("fast.safetensors")))
    for pair in ((model, data), (model, other), (fast, data), (model, data), (model, other)):
        assert main(["evaluate", *map(str, pair)]) == 0
    found = {
        folder.name: json.loads((folder / "errors.json").read_text(encoding="utf-8"))
        for folder in (model.parent / "evaluation").iterdir()
    }
    assert {name: (report["model"], report["data"]) for name, report in found.items()} == {
        "water": (str(model), str(data)),
        "water-2": (str(model), str(other)),
        "water-3": (str(fast), str(data)),
    }
    assert found["water-2"]["errors"]["energy"]["rmse"] == pytest.approx(1.0, abs=RESOLUTION)


def test_output_is_checked_before_the_work(
    model: Path, data: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("symnets.cli._evaluate.load", lambda *_, **__: pytest.fail("the work has begun"))
    (model.parent / "evaluation").write_text("a file where the folder should be")
    message = error_message(capsys, model, data)
    assert "errors.json: cannot be written: Not a directory; choose another --output" in message
    (data.parent / "taken" / "errors.json").mkdir(parents=True)
    assert "got a directory" in error_message(capsys, model, data, "--output", data.parent / "taken")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_results_are_printed_although_they_cannot_be_written(
    model: Path, data: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, options: tuple
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("symnets.cli._evaluate.save_picture", full)
    output = str(data.parent / "out")
    assert main(["evaluate", str(model), str(data), "--output", output, *options]) == 2
    captured = capsys.readouterr()
    assert "no space left on device" in captured.err.lower()
    assert '"rmse"' in captured.out if options else "forces on O" in captured.out
    assert (data.parent / "out" / "errors.json").is_file()


def test_threads_are_limited(model: Path, data: Path, capsys: pytest.CaptureFixture) -> None:
    before = torch.get_num_threads()
    try:
        evaluated(capsys, model, data, "--threads", 3)
        assert torch.get_num_threads() == 3
        assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} <= {1, 3}
    finally:
        set_threads(before)
    assert "threads: expected at least 1, got 0" in error_message(capsys, model, data, "--threads", 0)


def test_table_is_in_milli_units(model: Path, data: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["evaluate", str(model), str(data)]) == 0
    lines = capsys.readouterr().out.splitlines()
    forces = next(line for line in lines if "forces " in line and " on " not in line)
    assert "10.0" in forces
    assert "meV/Å" in forces
    assert any("forces on O" in line for line in lines)


def test_batch_size_does_not_change_errors(model: Path, data: Path, capsys: pytest.CaptureFixture) -> None:
    one, many = (
        evaluated(capsys, model, data, "--batch-size", size)["errors"]["forces"]["rmse"] for size in (1, 5)
    )
    assert one == pytest.approx(many, rel=1e-10)


def test_labels_of_energy_alone_suffice(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = written(tmp_path / "scan.xyz", label(water(3), model, bias=0.3, no_forces=True))
    found = evaluated(capsys, model, data)
    assert found["not_labelled"] == ["forces"]
    assert found["errors"]["forces"] is None
    assert found["errors"]["energy"]["n"] == 3
    assert main(["evaluate", str(model), str(data)]) == 0
    assert "has no labels of forces" in capsys.readouterr().out


def test_some_frames_may_lack_a_label(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    structures = label(water(3), model) + label(water(1, seed=1), model, no_forces=True)
    found = evaluated(capsys, model, written(tmp_path / "mixed.xyz", structures))["errors"]
    assert found["energy"]["n"] == 4
    assert found["forces"]["n"] == 27


def test_several_files_and_globs_are_one_set(model: Path, data: Path, capsys: pytest.CaptureFixture) -> None:
    """Structures marked as isolated atoms are left out; results are in a folder of their own."""
    atom = Atoms("O", info={"config_type": "IsolatedAtom"})
    atom.calc = SinglePointCalculator(atom, energy=-400.0)
    more = label(water(1, seed=1), model, no_energy=True)
    (data.parent / "wet").mkdir()
    other = written(data.parent / "wet" / "more.xyz", [atom, *more])
    report = evaluated(capsys, model, data, f"{data.parent}/wet/*.xyz")
    assert report["data"] == [str(data), str(other)]
    assert (report["n_structures"], report["n_isolated_atoms"]) == (6, 1)
    assert report["labelled"] == {"energy": 5, "forces": 6, "stress": 0}
    assert report["errors"]["energy"]["rmse"] == pytest.approx(0.3, abs=RESOLUTION)
    for _ in range(2):  # the second time in the same folder
        assert main(["evaluate", str(model), str(data), f"{data.parent}/wet"]) == 0
    assert [folder.name for folder in (model.parent / "evaluation").iterdir()] == ["water-and-1-more"]
    out = " ".join(capsys.readouterr().out.split())
    assert "water.xyz and 1 more: 6 structures" in out
    assert (
        "energies of 5 of 6 frames, forces of 6; 1 isolated atom (config_type=IsolatedAtom) left out" in out
    )
    assert "no file matches it" in error_message(capsys, model, f"{data.parent}/*.traj")
    written(other, [atom])
    assert "isolated atoms only" in error_message(capsys, model, other)


def test_periodic_structures_have_stress(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    structures = water(2)
    for atoms in structures:
        atoms.set_cell([4.0, 4.5, 5.0])
        atoms.set_pbc(True)
    data = written(tmp_path / "ice.xyz", label(structures, model))
    found = evaluated(capsys, model, data)["errors"]
    assert found["stress"]["rmse"] == pytest.approx(0.001, abs=RESOLUTION)
    assert found["stress"]["n"] == 18


def test_options_of_labels_are_those_of_the_reader() -> None:
    """All but `require`, which commands choose themselves."""
    options = {name: p.default for name, p in inspect.signature(read_files).parameters.items()}
    assert asdict(LabelOptions()) == {k: v for k, v in options.items() if k not in ("paths", "require")}


def test_labels_under_other_keys(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    structures = label(water(2), model, bias=0.3)
    for atoms in structures:
        atoms.info["dft"], atoms.calc = atoms.get_potential_energy(), None
    data = written(tmp_path / "renamed.xyz", structures)
    found = evaluated(capsys, model, data, "--energy-key", "dft")["errors"]
    assert found["energy"]["rmse"] == pytest.approx(0.3, abs=RESOLUTION)
    assert "dft" in error_message(capsys, model, data)  # the message lists the keys of the file
    message = error_message(capsys, model, data, "--forces-key", "f")
    assert "no forces under the key 'f'" in message


def test_float32_differs_by_rounding(model: Path, data: Path, capsys: pytest.CaptureFixture) -> None:
    found = evaluated(capsys, model, data, "--dtype", "float32")["errors"]
    assert found["forces"]["rmse"] == pytest.approx(0.01, rel=1e-3)


def test_relative_path_is_looked_up_in_symnets_data(
    model: Path, data: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SYMNETS_DATA", str(data.parent))
    monkeypatch.chdir(tmp_path.parent)
    assert evaluated(capsys, model, data.name)["errors"]["n_structures"] == 5


def test_file_without_labels_is_refused(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    message = error_message(capsys, model, written(tmp_path / "bare.xyz", water(2)))
    assert "found none in 2 structures" in message
    assert "--energy-key" in message


def test_missing_files_are_refused(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert "no such file" in error_message(capsys, model, tmp_path / "none.xyz")
    assert "no such file" in error_message(capsys, tmp_path / "none.safetensors", tmp_path / "none.xyz")


def test_unknown_element_is_refused(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    structures = label(water(1), model)
    structures[0].symbols[0] = "S"
    structures[0].calc.atoms = structures[0].copy()
    message = error_message(capsys, model, written(tmp_path / "h2s.xyz", structures))
    assert "S" in message
    assert "elements of this model are H, O" in message


def test_nan_predictions_are_refused(model: Path, data: Path, capsys: pytest.CaptureFixture) -> None:
    broken = load(model)
    for parameter in broken.parameters():
        parameter.data.fill_(float("nan"))
    save(broken, model)
    message = error_message(capsys, model, data)
    assert "NaN or infinity for 5 of 5 structures" in message


def test_file_of_another_program_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    assert "another program" in error_message(capsys, tmp_path / "other.safetensors", data)
