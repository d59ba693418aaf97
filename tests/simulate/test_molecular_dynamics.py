"""Molecular dynamics: conservation laws, ensembles, files of a run, and errors."""

import signal

import ase.io
import numpy as np
import pandas as pd
import pytest
import torch
from ase import units
from ase.constraints import FixAtoms

from symnets.simulate import SymnetsCalculator, Unstable, n_steps, run_md


@pytest.fixture
def calculator(field) -> SymnetsCalculator:
    return SymnetsCalculator(field)


@pytest.mark.parametrize("periodic", [False, True])
def test_nve_conserves_energy(calculator, cluster, crystal, periodic):
    atoms = crystal(2) if periodic else cluster
    run = run_md(atoms, calculator, steps=250, timestep=1.0, temperature=100.0, log_every=1)
    assert run.log["kinetic_energy"].std() > 5e-3  # while this much went to and fro
    assert abs(run.drift.per_atom) < 1e-5
    assert run.drift.max_deviation < 1e-4
    assert run.drift.duration == 0.25
    np.testing.assert_allclose(run.atoms.get_momenta().sum(axis=0), 0, atol=1e-10)


def test_nve_conserves_energy_in_float32(field, cluster):
    cluster.positions += 1000
    calculator = SymnetsCalculator(field, dtype=torch.float32)
    run = run_md(cluster, calculator, steps=200, timestep=1.0, temperature=100.0, log_every=1)
    assert run.drift.max_deviation < 1e-4


def test_error_of_nve_is_quadratic_in_the_time_step(calculator, cluster):
    coarse = run_md(cluster, calculator, steps=100, timestep=4.0, temperature=100.0, log_every=1)
    fine = run_md(cluster, calculator, steps=200, timestep=2.0, temperature=100.0, log_every=2)
    assert coarse.drift.max_deviation / fine.drift.max_deviation == pytest.approx(4, rel=0.1)


def test_nve_starts_at_the_temperature_of_the_free_velocities(calculator, cluster):
    run = run_md(cluster, calculator, steps=0, temperature=100.0)
    assert run.log["temperature"].tolist() == pytest.approx([100])
    assert 2 * run.atoms.get_kinetic_energy() == pytest.approx(9 * units.kB * 100)


@pytest.mark.parametrize("ensemble", ["nvt", pytest.param("nvt-nose-hoover", marks=pytest.mark.slow)])
def test_thermostats_hold_the_temperature(calculator, crystal, ensemble):
    run = run_md(
        crystal(3),
        calculator,
        steps=600,
        ensemble=ensemble,
        timestep=4.0,
        temperature=150.0,
        thermostat_time=40.0,
    )
    # 27 atoms fluctuate by T sqrt(2 / 81) = 24 K; some 20 independent draws remain of the last 2 ps.
    assert run.log["temperature"][25:].mean() == pytest.approx(150, abs=15)


