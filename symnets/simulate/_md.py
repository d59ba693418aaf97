"""Molecular dynamics with ASE's integrators, with trajectory and log."""

import os
import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.nose_hoover_chain import IsotropicMTKNPT, NoseHooverChainNVT
from ase.md.verlet import VelocityVerlet

from symnets.data import StructureFile
from symnets.files import claim, locked
from symnets.interrupt import interruptible
from symnets.simulate._calculator import SymnetsCalculator
from symnets.simulate._files import different, snapshot, without_labels
from symnets.simulate._thermodynamics import (
    EnergyDrift,
    MDLog,
    degrees_of_freedom,
    energy_drift,
    tensors_of,
    thermal_momenta,
)
from symnets.simulate._unstable import Unstable, check_finite, check_motion, progress_bar
from symnets.threads import one_blas_thread

ThermodynamicEnsemble = Literal["nve", "nvt", "nvt-nose-hoover", "npt"]


def integrator(
    atoms: Atoms,
    ensemble: ThermodynamicEnsemble,
    *,
    timestep: float,
    temperature: float,
    pressure: float,
    thermostat_time: float,
    barostat_time: float,
    generator: np.random.Generator,
) -> MolecularDynamics:
    """ASE's integrator for an ensemble, for atoms with momenta and a calculator.

    | ensemble | integrator | conserves or controls |
    |---|---|---|
    | `nve` | velocity Verlet | energy |
    | `nvt` | Langevin, friction 1 / `thermostat_time` | temperature; total momentum diffuses |
    | `nvt-nose-hoover` | Nosé-Hoover chain of 3 | temperature, deterministic |
    | `npt` | isotropic Martyna-Tobias-Klein | temperature and pressure; the cell keeps its shape |

    For a small molecule use Langevin. The chain gives N atoms the kinetic energy 3 N k_B T / 2 of 3 N degrees
    of freedom. Since total momentum, and the angular momentum of a molecule, stay zero, only 3 N - 3 or
    3 N - 6 of them carry it, and are a little too hot.

    Args:
        atoms: structure with momenta and calculator.
        ensemble: see the table.
        timestep: time step in fs.
        temperature: temperature in K.
        pressure: pressure in GPa, positive compresses.
        thermostat_time, barostat_time: relaxation times of temperature and pressure in fs.
        generator: random generator of the noise of the Langevin thermostat.

    Raises:
        ValueError: the ensemble is unknown, or the structure does not fit it.
    """
    if ensemble not in (known := get_args(ThermodynamicEnsemble)):
        raise ValueError(f"ensemble: expected one of {', '.join(known)}, got {ensemble!r}")
    if ensemble == "npt" and not (atoms.pbc.all() and atoms.get_volume() > 0):
        raise ValueError("ensemble npt: expected a structure periodic along all three vectors of its cell")
    if ensemble in ("nvt-nose-hoover", "npt") and atoms.constraints:
        raise ValueError(
            f"ensemble {ensemble}: expected no constraints (ASE's integrator has none); use nvt or nve"
        )

    step, tdamp = timestep * units.fs, thermostat_time * units.fs
    match ensemble:
        case "nve":
            return VelocityVerlet(atoms, step)
        case "nvt":
            # fixcm biases the temperature of small structures.
            return Langevin(
                atoms, step, temperature_K=temperature, friction=1 / tdamp, fixcm=False, rng=generator
            )
        case "nvt-nose-hoover":
            return NoseHooverChainNVT(atoms, step, temperature, tdamp)
        case "npt":
            pdamp = barostat_time * units.fs
            return IsotropicMTKNPT(atoms, step, temperature, pressure * units.GPa, tdamp, pdamp)


