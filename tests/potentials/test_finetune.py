"""Fine-tuning of a small model, which stands for a foundation model."""

import json
from dataclasses import replace

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from symnets.cli import main
from symnets.data import Loader, build_graphs, read_archive, read_structures, statistics, write_structures
from symnets.models import Compiled, ForceField, Nequix, WeightUpdates, energy_network, load, save
from symnets.observables import predictions
from symnets.potentials import FinetuneConfig, ModelConfig, TrainConfig, _training, fit_epochs, train
from symnets.potentials._finetune import FOUNDATION_LEVEL
from symnets.potentials._generated import _crystal, generated_structures
from symnets.potentials._references import reference_shifts
from symnets.potentials._replay import MixedExamples, MixedLoader, labelled_by
from symnets.potentials._strategies import trained_names
from symnets.report import Table
from symnets.simulate import compile

SPECIES = (8, 29, 79)


@pytest.fixture
def config(config, foundation):
    """A fine-tuning of six steps."""
    finetune = FinetuneConfig(str(foundation), n_replay=6, n_replay_test=2)
    optimizer = replace(config.optimizer, epochs=2)
    return replace(config, model=ModelConfig(), finetune=finetune, optimizer=optimizer, validate_every=3)


@pytest.fixture
def without_report(monkeypatch):
    """Training without the report, whose plots take longer than the steps."""
    reports = []

    def report(*inputs):
        reports.append(inputs)
        return Table(("RMSE",), [])

    monkeypatch.setattr(_training, "finetune_report", report)
    return reports


def own_labels(foundation, structures):
    return labelled_by(load(foundation, ForceField, dtype=torch.float64), structures)


def structures(n=6):
    cells = [bulk("Cu", cubic=True), bulk("CuO", "rocksalt", a=4.2, cubic=True), bulk("Au", cubic=True)]
    frames = [cells[k % 3].copy() for k in range(n)]
    for seed, atoms in enumerate(frames):
        atoms.rattle(0.05, seed=seed)
    return frames


def test_residuals_give_the_energies_of_another_level(foundation):
    force_field = load(foundation, ForceField, dtype=torch.float64)
    shift = {8: -1.5, 29: 2.0, 79: 0.25}
    frames = own_labels(foundation, structures())
    for atoms in frames:
        atoms.calc.results["energy"] += sum(shift[int(z)] for z in atoms.numbers)
    graphs = build_graphs(frames, 3.0, dtype=torch.float64)
    found = reference_shifts("residuals", force_field, graphs, statistics(graphs))
    assert found.shifts == pytest.approx(shift, abs=1e-9)  # three formulas for three species
    assert "least squares" in found.line
    assert not found.warnings
    only = [graph for graph in graphs if 8 in graph.z]
    found = reference_shifts("residuals", force_field, only, statistics(only))
    assert "determine only 1 combination" in found.warnings[0]
    assert found.shifts[8] + found.shifts[29] == pytest.approx(0.5, abs=1e-9)
    assert reference_shifts("keep", force_field, graphs, statistics(graphs)).shifts == {}


def test_isolated_atoms_are_reproduced(foundation, config, copper, without_report, tmp_path):
    alone = Atoms("Cu", info={"config_type": "IsolatedAtom", "energy": -3.25})
    (alone_file := tmp_path / "cu.xyz").write_bytes(copper.read_bytes())
    ase.io.write(alone_file, alone, append=True)
    finetune = replace(config.finetune, references="isolated atoms", strategy="readout", n_replay_test=0)
    # A learning rate of nearly 0, so that training does not move the energy again.
    optimizer = replace(config.optimizer, epochs=1, learning_rate=1e-12)
    data = replace(config.data, train=str(alone_file), energy_key="energy")
    train(replace(config, data=data, finetune=finetune, optimizer=optimizer), progress=False)
    tuned = load(tmp_path / "run" / "model.safetensors", ForceField)
    (graph,) = build_graphs([alone], 3.0, dtype=torch.float32)
    assert float(tuned(graph).energy) == pytest.approx(-3.25, abs=1e-5)  # float32
    with pytest.raises(ValueError, match="expected isolated atoms in the data"):
        train(replace(config, finetune=finetune, output=str(tmp_path / "other")), progress=False)


@pytest.mark.parametrize(
    ("strategy", "frozen", "trained"),
    [
        ("all", set(), {"interactions.0", "interactions.1", "readout", "atomic_energy"}),
        ("last layers", {"interactions.0"}, {"interactions.1", "readout", "atomic_energy"}),
        ("readout", {"interactions.0", "interactions.1"}, {"readout", "atomic_energy"}),
        ("low rank", {"atomic_energy"}, {"interactions.0", "interactions.1", "readout"}),
    ],
)
def test_a_strategy_trains_its_weights(foundation, strategy, frozen, trained):
    network = energy_network(load(foundation, ForceField))
    names = trained_names(network, FinetuneConfig("f", strategy=strategy))
    for part in ("interactions.0", "interactions.1", "readout", "atomic_energy"):
        assert (part in trained) == any(name.startswith(f"{part}.") for name in names)
    assert frozen.isdisjoint(trained)
    assert "embedding" not in names  # which the architecture never trains


