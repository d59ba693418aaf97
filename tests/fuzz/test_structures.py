"""Damaged files of structures, and structures of odd numbers: a result, or one message."""

import itertools
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from symnets.models import ForceField, load
from symnets.simulate import SymnetsCalculator
from tests.fuzz.commands import ending, run_harmlessly
from tests.fuzz.conftest import FUZZ
from tests.fuzz.mutations import byte_strings, texts

ODD = [0.0, -0.0, 1e-8, 1e-320, 0.3, -2.5, 1e3, 1e8, 1e30, 1e308, float("nan"), float("inf"), -float("inf")]
FORMATS = ("frames.traj", "frames.db", "frames.json", "POSCAR", "frames.cif", "frames.xyz.gz")


@pytest.fixture(scope="module")
def water(tmp_path_factory):
    """Folder of files of the same three atoms in all formats."""
    folder = tmp_path_factory.mktemp("water")
    for name in FORMATS:
        ase.io.write(folder / name, Atoms("OHH", np.eye(3), cell=[4, 4, 4], pbc=True))
    return folder


def damaged(frames, data, tmp_path_factory) -> Path:
    """File of edited text, in a folder of its own."""
    path = tmp_path_factory.mktemp("extxyz") / "frames.xyz"
    path.write_bytes(data.draw(texts(frames)).encode("utf-8", "surrogatepass"))
    return path


@FUZZ
@given(data=st.data())
def test_a_damaged_extxyz_file_is_inspected_and_evaluated(data, frames, force_field, tmp_path_factory):
    path = damaged(frames, data, tmp_path_factory)
    run_harmlessly(["data", "inspect", path], inputs=[path])
    out = path.parent / "out"
    run_harmlessly(["evaluate", force_field, path, "--output", out], inputs=[path, force_field], outputs=out)


@FUZZ
@given(data=st.data())
def test_a_damaged_extxyz_file_is_simulated_and_relaxed(data, frames, force_field, tmp_path_factory):
    path = damaged(frames, data, tmp_path_factory)
    folder = path.parent
    short = ["--steps", "2", "--output", folder / "md"]
    run_harmlessly(["md", force_field, path, *short], inputs=[path, force_field], outputs=folder / "md")
    short = ["--max-steps", "2", "--output", folder / "relaxed.xyz"]
    run_harmlessly(["relax", force_field, path, *short], inputs=[path, force_field], outputs=folder)


@pytest.mark.parametrize(
    "name", ["frames.traj", "frames.db", "frames.json", "POSCAR", "frames.cif", "frames.xyz.gz"]
)
@FUZZ
@given(data=st.data())
def test_damaged_files_of_other_formats_are_inspected(name, data, water, tmp_path_factory):
    path = tmp_path_factory.mktemp("formats") / name
    path.write_bytes(data.draw(byte_strings((water / name).read_bytes())))
    run_harmlessly(["data", "inspect", path], inputs=[path])


@FUZZ
@given(data=st.data())
def test_odd_positions_and_cells_give_finite_forces_or_one_message(data, force_field):
    calculator = SymnetsCalculator(load(force_field, ForceField))
    n = data.draw(st.integers(0, 4))
    numbers = data.draw(st.lists(st.sampled_from([1, 8, 8, 1, 0, 118, 119]), min_size=n, max_size=n))
    odd = st.one_of(st.sampled_from(ODD), st.floats(-5, 5))
    positions = np.reshape(data.draw(st.lists(odd, min_size=3 * n, max_size=3 * n)), (n, 3))
    cell = np.diag([3.0, 4.0, 5.0])
    for row, column in itertools.product(range(3), range(3)):
        if data.draw(st.integers(0, 5)) == 0:
            cell[row, column] = data.draw(odd)
    pbc = data.draw(st.lists(st.booleans(), min_size=3, max_size=3))
    try:
        with ending(), np.errstate(all="ignore"):
            atoms = Atoms(numbers, positions, cell=cell, pbc=pbc)
            atoms.calc = calculator
            energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    except (ValueError, IndexError):  # IndexError: ASE's, for elements beyond its tables
        return
    assert np.isfinite(energy)
    assert np.isfinite(forces).all()
    np.testing.assert_array_equal(atoms.positions, positions)
