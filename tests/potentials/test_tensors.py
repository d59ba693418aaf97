"""Tensors are learnt from columns of files, with or without energies, and evaluated."""

import json
import re
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from symnets.cli import main
from symnets.config import parse_config, read_config, write_config
from symnets.data import Loader, TensorColumn, add_tensor_labels, build_graphs, collate, read_structures
from symnets.models import ForceField, TensorModel, TensorOutput, load
from symnets.models._graph_network import graph_network
from symnets.observables import TensorValues, tensor_error
from symnets.potentials import TensorConfig, TrainConfig, load_data, train
from symnets.potentials._tensor_statistics import tensor_statistics
from symnets.potentials._validation import validation_errors
from symnets.simulate import SymnetsCalculator
from symnets.training import tensor_term

CHARGES = {1: 0.3, 8: -0.6}


def water(n: int, *, energies: bool = False, seed: int = 0) -> list[Atoms]:
    """Water with fixed charges: dipole Σ q r, polarizability Σ (1 + r rᵀ), and quadrupole moments."""
    rng = np.random.default_rng(seed)
    rest = np.array([[0.0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]])
    structures = []
    for index in range(n):
        atoms = Atoms("OHH", rest + 0.1 * rng.normal(size=rest.shape))
        q = np.array([CHARGES[z] for z in atoms.numbers])
        r = atoms.positions - atoms.get_center_of_mass()
        results = {"dipole": q @ r}
        if energies:
            results |= {"energy": float((r**2).sum()) - 10, "forces": -0.1 * r}
        atoms.calc = SinglePointCalculator(atoms, **results)
        atoms.arrays["q"] = q
        atoms.info["index"] = index
        if index != 1:
            atoms.info["alpha"] = 3 * np.eye(3) + r.T @ r
        structures.append(atoms)
    return structures


@pytest.fixture
def file(tmp_path: Path) -> Path:
    ase.io.write(tmp_path / "water.xyz", water(8), format="extxyz")
    return tmp_path / "water.xyz"


def configuration(file: Path, **changes: object) -> TrainConfig:
    values = {
        "data": {"train": str(file), "n_train": 6, "n_validation": 2},
        "output": str(file.parent / "run"),
        "model": {"architecture": "NequIP", "cutoff": 3.0, "channels": 2, "layers": 2, "lmax": 2,
                  "parity": False, "radial_hidden": [4]},
        "loss": {"energy": 0, "forces": 0},
        "tensors": {"dipole": {}, "charges": {"key": "q"}, "alpha": {"kind": "polarizability", "unit": "Å³"}},
        "optimizer": {"epochs": 4, "batch_size": 2},
        "dtype": "float64",
        "threads": 1,
    }  # fmt: skip
    return parse_config(TrainConfig, values | changes)


