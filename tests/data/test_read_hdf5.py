"""HDF5 files of molecules are read with all their columns."""

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