def test_generated_structures_are_a_function_of_the_seed():
    def some(seed, species=SPECIES):
        made = generated_structures(species, seed)
        return [next(made) for _ in range(40)]

    once, again, other = some(0), some(0), some(1)
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(once, again, strict=True))
    assert not np.array_equal(once[0].positions, other[0].positions)
    assert {int(z) for atoms in once for z in atoms.numbers} == set(SPECIES)
    assert {bool(atoms.pbc.any()) for atoms in once} == {True, False}  # O2 is a molecule
    assert {int(z) for atoms in some(0, (29,)) for z in atoms.numbers} == {29}
    for element in range(1, 95):  # each has lattices of its own in ASE's table
        for seed in range(3):
            atoms, _, _ = _crystal([element], np.random.default_rng(seed))
            assert len(atoms) >= 4
            assert set(atoms.numbers) == {element}


def test_every_epoch_has_all_own_and_its_share_of_replayed_structures():
    own, replayed = (build_graphs(structures(n), 3.0, dtype=torch.float64) for n in (5, 4))
    for graph in own:
        graph.stress = torch.zeros(1, 3, 3, dtype=torch.float64)
    examples = MixedExamples(own, replayed, heads=True)
    loader = MixedLoader(examples, 2, ratio=0.4, seed=3)
    assert len(loader) == 4  # of 5 + 2 structures
    drawn = []
    for epoch in range(6):
        order = loader.order(epoch)
        assert sorted(index for index in order if index < 5) == list(range(5))
        drawn += [index for index in order if index >= 5]
        assert order == MixedLoader(examples, 2, ratio=0.4, seed=3).order(epoch)
    assert np.bincount(drawn)[5:].tolist() == [3, 3, 3, 3]
    for batch in loader.epoch(0):
        stressed = batch.targets.stress.isfinite().all((1, 2))
        assert torch.equal(stressed, batch.inputs.head == 0)  # replayed ones lack the label
    assert sum(loader.share(number) for number in range(4)) == 4  # of one process


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "low rank", "rank": 1, "decay_to_start": 0.1},
        {"replay": "generated", "heads": True, "replay_ratio": 0.5},
    ],
)
def test_an_interrupted_and_resumed_finetuning_ends_with_the_same_bits(
    config, options, without_report, tmp_path
):
    config = replace(config, finetune=replace(config.finetune, **options))
    one_step = replace(config, max_minutes=1e-6)
    whole = train(replace(config, output=str(tmp_path / "whole")), progress=False)
    for _ in range(whole.step):
        last = train(one_step, resume=True, progress=False)
    assert last.step == whole.step
    for name in ("checkpoint", "model"):
        ours, theirs = (
            read_archive(tmp_path / run / f"{name}.safetensors", name)[0] for run in ("run", "whole")
        )
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    assert len(without_report) == 1 + whole.step


@pytest.mark.slow
def test_both_levels_are_ordinary_models_that_compile(config, foundation, without_report, tmp_path):
    finetune = replace(config.finetune, replay="generated", heads=True, replay_ratio=1.0)
    config = replace(config, finetune=replace(finetune, decay_to_start=0.01))
    state = train(config, progress=False)
    assert isinstance(state.model.energy_model, WeightUpdates)
    own, old = (load(tmp_path / "run" / name, ForceField) for name in ("model.safetensors", FOUNDATION_LEVEL))
    assert type(own.energy_model) is type(old.energy_model) is Nequix
    start = load(foundation, ForceField)
    shifts = [model.energy_model.atomic_energy.shift for model in (start, own, old)]
    assert torch.equal(shifts[0], shifts[2])
    assert (shifts[0] != shifts[1]).tolist() == [False, True, False]  # copper's
    replayed = read_structures(tmp_path / "run" / "replay.xyz")
    labels = predictions(start, Loader(build_graphs(replayed, 3.0, dtype=torch.float32), 8))
    np.testing.assert_allclose(labels.energy, labels.energy_label, atol=1e-4)
    assert compile(own, tolerance=1e-2).species == SPECIES


