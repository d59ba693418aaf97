"""What a structure carries survives a simulation; only old labels are dropped."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms, FixCartesian
from threadpoolctl import threadpool_info

import symnets.simulate._relax
from symnets.data import StructureFile
from symnets.files import locked
from symnets.simulate import relax, run_md
from symnets.simulate._files import without_labels

KEPT = {
    "name": "argon and neon",
    "config_type": "cluster",
    "total_charge": 2,
    "energy_weight": 3.0,
    "energy_cutoff": 500.0,
    "force_field": "none",
    "stress_test": True,
    "dipole_correction": True,
    "weights": [1.0, 2.0],
    "nested": {"a": [1, 2], "b": "c"},
}
LABELS = {
    "REF_energy": -1.0,
    "dft_free_energy": -2,
    "energyDFT": 1.0,
    "virial": np.zeros((3, 3)),
    "stress_ref": np.zeros(6),
    "mace_dipole": np.zeros(3),
}


@pytest.fixture
def laden(cluster):
    """Five atoms with all that ASE's structures carry."""
    cluster.set_tags([1, 2, 3, 4, 5])
    cluster.set_initial_magnetic_moments([0.0, 1, -1, 0.5, 2])
    cluster.set_initial_charges([0.1, -0.1, 0, 0, 1])
    cluster.set_masses([40.0, 20.0, 38.0, 20.0, 39.5])
    cluster.set_cell([20, 21, 22])
    cluster.set_pbc([True, False, True])
    cluster.set_array("site", np.array(["a", "b", "a", "b", "a"]))
    cluster.set_array("spring", np.arange(15.0).reshape(5, 3))
    cluster.set_constraint(FixAtoms([0]))
    cluster.info |= KEPT | LABELS
    cluster.set_array("REF_forces", np.zeros((5, 3)))
    cluster.set_array("dft_magmoms", np.zeros(5))
    return cluster


def check_carried(before, after) -> None:
    for name in ("tags", "initial_magmoms", "initial_charges", "masses", "site"):
        assert after.arrays[name].tolist() == before.arrays[name].tolist()
    np.testing.assert_allclose(after.arrays["spring"], before.arrays["spring"])
    for name, value in KEPT.items():
        assert np.all(after.info[name] == value), name
    assert not LABELS.keys() & after.info.keys()
    assert not {"REF_forces", "dft_magmoms"} & after.arrays.keys()
    assert after.pbc.tolist() == before.pbc.tolist()
    np.testing.assert_allclose(after.cell, before.cell)
    assert after.constraints[0].index.tolist() == [0]
    np.testing.assert_allclose(after.positions[0], before.positions[0], atol=1e-7)


def test_molecular_dynamics_keeps_what_the_structure_carries(laden, twin, tmp_path):
    before = laden.copy()
    run = run_md(laden, twin, steps=2, save_every=2, trajectory=tmp_path / "md.xyz")
    check_carried(before, run.atoms)
    first, last = ase.io.read(tmp_path / "md.xyz", ":")
    check_carried(before, first)
    check_carried(before, last)
    assert last.info["step"] == 2
    assert last.get_potential_energy() == pytest.approx(run.atoms.get_potential_energy())
    assert laden.info == before.info  # the given structure is not changed
    assert laden == before


def test_relaxation_keeps_what_the_structure_carries(laden, twin, tmp_path):
    laden.set_momenta(np.arange(15.0).reshape(5, 3))
    result = relax(laden, twin, steps=2, output=tmp_path / "a.xyz", trajectory=tmp_path / "b.xyz.gz")
    for atoms in (result.atoms, ase.io.read(tmp_path / "a.xyz"), ase.io.read(tmp_path / "b.xyz.gz", 0)):
        check_carried(laden, atoms)
        np.testing.assert_allclose(atoms.get_momenta(), laden.get_momenta(), atol=1e-7)


