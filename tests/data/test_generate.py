"""Labelled frames by molecular dynamics with GFN2-xTB."""

import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from symnets.data import find_structure, generate, sample_trajectory

pytest.importorskip("tblite")
SHORT = {"frames": 3, "every": 2, "equilibration": 3, "progress": False}


def test_trajectories_of_one_seed_are_identical():
    one, again, other = (generate(molecule("H2O"), seed=seed, **SHORT) for seed in (1, 1, 2))
    for a, b, c in zip(one, again, other, strict=True):
        np.testing.assert_array_equal(a.positions, b.positions)
        np.testing.assert_array_equal(a.get_forces(), b.get_forces())
        assert a.get_potential_energy() == b.get_potential_energy()
        assert not np.allclose(a.positions, c.positions)


def test_frames_are_labelled_and_the_centre_of_mass_is_fixed():
    start = molecule("CH3CH2OH")
    before = start.copy()
    frames = generate(start, **SHORT)
    assert len(frames) == 3
    assert start == before
    for frame in frames:
        assert frame.get_potential_energy() < 0
        np.testing.assert_allclose(frame.get_forces().sum(0), 0, atol=1e-6)
        np.testing.assert_allclose(frame.get_center_of_mass(), start.get_center_of_mass(), atol=1e-9)


def test_forces_are_minus_the_gradient_of_the_energy():
    from tblite.ase import TBLite

    (frame,) = generate(molecule("H2O"), **SHORT | {"frames": 1})
    energies, step = [], 1e-3
    for sign in (1, -1):
        moved = Atoms(frame.numbers, frame.positions)
        moved.positions[1, 2] += sign * step
        moved.calc = TBLite(method="GFN2-xTB", verbosity=0, accuracy=0.01)
        energies.append(moved.get_potential_energy())
    assert frame.get_forces()[1, 2] == pytest.approx(-(energies[0] - energies[1]) / (2 * step), abs=1e-3)


def test_an_isolated_atom_and_a_crystal():
    (frame,) = generate(Atoms("He"), **SHORT | {"frames": 1})
    np.testing.assert_allclose(frame.get_forces(), 0, atol=1e-9)
    (frame,) = generate(bulk("C"), **SHORT | {"frames": 1, "every": 1, "equilibration": 0})
    assert frame.get_stress().shape == (6,)


def test_frames_are_yielded_one_by_one():
    frames = sample_trajectory(molecule("H2O"), frames=1000, every=1, equilibration=0)
    assert len(next(frames)) == 3  # without computing all thousand


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0}, "frames: expected at least 1"),
        ({"every": 0}, "every: expected at least 1"),
        ({"equilibration": -1}, "equilibration, seed: expected at least 0"),
        ({"temperature": -5.0}, "temperature: expected a positive number"),
        ({"timestep": float("nan")}, "timestep: expected a positive number"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        generate(molecule("H2O"), **SHORT | arguments)


def test_unsupported_structures_are_refused():
    with pytest.raises(ValueError, match="empty structure"):
        generate(Atoms(), **SHORT)
    with pytest.raises(ValueError, match="GFN2-xTB failed before frame 0: No support for elements"):
        generate(Atoms("Og"), **SHORT)


def test_a_diverging_trajectory_is_an_error():
    with pytest.raises(ValueError, match="lower"):
        generate(molecule("H2O"), **SHORT | {"timestep": 1000.0, "temperature": 1e5})


def test_import_error_names_the_missing_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tblite.ase", None)
    with pytest.raises(ImportError, match=r"pip install 'symnets\[demo\]'"):
        generate(molecule("H2O"), **SHORT)


def test_structures_by_name_or_file(tmp_path):
    assert find_structure("CH3CH2OH").symbols.get_chemical_formula() == "C2H6O"
    molecule("CH4").write(tmp_path / "methane.xyz")
    assert find_structure(tmp_path / "methane.xyz").symbols.get_chemical_formula() == "CH4"
    with pytest.raises(FileNotFoundError, match=r"neither a file nor a molecule.*nearest .* CH3CH2OH"):
        find_structure("CH3CH2OHH")