@pytest.mark.slow
def test_npt_reaches_the_pressure(calculator, crystal):
    atoms = crystal(3)
    run = run_md(
        atoms,
        calculator,
        steps=500,
        ensemble="npt",
        timestep=4.0,
        temperature=50.0,
        pressure=2.0,
        thermostat_time=40.0,
        barostat_time=200.0,
    )
    late = run.log[len(run.log) // 2 :]
    assert late["pressure"].mean() == pytest.approx(2.0, abs=0.2)
    assert late["volume"].std() > 0
    assert calculator.neighbors.n_builds < 200, "the list outlives changes of the cell"
    # Only the size of the cell changes, not its shape.
    np.testing.assert_allclose(run.atoms.cell.angles(), atoms.cell.angles(), atol=1e-8)


def test_a_run_is_a_function_of_its_seed(calculator, cluster):
    runs = [run_md(cluster, calculator, steps=20, ensemble="nvt", seed=seed) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(runs[0].atoms.positions, runs[1].atoms.positions)
    assert np.abs(runs[0].atoms.positions - runs[2].atoms.positions).max() > 1e-4


def test_the_given_atoms_are_not_changed(calculator, cluster):
    before = cluster.copy()
    run_md(cluster, calculator, steps=5)
    assert cluster == before
    assert cluster.calc is None
    assert not cluster.has("momenta")


def test_fixed_atoms_stay(calculator, cluster):
    cluster.set_constraint(FixAtoms([2]))
    run = run_md(cluster, calculator, steps=20, timestep=2.0)
    np.testing.assert_array_equal(run.atoms.positions[2], cluster.positions[2])
    assert run.drift.max_deviation < 1e-3


def test_files_have_the_frames_and_rows_of_the_run(calculator, crystal, tmp_path):
    trajectory, log = tmp_path / "new" / "md.xyz", tmp_path / "md.csv"
    run = run_md(
        crystal(2), calculator, steps=25, trajectory=trajectory, log=log, save_every=5, log_every=10
    )  # fmt: skip
    frames = ase.io.read(trajectory, index=":")
    assert [frame.info["step"] for frame in frames] == [0, 5, 10, 15, 20, 25]
    np.testing.assert_allclose(frames[-1].get_positions(), run.atoms.positions, atol=1e-7)
    np.testing.assert_allclose(frames[-1].get_momenta(), run.atoms.get_momenta(), atol=1e-7)
    np.testing.assert_allclose(frames[-1].get_forces(), run.atoms.get_forces(), atol=1e-7)
    np.testing.assert_allclose(frames[-1].get_stress(), run.atoms.get_stress(), atol=1e-7)
    assert frames[-1].get_potential_energy() == pytest.approx(run.atoms.get_potential_energy(), abs=1e-9)

    table = pd.read_csv(log)
    assert table.columns.tolist() == [
        "step",
        "time_ps",
        "potential_energy",
        "kinetic_energy",
        "total_energy",
        "temperature",
        "pressure",
        "volume",
    ]
    pd.testing.assert_frame_equal(table, run.log)
    assert table["step"].tolist() == [0, 10, 20]
    assert table["time_ps"].tolist() == pytest.approx([0, 0.005, 0.01])


def test_the_log_of_a_molecule_has_no_pressure(calculator, cluster):
    assert "pressure" not in run_md(cluster, calculator, steps=0).log


def test_a_run_can_be_continued(calculator, cluster, tmp_path):
    whole = run_md(cluster, calculator, steps=40)
    first = run_md(cluster, calculator, steps=20, trajectory=tmp_path / "md.xyz")
    second = run_md(first.atoms, calculator, steps=20, keep_momenta=True)
    np.testing.assert_allclose(second.atoms.positions, whole.atoms.positions, atol=1e-12)
    from_file = run_md(ase.io.read(tmp_path / "md.xyz"), calculator, steps=20, keep_momenta=True)
    np.testing.assert_allclose(from_file.atoms.positions, whole.atoms.positions, atol=1e-5)


def test_ctrl_c_keeps_all_earlier_steps(field, cluster, tmp_path):
    class Pressed(SymnetsCalculator):
        """Sends Ctrl-C in the eighth step."""

        calls = 0

        def calculate(self, *args, **kwargs):
            self.calls += 1
            if self.calls == 9:  # the first call is the initial structure
                signal.raise_signal(signal.SIGINT)
            super().calculate(*args, **kwargs)

    handler = signal.getsignal(signal.SIGINT)
    files = {"trajectory": tmp_path / "md.xyz", "log": tmp_path / "md.csv"}
    run = run_md(cluster, Pressed(field), steps=100, save_every=1, log_every=1, **files)
    assert run.interrupted
    assert run.n_steps == 8
    assert len(ase.io.read(files["trajectory"], index=":")) == len(pd.read_csv(files["log"])) == 9
    assert signal.getsignal(signal.SIGINT) is handler
    uninterrupted = run_md(cluster, SymnetsCalculator(field), steps=8)
    np.testing.assert_array_equal(run.atoms.positions, uninterrupted.atoms.positions)


@pytest.mark.parametrize("ensemble", ["nve", "nvt", "nvt-nose-hoover", "npt"])
def test_a_time_step_too_long_is_an_error(calculator, crystal, tmp_path, ensemble):
    with pytest.raises(Unstable, match=r"step \d+ .*(explodes|not finite)"):
        run_md(
            crystal(2),
            calculator,
            steps=500,
            ensemble=ensemble,
            timestep=60.0,
            temperature=100.0,
            barostat_time=6e4,
            trajectory=tmp_path / "md.xyz",
            save_every=1,
        )
    assert len(ase.io.read(tmp_path / "md.xyz", index=":")) >= 1


@pytest.mark.parametrize("what", ["energy", "forces"])
def test_results_that_are_not_finite_stop_the_run(field, cluster, what):
    class Broken(SymnetsCalculator):
        """Fails after ten evaluations."""

        calls = 0

        def calculate(self, *args, **kwargs):
            super().calculate(*args, **kwargs)
            self.calls += 1
            if self.calls > 10:
                self.results[what] = self.results[what] * np.nan

    with pytest.raises(Unstable, match=r"step 10 \(0.005 ps\): the .* (nan|not finite)"):
        run_md(cluster, Broken(field), steps=100)


def test_existing_files_are_not_overwritten_by_default(calculator, cluster, tmp_path):
    path = tmp_path / "md.csv"
    path.write_text("precious")
    with pytest.raises(ValueError, match=r"md\.csv: the file exists"):
        run_md(cluster, calculator, steps=1, log=path)
    assert path.read_text() == "precious"
    run_md(cluster, calculator, steps=1, log=path, overwrite=True)
    assert path.read_text().startswith("step,time_ps")


def test_a_run_that_cannot_start_changes_no_files(calculator, cluster, tmp_path):
    path = tmp_path / "md.csv"
    path.write_text("precious")
    with pytest.raises(Unstable, match="the initial structure: the structure explodes"):
        run_md(cluster, calculator, steps=1, timestep=90.0, temperature=5000.0, log=path, overwrite=True)
    cluster.positions[0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        run_md(cluster, calculator, steps=1, log=path, overwrite=True)
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -1}, "steps: expected"),
        ({"timestep": 0.0}, "timestep: expected fs"),
        ({"temperature": -5.0}, "temperature: expected K"),
        ({"temperature": 0.0, "ensemble": "nvt"}, "expected K above 0 for nvt"),
        ({"thermostat_time": 0.0}, "thermostat_time: expected"),
        ({"log_every": 0}, "log_every: expected"),
        ({"ensemble": "nph"}, "expected one of nve, nvt, nvt-nose-hoover, npt, got 'nph'"),
        ({"ensemble": "npt"}, "ensemble npt: expected a structure periodic"),
        ({"keep_momenta": True}, "keep_momenta: expected a structure with momenta"),
    ],
)
def test_options_out_of_range_are_explained(unchecked, calculator, cluster, options, message):
    with pytest.raises(ValueError, match=message):
        run_md(cluster, calculator, **{"steps": 1, **options})


def test_constraints_are_refused_where_ase_ignores_them(calculator, cluster):
    cluster.set_constraint(FixAtoms([2]))
    with pytest.raises(ValueError, match="expected no constraints"):
        run_md(cluster, calculator, steps=1, ensemble="nvt-nose-hoover")


def test_length_is_steps_or_picoseconds():
    assert n_steps(steps=7, duration=None, timestep=0.5) == 7
    assert n_steps(steps=None, duration=10.0, timestep=0.5) == 20_000
    for steps, duration in ((None, None), (1, 1.0)):
        with pytest.raises(ValueError, match="either steps or a duration"):
            n_steps(steps=steps, duration=duration, timestep=0.5)
