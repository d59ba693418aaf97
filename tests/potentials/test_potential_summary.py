"""Lines printed before, during and after a training."""

import io
from dataclasses import replace

import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from rich.console import Console

from symnets.cli import main
from symnets.config import write_config
from symnets.data import build_graphs, statistics
from symnets.potentials import train
from symnets.potentials._validation import data_warnings
from symnets.training import ProgressLines

SHOW = {"loss_of_forces": ("F", 1000.0, ".1f")}


def of(names, **options):
    frames = [molecule(name) for name in names]
    for atoms in frames:
        atoms.calc = SinglePointCalculator(atoms, energy=-float(len(atoms)))
    return statistics(build_graphs(frames, 3.0), **options)


def test_one_formula_determines_one_combination():
    (warning,) = data_warnings(of(["H2O"]))
    assert "only 1 combination of the reference energies of 2 species" in warning
    assert "data.isolated_atoms" in warning
    assert data_warnings(of(["H2O", "H2"])) == []
    assert data_warnings(of(["H2O"], isolated={1: -13.0, 8: -432.0})) == []


def test_command_prints_data_model_and_errors(config, tmp_path, capsys):
    short = replace(config, optimizer=replace(config.optimizer, epochs=2))
    write_config(short, tmp_path / "c.yaml")
    assert main(["train", str(tmp_path / "c.yaml")]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    for expected in (
        "12 to train on, 4 to validate on",
        "species      Cu",
        "within 3 Å",
        "eV (least squares)",
        "step 6/6",  # a line: this is no terminal
        "best model   E MAE meV/atom",
        f"saved as     {tmp_path / 'run' / 'model.safetensors'}",
    ):
        assert expected in captured.err
    assert "warning" not in captured.err


def test_without_progress_nothing_is_printed(config, capsys):
    train(replace(config, optimizer=replace(config.optimizer, epochs=1)), progress=False)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


class State:
    step, seconds, loss = 3, 1.0, 0.5


@pytest.mark.parametrize(("seconds", "lines"), [(0.0, 5), (1e9, 2)])
def test_lines_of_progress_are_limited_and_include_the_last_record(seconds, lines):
    text = io.StringIO()
    progress = ProgressLines(9, show=SHOW, console=Console(file=text), seconds=seconds)
    for number in range(5):
        progress.after_record(State(), {"loss_of_forces": float(number)})
    progress.at_end(State())
    printed = text.getvalue().splitlines()
    assert len(printed) == lines
    assert printed[0] == "step 3/9  1 s  loss 5.00e-01  F 0.0"
    assert printed[-1].endswith("F 4000.0")
