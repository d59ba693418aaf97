"""`symnets data generate` and `symnets data inspect`."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import GPa

from symnets.cli import _data as data
from symnets.cli import main
from symnets.data import contents, read_structures, write_structures

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
def test_frames_done_before_an_interruption_are_kept(tmp_path, monkeypatch, stop, status):
    def interrupted(structure, **options):
        yield from (structure, structure)
        raise stop

    monkeypatch.setattr(data, "sample", interrupted)
    output = tmp_path / "water.xyz"
    assert main(["data", "generate", "H2O", "--output", str(output)]) == status
    assert len(read_structures(output)) == 2


def test_an_unknown_molecule_is_one_line(tmp_path, capsys):
    assert main(["data", "generate", "CH3CH2OHH", "--output", str(tmp_path / "x.xyz")]) == 2
    assert "nearest molecules are" in capsys.readouterr().err


def test_inspect_prints_what_a_file_holds(tmp_path, capsys):
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=-3.0, forces=np.ones((3, 3)))
    write_structures(tmp_path / "data.xyz", [atoms, atoms, bulk("Cu")])
    assert main(["data", "inspect", str(tmp_path / "data.xyz"), "--cutoff", "3"]) == 0
    out = capsys.readouterr().out
    for word in (
        "Cu (1), H (4), O (2)",
        "energy (2), forces (2)",
        "RMS 1.000",
        "mean 3.4",
        "duplicates",
        "0.969",
    ):
        assert word in out
    assert main(["data", "inspect", str(tmp_path / "absent.xyz")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_inspect_tells_whether_reference_energies_are_determined(tmp_path, capsys):
    for names, told in ((["H2O", "H2O"], "rank 1 of 2 species"), (["H2O", "H2"], "all determined")):
        write_structures(tmp_path / "data.xyz", [molecule(name) for name in names])
        assert main(["data", "inspect", str(tmp_path / "data.xyz")]) == 0
        assert told in capsys.readouterr().out


def test_inspect_takes_the_stress_as_vasp_prints_it(tmp_path, capsys, monkeypatch):
    atoms = bulk("Cu")
    atoms.info["kilobar"] = np.arange(6.0)
    write_structures(tmp_path / "data.xyz", [atoms])
    taken = []
    monkeypatch.setattr(data, "contents", lambda held, *a, **k: taken.extend(held) or contents(held, *a, **k))
    options = ["--stress-key", "kilobar", "--stress-convention", "vasp"]
    assert main(["data", "inspect", str(tmp_path / "data.xyz"), *options]) == 0
    assert taken[0].get_stress() == pytest.approx(-0.1 * GPa * np.array([0, 1, 2, 4, 5, 3]))


def test_suspicious_structures_are_found():
    near = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.3]])
    same = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0]])
    far = Atoms("H2", positions=[[0, 0, 0], [0, 0, 30]])
    flat = Atoms("H", pbc=True)
    found = contents([near, same, far, flat, near.copy()], 5.0)
    assert found.too_close == [0, 4]
    assert found.refused == [1, 3]
    assert found.disconnected == [2]
    assert found.duplicates == [4]
    assert "same place" in found.first_refusal
    assert found.periodic == {"none": 4, "abc": 1}
    assert found.shortest == pytest.approx(0.3)
