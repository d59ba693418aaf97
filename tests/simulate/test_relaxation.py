"""Relaxation of positions and cell against closed forms and ASE's own Lennard-Jones potential."""

import signal

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.optimize import BFGS

from symnets.simulate import SymnetsCalculator, Unstable, relax


@pytest.fixture
def calculator(field) -> SymnetsCalculator:
    return SymnetsCalculator(field)


@pytest.mark.parametrize("optimizer", ["lbfgs", "bfgs", "fire"])
def test_a_dimer_relaxes_to_the_minimum(calculator, optimizer):
    dimer = Atoms("Ar2", [(0, 0, 0), (0, 0, 3.1)])
    result = relax(dimer, calculator, optimizer=optimizer, fmax=1e-5)
    assert result.converged
    assert result.atoms.get_distance(0, 1) == pytest.approx(2.5 * 2 ** (1 / 6), abs=1e-4)
    assert result.energy == pytest.approx(-0.1, abs=1e-8)
    assert result.energy < result.initial_energy
    assert result.fmax < 1e-5
    assert result.pressure is None


def test_cell_relaxation_leaves_no_stress(calculator, crystal):
    result = relax(crystal(2), calculator, cell=True, fmax=1e-4)
    assert result.converged
    np.testing.assert_allclose(result.atoms.get_stress(), 0, atol=1e-5)
    assert result.pressure == pytest.approx(0, abs=1e-3)
    # The neighbours of a perfect fcc crystal: twelve, equally far.
    distances = np.sort((result.atoms * (3, 3, 3)).get_all_distances(mic=True), axis=1)[:, 1:13]
    assert np.ptp(distances) < 1e-3


def test_cell_relaxation_under_pressure_balances_it(calculator):
    atoms = bulk("Ar", "fcc", a=3.9)
    free = relax(atoms, calculator, cell=True, fmax=1e-4)
    pressed = relax(atoms, calculator, cell=True, fmax=1e-4, pressure=3.0)
    assert pressed.pressure == pytest.approx(3, abs=1e-2)
    assert pressed.atoms.get_volume() < free.atoms.get_volume()


def test_energy_is_stationary_in_the_volume_after_cell_relaxation(calculator):
    result = relax(bulk("Ar", "fcc", a=3.9), calculator, cell=True, fmax=1e-5)
    energies = []
    for factor in (0.999, 1.0, 1.001):
        atoms = result.atoms.copy()
        atoms.set_cell(atoms.cell * factor, scale_atoms=True)
        energies.append(calculator.get_potential_energy(atoms))
    assert energies[1] < min(energies[0], energies[2])


def test_the_cell_is_fixed_by_default(calculator, crystal):
    atoms = crystal(2)
    result = relax(atoms, calculator, fmax=1e-3)
    np.testing.assert_array_equal(result.atoms.cell.array, atoms.cell.array)
    assert abs(result.pressure) > 0.1


def test_agrees_with_an_independent_implementation(calculator, twin, cluster):
    other = cluster.copy()
    other.calc = twin
    BFGS(other, logfile=None).run(fmax=1e-6)
    result = relax(cluster, calculator, optimizer="bfgs", fmax=1e-6)
    assert result.energy == pytest.approx(other.get_potential_energy(), abs=1e-9)
    np.testing.assert_allclose(result.atoms.get_all_distances(), other.get_all_distances(), atol=1e-5)


def test_the_given_atoms_are_not_changed(calculator, crystal):
    atoms = crystal(2)
    before = atoms.copy()
    relax(atoms, calculator, cell=True, steps=5)
    assert atoms == before
    assert atoms.calc is None


@pytest.mark.parametrize("name", ["relaxed.xyz", "relaxed.cif", "POSCAR"])
def test_the_final_structure_is_written_in_the_format_of_its_name(calculator, crystal, tmp_path, name):
    result = relax(crystal(2), calculator, output=tmp_path / name)
    read = ase.io.read(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    np.testing.assert_allclose(
        read.get_all_distances(mic=True), result.atoms.get_all_distances(mic=True), atol=1e-5
    )


def test_the_trajectory_is_written(calculator, cluster, tmp_path):
    result = relax(cluster, calculator, trajectory=tmp_path / "way.xyz")
    frames = ase.io.read(tmp_path / "way.xyz", index=":")
    assert [frame.info["step"] for frame in frames] == list(range(result.n_steps + 1))
    assert frames[0].get_potential_energy() == pytest.approx(result.initial_energy)
    assert frames[-1].get_potential_energy() == pytest.approx(result.energy)


def test_too_few_steps_are_not_converged(calculator, cluster):
    result = relax(cluster, calculator, steps=2)
    assert not result.converged
    assert result.n_steps == 2


def test_ctrl_c_keeps_all_earlier_steps(field, cluster, tmp_path):
    class Pressed(SymnetsCalculator):
        """Sends Ctrl-C in the third step."""

        calls = 0

        def calculate(self, *args, **kwargs):
            self.calls += 1
            if self.calls == 4:
                signal.raise_signal(signal.SIGINT)
            super().calculate(*args, **kwargs)

    result = relax(cluster, Pressed(field), output=tmp_path / "end.xyz")
    assert result.interrupted
    assert not result.converged
    assert result.n_steps == 3
    assert ase.io.read(tmp_path / "end.xyz").get_potential_energy() == pytest.approx(result.energy)


def test_forces_that_are_not_finite_stop_the_relaxation(field, cluster):
    class Broken(SymnetsCalculator):
        """Fails after three evaluations."""

        calls = 0

        def calculate(self, *args, **kwargs):
            super().calculate(*args, **kwargs)
            self.calls += 1
            if self.calls > 3:
                self.results["forces"] = self.results["forces"] * np.nan

    with pytest.raises(Unstable, match=r"step 3: the forces on Ar \(atom 0\) are not finite"):
        relax(cluster, Broken(field))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "newton"}, "expected one of lbfgs, bfgs, fire, got 'newton'"),
        ({"fmax": 0.0}, "fmax: expected"),
        ({"steps": -1}, "steps: expected"),
        ({"cell": True}, "cell: expected a structure periodic"),
        ({"pressure": 1.0}, "expected 0 unless the cell relaxes, got 1.0 GPa"),
    ],
)
def test_options_out_of_range_are_explained(unchecked, calculator, cluster, options, message):
    with pytest.raises(ValueError, match=message):
        relax(cluster, calculator, **options)


def test_a_name_without_format_is_refused_at_the_start(calculator, cluster, tmp_path):
    with pytest.raises(ValueError, match=r"expected a name with a format of ASE; try end\.xyz"):
        relax(cluster, calculator, output=tmp_path / "end.nonsense")


def test_existing_files_are_not_overwritten_by_default(calculator, cluster, tmp_path):
    (tmp_path / "end.xyz").write_text("precious")
    with pytest.raises(ValueError, match=r"end\.xyz: the file exists"):
        relax(cluster, calculator, output=tmp_path / "end.xyz")
    assert (tmp_path / "end.xyz").read_text() == "precious"


def test_pressure_is_in_gigapascal(calculator):
    result = relax(bulk("Ar", "fcc", a=3.4), calculator, steps=0)
    trace = calculator.get_stress(result.atoms)[:3].sum()
    assert result.pressure == pytest.approx(-trace / 3 * 160.21766, rel=1e-6)
    assert units.GPa == pytest.approx(1 / 160.21766, rel=1e-6)