def test_tensors_are_trained_evaluated_and_calculated_without_energies(file, capsys):
    config = configuration(file)
    state = train(config, progress=False, summary=True)
    printed = capsys.readouterr().err
    assert re.search("dipole of 6 of 6 frames, alpha of [56]; charges of 18 of 18 atoms", printed)
    row = state.history.rows[-1]
    expected = {
        "dipole_mae",
        "dipole_rmse",
        "charges_rmse",
        "charges_mae",
        "alpha_mae",
        "alpha_rmse",
        "tensors_rmse",
    }
    assert {name.removeprefix("validation/") for name in row if name.startswith("validation/")} == expected
    path = Path(config.output) / "model.safetensors"
    model = load(path, TensorModel)
    assert model.force_field is None
    assert str(graph_network(model.model).irreps_features) == "2x0e+2x1o+2x2e"
    assert model.outputs["dipole"].kind == "dipole"
    with pytest.raises(ValueError, match="expected a model of class ForceField, got a tensor model"):
        load(path, ForceField)

    assert main(["evaluate", str(path), str(file), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["errors"] is None
    structures = read_structures(file)
    calculated = []
    for atoms in structures:
        atoms.calc = SymnetsCalculator(path)
        calculated.append(atoms.get_dipole_moment())
        assert abs(atoms.get_charges().sum()) < 1e-12
    labels = np.array([atoms.calc.results["dipole"] for atoms in read_structures(file)])  # pyright: ignore
    rmse = float(np.sqrt(np.mean((np.array(calculated) - labels) ** 2)))
    assert report["tensors"]["dipole"]["rmse"] == pytest.approx(rmse, rel=1e-6)
    assert report["tensors"]["alpha"]["n_labelled"] == 7
    assert report["tensors"]["alpha"]["unit"] == "Å³"

    assert main(["evaluate", str(path), str(file)]) == 0
    printed = capsys.readouterr().out
    assert "R²" in printed
    assert "e·Å" in printed
    folder = Path(config.output) / "evaluation" / "water"
    assert (folder / "tensors.png").exists()
    assert not (folder / "parity.png").exists()
    assert main(["info", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "polarizability, 3 x 3 per structure" in printed
    assert "validation charges MAE" in printed


@pytest.mark.slow
def test_without_statistics_there_is_no_error_of_all_tensors(file):
    config = configuration(file, optimizer={"epochs": 1})
    state = train(config, progress=False)
    _, validation, _ = load_data(config)
    assert validation_errors(state, Loader(validation, 2)) == {}


def test_fixed_charges_are_learnt(file):
    """The labels are of the form of the model: charges of each species."""
    config = configuration(file, tensors={"dipole": {"kind": "dipole of charges"}, "charges": {"key": "q"}})
    config = replace(config, optimizer=replace(config.optimizer, epochs=40, learning_rate=0.02, average=None))
    state = train(config, progress=False)
    errors = [
        row["validation/tensors_rmse"] for row in state.history.rows if "validation/tensors_rmse" in row
    ]
    assert errors[-1] < 0.5 * errors[0] or errors[-1] < 0.1


def test_resumed_training_of_tensors_equals_the_uninterrupted_one(file):
    whole = configuration(file, output=str(file.parent / "whole"))
    train(whole, progress=False)
    parts = configuration(file, output=str(file.parent / "parts"))
    half = replace(parts, max_minutes=1e-9)
    train(half, progress=False)
    train(parts, resume=True, progress=False)
    one, two = (load(Path(c.output) / "model.safetensors").state_dict() for c in (whole, parts))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_energies_and_tensors_are_learnt_together(tmp_path, capsys):
    file = tmp_path / "water.xyz"
    ase.io.write(file, water(8, energies=True), format="extxyz")
    config = configuration(file, loss={"energy": 1, "forces": 1}, tensors={"dipole": {"weight": 2.0}})
    config = replace(config, optimizer=replace(config.optimizer, epochs=1))
    state = train(config, progress=False)
    assert {"validation/forces_rmse", "validation/dipole_rmse"} <= state.history.rows[-1].keys()
    path = Path(config.output) / "model.safetensors"
    force_field = load(path, ForceField)
    model = load(path, TensorModel)
    graph = build_graphs(water(1), 3.0, dtype=torch.float64)[0]
    assert torch.equal(model(graph).forces, force_field(graph).forces)
    atoms = water(1)[0]
    atoms.calc = SymnetsCalculator(path)
    assert atoms.get_potential_energy() == pytest.approx(float(force_field(graph).energy))
    assert np.abs(atoms.get_dipole_moment() - model(graph).tensors["dipole"].numpy(force=True)).max() < 1e-10
    assert main(["evaluate", str(path), str(file), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["errors"]["forces"]["n"], report["tensors"]["dipole"]["n"]) == (72, 24)


def test_missing_columns_are_named_with_those_present(file, capsys):
    with pytest.raises(
        ValueError, match=r"none of 6 structures has q per structure.*'quad'.*Keys present: .*index"
    ):
        train(configuration(file, tensors={"q": {"irreps": "1x2e", "key": "quad"}}), progress=False)
    with pytest.raises(ValueError, match="alpha: expected 5 numbers per structure, got shape"):
        train(configuration(file, tensors={"alpha": {"irreps": "1x2e"}}), progress=False)
    with pytest.raises(
        ValueError, match=r"none of the 6 structures for training has an energy.*set loss\.energy to 0"
    ):
        train(configuration(file, loss={"energy": 1, "forces": 0}), progress=False)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"mu": {"kind": "dipol"}}, "tensors.mu.kind: expected irreps, dipole"),
        ({"mu": {}}, "tensors.mu.irreps: expected for kind irreps only"),
        ({"mu": {"irrep": "1x1o"}}, "unknown key 'tensors.mu.irrep'; did you mean 'irreps'"),
        (
            {"mu": {"kind": "dipole", "weight": 0}},
            "expected a weight above 0 for energy, forces or stress, or for a tensor",
        ),
        ({"mu": {"kind": "dipole", "weight": -1}}, "weight: expected at least 0"),
    ],
)
def test_wrong_configurations_are_refused(file, tensors, message):
    with pytest.raises(ValueError, match=message):
        configuration(file, tensors=tensors)


def test_configuration_of_tensors_is_written_and_read(file, tmp_path):
    config = configuration(file)
    write_config(config, tmp_path / "config.yaml")
    assert read_config(TrainConfig, tmp_path / "config.yaml") == config


def test_labels_may_be_missing_in_voigt_order_or_relative_to_the_origin():
    structures = [Atoms("OH", [[0, 0, 1], [0, 0, 2]], info={"charge": -1, "mu": [0, 0, 5.0], "t": range(6)})]
    structures.append(Atoms("H", [[1, 2, 3]], info={"mu": [1, np.nan, 0]}))
    graphs = build_graphs(structures, 3.0, dtype=torch.float64)
    columns = {
        "mu": TensorColumn("mu", (3,), False, about_origin=True),
        "t": TensorColumn("t", (3, 3), False),
    }
    assert add_tensor_labels(graphs, structures, columns) == {"mu": 2, "t": 1}
    batch = collate(graphs)
    found = batch.targets.tensors
    assert found is not None
    centre = structures[0].get_center_of_mass()[2]
    torch.testing.assert_close(found["mu"][0], torch.tensor([0, 0, 5 + centre], dtype=torch.float64))
    assert found["mu"][1].isnan().tolist() == [False, True, False]
    assert found["t"][0].tolist() == [[0, 5, 4], [5, 1, 3], [4, 3, 2]]
    assert found["t"][1].isnan().all()
    assert batch.inputs.charge.tolist() == [-1, 0]
    assert batch.to("cpu").targets.tensors.keys() == {"mu", "t"}
    structures[1].info["charge"] = "plus"
    with pytest.raises(ValueError, match="frame 1: charge: expected a number"):
        add_tensor_labels(graphs, structures, columns)


def test_statistics_take_contributions_of_species_from_scalars():
    structures = [Atoms("OHH"), Atoms("HH"), Atoms("OH")]
    for atoms in structures:
        atoms.positions = np.random.default_rng(0).normal(size=atoms.positions.shape)
        counts = np.array([(atoms.numbers == 1).sum(), (atoms.numbers == 8).sum()])
        atoms.info["t"] = [*(counts @ [2.0, 5.0] * np.ones(1)), 1.0, 2.0, 2.0]
    graphs = build_graphs(structures, 3.0, dtype=torch.float64)
    output = TensorOutput(irreps="1x0e+1x1o")
    add_tensor_labels(graphs, structures, {"t": TensorColumn("t", (4,), False)})
    found = tensor_statistics("t", output, graphs, (1, 8))
    np.testing.assert_allclose(np.array(found.output.shift), [[2.0], [5.0]])
    np.testing.assert_allclose(found.deviation[1:], 3**0.5)  # pyright: ignore
    np.testing.assert_allclose(found.output.scale[1], 3**0.5 / (7 / 3) ** 0.5)  # pyright: ignore


def test_loss_counts_errors_in_units_of_the_deviation_and_skips_missing_labels():
    structures = water(2)
    graphs = build_graphs(structures, 3.0, dtype=torch.float64)
    columns = {"dipole": TensorColumn("dipole", (3,), False), "q": TensorColumn("q", (), True)}
    structures[1].calc = None
    add_tensor_labels(graphs, structures, columns)
    targets = collate(graphs).targets

    class Outputs:
        tensors = {name: value.nan_to_num() + 2.0 for name, value in targets.tensors.items()}  # noqa: RUF012

    loss = tensor_term("dipole", unit=4.0)(Outputs, targets)
    torch.testing.assert_close(loss, torch.tensor([0.25, 0.0], dtype=torch.float64))
    loss = tensor_term("q", of_atoms=True, unit=1.0)(Outputs, targets)
    torch.testing.assert_close(loss, torch.tensor([4.0, 4.0], dtype=torch.float64))


def test_errors_are_those_of_the_known_components():
    label = np.array([[1.0, np.nan], [3.0, 0.0]])
    error = tensor_error(TensorValues(label + 0.5, label))
    assert error is not None
    assert (error.mae, error.rmse, error.n, error.n_labelled) == (0.5, 0.5, 3, 2)
    assert error.r2 == pytest.approx(1 - 0.75 / 2)
    assert tensor_error(TensorValues(label, label * np.nan)) is None


def test_units_and_kinds_follow_from_names():
    assert TensorConfig().output("polarizability").kind == "polarizability"
    assert TensorConfig().unit_of("charges") == "e"
    assert TensorConfig(irreps="1x1o").output("dipole").kind == "irreps"
    assert TensorConfig(kind="dipole", key="mu").column("x") == TensorColumn("mu", (3,), False)
