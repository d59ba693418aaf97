"""HDF5 files of molecules are read with all their columns."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from symnets.data import read_structures

h5py = pytest.importorskip("h5py")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "molecules.h5", "w") as out:
        water = out.create_group("a/water")
        water["species"] = np.array([b"O", b"H", b"H"])
        water["coordinates"] = rng.normal(size=(4, 3, 3))
        water["coordinates"].attrs["units"] = "angstrom"
        water["dipole"] = np.arange(12.0).reshape(4, 3)
        water["energy"] = np.arange(4.0)
        water["q"] = np.arange(12.0).reshape(4, 3) / 10
        ion = out.create_group("hydroxide")
        ion["atomic_numbers"] = [8, 1]
        ion["positions"] = rng.normal(size=(2, 3))
        ion["charge"] = -1
        ion.attrs["name"] = "text is left out"
    return tmp_path / "molecules.h5"


def test_groups_are_molecules_and_rows_are_frames(file):
    structures = read_structures(file, energy_key="energy")
    assert [str(atoms.symbols) for atoms in structures] == ["OH2"] * 4 + ["OH"]
    assert structures[2].get_potential_energy() == 2.0
    np.testing.assert_array_equal(structures[1].info["dipole"], [3, 4, 5])
    assert structures[4].info == {"charge": -1}
    assert structures[4].calc is None
    assert [len(atoms) for atoms in read_structures(file, index="3:")] == [3, 2]


def test_other_units_and_other_files_are_refused(file):
    with h5py.File(file, "a") as out:
        out["a/water/coordinates"].attrs["units"] = "bohr"
    with pytest.raises(ValueError, match="group /a/water/: expected positions in Å, got bohr"):
        read_structures(file)
    with h5py.File(file, "w") as out:
        out["x"] = 1.0
    with pytest.raises(ValueError, match="expected groups with atomic_numbers or numbers"):
        read_structures(file)
    file.write_text("no HDF5")
    with pytest.raises(ValueError, match="cannot be read as HDF5"):
        read_structures(file)


def test_unknown_elements_are_refused(file):
    for group, wrong, message in (
        ("a/water", [b"O", b"H", b"Qq"], "chemical symbols or atomic numbers, got 'Qq'"),
        ("hydroxide", [8.5, 1], "whole atomic numbers, got 8.5"),
    ):
        with h5py.File(file, "a") as out:
            name = "species" if "species" in out[group] else "atomic_numbers"
            del out[group][name]
            out[group][name] = wrong
        with pytest.raises(ValueError, match=f"molecules.h5: group /{group}/: expected {message}"):
            read_structures(file)
        with h5py.File(file, "a") as out:
            del out[group]


def write_water(path: Path, groups: Mapping[str, int], **columns: np.ndarray) -> Path:
    """Molecules of three atoms, with numbers of frames by name; each array of columns is in all groups."""
    with h5py.File(path, "w") as out:
        for name, n in groups.items():
            group = out.create_group(name)
            group["species"] = [8, 1, 1]
            group["positions"] = np.random.default_rng(0).normal(size=(n, 3, 3))
            for key, value in columns.items():
                group[key] = value if key == "masses" else np.resize(value, (n, *value.shape[1:]))
    return path


THREE = np.arange(3.0)


def test_rows_of_atoms_that_are_as_many_as_frames_are_those_of_other_groups(tmp_path):
    vectors = np.arange(9.0).reshape(3, 3)
    path = write_water(
        tmp_path / "data.h5",
        {"a": 3, "b": 5},
        masses=THREE,
        gap=THREE,
        dipole=vectors,
        level=THREE[:, None],
    )
    for k, atoms in enumerate(read_structures(path)):
        np.testing.assert_array_equal(atoms.info["masses"], THREE)
        row = k % 3
        assert atoms.info["gap"] == THREE[row]
        np.testing.assert_array_equal(atoms.info["dipole"], vectors[row])
        np.testing.assert_array_equal(atoms.info["level"], [THREE[row]])


def test_shape_and_key_tell_that_rows_belong_to_frames(tmp_path):
    gradient = np.arange(27.0).reshape(3, 3, 3)
    path = write_water(tmp_path / "data.h5", {"a": 3}, gradient=gradient, E=THREE)
    structures = read_structures(path, energy_key="E")
    assert [atoms.get_potential_energy() for atoms in structures] == [0, 1, 2]
    for atoms, expected in zip(structures, gradient, strict=True):
        np.testing.assert_array_equal(atoms.info["gradient"], expected)


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 3)])
def test_rows_of_frames_or_atoms_are_an_error_if_nothing_tells_which(shape, tmp_path):
    path = write_water(tmp_path / "data.h5", {"a": 3, "b": 3}, masses=np.ones(shape))
    with pytest.raises(ValueError, match=r"group /a/: masses of shape .* but there are 3 of each; if they"):
        read_structures(path)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("species", (4, 3), r"expected species of shape \(3,\) or \(5, 3\), got \(4, 3\)"),
        ("positions", (3,), r"expected positions \(frames, atoms, 3\) of 3 atoms, got \(3,\)"),
        ("cell", (3,), r"expected cell of shape \(3, 3\) or \(5, 3, 3\), got \(3,\)"),
    ],
)
def test_other_shapes_are_refused(name, shape, message, tmp_path):
    path = write_water(tmp_path / "data.h5", {"a": 5})
    with h5py.File(path, "a") as out:
        out["a"].pop(name, None)
        out["a"][name] = np.ones(shape)
    with pytest.raises(ValueError, match=message):
        read_structures(path)