@dataclass(frozen=True)
class MDRun:
    """Result of a molecular dynamics run."""

    atoms: Atoms
    """Last structure, with momenta, energy and forces, and with all data of the given one except its old
    labels."""
    log: pd.DataFrame
    """Columns `step`, `time_ps`, `potential_energy`, `kinetic_energy`, `total_energy` (eV), `temperature`
    (K), for periodic structures `pressure` (GPa) and `volume` (Å³), and components of the tensors that the
    model has, such as `dipole_x` (e·Å); see `MDLog`."""
    drift: EnergyDrift
    """Drift of the total energy; meaningful for `nve` only."""
    n_steps: int
    """Number of steps taken."""
    interrupted: bool
    """Whether Ctrl-C or SIGTERM ended the run early."""


def run_md(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    steps: int,
    ensemble: ThermodynamicEnsemble = "nve",
    timestep: float = 0.5,
    temperature: float = 300.0,
    pressure: float = 0.0,
    thermostat_time: float = 100.0,
    barostat_time: float = 1000.0,
    seed: int = 0,
    keep_momenta: bool = False,
    trajectory: str | os.PathLike[str] | None = None,
    log: str | os.PathLike[str] | None = None,
    save_every: int = 20,
    log_every: int = 10,
    overwrite: bool = False,
    progress: bool = False,
) -> MDRun:
    """Run molecular dynamics on a copy of the atoms.

    The initial momenta follow the Maxwell-Boltzmann distribution, without total momentum and rotation, see
    `thermal_momenta`. Trajectory and log are written during the run. Ctrl-C or SIGTERM ends it after the
    current step and keeps what was computed.

    The temperature is 2 K / (n k_B), with the kinetic energy K and n degrees of freedom. In `nve` n excludes
    the conserved total momentum and rotation; with a thermostat n = 3 N for N atoms, as in ASE's thermostats.

    Args:
        atoms: initial structure.
        calculator: ASE calculator of energy and forces. If a `SymnetsCalculator` also gives tensors of the
            structure, such as the dipole of a molecule, they are written to trajectory and log.
        steps: number of time steps.
        ensemble: `nve` (velocity Verlet), `nvt` (Langevin), `nvt-nose-hoover` (chain of 3) or `npt`
            (isotropic Martyna-Tobias-Klein).
        timestep: time step in fs.
        temperature: temperature in K; in `nve` that of the initial momenta.
        pressure: pressure in GPa, for `npt`; positive compresses.
        thermostat_time, barostat_time: relaxation times of temperature and pressure in fs.
        seed: seed of the initial momenta and of the Langevin noise.
        keep_momenta: start from the momenta of the given atoms.
        trajectory: file with a frame every `save_every` steps: energy, forces, momenta, tensors, and all data
            of the given structure except its old labels. Its name decides the format: `.xyz`, `.xyz.gz`,
            `.traj`, `.db`, ... A warning names the data that the format cannot hold.
        log: CSV file, with a row of the table `MDRun.log` every `log_every` steps.
        save_every: see `trajectory`.
        log_every: see `log`.
        overwrite: replace existing files.
        progress: show a progress bar.

    Raises:
        ValueError: an option is out of range, the structure does not fit the ensemble, or a file exists.
        Unstable: energy or forces are not finite, or the structure explodes; the files keep all earlier
            frames.
    """
    _check(atoms, steps, timestep, temperature, thermostat_time, barostat_time, save_every, log_every)
    if ensemble != "nve" and temperature == 0:
        raise ValueError(
            f"temperature: expected K above 0 for {ensemble}, got 0; to minimise the energy, use relax"
        )
    if keep_momenta and not atoms.has("momenta"):
        raise ValueError(
            "keep_momenta: expected a structure with momenta, got one without; leave keep_momenta out"
        )
    atoms = without_labels(atoms)
    atoms.calc = calculator
    tensors = []
    if isinstance(calculator, SymnetsCalculator):
        if "forces" not in calculator.implemented_properties:
            raise ValueError(
                "calculator: expected a model with energies and forces, got one of tensors alone"
            )
        tensors = calculator.structure_tensors(atoms)
    check_finite(atoms, "the initial structure")
    generator = np.random.default_rng(seed)
    n_dof = degrees_of_freedom(atoms, at_rest=ensemble == "nve" and not keep_momenta)
    if not keep_momenta:
        atoms.set_momenta(thermal_momenta(atoms, temperature, n_dof, generator))
    dynamics = integrator(
        atoms,
        ensemble,
        timestep=timestep,
        temperature=temperature,
        pressure=pressure,
        thermostat_time=thermostat_time,
        barostat_time=barostat_time,
        generator=generator,
    )
    volume = atoms.get_volume() if atoms.pbc.all() else None
    check_motion(atoms, dynamics.dt, volume, "the initial structure")
    step, interrupted = 0, False
    with ExitStack() as stack:
        for option, path in different(trajectory=trajectory, log=log).items():
            stack.enter_context(locked(path, file=True, option=option))
        frames = log_path = None
        if trajectory is not None:
            first = snapshot(atoms, tensors_of(atoms, tensors), step=0, time_ps=0.0)
            frames = StructureFile(trajectory, first, several=True, overwrite=overwrite, option="trajectory")
            stack.enter_context(frames)
            if frames.note:
                warnings.warn(frames.note, stacklevel=2)
        if log is not None:
            log_path = claim(log, overwrite=overwrite, option="log")
        rows = MDLog(log_path, n_dof, tensors)
        show = stack.enter_context(progress_bar(f"md {ensemble}", steps, enabled=progress))
        stop_requested = stack.enter_context(interruptible())
        stack.enter_context(one_blas_thread())
        # Overflows are detected, and reported, at the end of the step.
        stack.enter_context(np.errstate(over="ignore", invalid="ignore"))
        try:
            for _ in dynamics.irun(steps):
                step = dynamics.nsteps
                time = step * timestep / 1000
                when = f"step {step} ({time:g} ps)"
                check_finite(atoms, when)
                check_motion(atoms, dynamics.dt, volume, when)
                if step % log_every == 0:
                    row = rows.write(atoms, step, time)
                    show(step, f"{row['temperature']:.0f} K, {row['total_energy']:.3f} eV")
                if frames is not None and step % save_every == 0:
                    frames.append(snapshot(atoms, tensors_of(atoms, tensors), step=step, time_ps=time))
                if stop_requested() and step < steps:
                    interrupted = True
                    break
        except Unstable:
            raise
        except ValueError as error:  # the calculator refuses the structure that was reached
            raise Unstable(f"after step {step} ({step * timestep / 1000:g} ps): {error}") from error
    table = rows.table
    final = snapshot(atoms, tensors_of(atoms, tensors))
    return MDRun(final, table, energy_drift(table, len(atoms)), step, interrupted)