def test_data_that_a_format_cannot_hold_are_named_once(laden, twin, tmp_path):
    with pytest.warns(UserWarning, match=r"md\.traj: traj files do not hold site, spring of") as told:
        run_md(laden, twin, steps=4, save_every=1, trajectory=tmp_path / "md.traj")
    assert len(told) == 1
    last = ase.io.read(tmp_path / "md.traj")
    assert last.get_tags().tolist() == [1, 2, 3, 4, 5]
    assert last.info["name"] == "argon and neon"
    assert last.constraints[0].index.tolist() == [0]


def test_labels_of_other_sizes_are_kept(cluster):
    cluster.info = {"energy": [1.0, 2.0, 3.0], "stress": 1.0, "energy_unit": "eV", "forces": np.zeros((2, 3))}
    cluster.set_constraint(FixCartesian([1], [True, False, False]))
    given = {"data": {"energy": 1.0, "site": "top"}}
    assert without_labels(Atoms("H", info=given)).info == {"data": {"site": "top"}}
    assert given["data"]["energy"] == 1.0
    copy = without_labels(cluster)
    assert copy.info.keys() == cluster.info.keys()
    assert len(copy.constraints) == 1


def test_outputs_of_simulations_are_checked_before_the_first_step(cluster, twin, tmp_path):
    (tmp_path / "folder.xyz").mkdir()
    (tmp_path / "file").write_text("")
    for path, message in (
        (tmp_path / "folder.xyz", "expected a file name, got a directory"),
        (tmp_path / "file" / "a.xyz", "cannot be written: Not a directory; choose another"),
        (tmp_path / ("a" * 300 + ".xyz"), "cannot be written: File name too long"),
        (Path("/dev/null"), "expected the name of a regular file, got a device"),
    ):
        for run in (
            lambda path: run_md(cluster, twin, steps=1, trajectory=path),
            lambda path: run_md(cluster, twin, steps=1, log=path),
            lambda path: relax(cluster, twin, output=path),
            lambda path: relax(cluster, twin, trajectory=path),
        ):
            with pytest.raises(ValueError, match=message):
                run(path)
    with pytest.raises(ValueError, match="expected two files"):
        relax(cluster, twin, output=tmp_path / "a.xyz", trajectory=tmp_path / "a.xyz")
    with (
        locked(tmp_path / "a.xyz", file=True),
        pytest.raises(FileExistsError, match=r"is writing there; .*choose another trajectory"),
    ):
        run_md(cluster, twin, steps=1, trajectory=tmp_path / "a.xyz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.xyz"]


def test_a_relaxation_is_not_lost_when_its_file_cannot_be_written(cluster, twin, tmp_path, monkeypatch):
    """The disk has become full, or the folder read-only, during the relaxation."""
    write = StructureFile.write

    def full(file: StructureFile, structures: list) -> None:
        if file.path == tmp_path / "end.cif":
            raise OSError(28, "No space left on device")
        write(file, structures)

    monkeypatch.setattr(StructureFile, "write", full)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.warns(UserWarning, match=r"end\.cif: cannot be written \(No space left on device\)"):
        result = relax(cluster, twin, steps=2, output=tmp_path / "end.cif")
    assert result.path is not None
    assert result.path.name == "relaxed.xyz"
    np.testing.assert_allclose(ase.io.read(result.path).positions, result.atoms.positions, atol=1e-7)


def test_a_relaxation_uses_one_thread_for_the_linear_algebra_of_filters(twin, monkeypatch):
    """A 3 x 3 matrix is not shared among threads, and afterwards the number is as before."""

    def blas() -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    seen, before = [], blas()
    check = symnets.simulate._relax.check_finite
    monkeypatch.setattr("symnets.simulate._relax.check_finite", lambda *a: (check(*a), seen.append(blas())))
    relax(bulk("Ar", "fcc", a=3.9), twin, steps=1, cell=True)
    assert set(seen[-1]) <= {1}
    assert set(blas()) == set(before)
