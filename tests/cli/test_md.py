import warnings

import ase.io
import pandas as pd
import pytest
import torch
from ase.build import bulk, molecule

from symnets.cli import main
from symnets.threads import set_threads


def test_molecule_at_constant_energy(model, here, capsys):
    options = ["--steps", "20", "--dtype", "float64", "--save-every", "5", "--log-every", "2"]
    assert main(["md", str(model), "CH3CH2OH", *options]) == 0
    printed = capsys.readouterr().out
    assert "energy drift" in printed
    assert "temperature / K" in printed
    log = pd.read_csv(here / "md.csv")
    assert log.columns.tolist() == [
        "step",
        "time_ps",
        "potential_energy",
        "kinetic_energy",
        "total_energy",
        "temperature",
    ]
    assert log["step"].tolist() == list(range(0, 21, 2))
    assert log["temperature"][0] == pytest.approx(300)
    assert log["total_energy"].std() < 0.1 * log["kinetic_energy"].std()
    frames = ase.io.read(here / "md.xyz", index=":")
    assert len(frames) == 5
    assert frames[-1].get_forces().shape == (9, 3)


def test_crystal_at_constant_pressure(model, here, capsys):
    ase.io.write(here / "diamond.cif", bulk("C", cubic=True))
    options = "--ensemble npt --duration 0.005 --pressure 1 --trajectory a/run.xyz --log a/run.csv"
    assert main(["md", str(model), "diamond.cif", *options.split()]) == 0
    assert "pressure / GPa" in capsys.readouterr().out
    assert {"pressure", "volume"} < set(pd.read_csv(here / "a" / "run.csv"))
    assert sorted(path.name for path in here.iterdir()) == ["a", "diamond.cif"]


def test_run_continues_from_its_last_frame(model, here):
    start = ["md", str(model)]
    assert main([*start, "CH3CH2OH", "--steps", "10", "--save-every", "10"]) == 0
    again = ["--keep-momenta", "--trajectory", "more.xyz", "--log", "more.csv", "--log-every", "1"]
    assert main([*start, "md.xyz", "--steps", "2", *again]) == 0
    before, after = pd.read_csv("md.csv"), pd.read_csv("more.csv")
    assert after["total_energy"][0] == pytest.approx(before["total_energy"].iloc[-1], abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["CH3CH2OHH", "--steps", "1"], "neither a file nor a molecule"),
        (["CH3CH2OH"], "expected either steps or a duration in ps"),
        (["CH3CH2OH", "--steps", "1", "--ensemble", "npt"], "periodic along all three vectors"),
        (["CH3Cl", "--steps", "1"], "the model was trained on H, C, O, not on Cl (atom 1)"),
        (["CH3CH2OH", "--steps", "1", "--log", "taken.csv"], "taken.csv: the file exists"),
        (["CH3CH2OH", "--steps", "1", "--trajectory", "a.nc"], "try a.xyz, a.xyz.gz, a.traj or a.db"),
        (["CH3CH2OH", "--steps", "1", "--trajectory", "taken.csv/a.xyz"], "cannot be written: Not a dir"),
        (["CH3CH2OH", "--steps", "1", "--threads", "0"], "threads: expected at least 1, got 0"),
    ],
)
def test_wrong_input_is_an_error_of_one_line(model, here, capsys, arguments, message):
    (here / "taken.csv").write_text("precious")
    assert main(["md", str(model), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert (here / "taken.csv").read_text() == "precious"


def test_names_choose_the_format_and_threads_are_limited(model, here, capsys):
    """Frames as an ASE trajectory, with what the structure file carried and the format holds."""
    atoms = molecule("CH3CH2OH")
    atoms.set_tags(range(9))
    atoms.info["name"] = "ethanol"
    atoms.set_array("site", atoms.get_tags())
    ase.io.write("start.xyz", atoms)
    before = torch.get_num_threads()
    options = ["--steps", "4", "--save-every", "2", "--trajectory", "a.traj", "--threads", "3"]
    try:
        with warnings.catch_warnings(action="default"):
            assert main(["md", str(model), "start.xyz", *options]) == 0
        assert torch.get_num_threads() == 3
    finally:
        set_threads(before)
    warning = "warning: a.traj: traj files do not hold site of the structure; extended XYZ (.xyz) holds more"
    assert capsys.readouterr().err.splitlines().count(warning) == 1
    frames = ase.io.read("a.traj", ":")
    assert [frame.info["step"] for frame in frames] == [0, 2, 4]
    assert frames[-1].get_tags().tolist() == list(range(9))
    assert frames[-1].info["name"] == "ethanol"


def test_error_names_a_missing_model_file(here, capsys):
    assert main(["md", "nowhere.safetensors", "CH4", "--steps", "1"]) == 2
    assert "nowhere.safetensors" in capsys.readouterr().err
