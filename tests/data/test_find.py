"""Files, folders, globs and databases of structures are found, or the error says where they were searched."""

import os
import sqlite3
from contextlib import closing

import ase.db
import ase.io
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from symnets.data import find_data_files, read_files, read_structures


def water(energy: float) -> Atoms:
    atoms = Atoms("OH2", [[0, 0, 0], [0, 0.76, 0.59], [0, -0.76, 0.59]])
    atoms.calc = SinglePointCalculator(atoms, energy=energy)
    return atoms


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two files in a folder with other files, and one in a folder below."""
    place = tmp_path / "set"
    (place / "deep").mkdir(parents=True)
    for number, name in enumerate(["b.xyz", "a.xyz", "deep/c.extxyz"]):
        ase.io.write(place / name, [water(float(number))] * 2, format="extxyz")
    for name in ("README.md", ".hidden.xyz", "data.aselmdb-lock"):
        (place / name).write_text("no structures")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYMNETS_DATA", raising=False)
    return place


def names(*paths: str) -> list[str]:
    return [str(file) for file in find_data_files(paths)]


def test_files_folders_and_globs(folder):
    assert names("set") == ["set/a.xyz", "set/b.xyz"]
    assert names("set/*.xyz", "set/b.xyz") == ["set/a.xyz", "set/b.xyz"]
    assert names("set/**/*.*xyz") == ["set/a.xyz", "set/b.xyz", "set/deep/c.extxyz"]
    assert names("set/b.xyz", "set") == ["set/b.xyz", "set/a.xyz"]  # once
    assert find_data_files("set/b.xyz")[0].name == "b.xyz"


def test_a_name_with_brackets_is_a_file_if_there_is_one(folder):
    (folder / "run[1].xyz").write_text("")
    assert names("set/run[1].xyz") == ["set/run[1].xyz"]


def test_paths_are_searched_in_symnets_data(folder, monkeypatch):
    monkeypatch.chdir(os.sep)
    monkeypatch.setenv("SYMNETS_DATA", str(folder.parent))
    assert names("set/*.xyz") == [str(folder / "a.xyz"), str(folder / "b.xyz")]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none.xyz", r"none.xyz: there is no such file or folder in the current folder"),
        ("set/*.traj", r"set/\*.traj: no file matches it in the current folder"),
        (
            "empty",
            r"empty: the folder has no file that ends with .xyz, .*name its files by a glob such as empty/\*",
        ),
        ("/nowhere/*.xyz", r"/nowhere/\*.xyz: no file matches it$"),
    ],
)
def test_the_error_names_a_missing_path(folder, path, message):
    (folder.parent / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=message):
        find_data_files(path)
    with pytest.raises(ValueError, match="at least one"):
        find_data_files([])


def test_structures_of_several_files_have_the_name_of_their_file(folder):
    read = read_files(find_data_files("set"))
    assert [name for name, _ in read] == [
        f"set/{file}.xyz, frame {frame}" for file in "ab" for frame in range(2)
    ]
    assert [atoms.get_potential_energy() for _, atoms in read] == [1.0, 1.0, 0.0, 0.0]


def test_a_key_may_be_absent_in_some_files(folder):
    ase.io.write(folder / "keys.xyz", Atoms("H", info={"dft": -1.0}), format="extxyz")
    read = read_files(find_data_files("set"), energy_key="dft")
    assert sum(atoms.calc is not None and "energy" in atoms.calc.results for _, atoms in read) == 1
    with pytest.raises(ValueError, match=r"set/a.xyz, set/b.xyz.*: no energy under the key 'REF'"):
        read_files(find_data_files(["set/a.xyz", "set/b.xyz"]), energy_key="REF")


@pytest.mark.parametrize("ending", ["db", "aselmdb"])
def test_databases(tmp_path, ending):
    if ending == "aselmdb":
        pytest.importorskip("ase_db_backends.aselmdb", reason="the extra lmdb is not installed")
    path = tmp_path / f"water.{ending}"
    with ase.db.connect(path) as database:
        for energy in (1.0, 2.0):
            database.write(water(energy), weight=energy, data={"source": "a test"})
    assert find_data_files(str(tmp_path)) == [path]
    first, second = read_structures(path)
    assert (first.get_potential_energy(), second.get_potential_energy()) == (1.0, 2.0)
    assert (second.info["weight"], second.info["source"]) == (2.0, "a test")
    assert len(read_structures(path, index=-1)) == 1


def test_a_locked_database_is_an_error_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("symnets.data._read_database._WAIT", 0.05)
    path = tmp_path / "water.db"
    with ase.db.connect(path) as database:
        database.write(water(1.0))
    with closing(sqlite3.connect(path)) as other:
        other.execute("begin exclusive")
        with pytest.raises(ValueError, match=r"water.db: the database is locked by another process"):
            read_structures(path)
    assert len(read_structures(path)) == 1


def test_a_damaged_lmdb_is_named(tmp_path):
    path = tmp_path / "water.aselmdb"
    path.write_bytes(b"not a database at all, but some text")
    with pytest.raises(ValueError, match=r"water.aselmdb: the file is no LMDB database, or it is damaged"):
        read_structures(path)
