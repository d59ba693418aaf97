"""Training and evaluation on a file whose frames have different labels, weights and types."""

import json
from dataclasses import asdict, replace

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from symnets.cli import main
from symnets.config import parse_config, write_config
from symnets.data import write_structures
from symnets.potentials import DataConfig, LossConfig, load_data
from symnets.potentials._identity import DATA_MAY_DIFFER, _determining_options
from symnets.potentials._validation import data_warnings

KEPT = [("energy", "forces", "stress"), ("energy",), ("forces",), ("energy", "forces"), ("stress",), ()]
"""Labels of frame k are those of number k modulo 6: all kinds, and none."""


def with_labels(atoms: Atoms, names: tuple[str, ...]) -> Atoms:
    results = {name: atoms.calc.results[name] for name in names}
    atoms.calc = SinglePointCalculator(atoms, **results) if results else None
    return atoms


@pytest.fixture
def frames(copper) -> list[Atoms]:
    """An isolated atom, then sixteen cells of copper with all kinds of missing labels."""
    atom = Atoms("Cu", cell=[12.0] * 3, pbc=True, info={"config_type": "IsolatedAtom"})
    atom.calc = SinglePointCalculator(atom, energy=-0.5)
    cells = [with_labels(atoms, KEPT[k % 6]) for k, atoms in enumerate(ase.io.read(copper, ":"))]
    for k, atoms in enumerate(cells):
        atoms.info |= {"config_type": "bulk" if k % 2 else "strained", "weight": 1.0 + k % 3}
    return [atom, *cells]


@pytest.fixture
def over(config, tmp_path):
    """The configuration with other frames to train on, and some with all labels to validate on."""

    def over(frames: list[Atoms], **data):
        write_structures(tmp_path / "mixed.xyz", frames)
        data = {"train": str(tmp_path / "mixed.xyz"), "validation": config.data.train} | data
        return replace(
            config,
            data=DataConfig(n_validation=4, **data),
            optimizer=replace(config.optimizer, epochs=2),
            validate_every=4,
        )

    return over