@pytest.mark.slow
def test_the_report_has_gains_and_losses(config, tmp_path, capsys):
    finetune = replace(config.finetune, strategy="last layers", replay="generated")
    train(replace(config, finetune=finetune), progress=False, summary=True)
    printed = capsys.readouterr().err
    for words in (
        "least squares of the residuals of 12 structures",
        "replay       6 generated",
        "fine-tuned",
    ):
        assert words in printed
    report = json.loads((tmp_path / "run" / "finetune.json").read_text("utf-8"))
    before, shifted, after = report["validation"].values()
    assert shifted["energy_per_atom"]["rmse"] < before["energy_per_atom"]["rmse"]
    assert after["forces"]["rmse"] != before["forces"]["rmse"] == shifted["forces"]["rmse"]
    unmoved, lost = report["replay_test"].values()
    # The labels are the model's own, rounded in the file.
    assert unmoved["forces"]["rmse"] < 1e-6 < lost["forces"]["rmse"]
    assert report["shifts_eV"].keys() == {"Cu"}
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"finetune.html", "parity_foundation.png", "parity_finetuned.png", "parity_replay.png"} <= names
    assert "replay.xyz" in names


@pytest.mark.slow
def test_replay_from_a_file_of_the_user(config, without_report, foundation, tmp_path):
    own_file, strange = tmp_path / "old.xyz", tmp_path / "strange.xyz"
    write_structures(own_file, structures(10))
    finetune = replace(config.finetune, replay=str(own_file))
    train(replace(config, finetune=finetune), progress=False)
    assert len(read_structures(tmp_path / "run" / "replay.xyz")) == 6
    write_structures(strange, [bulk("Si"), bulk("Cu")])
    finetune = replace(finetune, replay=str(strange))
    with pytest.raises(ValueError, match="has Si, which the foundation model lacks"):
        train(replace(config, finetune=finetune, output=str(tmp_path / "b")), progress=False)


def test_what_cannot_be_finetuned_is_refused(config, foundation, tmp_path):
    def refused(message, **changes):
        with pytest.raises(ValueError, match=message):
            train(replace(config, **changes), progress=False)

    compiled = tmp_path / "compiled.safetensors"
    save(Compiled(energy_network(load(foundation, ForceField)), 8), compiled)
    refused("a compiled model cannot be trained", finetune=FinetuneConfig(str(compiled)))
    refused("Nequix with a cutoff of 3 Å, got NequIP with 4 Å", model=ModelConfig("NequIP", cutoff=4.0))
    write_structures(tmp_path / "si.xyz", own_labels(foundation, structures(3)) * 2)
    frames = read_structures(tmp_path / "si.xyz")
    for atoms in frames:
        atoms.numbers[0] = 14
        atoms.calc.atoms.numbers[0] = 14
    write_structures(tmp_path / "si.xyz", frames)
    data = replace(config.data, train=str(tmp_path / "si.xyz"), n_train=4, n_validation=2)
    refused("has Si, which the foundation model .* lacks; it has O, Cu, Au", data=data)
    too_many = replace(config.finetune, strategy="last layers", n_layers=3)
    refused("finetune.n_layers: expected at most 2", finetune=too_many)
    with pytest.raises(ValueError, match=r"optimizer.weight_decay: expected 0 in a fine-tuning"):
        replace(config, optimizer=replace(config.optimizer, weight_decay=0.1))
    with pytest.raises(ValueError, match=r"finetune.heads: expected with replay"):
        FinetuneConfig("f", heads=True)


@pytest.mark.slow
def test_as_many_epochs_are_planned_as_fit_into_the_time(config):
    plan = fit_epochs(config, 2.0)
    steps = 3 * plan.optimizer.epochs  # of 12 structures in batches of 4
    assert plan.max_minutes == 2.0
    assert plan.validate_every == -(-steps // 10)
    assert replace(plan, optimizer=config.optimizer, max_minutes=None, validate_every=3) == config
    with pytest.raises(ValueError, match=r"minutes: expected at least .* for one pass, 3 steps"):
        fit_epochs(config, 1e-6)


@pytest.mark.slow
def test_the_command_trains_and_resumes(foundation, copper, without_report, tmp_path, capsys):
    place = tmp_path / "run"
    options = [str(foundation), str(copper), "--output", str(place), "--n-replay-test", "2", "--threads=1"]
    assert main(["finetune", *options, "--epochs", "1"]) == 0
    text = (place / "config.yaml").read_text()
    assert "architecture: Nequix" in text
    assert "stress: 100.0" in text  # since the data have one
    assert main(["finetune", *options, "--epochs", "1"]) == 2
    assert "pass --resume to continue it" in capsys.readouterr().err
    assert main(["finetune", *options, "--resume"]) == 0


def test_a_yaml_block_is_read_and_checked(tmp_path, foundation):
    from symnets.config import read_config

    path = tmp_path / "c.yaml"
    path.write_text(f"output: run\ndata: {{train: a.xyz}}\nfinetune: {{model: {foundation}, rank: 4}}\n")
    assert read_config(TrainConfig, path).finetune == FinetuneConfig(str(foundation), rank=4)
    path.write_text("output: run\ndata: {train: a.xyz}\nfinetune: {model: a, rnk: 4}\n")
    with pytest.raises(ValueError, match=r"unknown key 'finetune.rnk'; did you mean 'rank'"):
        read_config(TrainConfig, path)
