"""Published data sets, if available: frames, labels and units agree with their sources."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from symnets.data import build_graphs, isolated_atoms, read_structures, statistics

FOLDER = os.environ.get("SYMNETS_DATA")
ROOT = Path(__file__).parents[2]


def real(name: str) -> Path:
    """Path of a file in SYMNETS_DATA; the test is skipped if it is missing."""
    if FOLDER is None:
        pytest.skip(f"real data: SYMNETS_DATA is not set, {name} is not at hand")
    path = Path(FOLDER) / name
    if not path.exists():
        pytest.skip(f"real data: {path} is not there")
    return path


@pytest.mark.parametrize(
    ("name", "frames", "forces"),
    [
        ("train_300K", 500, True),
        ("train_600K", 500, True),
        ("test_MD_300K", 650, True),
        ("test_MD_600K", 650, True),
        ("test_dihedral", 45, False),
        ("test_H_transfer", 15, False),
    ],
)
def test_acetylacetone_has_the_published_frames_and_labels(name, frames, forces):
    structures = read_structures(real(f"acac/{name}.xyz"), require=("energy",))
    assert len(structures) == frames
    assert {atoms.symbols.get_chemical_formula() for atoms in structures} == {"C5H8O2"}
    assert all(("forces" in atoms.calc.results) == forces for atoms in structures)


def test_acetylacetone_is_bound_and_has_one_formula():
    alone = isolated_atoms(read_structures(real("acac/isolated_atoms.xyz")))
    graphs = build_graphs(read_structures(real("acac/train_300K.xyz"), index=":50"), 5.0)
    summary = statistics(graphs, isolated=alone)
    assert summary.species == (1, 6, 8)
    assert -6 < summary.cohesion < -4  # eV per atom: six bonds of a few eV for every four atoms
    assert statistics(graphs).rank == 1
    assert 0.5 < summary.force_rms < 2


def test_energies_near_minus_ten_thousand_keep_their_digits():
    atoms = read_structures(real("acac/train_300K.xyz"), index="0")[0]
    (graph,) = build_graphs([atoms], 5.0)
    assert graph.energy.item() == atoms.get_potential_energy()
    assert (
        abs(float(np.float32(graph.energy.item())) - graph.energy.item()) > 1e-5
    )  # the rounding error in float32


def test_germanium_is_periodic_with_a_stress_of_the_right_size():
    structures = read_structures(
        real("mlearn_Ge/test.xyz"),
        stress_key="virial_stress_raw",
        stress_convention="vasp",
        require=("energy", "forces", "stress"),
    )
    assert len(structures) == 25
    assert all(atoms.pbc.all() for atoms in structures)
    largest = max(abs(atoms.get_stress()).max() for atoms in structures)
    assert 0.01 < largest < 0.2  # eV/Å³, a few to tens of GPa


@pytest.mark.slow
def test_work_of_the_stress_is_the_energy_of_the_strain(tmp_path):
    """The script raises an error if its sum of V σ:dε and the differences of energy disagree."""
    source = real("mlearn_Ge/train.xyz").parent
    script = ROOT / "examples" / "germanium_stress.py"
    done = subprocess.run(
        [sys.executable, str(script), str(source), str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(read_structures(tmp_path / "test.xyz", require=("stress",))) == 25
