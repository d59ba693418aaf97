"""Files of structures have the format of their name, or are refused before the computation."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixBondLength

from symnets.data import StructureFile, find_structure, write_structures


@pytest.fixture
def water() -> Atoms:
    atoms = molecule("H2O")
    atoms.set_momenta(np.arange(9.0).reshape(3, 3))
    atoms.calc = SinglePointCalculator(atoms, energy=-1.5, forces=np.ones((3, 3)))
    return atoms


@pytest.mark.parametrize("name", ["a.xyz", "a.extxyz", "a.xyz.gz", "a.xyz.bz2", "a.traj", "a.XYZ", "a.json"])
def test_frames_are_appended_in_the_format_of_the_name(tmp_path, water, name):
    with StructureFile(tmp_path / name, water, several=True) as file:
        assert file.lost == []
        for k in range(3):
            water.positions[0, 0] = k
            water.calc.atoms.positions[0, 0] = k
            file.append(water)
            again = ase.io.read(tmp_path / name, ":")  # complete after each frame
            assert len(again) == k + 1
    assert [frame.positions[0, 0] for frame in again] == [0, 1, 2]
    assert again[-1].get_potential_energy() == -1.5
    np.testing.assert_allclose(again[-1].get_momenta(), water.get_momenta())
    np.testing.assert_allclose(find_structure(tmp_path / name).get_momenta(), water.get_momenta())


def test_an_ase_database_takes_frames(tmp_path, water):
    file = StructureFile(tmp_path / "a.db", water, several=True)
    file.append(water)
    file.append(water)
    assert [frame.get_potential_energy() for frame in ase.io.read(tmp_path / "a.db", ":")] == [-1.5, -1.5]


@pytest.mark.parametrize(
    "name", ["md", "md.foo", "md.h5", "md.png", "md.gro", "md.traj.gz", "md.xyz.zip", "POSCAR.xyz"]
)
def test_names_that_do_not_work_are_refused_with_names_that_do(tmp_path, water, name):
    with pytest.raises(ValueError, match=r"; try (md|structures)\.xyz, (md|structures)\.xyz\.gz"):
        StructureFile(tmp_path / name, water, several=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["a.xyz.gz", "a.cif", "a.pdb", "POSCAR", "CONTCAR.gz", "a.vasp", "a.traj", "a.db", "a.gen"]
)
def test_a_structure_is_written_in_the_format_of_the_name(tmp_path, name):
    crystal = bulk("NaCl", "rocksalt", a=5.64)
    StructureFile(tmp_path / name, crystal).write([crystal])
    again = ase.io.read(tmp_path / name)
    assert again.get_chemical_formula() == "ClNa"
    assert again.get_volume() == pytest.approx(crystal.get_volume(), rel=1e-3)


def test_a_structure_that_a_format_does_not_hold_is_refused(tmp_path, water):
    for name in ("POSCAR", "a.pwi", "a.xtl"):  # no cell; pseudopotentials; an electron beam
        with pytest.raises(ValueError, match=r"does not hold this structure .*; try (a|structure)\.xyz"):
            StructureFile(tmp_path / name, water)


def test_data_that_break_a_file_are_left_out_and_reported(tmp_path, water):
    """ASE writes these data in such a way that the frame cannot be read, or has another periodicity."""
    water.info = {"empty": "", "name": "water", "zip": "00123", "z": 1 + 2j}
    water.set_array("pairs", np.zeros((3, 2, 2)))
    water.set_constraint(FixBondLength(0, 1))
    file = StructureFile(tmp_path / "a.xyz", water, several=True)
    assert sorted(file.lost) == ["constraints", "info empty", "info z", "info zip", "pairs"]
    assert "a.xyz: extxyz files do not hold" in file.note
    file.append(water)
    again = ase.io.read(tmp_path / "a.xyz")
    assert again.info == {"name": "water"}
    assert not again.pbc.any()
    assert again.get_potential_energy() == -1.5


def test_the_first_frame_replaces_an_older_file(tmp_path, water):
    (tmp_path / "a.xyz").write_text("old")
    with pytest.raises(ValueError, match="the file exists; choose another trajectory, or pass overwrite"):
        StructureFile(tmp_path / "a.xyz", water, option="trajectory")
    file = StructureFile(tmp_path / "a.xyz", water, several=True, overwrite=True)
    assert (tmp_path / "a.xyz").read_text() == "old"
    file.append(water)
    assert len(ase.io.read(tmp_path / "a.xyz", ":")) == 1


def test_an_error_keeps_the_older_file(tmp_path, water, monkeypatch):
    def fail(path: Path, *arguments: object, **options: object) -> None:
        path.write_text("half of")
        raise OSError("no space left on device")

    write_structures(tmp_path / "a.xyz", [water])
    before = (tmp_path / "a.xyz").read_text()
    file = StructureFile(tmp_path / "a.xyz", water, overwrite=True)
    monkeypatch.setattr(ase.io, "write", fail)
    with pytest.raises(OSError, match="no space"):
        file.write([water])
    assert (tmp_path / "a.xyz").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.xyz"]