def test_a_file_with_all_kinds_of_missing_labels_trains_and_evaluates(over, frames, tmp_path, capsys):
    config = over(frames, weight_key="weight", config_type_weights={"strained": 0.5, "Default": 2.0})
    write_config(config, tmp_path / "mixed.yaml")
    assert main(["train", str(tmp_path / "mixed.yaml")]) == 0
    said = capsys.readouterr().err
    for words in (
        "structures   16 to train on, 4 to validate on",
        "labels       energies of 9 of 16 frames, forces of 9, stress of 5",
        "validation   energies of 4 of 4 frames, forces of 4, stress of 4",
        "weights      0.5 to 6",
        "isolated     1 marked atoms (Cu) are not trained on: their energies are the references",
        "references   Cu -0.500 eV (isolated atoms)",
        "warning: 4 of 4 validation structures are also trained on",
        "best model",
    ):
        assert words in said
    model = tmp_path / "run" / "model.safetensors"
    assert main(["evaluate", str(model), str(tmp_path / "mixed.xyz"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["labelled"] == {"energy": 9, "forces": 9, "stress": 5}
    assert (report["n_structures"], report["n_isolated_atoms"]) == (16, 1)
    assert [report["errors"][name]["n"] for name in ("energy", "forces", "stress")] == [9, 9 * 12, 5 * 9]


def test_require_all_makes_a_missing_label_an_error(over, frames):
    with pytest.raises(ValueError, match=r"mixed.xyz, frame 2: no forces under the key 'forces'"):
        load_data(over(frames, require_all=True))


def test_least_squares_and_deviations_use_the_labels_that_are_there(over, frames):
    train, _, stats = load_data(over(frames[1:]))
    energies = [a.calc.results["energy"] for a in frames[1:] if a.calc and "energy" in a.calc.results]
    forces = [a.calc.results["forces"] for a in frames[1:] if a.calc and "forces" in a.calc.results]
    assert stats.source == "least squares"
    assert stats.energies[0] == pytest.approx(np.mean(energies) / 4)  # four atoms a cell
    assert stats.force_rms == pytest.approx(np.sqrt(np.mean(np.square(forces))), rel=1e-6)
    assert {name for graph in train for name in ("energy", "forces", "stress") if name not in graph} == set()


@pytest.mark.parametrize("name", ["energy", "forces", "stress"])
def test_a_label_with_weight_that_no_frame_has_is_an_error(over, frames, name):
    without = [
        with_labels(atoms, tuple(n for n in (atoms.calc.results if atoms.calc else ()) if n != name))
        for atoms in frames[1:]
    ]
    with pytest.raises(ValueError, match=rf"mixed.xyz: none of the 16 structures for training has .*{name}"):
        load_data(over(without))
    loss = LossConfig(**{"energy": 1.0, "forces": 1.0, "stress": 1.0, name: 0.0})
    _, _, stats = load_data(replace(over(without), loss=loss))
    assert stats.labelled[name] == 0


def test_validation_needs_the_label_by_which_the_best_model_is_chosen(over, frames, tmp_path):
    write_structures(tmp_path / "held_out.xyz", [with_labels(a, ("energy",)) for a in frames[1::3]][:2])
    with pytest.raises(ValueError, match=r"held_out.xyz: none of the 2 structures for validation has forces"):
        load_data(over(frames, validation=str(tmp_path / "held_out.xyz")))


def test_weights_by_key_and_by_type_multiply(over, frames):
    del frames[3].info["weight"]  # 1
    train, validation, stats = load_data(
        over(frames, weight_key="weight", config_type_weights={"strained": 0.5, "Default": 2.0})
    )
    expected = sorted(
        atoms.info.get("weight", 1.0) * (0.5 if atoms.info["config_type"] == "strained" else 2.0)
        for atoms in frames[1:]
    )
    assert sorted(graph.weight.item() for graph in train) == expected
    assert "weight" not in validation[0]
    of_energy = [graph.weight.item() for graph in train if not graph.energy.isnan()]
    assert stats.label_weights["energy"] == pytest.approx(sum(of_energy))


def test_wrong_weights_are_named(over, frames):
    with pytest.raises(ValueError, match=r"config_type 'surfase'; did you mean .*Valid: Default, .*bulk"):
        load_data(over(frames, config_type_weights={"surfase": 2.0}))
    with pytest.raises(ValueError, match=r"data.weight_key: none of the 17 structures .*'w'. Keys present: "):
        load_data(over(frames, weight_key="w"))
    frames[5].info["weight"] = -1.0
    with pytest.raises(ValueError, match=r"mixed.xyz, frame 5: weight \(weight\): expected a number of at"):
        load_data(over(frames, weight_key="weight"))
    with pytest.raises(ValueError, match=r"data.config_type_weights.bulk: expected at least 0, got -1"):
        DataConfig(train="a.xyz", config_type_weights={"bulk": -1.0})


def test_data_may_be_several_files_globs_and_databases(over, frames, tmp_path):
    write_structures(tmp_path / "parts" / "a.xyz", frames[1:9])
    write_structures(tmp_path / "parts" / "b.db", frames[9:])
    paths = [str(tmp_path / "parts" / "*.xyz"), str(tmp_path / "parts")]
    config = over(frames, train=paths)
    train, _, stats = load_data(config)
    assert stats.n_structures == len(train) == 16
    values = {"data": {"train": paths}, "output": "run"}
    assert parse_config(type(config), values).data.train == paths
    frames[2].positions[1] = frames[2].positions[0]
    write_structures(tmp_path / "parts" / "a.xyz", frames[1:9])
    with pytest.raises(ValueError, match=r"a.xyz, frame 1 \(Cu4\): pos: atoms .* at the same place"):
        load_data(config)


def test_a_validation_structure_that_is_trained_on_is_reported(over, frames, config):
    _, _, stats = load_data(over(frames))
    warning = next(sentence for sentence in data_warnings(stats) if "also trained on" in sentence)
    assert "copper.xyz, frame" in warning
    assert "mixed.xyz, frame" in warning
    assert not load_data(config)[2].duplicates


def test_newer_options_at_their_defaults_do_not_change_the_identity(config):
    """Trainings of older releases, which lacked these options, can be resumed."""
    before = {
        "train", "validation", "n_train", "n_validation", "isolated_atoms", "energy_key", "forces_key",
        "stress_key", "virial_key", "stress_convention",
    }  # fmt: skip
    assert _determining_options(asdict(config))["data"].keys() == before
    free = replace(config, data=replace(config.data, require_all=True, workers=3, in_memory=False))
    assert _determining_options(asdict(free)) == _determining_options(asdict(config))
    assert set(DATA_MAY_DIFFER) == {"require_all", "workers", "in_memory"}
    weighted = replace(config, data=replace(config.data, weight_key="w"))
    assert _determining_options(asdict(weighted)) != _determining_options(asdict(config))
