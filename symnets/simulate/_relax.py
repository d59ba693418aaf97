"""Relaxation of positions and cell with ASE's optimisers."""

import os
import tempfile
import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS, FIRE, LBFGS

from symnets.data import StructureFile
from symnets.files import locked
from symnets.interrupt import interruptible
from symnets.simulate._files import different, snapshot, without_labels
from symnets.simulate._unstable import Unstable, check_finite, progress_bar
from symnets.threads import one_blas_thread

OptimizerName = Literal["lbfgs", "bfgs", "fire"]
_OPTIMIZERS = {"lbfgs": LBFGS, "bfgs": BFGS, "fire": FIRE}


@dataclass(frozen=True)
class Relaxation:
    """Result of a relaxation."""

    atoms: Atoms
    """Last structure, with energy and forces, and with all data of the given one except its old labels."""
    path: Path | None
    """File of the last structure: `output`, unless it could not be written."""
    energy: float
    """Potential energy in eV."""
    initial_energy: float
    """Potential energy of the given structure, in eV."""
    fmax: float
    """Largest force on an atom in eV/Å."""
    pressure: float | None
    """-trace(stress) / 3 in GPa; None unless the structure is periodic along all vectors."""
    n_steps: int
    """Number of steps taken."""
    converged: bool
    """Whether forces, and with `cell` the stress, are below the threshold."""
    interrupted: bool
    """Whether Ctrl-C or SIGTERM ended the relaxation early."""


def relax(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    optimizer: OptimizerName = "lbfgs",
    fmax: float = 0.01,
    steps: int = 1000,
    cell: bool = False,
    pressure: float = 0.0,
    output: str | os.PathLike[str] | None = None,
    trajectory: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Relaxation:
    """Minimise the energy of a copy of the atoms until no force exceeds `fmax`.

    With `cell` the cell relaxes too: ASE's `FrechetCellFilter` minimises the enthalpy E + p V. The gradient
    with respect to the logarithm of the deformation gradient, divided by the number of atoms, must then also
    fall below the same number, in eV.

    Args:
        atoms: initial structure.
        calculator: ASE calculator of energy, forces and, for periodic structures, stress.
        optimizer: "lbfgs", "bfgs" (stores a full Hessian, for few atoms) or "fire" (slow and robust).
        fmax: largest norm of the force on an atom of the relaxed structure, in eV/Å.
        steps: largest number of steps.
        cell: relax the cell.
        pressure: external pressure in GPa, positive compresses; needs `cell`.
        output: file of the final structure; its name decides the format. If it cannot be written in the end,
            the structure is written into the folder for temporary files, with a warning.
        trajectory: file of the structures of all steps; its name decides the format: `.xyz`, `.xyz.gz`,
            `.traj`, `.db`, ... A warning names the data of the structure that the format cannot hold.
        overwrite: replace existing files.
        progress: show a progress bar.

    Raises:
        ValueError: an option is out of range, the cell cannot relax, or a file exists.
        Unstable: energy or forces are not finite.
    """
    _check(atoms, optimizer, fmax, steps, cell, pressure)
    atoms = without_labels(atoms)
    atoms.calc = calculator
    check_finite(atoms, "the initial structure")
    target = FrechetCellFilter(atoms, scalar_pressure=pressure * units.GPa) if cell else atoms
    dynamics = _OPTIMIZERS[optimizer](target, logfile=None)
    initial_energy = float(atoms.get_potential_energy())
    step, converged, interrupted = 0, False, False
    with ExitStack() as stack:
        for option, path in different(output=output, trajectory=trajectory).items():
            stack.enter_context(locked(path, file=True, option=option))
        final_file = frames = None
        if output is not None:
            final_file = StructureFile(output, snapshot(atoms), overwrite=overwrite)
        if trajectory is not None:
            first = snapshot(atoms, step=0)
            frames = StructureFile(trajectory, first, several=True, overwrite=overwrite, option="trajectory")
            stack.enter_context(frames)
        for file in (final_file, frames):
            if file is not None and file.note:
                warnings.warn(file.note, stacklevel=2)
        show = stack.enter_context(progress_bar(f"relax {optimizer}", steps, enabled=progress))
        stop_requested = stack.enter_context(interruptible())
        stack.enter_context(one_blas_thread())  # for the 3 x 3 matrices of ASE's filter
        try:
            for now_converged in dynamics.irun(fmax=fmax, steps=steps):
                step, converged = dynamics.nsteps, bool(now_converged)
                check_finite(atoms, f"step {step}")
                show(step, f"{largest_force(atoms):.4f} eV/Å, {atoms.get_potential_energy():.4f} eV")
                if frames is not None:
                    frames.append(snapshot(atoms, step=step))
                if stop_requested() and not converged and step < steps:
                    interrupted = True
                    break
        except Unstable:
            raise
        except ValueError as error:  # the calculator refuses the structure that was reached
            raise Unstable(f"after step {step}: {error}") from error
        pressure_left = None
        if atoms.pbc.all():
            pressure_left = float(-atoms.get_stress(voigt=False).trace() / 3 / units.GPa)
        final = snapshot(atoms)
        path = None if final_file is None else _write(final_file, final)
    return Relaxation(
        atoms=final,
        path=path,
        energy=float(atoms.get_potential_energy()),
        initial_energy=initial_energy,
        fmax=largest_force(atoms),
        pressure=pressure_left,
        n_steps=step,
        converged=converged,
        interrupted=interrupted,
    )


def _write(file: StructureFile, atoms: Atoms) -> Path:
    """Write the final structure, into the folder for temporary files if its own file cannot be written."""
    try:
        file.write([atoms])
    except OSError as error:
        fallback = Path(tempfile.mkdtemp(prefix="relaxed-"), "relaxed.xyz")
        StructureFile(fallback, atoms).write([atoms])
        warnings.warn(
            f"{file.path}: cannot be written ({error.strerror or error}); the structure is in {fallback}",
            stacklevel=3,
        )
        return fallback
    return file.path


def largest_force(atoms: Atoms) -> float:
    """Largest norm of the force on an atom, in eV/Å, after ASE's constraints."""
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max())


def _check(atoms: Atoms, optimizer: str, fmax: float, steps: int, cell: bool, pressure: float) -> None:
    if len(atoms) == 0:
        raise ValueError("atoms: expected at least one atom, got an empty structure")
    if optimizer not in _OPTIMIZERS:
        raise ValueError(
            f"optimizer: expected one of {', '.join(get_args(OptimizerName))}, got {optimizer!r}"
        )
    if not 0 < fmax < np.inf:
        raise ValueError(f"fmax: expected eV/Å above 0, got {fmax}")
    if steps < 0:
        raise ValueError(f"steps: expected at least 0, got {steps}")
    if cell and not (atoms.pbc.all() and atoms.get_volume() > 0):
        raise ValueError("cell: expected a structure periodic along all three vectors of its cell")
    if pressure != 0 and not cell:
        raise ValueError(
            f"pressure: expected 0 unless the cell relaxes, got {pressure} GPa; pass cell as well"
        )
