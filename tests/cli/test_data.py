"""`symnets data generate` and `symnets data inspect`."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import GPa

from symnets.cli import _data as data_command
from symnets.cli import main
from symnets.data import read_structures, summarize, write_structures

SHORT = ["--frames", "2", "--every", "1", "--equilibration", "0"]


def test_generate_writes_labelled_frames(tmp_path, capsys):
    pytest.importorskip("tblite")
    output = tmp_path / "new" / "water.xyz"
    assert main(["data", "generate", "H2O", *SHORT, "--output", str(output)]) == 0
    assert "wrote 2 of 2 frames" in capsys.readouterr().out
    assert len(read_structures(output, require=("energy", "forces"))) == 2
    first = output.read_bytes()
    assert main(["data", "generate", "H2O", *SHORT, "--output", str(output)]) == 2
    assert "exists; choose another --output" in capsys.readouterr().err.replace("\n", " ")
    assert main(["data", "generate", "H2O", *SHORT, "--output", str(output), "--overwrite"]) == 0
    assert output.read_bytes() == first


@pytest.mark.parametrize(("stop", "status"), [(KeyboardInterrupt, 130), (ValueError("exploded"), 2)])
def test_frames_before_an_interruption_are_written(tmp_path, monkeypatch, stop, status):
    def interrupted(structure, **options):
        yield from (structure, structure)
        raise stop

    monkeypatch.setattr(data_command, "sample_trajectory", interrupted)
    output = tmp_path / "water.xyz"
    assert main(["data", "generate", "H2O", "--output", str(output)]) == status
    assert len(read_structures(output)) == 2


def test_an_unknown_molecule_is_an_error_of_one_line(tmp_path, capsys):
    assert main(["data", "generate", "CH3CH2OHH", "--output", str(tmp_path / "x.xyz")]) == 2
    assert "nearest molecules are" in capsys.readouterr().err


def test_inspect_summarises_a_file(tmp_path, capsys):
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=-3.0, forces=np.ones((3, 3)))
    write_structures(tmp_path / "data.xyz", [atoms, atoms, bulk("Cu")])
    assert main(["data", "inspect", str(tmp_path / "data.xyz"), "--cutoff", "3"]) == 0
    out = capsys.readouterr().out
    for word in (
        "Cu (1), H (4), O (2)",
        "energies of 2 of 3 frames, forces of 2",
        "RMS 1.000",
        "mean 3.4",
        "1: frame 1 is frame 0",
        "0.969",
    ):
        assert word in out
    assert main(["data", "inspect", str(tmp_path / "absent.xyz")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_inspect_reports_whether_reference_energies_are_determined(tmp_path, capsys):
    for names, expected in ((["H2O", "H2O"], "rank 1 of 2 species"), (["H2O", "H2"], "all determined")):
        write_structures(tmp_path / "data.xyz", [molecule(name) for name in names])
        assert main(["data", "inspect", str(tmp_path / "data.xyz")]) == 0
        assert expected in capsys.readouterr().out


def test_inspect_shows_magnitudes_and_what_is_isolated_or_without_stress(tmp_path, capsys):
    copper, water, atom = bulk("Cu"), molecule("H2O"), Atoms("Cu", cell=[12.0] * 3, pbc=True)
    copper.calc = SinglePointCalculator(copper, energy=-4.0, stress=np.full(6, 25.0))
    water.calc = SinglePointCalculator(water, energy=-14.0, stress=np.zeros(6), magmoms=np.zeros(3))
    atom.calc, atom.info["config_type"] = SinglePointCalculator(atom, energy=-0.5), "IsolatedAtom"
    write_structures(tmp_path / "data.xyz", [copper, water, atom])
    assert main(["data", "inspect", str(tmp_path / "data.xyz"), "--cutoff", "3"]) == 0
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for words in (
        "energies of 3 of 3 frames, stress of 1",
        "no stress possible 1 structures",
        "isolated atoms Cu (1): references, not trained on",
        "config_type, energy, stress",
        "magmoms",
        "RMS 25, largest 25 eV/Å³",
        "up to 25 eV/Å³ in frame 0",
    ):
        assert words in out


def test_inspect_names_the_duplicates_of_two_files(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames = [molecule("H2O"), molecule("CH4"), molecule("H2O")]
    frames[2].positions[0] += 1e-3
    for atoms, kind in zip(frames, ["liquid", "gas", "liquid"], strict=True):
        atoms.info["config_type"] = kind
    write_structures(tmp_path / "train.xyz", frames)
    write_structures(tmp_path / "test.xyz", [frames[1][[1, 0, 2, 3, 4]]])
    assert main(["data", "inspect", "t*.xyz"]) == 0
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for words in (
        "1: train.xyz, frame 1 is test.xyz, frame 0",
        "config_type gas (2), liquid (2)",
        "labels none in 4 frames",
    ):
        assert words in out


def test_inspect_converts_the_stress_of_vasp(tmp_path, capsys, monkeypatch):
    atoms = bulk("Cu")
    atoms.info["kilobar"] = np.arange(6.0)
    write_structures(tmp_path / "data.xyz", [atoms])
    inspected = []
    monkeypatch.setattr(
        data_command, "summarize", lambda read, *a, **k: inspected.extend(read) or summarize(read, *a, **k)
    )
    options = ["--stress-key", "kilobar", "--stress-convention", "vasp"]
    assert main(["data", "inspect", str(tmp_path / "data.xyz"), *options]) == 0
    assert inspected[0].get_stress() == pytest.approx(-0.1 * GPa * np.array([0, 1, 2, 4, 5, 3]))


def test_no_structures_have_no_summary():
    with pytest.raises(ValueError, match="structures: expected at least one, got none"):
        summarize([], 5.0)


def test_contents_lists_suspicious_structures():
    near = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.3]])
    same = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0]])
    far = Atoms("H2", positions=[[0, 0, 0], [0, 0, 30]])
    flat = Atoms("H", pbc=True)
    summary = summarize([near, same, far, flat, near.copy()], 5.0)
    assert summary.too_close == [0, 4]
    assert summary.refused == [1, 3]
    assert summary.disconnected == [2]
    assert summary.duplicates == [(4, 0)]
    assert "same place" in summary.first_refusal
    assert summary.periodic == {"none": 4, "abc": 1}
    assert summary.shortest == pytest.approx(0.3)