def _check(atoms: Atoms, steps: int, timestep: float, temperature: float, *positive: int | float) -> None:
    """Check the options; `positive` are thermostat_time, barostat_time, save_every and log_every."""
    if len(atoms) == 0:
        raise ValueError("atoms: expected at least one atom, got an empty structure")
    if steps < 0:
        raise ValueError(f"steps: expected at least 0, got {steps}")
    if not 0 < timestep < 100:
        raise ValueError(f"timestep: expected fs, above 0 and below 100, got {timestep}")
    if not 0 <= temperature < np.inf:
        raise ValueError(f"temperature: expected K, at least 0, got {temperature}")
    names = ("thermostat_time", "barostat_time", "save_every", "log_every")
    for name, value in zip(names, positive, strict=True):
        if not value > 0:
            raise ValueError(f"{name}: expected a positive number, got {value}")


def n_steps(*, steps: int | None, duration: float | None, timestep: float) -> int:
    """Number of time steps, given directly or as a duration in ps with a time step in fs.

    Raises:
        ValueError: both or neither are given.
    """
    if steps is not None and duration is None:
        return steps
    if duration is not None and steps is None:
        return round(1000 * duration / timestep)
    raise ValueError(f"expected either steps or a duration in ps, got steps={steps} and duration={duration}")
